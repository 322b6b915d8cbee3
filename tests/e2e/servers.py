"""Jupyter servers for the browser tests: folders, settings and token of their own."""

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time

START_TIMEOUT_S = 120
QUIET = ["--no-browser", "--allow-root", "--port=0"]
NO_NEWS = ["--LabApp.news_url=", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
MODULES = {
    "lab": ["jupyterlab", *QUIET, *NO_NEWS],
    "notebook": ["notebook", *QUIET],
    "server": ["jupyter_server", *QUIET],
}


def ended(process):
    """Waits for a server that was told to end. Now and then one never does, waiting for itself behind its kernel's end."""
    try:
        process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_for_server(process, runtime, log):
    """The address of the server, from the file it writes: a moment before it listens, so it is asked until it answers."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        for path in runtime.glob("jpserver-*.json"):
            try:
                written = json.loads(path.read_text())
                socket.create_connection((written["hostname"], written["port"]), timeout=5).close()
                return written["url"]
            except (json.JSONDecodeError, KeyError, OSError):
                pass  # still being written, or not listening yet
        time.sleep(0.2)
    raise TimeoutError(log.read_text())


@contextlib.contextmanager
def server(kind, folder, *options):
    """Runs JupyterLab, Notebook 7 or the server alone on `folder/notebooks`; gives its address and token."""
    token, log = secrets.token_hex(16), folder / "server.log"
    runtime, home = folder / "runtime", folder / "home"
    home.mkdir()
    environment = os.environ | {
        "HOME": str(home),
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_TOKEN": token,
    }
    command = [sys.executable, "-m", *MODULES[kind], f"--ServerApp.root_dir={folder / 'notebooks'}", *options]
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        yield wait_for_server(process, runtime, log), token
    finally:
        process.terminate()
        ended(process)
