"""The wheel in a fresh environment: kernelspec, libtorch and kernel are found with nothing set."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from session import bare_environment

pytestmark = pytest.mark.timeout(900)  # torch alone takes minutes to install

# Without torch, in bytes.
LARGEST_WHEEL = 30_000_000
# The oldest C library that `make wheel` is for.
OLDEST_GLIBC = (2, 28)

CLIENT = textwrap.dedent(
    """
    import json
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="ecco")
    texts = []

    def collect(message):
        if message["msg_type"] == "execute_result":
            texts.append(message["content"]["data"]["text/plain"])

    for code in ["1 + 1", 'ecco::from_pretrained("demo").generate("1.", #{generate: 2}).tokens.len()']:
        reply = client.execute_interactive(code, output_hook=collect, timeout=120)
        assert reply["content"]["status"] == "ok", reply["content"]
    client.stop_channels()
    manager.shutdown_kernel()
    print(json.dumps(texts))
    """
)


def call(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def environment(repo, tmp_path_factory):
    """A fresh environment with only the wheel and jupyter_client in it."""
    folder = tmp_path_factory.mktemp("install")
    call("make", "wheel", f"DIST={folder / 'dist'}", cwd=repo)
    (wheel,) = (folder / "dist").glob("*.whl")
    assert wheel.name.endswith("-py3-none-manylinux_{}_{}_x86_64.whl".format(*OLDEST_GLIBC))
    assert wheel.stat().st_size < LARGEST_WHEEL
    call(sys.executable, "-m", "venv", folder / "venv")
    call(folder / "venv/bin/pip", "install", "--no-compile", wheel, "jupyter_client")
    yield folder / "venv"
    shutil.rmtree(folder)  # 5 GB


def in_bare_shell(environment, *command):
    """Runs as from a shell where the environment is not activated."""
    home = environment.parent / "home"
    home.mkdir(exist_ok=True)
    return call(*command, env=bare_environment(home), cwd=home)


def test_the_kernelspec_is_listed(environment, repo):
    listing = json.loads(
        in_bare_shell(environment, environment / "bin/jupyter", "kernelspec", "list", "--json")
    )
    spec = listing["kernelspecs"]["ecco"]
    folder = environment / "share/jupyter/kernels/ecco"
    assert spec["resource_dir"] == str(folder)
    assert sorted(os.listdir(folder)) == sorted(os.listdir(repo / "kernelspec"))
    extension = environment / "share/jupyter/labextensions/ecco-kernel-live"
    scripts = list((repo / "labextension/static").iterdir())
    # The kernel has that one itself, for other hosts.
    for script in [script for script in scripts if script.name != "widget.js"]:
        assert (extension / "static" / script.name).read_text() == script.read_text()
    assert json.loads((extension / "package.json").read_text())["jupyterlab"]["extension"]
    assert spec["spec"]["language"] == "rhai"
    assert spec["spec"]["display_name"] == "Ecco"


def test_the_licences_come_along(environment, repo):
    """Our own, and those of what is linked into the binary."""
    (folder,) = environment.glob("lib/python3*/site-packages/ecco_kernel-*.dist-info/licenses")
    for name in ("LICENSE", "THIRD_PARTY.md"):
        assert (folder / name).read_text() == (repo / name).read_text()


def test_the_kernel_starts_and_runs_a_model(environment):
    python = environment / "bin/python"
    texts = json.loads(in_bare_shell(environment, python, "-c", CLIENT).splitlines()[-1])
    assert texts[0] == "2"
    assert int(texts[1]) >= 3


def test_the_binary_starts_without_libtorch(environment):
    """It opens libtorch with the first model, and CUDA where there is a driver: one binary for all machines."""
    dynamic = call("readelf", "--dynamic", environment / "bin/ecco-kernel")
    needed = [line.split("[")[1].rstrip("]") for line in dynamic.splitlines() if "(NEEDED)" in line]
    assert needed
    assert not [name for name in needed if any(part in name for part in ("torch", "c10", "cuda"))]


def test_the_binary_is_for_older_c_libraries_and_knows_no_folder_of_this_machine(environment, repo):
    """The glue that it carries inside is for them too."""
    binary = environment / "bin/ecco-kernel"
    target = Path(os.environ.get("CARGO_TARGET_DIR", repo / "target"))
    built = target.glob("release/build/ecco-models-*/out/libtch.so")
    for file in [binary, max(built, key=lambda library: library.stat().st_mtime)]:
        wanted = re.findall(r"GLIBC_(\d+)\.(\d+)", call("readelf", "--version-info", file))
        assert wanted and max((int(major), int(minor)) for major, minor in wanted) <= OLDEST_GLIBC
    (paths,) = re.findall(r"\((?:RUNPATH|RPATH)\).*\[(.*)\]", call("readelf", "--dynamic", binary))
    assert [path for path in paths.split(":") if not path.startswith("$ORIGIN/")] == []


def test_papermill_finds_the_language(environment):
    """By its entry point; papermill itself is not in this environment."""
    assert entry_points(environment, "papermill.engine") == "['ecco_kernel.papermill']"


def test_pygments_finds_the_lexer(environment):
    """Likewise."""
    assert entry_points(environment, "pygments.lexers") == "['ecco_kernel.lexer:RhaiLexer']"


def entry_points(environment, group):
    find = f"from importlib.metadata import entry_points as e; print([p.value for p in e(group='{group}')])"
    return in_bare_shell(environment, environment / "bin/python", "-c", find).strip()


def test_a_script_runs_a_session(environment):
    """With jupyter_client alone: neither IPython nor numpy is in this environment."""
    code = (
        "import ecco_kernel as e; s = e.Session(); s.set('x', [1, 'a']); print(s.run('x.len()'), s.get('x'))"
    )
    assert in_bare_shell(environment, environment / "bin/python", "-c", code).strip() == "2 [1, 'a']"


def test_the_version_is_printed(environment):
    printed = in_bare_shell(environment, environment / "bin/ecco-kernel", "--version")
    assert printed.split()[0] == "ecco-kernel"


def test_uninstalling_leaves_nothing(environment):
    """The last of these tests: afterwards it is not there."""
    in_bare_shell(environment, environment / "bin/pip", "uninstall", "--yes", "ecco-kernel")
    assert [path for path in environment.rglob("*") if "ecco" in path.name] == []
    assert [path for path in (environment / "share/jupyter").rglob("*") if path.is_file()] == []
