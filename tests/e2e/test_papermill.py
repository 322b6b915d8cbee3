"""papermill with parameters: the program on a notebook, and what it writes for values of every kind."""

import json
import subprocess
import sys

import nbformat
import pytest
from papermill.exceptions import PapermillException
from papermill.translators import papermill_translators

DEFAULTS = """// what to say
let word = "nothing";     // the word
let times = 1;
let options = #{};
"""


@pytest.fixture
def notebook(tmp_path):
    cells = [
        nbformat.v4.new_code_cell(DEFAULTS, metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("for i in 0..times { print(word); }"),
        nbformat.v4.new_code_cell("options.scale * 2"),
    ]
    kernelspec = {"name": "ecco", "language": "rhai", "display_name": "Ecco"}
    path = tmp_path / "notebook.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernelspec}), path)
    return path


def papermill(*arguments):
    command = [sys.executable, "-m", "papermill", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_parameters_reach_the_cells(notebook, tmp_path):
    output = tmp_path / "output.ipynb"
    parameters = ["-p", "word", 'it\'s "fine"\\n', "-p", "times", 2, "-y", "options: {scale: 0.5}"]
    done = papermill(notebook, output, *parameters)
    assert done.returncode == 0, done.stderr
    executed = nbformat.read(output, as_version=4)
    injected, printed, scaled = executed.cells[1:]
    assert injected.metadata.tags == ["injected-parameters"]
    assert injected.source.splitlines()[0] == "// Parameters"
    assert "let times = 2;" in injected.source.splitlines()
    assert printed.outputs[0].text == 'it\'s "fine"\\n\n' * 2
    assert scaled.outputs[0].data["text/plain"] == "1.0"


def test_a_cell_that_fails_ends_the_run_and_is_shown(notebook, tmp_path):
    done = papermill(notebook, tmp_path / "output.ipynb", "-p", "times", "many")
    assert done.returncode != 0
    assert "for i in 0..times" in done.stderr
    executed = nbformat.read(tmp_path / "output.ipynb", as_version=4)
    assert any(o.output_type == "error" for cell in executed.cells for o in cell.get("outputs", []))


@pytest.mark.parametrize(
    "name", ["match", "fn", "true", "print", "model-name", "a b", "", "1st", "_", "__1", "x;y"]
)
def test_a_parameter_that_no_variable_can_be_named_ends_the_run_before_its_first_cell(
    notebook, tmp_path, name
):
    output = tmp_path / "output.ipynb"
    done = papermill(notebook, output, "-p", name, 3)
    assert done.returncode != 0
    assert f"parameter {name!r}" in done.stderr
    assert not output.exists() or all(
        cell.execution_count is None for cell in nbformat.read(output, as_version=4).cells
    )


def test_a_parameter_may_have_letters_of_any_alphabet():
    assert "let größe_2 = 3;" in translated({"größe_2": 3})


def test_the_parameters_of_a_notebook_are_listed(notebook):
    done = papermill("--help-notebook", notebook)
    listing = done.stdout + done.stderr
    assert 'word: Unknown type (default "nothing")' in listing and "the word" in listing
    assert "times: Unknown type (default 1)" in listing


def translated(values, comment="Parameters"):
    return papermill_translators.find_translator("ecco", "rhai").codify(values, comment)


VALUES = [
    None,
    True,
    False,
    0,
    -1,
    2**63 - 1,
    -(2**63),
    0.5,
    -0.5,
    3.0,
    1e20,
    1e-7,
    1.7976931348623157e308,
    5e-324,
    "",
    "plain",
    "\"quoted\" 'single' `back`",
    "back\\slash \\n",
    "lines\nand\r\ntabs\t",
    "${no} {interpolation} #{}",
    "é 日本語 👩‍🔬 \u2028",
    "".join(map(chr, range(32))) + "\x7f\x85",
    [],
    [1, [2.5, [None, "x"]]],
    {},
    {"a": 1, "with space": [True], 'quo"te': {"deep": "er"}, "": 0, "new": 1, "é": 2},
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: json.dumps(value)[:40])
def test_a_value_arrives_as_it_was(kernel, value):
    run = kernel.run(translated({"value": value}))
    assert run.status == "ok", run.reply
    run = kernel.run("print(#{it: value}.to_json())")
    assert run.status == "ok", run.reply
    arrived = json.loads(run.stream("stdout"))["it"]
    assert arrived == value and type(arrived) is type(value)


def test_numbers_without_end_arrive(kernel):
    for value, text in [(float("inf"), "inf"), (float("-inf"), "-inf"), (float("nan"), "NaN")]:
        run = kernel.run(translated({"value": value}))
        assert run.status == "ok", run.reply
        assert kernel.value("value.to_string()").strip('"') == text


def test_an_integer_beyond_64_bits_is_refused():
    with pytest.raises(PapermillException, match="64 bits"):
        translated({"value": 2**63})


def test_a_comment_cannot_break_out(kernel):
    run = kernel.run(translated({"value": 1}, comment="two\nlines */ let = 5"))
    assert run.status == "ok", run.reply
