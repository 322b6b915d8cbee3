"""The kernel from Python: sessions in scripts, `%%ecco` in a notebook of Python's own kernel, and the lexer.

JupyterLab is in test_from_python_in_lab.py: Playwright's loop would be in the way of these.
"""

import json
import math
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

import ecco_kernel
import nbformat
import numpy
import psutil
import pytest
import torch
from nbconvert import HTMLExporter
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Error, Keyword, Name, Number, Operator, Punctuation, String

from session import Session as NotebookSession

REPO = Path(__file__).resolve().parents[2]
SALIENCY = "application/vnd.ecco.v1+json"


@pytest.fixture(autouse=True)
def hears_ctrl_c():
    """Who was started in the background by a shell, or by other tests, may ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    with ecco_kernel.Session(tmp_path_factory.mktemp("folder")) as session:
        session.run('let lm = ecco::from_pretrained("demo"); let output = lm.generate("1. Austria\\n2.");')
        yield session


def round_trip(session, value):
    session.set("value", value)
    return session.get("value")


# A session


def test_a_cell_gives_its_value_and_what_it_shows(session, capsys):
    result = session.run('print("to see"); eprint("to note"); display([1], "a"); display([2], "a"); 1 + 1')
    assert (result.text, repr(result), result.data["text/plain"]) == ("2", "2", "2")
    assert [shown["text/plain"] for shown in result.displays] == ["[2]"]
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("to see\n", "to note\n")
    assert session.run("let x = 1;").text == ""
    written = session.run('lm.generate("1. Austria\\n2.", #{generate: 4})')
    assert (written.data, repr(written)) == ({}, "")
    assert "Austria" in written.text and str(written) == written.text
    data, _ = session.run("output.saliency()")._repr_mimebundle_()
    assert "<ecco-saliency" in data["text/html"] and data[SALIENCY]["type"] == "saliency"


VALUES = [
    None,
    True,
    -(2**63),
    2**63 - 1,
    0.1,
    3.0,
    1e300,
    float("-inf"),
    'a "text"\n\t\\ `${1 + 1}` \x00\x7f \u202e 👩‍🔬',
    "long " * 5000,
    [],
    {"new": [1, [2.5, None]], 'a"b': {"": False}},
    list(range(20_000)),
    {"words": ["it's ${x}"] * 2000, "n": 1.5},
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: json.dumps(value)[:30])
def test_a_value_comes_back_as_it_went(session, value):
    came = round_trip(session, value)
    assert came == value and type(came) is type(value)


def test_other_numbers_and_tuples(session):
    assert math.isnan(round_trip(session, float("nan")))
    assert round_trip(session, (numpy.float32(0.5), numpy.int64(3), numpy.array(2))) == [0.5, 3, 2]
    assert round_trip(session, [[0.5, float("inf")]] * 300) == [[0.5, None]] * 300


ARRAYS = [
    numpy.arange(6.0).reshape(2, 3),
    numpy.asfortranarray(numpy.arange(6).reshape(2, 3)),
    numpy.float32([[1.5, math.nan], [math.inf, -0.0]]),
    numpy.float16([1.5]),
    numpy.arange(3).astype(">i2"),
    numpy.array([True, False]),
    numpy.zeros((0, 3)),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype.str}{array.shape}")
def test_arrays(session, array):
    came = round_trip(session, array)
    assert came.shape == array.shape
    assert numpy.array_equal(came, array, equal_nan=array.dtype.kind == "f")
    assert came.dtype == (numpy.float64 if array.dtype.itemsize == 8 else numpy.float32)


def test_torch_tensors(session):
    values = torch.linspace(-1, 1, 5)
    assert torch.equal(torch.from_numpy(round_trip(session, values)), values)
    assert torch.equal(torch.from_numpy(round_trip(session, values.requires_grad_())), values.detach())
    assert round_trip(session, values.bfloat16()).tolist() == values.bfloat16().tolist()


def test_arrays_in_lists_and_dicts(session):
    came = round_trip(session, {"a": [numpy.ones(2), torch.zeros(1)], "b": 1})
    assert came["b"] == 1 and [array.tolist() for array in came["a"]] == [[1, 1], [0]]


def test_axes_have_their_names(session):
    session.run("let states = lm.run([483, 65]).hidden_states;")
    states = session.get("states")
    assert states.axes == ("layer", "position", "hidden") and states.shape == (5, 2, 192)
    assert states[0].axes == () and states.mean(0).axes == ()
    session.set("mine", states)
    assert session.run("mine.axes == states.axes && mine == states").text == "true"


def test_the_numbers_of_a_result(session):
    session.run("let s = output.saliency(); let numbers = s.values;")
    document = session.get("s")
    assert document["type"] == "saliency" and document["model"] == "demo"
    assert session.get("output")["tokens"][0]["text"]
    assert session.get("lm")["n_layers"] == 4
    session.run("let several = [output, 1]; let best = ecco::tensor([3, 1, 2]).topk(2, 0);")
    assert session.get("several")[0]["type"] == session.get("output")["type"]
    assert session.get("best")["indices"].tolist() == [0, 2]


TABLE = """let table = ecco::table([
    #{b: 1, a: "007", when: "=1+1"}, #{b: 2.5, a: (), when: [1]},
]).select(["b", "a", "when"]);"""


def test_a_table_without_pandas_is_a_list_of_dicts(session, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    session.run(TABLE)
    rows = session.get("table")
    assert rows == [{"b": 1, "a": "007", "when": "=1+1"}, {"b": 2.5, "a": None, "when": [1]}]
    assert list(rows[0]) == ["b", "a", "when"]


def test_tables_are_frames_of_pandas(session):
    import pandas

    session.run(TABLE)
    frame = session.get("table")
    assert list(frame.columns) == ["b", "a", "when"] and frame["b"].tolist() == [1, 2.5]
    mine = pandas.DataFrame(
        {
            "text": ["a", None, "=1"],
            "n": [1, 2, 3],
            "x": [0.1, math.nan, 1e300],
            "when": pandas.to_datetime(["2024-01-02", None, "2024-01-03"]),
            "kind": pandas.Categorical(["p", "q", "p"]),
            7: [True, False, True],
        },
        index=[5, 6, 7],
    )
    came = round_trip(session, mine)
    assert list(came.columns) == ["text", "n", "x", "when", "kind", "7"]
    assert came["text"].tolist() == ["a", None, "=1"] and came["n"].tolist() == [1, 2, 3]
    assert came["x"].tolist()[::2] == [0.1, 1e300] and math.isnan(came["x"][1])
    assert came["when"].tolist()[0].startswith("2024-01-02") and came["when"][1] is None
    assert came["kind"].tolist() == ["p", "q", "p"] and came["7"].tolist() == [True, False, True]
    assert session.run("value.len()").text == "3" and session.run("type_of(value)").text == '"Table"'
    assert round_trip(session, mine["text"]) == ["a", None, "=1"]
    assert len(round_trip(session, mine.iloc[:0])) == 0
    with pytest.raises(ValueError, match="two columns of one name"):
        session.set("value", pandas.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(TypeError, match="column 'held' cannot be passed"):
        session.set("value", pandas.DataFrame({"held": [object()]}))


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (object(), TypeError, "type object"),
        ({1, 2}, TypeError, "type set"),
        ([[Path("x")]], TypeError, "pathlib"),
        (b"x", TypeError, "bytes"),
        (2**63, ValueError, "64 bits"),
        (numpy.array(["x"]), TypeError, r"<U1 .* array\.tolist\(\)"),
        (numpy.array([1j]), TypeError, "complex128"),
        ([math.nan] * 99_999, ValueError, "pass many numbers as a numpy array"),
        (numpy.ma.array([1.0, 2.0], mask=[True, False]), TypeError, "no mask"),
        ("\ud800", ValueError, "surrogate"),
        (["\ud800"] * 9999, ValueError, "surrogate"),
        (numpy.array([2**53 + 1]), ValueError, r"up to 2\*\*53"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_cannot_be_passed_is_said_with_its_type(session, value, kind, message):
    session.set("value", "before")
    with pytest.raises(kind, match=message):
        session.set("value", value)
    assert session.get("value") == "before"


def test_a_list_that_holds_itself_is_refused(session):
    value = []
    value.append(value)
    with pytest.raises(ValueError, match="holds itself"):
        session.set("value", value)


def test_any_name_is_one_of_a_variable(session):
    for name in ("FOLDER", "EXPRESSION", "value", "note", "größe_2"):
        session.set(name, name)
        assert session.get(name) == name


@pytest.mark.parametrize("name", ["", "a b", "x; print(1)", "fn", "1st", "lm.x", "_"])
def test_names_are_names(session, name):
    for call in (lambda: session.set(name, 1), lambda: session.get(name)):
        with pytest.raises(ValueError, match=re.escape(repr(name))):
            call()


def test_what_cannot_come_out_is_said_by_name(session):
    session.run("let f = |x| x;")
    with pytest.raises(ecco_kernel.EccoError, match=r"^TypeError: f: .*closure"):
        session.get("f")
    with pytest.raises(ecco_kernel.EccoError, match=r"^NameError: nothing: there is no variable `nothing`$"):
        session.get("nothing")


def test_an_error_is_the_kernels_own(session):
    with pytest.raises(ecco_kernel.EccoError) as caught:
        session.run("let a = 1;\nlm.generat(a)")
    error = caught.value
    assert (error.name, error.message) == ("NameError", "there is no function `generat`")
    lines = str(error).splitlines()
    assert lines[0] == "NameError: there is no function `generat`" and "line 2, column 4" in lines[1]
    assert lines[3].index("^^^^^^^") == lines[2].index("generat(a)")


def test_nothing_is_left_in_the_folder(session):
    round_trip(session, [numpy.ones(3), "x" * 10_000])
    assert list(session.folder.iterdir()) == []


def test_a_folder_that_is_gone_is_said(tmp_path):
    with ecco_kernel.Session(tmp_path) as session:
        tmp_path.rmdir()
        session.set("short", "text")
        assert session.run("short").text == '"text"'
        for call in (lambda: session.set("long", [1] * 9999), lambda: session.get("short")):
            with pytest.raises(OSError, match="files in the session's folder, and none can be made there"):
                call()


def test_files_are_read_in_the_folder(session):
    (session.folder / "words.txt").write_text("some words")
    assert session.run('ecco::read("words.txt")').text == '"some words"'
    (session.folder / "words.txt").unlink()


def test_ctrl_c_ends_the_cell_and_nothing_else(session):
    session.set("kept", 5)
    threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()
    started = time.monotonic()
    with pytest.raises(ecco_kernel.Interrupted, match="KeyboardInterrupt"):
        session.run("loop { }")
    assert 0.5 < time.monotonic() - started < 5
    assert session.run("kept").text == "5" and session.get("lm")["name"] == "demo"
    assert issubclass(ecco_kernel.Interrupted, KeyboardInterrupt)


def test_ctrl_c_at_any_place_of_the_way(session):
    """Each message in turn is lost to it; the cell's end is found all the same."""
    for at in range(4):
        n_seen = 0

        def show(kind, content, at=at):
            nonlocal n_seen
            n_seen += 1
            if n_seen == at + 1:
                raise KeyboardInterrupt

        with pytest.raises(ecco_kernel.Interrupted):
            session.run("for i in 0..4 { display(i); } if kept == 5 { loop { } }", show)
        assert session.run("kept").text == "5"
    with pytest.raises(ecco_kernel.Interrupted, match="interrupted"):
        session.run("display(1)", lambda kind, content: signal.raise_signal(signal.SIGINT))


def test_interrupt_from_another_thread(session):
    threading.Timer(0.5, session.interrupt).start()
    with pytest.raises(ecco_kernel.EccoError, match="KeyboardInterrupt"):
        session.run("sleep(60)")


def test_a_cell_asks(session, monkeypatch, capsys):
    monkeypatch.setattr("builtins.input", lambda prompt: f"answer to {prompt}")
    assert session.run('input("why?")').text == '"answer to why?"'

    def nobody(prompt):
        raise EOFError

    monkeypatch.setattr("builtins.input", nobody)
    with pytest.raises(EOFError):
        session.run('input("why?"); print("never");')
    assert session.run("1").text == "1"
    assert "never" not in capsys.readouterr().out


def test_a_view_is_asked(session):
    page = session.run("output.saliency()").data["text/html"]
    (result,) = re.findall(r'data-live="([^"]+)"', page)
    question = {"result": result, "call": {"options": {"method": "occlusion"}}}
    reply = session.ask({"view": "v1", "ask": 3, "question": question})
    assert (reply["view"], reply["ask"]) == ("v1", 3)
    assert reply["answer"]["line"] == 'output.saliency(#{method: "occlusion"})'
    gone = session.ask({"view": "v1", "ask": 4, "question": {"result": "nothing"}})
    assert gone["answer"] == {"gone": True}
    assert session.ask({"no": "question"}) is None
    assert session.run("1").text == "1"


def test_completion(session):
    assert "generate" in session.complete("lm.gen", 6)["matches"]


def test_restart_end_and_death(tmp_path):
    session = ecco_kernel.Session(tmp_path)
    session.set("x", 1)
    session.restart()
    with pytest.raises(ecco_kernel.EccoError, match="no variable `x`"):
        session.run("x")
    (process,) = [p for p in psutil.Process().children() if p.cwd() == str(tmp_path)]
    process.kill()
    with pytest.raises(ecco_kernel.EccoError, match="DeadKernelError.*restart"):
        session.run("sleep(30)")
    session.restart()
    assert session.run("1").text == "1"
    (process,) = [p for p in psutil.Process().children() if p.cwd() == str(tmp_path)]
    session.close()
    assert not process.is_running()
    session.close()
    with pytest.raises(RuntimeError, match="closed"):
        session.run("1")


def test_what_is_missing_is_said(monkeypatch, session):
    with monkeypatch.context() as patch:
        patch.setattr("jupyter_client.kernelspec.jupyter_path", lambda *parts: [])
        with pytest.raises(FileNotFoundError, match="install ecco-kernel into this environment"):
            ecco_kernel.Session()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "jupyter_client.manager", None)
        with pytest.raises(ModuleNotFoundError, match="pip install jupyter_client"):
            ecco_kernel.Session()
    session.set("value", numpy.ones(1))
    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "ecco_kernel.arrays", raising=False)
        patch.delattr(ecco_kernel, "arrays", raising=False)
        patch.setitem(sys.modules, "numpy", None)
        with pytest.raises(ModuleNotFoundError, match="pip install numpy"):
            session.get("value")


# A notebook


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """A kernel of Python's with the extension loaded."""
    folder = tmp_path_factory.mktemp("notebook")
    kernel = NotebookSession(folder, extra=dict(os.environ), cwd=folder, kernel_name="python3")
    kernel.folder = folder
    assert kernel.run("%load_ext ecco_kernel").status == "ok"
    run = kernel.run('%%ecco\nlet lm = ecco::from_pretrained("demo");')
    assert run.status == "ok", run.reply
    yield kernel
    kernel.close()


def ok(run):
    assert run.status == "ok", run.reply
    return run


def companion(notebook):
    pid = int(ok(notebook.run("import os; os.getpid()")).text)
    (process,) = [p for p in psutil.Process(pid).children() if "ecco-kernel" in p.name()]
    return process


def test_a_cell_shows_in_the_notebook(notebook):
    run = ok(
        notebook.run(
            '%%ecco\nlet output = lm.generate("1. Austria\\n2. Belgium", #{generate: 5});\noutput.saliency()'
        )
    )
    assert "<ecco-saliency" in run.result["text/html"] and run.result[SALIENCY]["type"] == "saliency"
    (tokens,) = run.contents("display_data")
    updates = run.contents("update_display_data")
    name = tokens["transient"]["display_id"]
    assert updates and {update["transient"]["display_id"] for update in updates} == {name}
    assert "Austria" in updates[-1]["data"]["text/plain"]


def test_what_is_printed_and_cleared(notebook):
    run = ok(notebook.run('%%ecco\nprint("a"); eprint("b"); clear_output(true); display("c");'))
    assert (run.stream("stdout"), run.stream("stderr")) == ("a\n", "b\n")
    assert [content["wait"] for content in run.contents("clear_output")] == [True]
    assert [content["data"]["text/plain"] for content in run.contents("display_data")] == ['"c"']
    assert not run.contents("execute_result")


def test_outputs_come_while_the_cell_runs(notebook):
    times = {}

    def note(message):
        if message["msg_type"] == "stream":
            times[message["content"]["text"].strip()] = time.monotonic()

    ok(notebook.run('%%ecco\nprint("early"); sleep(1.5); print("late");', on_message=note))
    assert times["late"] - times["early"] > 1


def test_values_go_in_and_out(notebook):
    ok(notebook.run("import numpy\ntext = '1. Austria\\n2.'\nn = 3\nweights = numpy.eye(2)"))
    cell = (
        "%%ecco -i text,n -i weights -o states -o said,doubled\n"
        "let run = lm.run(text); let states = run.hidden_states; let doubled = weights * 2;\n"
        "let said = #{n: n, text: text};"
    )
    ok(notebook.run(cell))
    assert ok(notebook.run("states.axes, said, doubled.tolist()")).text == (
        "(('layer', 'position', 'hidden'),\n {'n': 3, 'text': '1. Austria\\n2.'},\n [[2.0, 0.0], [0.0, 2.0]])"
    )
    assert not [path for path in notebook.folder.iterdir() if path.name.startswith(".ecco")]


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("%%ecco -i missing\n1", "-i missing: Python has no variable of that name"),
        ("%%ecco -i thing\n1", "-i thing: a value of type object has no form in Rhai"),
        ("%%ecco -o a.b\n1", "-o a.b: 'a.b' is no name"),
        ("%%ecco -x\n1", "unrecognized arguments: -x"),
    ],
)
def test_options_that_are_wrong(notebook, cell, message):
    ok(notebook.run("thing = object()"))
    run = notebook.run(cell)
    assert run.status == "error"
    assert message in run.stream("stderr") and "Traceback" not in run.stream("stderr")


def test_an_error_is_shown_as_the_kernel_writes_it(notebook):
    run = notebook.run("%%ecco\nlet a = 1;\nlm.generat(a)")
    assert run.status == "error"
    (error,) = run.contents("error")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error["traceback"])).splitlines()
    assert lines[0] == "NameError: there is no function `generat`" and "line 2, column 4" in lines[1]
    assert lines[3].index("^^^^^^^") == lines[2].index("generat(a)")
    assert len(lines) <= 6 and "Traceback" not in "\n".join(lines)


def test_the_stop_button_stops_the_companion(notebook):
    ok(notebook.run("%%ecco\nlet kept = 7;"))
    before = companion(notebook)

    def stop(message):
        if message["msg_type"] == "stream":
            notebook.interrupt()

    run = notebook.run('%%ecco\nprint("runs"); loop { }', on_message=stop, timeout=20)
    assert run.status == "error"
    (error,) = run.contents("error")
    assert "KeyboardInterrupt" in "".join(error["traceback"]) and "session.py" not in "".join(
        error["traceback"]
    )
    assert ok(notebook.run("%%ecco\nkept")).text == "7"
    assert companion(notebook) == before


def complete(notebook, code):
    request = notebook.client.complete(code, len(code))
    while True:
        reply = notebook.client.get_shell_msg(timeout=30)
        if reply["parent_header"].get("msg_id") == request:
            return reply["content"]


def test_completion_is_the_kernels_in_its_cells(notebook):
    code = "%%ecco -i text\nlet é = 1;\nlm.gen"
    reply = complete(notebook, code)
    assert "generate" in reply["matches"] and "global" not in reply["matches"]
    assert code[reply["cursor_start"] :] == "gen"
    assert "zip" in complete(notebook, "zi")["matches"], "Python's cells are Python's"


def test_a_session_in_a_cell_of_python_shows_there(notebook):
    code = "import ecco_kernel\nwith ecco_kernel.Session() as s:\n    r = s.run('display(\"x\"); 1 + 1')\nr"
    run = ok(notebook.run(code))
    assert run.text == "2" and len(run.contents("display_data")) == 1


def test_help_opens_the_pager(notebook):
    run = ok(notebook.run('%%ecco\nhelp("ecco::read")'))
    (payload,) = run.reply["payload"]
    assert payload["source"] == "page" and "ecco::read" in payload["data"]["text/plain"]


def test_the_companion_is_restarted_and_ends_with_the_extension_and_with_the_notebook(tmp_path):
    notebook = NotebookSession(tmp_path, extra=dict(os.environ), cwd=tmp_path, kernel_name="python3")
    try:
        ok(notebook.run("%load_ext ecco_kernel\n%ecco_restart"))
        ok(notebook.run("%%ecco\nlet a = 1;"))
        first = companion(notebook)
        ok(notebook.run("%ecco_restart"))
        assert not first.is_running()
        assert notebook.run("%%ecco\na").status == "error"
        second = companion(notebook)
        ok(notebook.run("%unload_ext ecco_kernel"))
        assert not second.is_running()
        assert notebook.run("%%ecco\n1").status == "error"
        ok(notebook.run("%load_ext ecco_kernel"))
        ok(notebook.run("%%ecco\n1"))
        third = companion(notebook)
        # As Jupyter does it, in the middle of a cell.
        notebook.client.execute("%%ecco\nloop { }")
        time.sleep(1)
        notebook.manager.restart_kernel()
        third.wait(timeout=20)
    finally:
        notebook.close()


# The lexer


def lexed(code):
    return [(kind, text) for kind, text in get_lexer_by_name("rhai").get_tokens(code) if text.strip()]


def test_what_is_what():
    code = 'let x = `a ${f(#{n: "b"}) + 1} c`; // ${no}\n/* a /* b */ c */ x.len() ?? 0x1F..1.5e3; |a| ecco::read(a)'
    kinds = {text: kind for kind, text in lexed(code)}
    assert kinds["let"] is Keyword and kinds["x"] is Name and kinds["${"] is String.Interpol
    assert kinds["f"] is kinds["len"] is kinds["read"] is Name.Function and kinds["ecco"] is Name.Namespace
    assert kinds["0x1F"] is Number.Hex and kinds["1.5e3"] is Number.Float and kinds["??"] is Operator
    assert kinds["// ${no}"] is Comment.Single and kinds["#{"] is Punctuation
    assert lexed("/* a /* b */ c */ x")[-1] == (Name, "x")
    assert [text for kind, text in lexed("0..3")] == ["0", "..", "3"]
    assert lexed('##"a "# b"##')[0] == (String, '##"a "# b"##')
    assert [text for kind, text in lexed('"a ""b"" \\u202e"') if kind is String.Escape] == [
        '""',
        '""',
        "\\u202e",
    ]


def rhai_of_the_repository():
    for path in sorted((REPO / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        for number, cell in enumerate(notebook.cells):
            if cell.cell_type != "code":
                continue
            if notebook.metadata.kernelspec.name == "ecco":
                yield f"{path.name}, cell {number}", cell.source
            elif cell.source.startswith("%%ecco"):
                yield f"{path.name}, cell {number}", cell.source.partition("\n")[2]
    for path in [REPO / "README.md", *sorted((REPO / "docs").rglob("*.md"))]:
        for block in re.findall(
            r"^```rhai\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        ):
            yield path.name, block
    for path in sorted(REPO.glob("*/tests/transcripts/*.rhai")):
        # These are wrong on purpose.
        if path.stem not in ("errors", "python"):
            yield path.name, path.read_text(encoding="utf-8")


def test_all_rhai_of_the_repository_is_understood():
    pieces = list(rhai_of_the_repository())
    assert len(pieces) > 100
    wrong = [(where, text) for where, code in pieces for kind, text in lexed(code) if kind is Error]
    assert wrong == []


def test_errors_are_seen():
    assert Error in [kind for kind, _ in lexed('let a = "open\nlet b = \\;')]


def test_pages_of_nbconvert_are_coloured():
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("let name = `a ${1}`; // why")],
        metadata={"language_info": {"name": "rhai", "pygments_lexer": "rhai"}},
    )
    page, _ = HTMLExporter().from_notebook_node(notebook)
    assert '<span class="k">let</span>' in page and '<span class="si">${</span>' in page
    assert '<span class="c1">// why</span>' in page


# The page of other libraries' calls


def test_what_the_page_says_of_other_libraries_runs(tmp_path):
    page = (REPO / "docs/from-libraries.md").read_text(encoding="utf-8")
    (before,) = re.findall(r"```rhai\n(.*?)```", page, re.DOTALL)
    rows = re.findall(r"^\| .* \| (`.*`) \|$", page, re.MULTILINE)
    assert len(rows) > 50
    failed = []
    with ecco_kernel.Session(tmp_path) as session:
        session.run(before)
        for code in re.findall(r"`([^`]+)`", " ".join(rows)):
            try:
                session.run(code)
            except ecco_kernel.EccoError as error:
                failed.append(f"{code}\n{error}")
    assert not failed, "\n\n".join(failed)
