"""Hosts without a browser, as their users start them: Jupyter Server, JupyterHub, and programs that run notebooks."""

import os
import secrets
import subprocess
import sys

import nbclient
import nbformat
import pytest

import hosts
from front_ends import write_notebook
from remote import LOAD, RemoteServer, use
from servers import ended, server

pytestmark = pytest.mark.timeout(240)


def test_jupyter_server_by_its_api(tmp_path):
    (tmp_path / "notebooks").mkdir()
    with server("server", tmp_path) as address:
        jupyter = RemoteServer(*address)
        spec = jupyter.call("GET", "api/kernelspecs")["kernelspecs"]["ecco"]
        assert spec["spec"]["language"] == "rhai" and "logo-svg" in spec["resources"]
        kernel = jupyter.start()
        use(kernel)
        kernel.shut_down()
        assert jupyter.call("GET", "api/kernels") == []


NOTEBOOK = [
    'let lm = ecco::from_pretrained("demo");',
    'let output = lm.generate("1.", #{generate: 4});',
    "output.saliency()",
]
# What runs a notebook, and writes the run one to out.ipynb.
PROGRAMS = {
    "nbconvert": ["nbconvert", "--to", "notebook", "--execute", "notebook.ipynb", "--output", "out.ipynb"],
    "jupyter-execute": ["execute", "notebook.ipynb", "--output", "out"],
}


def outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return [data for cell in notebook.cells for output in cell.outputs for data in output.get("data", {})]


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_run_a_notebook(program, tmp_path):
    write_notebook(tmp_path / "notebook.ipynb", NOTEBOOK)
    command = [sys.executable, "-m", "jupyter", *PROGRAMS[program]]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert {"text/html", "image/svg+xml", "text/plain"} <= set(outputs(tmp_path / "out.ipynb"))


def test_nbclient_runs_a_notebook_and_stops_at_an_error(tmp_path):
    write_notebook(tmp_path / "notebook.ipynb", [*NOTEBOOK, "no_such_name", "1"])
    notebook = nbformat.read(tmp_path / "notebook.ipynb", as_version=4)
    client = nbclient.NotebookClient(notebook, kernel_name="ecco", timeout=120)
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="no_such_name"):
        client.execute()
    assert "text/html" in notebook.cells[2].outputs[0].data
    assert notebook.cells[3].outputs[0].output_type == "error" and notebook.cells[4].outputs == []


@pytest.fixture
def hub(tmp_path):
    """JupyterHub with the page's configuration, in a folder; gives what asks it, with the rights of an administrator."""
    port, token, log = hosts.free_port(), secrets.token_hex(16), tmp_path / "hub.log"
    (configuration,) = hosts.blocks("JupyterHub", "python")
    here = f"""
c.JupyterHub.services = [{{"name": "test", "api_token": "{token}"}}]
c.JupyterHub.load_roles = [{{"name": "test", "services": ["test"], "scopes": ["admin:users", "admin:servers", "tokens"]}}]
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_port = {hosts.free_port()}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{hosts.free_port()}"
c.SimpleLocalProcessSpawner.home_dir_template = "{tmp_path}/{{username}}"
c.Spawner.args = [*c.Spawner.args, "--allow-root"]
"""
    (tmp_path / "jupyterhub_config.py").write_text(configuration + here)
    command = [sys.executable, "-m", "jupyterhub"]
    environment = os.environ | {"PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"}
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=output, stderr=output)
    try:
        # The proxy listens before it knows the hub.
        administrator = RemoteServer(f"http://127.0.0.1:{port}", token)
        hosts.wait_for(lambda: administrator.knows("hub/api/user"), process, log)
        yield administrator
    finally:
        process.terminate()
        ended(process)


def test_two_users_of_a_hub_have_their_models_apart(hub):
    users = {}
    for name in ("ada", "bo"):
        hub.call("POST", f"hub/api/users/{name}")
        hub.call("POST", f"hub/api/users/{name}/server")
    for name in ("ada", "bo"):
        hosts.wait_for(lambda name=name: hub.call("GET", f"hub/api/users/{name}")["servers"][""]["ready"])
        token = hub.call("POST", f"hub/api/users/{name}/tokens", {})["token"]
        users[name] = RemoteServer(f"{hub.url}/user/{name}", token)
    kernels = {name: jupyter.start() for name, jupyter in users.items()}
    assert int(kernels["ada"].run(LOAD)) >= 3
    assert kernels["bo"].run("lm") != kernels["ada"].run("lm")
    use(kernels["bo"])
    assert [len(jupyter.call("GET", "api/kernels")) for jupyter in users.values()] == [1, 1]
    stranger = RemoteServer(users["bo"].url, users["ada"].headers["Authorization"].removeprefix("token "))
    with pytest.raises(AssertionError, match="403"):
        stranger.call("GET", "api/kernels")
    for name in users:
        kernels[name].shut_down()
        hub.call("DELETE", f"hub/api/users/{name}/server")
