"""libtorch is opened when the first model is loaded, not before, and a kernel without it says so."""

import json
import shutil
import stat
import sys
from pathlib import Path

import pytest

from session import Session

LOAD = 'let lm = ecco::from_pretrained("demo"); lm.generate("1.", #{generate: 1}).tokens.len()'


def libraries(session):
    """The files that the kernel's process has mapped."""
    return Path(f"/proc/{session.manager.provisioner.process.pid}/maps").read_text()


def test_libtorch_comes_with_the_first_model(kernel):
    assert kernel.value("1 + 1") == "2"
    assert "libtorch" not in libraries(kernel)
    kernel.value(LOAD)
    assert "libtorch_cpu" in libraries(kernel)


@pytest.fixture
def kernel_without_libtorch(tmp_path, monkeypatch):
    """The installed program, looking for libtorch where it is not."""
    program = tmp_path / "ecco-kernel"
    installed = Path(shutil.which("ecco-kernel", path=str(Path(sys.executable).parent)))
    code = installed.read_bytes()
    assert b"/torch/lib" in code, "the program does not say where libtorch is"
    program.write_bytes(code.replace(b"/torch/lib", b"/not/there"))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    folder = tmp_path / "jupyter/kernels/ecco"
    folder.mkdir(parents=True)
    spec = {
        "argv": [str(program), "run", "-f", "{connection_file}"],
        "language": "rhai",
        "display_name": "Ecco",
    }
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    session = Session(home=tmp_path)
    yield session
    session.close()


def test_without_libtorch_everything_works_but_models(kernel_without_libtorch):
    session = kernel_without_libtorch
    run = session.run(LOAD)
    assert run.status == "error"
    assert run.reply["ename"] == "ImportError"
    assert "libtorch_cpu.so" in run.reply["evalue"]
    assert "pip install torch==2.11.0" in "".join(run.reply["traceback"])
    assert session.value("1 + 1") == "2"
