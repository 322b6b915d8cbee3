"""Jupyter's programs that run notebooks without a person: nbconvert, nbclient's `jupyter execute`."""

import subprocess
import sys

import nbformat
import pytest

CELLS = [
    "let greeting = `hello, world`; print(greeting)",
    'eprint("a warning")',
    'display(html("<b>bold</b>"))',
    "fn twice(x) { 2 * x }",
    "twice(21)",
]


def jupyter(*arguments, cwd):
    command = [sys.executable, "-m", "jupyter", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=cwd)


def write(path, cells):
    kernelspec = {"name": "ecco", "language": "rhai", "display_name": "Ecco"}
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": kernelspec})
    notebook.cells = [nbformat.v4.new_code_cell(code) for code in cells]
    nbformat.write(notebook, path)
    return path


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A notebook after `nbconvert --execute`."""
    path = write(tmp_path_factory.mktemp("programs") / "cells.ipynb", CELLS)
    done = jupyter("nbconvert", "--execute", "--inplace", "--to=notebook", path, cwd=path.parent)
    assert done.returncode == 0, done.stderr
    return path


def outputs(path, cell):
    return nbformat.read(path, as_version=4).cells[cell].outputs


def test_nbconvert_executes(executed):
    assert outputs(executed, 0)[0].text == "hello, world\n"
    assert outputs(executed, 1)[0].name == "stderr"
    assert outputs(executed, 2)[0].data["text/html"] == "<b>bold</b>"
    assert outputs(executed, 4)[0].data["text/plain"] == "42"
    info = nbformat.read(executed, as_version=4).metadata.language_info
    assert (info.name, info.file_extension) == ("rhai", ".rhai")


def test_the_page_shows_what_was_run(executed):
    done = jupyter("nbconvert", "--to=html", executed, cwd=executed.parent)
    assert done.returncode == 0, done.stderr
    page = executed.with_suffix(".html").read_text(encoding="utf-8")
    assert "<b>bold</b>" in page and "hello, world" in page
    assert '<span class="k">fn</span>' in page, "the code is coloured"


def test_the_script_is_a_rhai_file(executed):
    done = jupyter("nbconvert", "--to=script", executed, cwd=executed.parent)
    assert done.returncode == 0, done.stderr
    script = executed.with_suffix(".rhai").read_text(encoding="utf-8")
    assert [line for line in script.splitlines() if line] == CELLS


def test_nbconvert_ends_at_a_cell_that_fails(tmp_path):
    path = write(tmp_path / "failing.ipynb", ["let a = 1;", "a + no_such_name", "print(1)"])
    done = jupyter("nbconvert", "--execute", "--to=notebook", path, cwd=tmp_path)
    assert done.returncode != 0
    assert "no_such_name" in done.stderr


def test_jupyter_execute_runs_all_cells_with_errors_allowed(tmp_path):
    path = write(tmp_path / "failing.ipynb", ["no_such_name", "6 * 7"])
    done = jupyter("execute", "--inplace", "--allow-errors", path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert outputs(path, 0)[0].output_type == "error"
    assert outputs(path, 1)[0].data["text/plain"] == "42"


def test_a_cell_that_takes_too_long_is_interrupted(tmp_path):
    """nbclient's timeout interrupts the kernel; the notebook goes on."""
    path = write(tmp_path / "slow.ipynb", ["loop { }", "6 * 7"])
    arguments = [
        "--execute",
        "--inplace",
        "--to=notebook",
        "--allow-errors",
        "--ExecutePreprocessor.timeout=3",
    ]
    arguments += ["--ExecutePreprocessor.interrupt_on_timeout=True"]
    done = jupyter("nbconvert", *arguments, path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert outputs(path, 0)[0].ename == "KeyboardInterrupt"
    assert outputs(path, 1)[0].data["text/plain"] == "42"
