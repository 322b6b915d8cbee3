"""Bad input of every kind: a clear error with the place, and the session lives on."""

import re

import pytest

import models
from session import Session


@pytest.fixture(scope="module")
def model(small_model, tmp_path_factory):
    """Folders by name: the small model, and copies with something wrong."""
    changes = {
        "truncated": models.truncate_weights,
        "garbled": models.garble_header,
        "pickle": models.pickle_only,
        "rwkv": models.change_config(model_type="rwkv"),
        "wider": models.change_config(n_embd=64),
        "tokenless": lambda folder: (folder / "tokenizer.json").unlink(),
    }
    folders = {"good": small_model, "missing": small_model / "not-here"}
    for name, change in changes.items():
        folders[name] = models.copy_with(small_model, tmp_path_factory.mktemp(name), change)
    return folders


@pytest.fixture(scope="module", autouse=True)
def earlier(kernel, model):
    """What a user had before the mistake."""
    run = kernel.run(f'let earlier = 41; let lm = ecco::from_pretrained("{model["good"]}");')
    assert run.status == "ok", run.reply
    run = kernel.run('let output = lm.generate("a", #{generate: 2});')
    assert run.status == "ok", run.reply


def failing(kernel, code):
    """Runs a cell that must fail, and looks at what every failure has in common."""
    run = kernel.run(code)
    assert run.status == "error", f"{code} gave {str(run.messages)[:2000]}"
    (published,) = run.contents("error")
    assert published["evalue"] == run.reply["evalue"]
    assert kernel.value("1 + 1") == "2"
    assert kernel.value("earlier + 1") == "42"
    traceback = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(run.reply["traceback"]))
    assert run.reply["evalue"].splitlines()[0] in traceback
    return run.reply["evalue"], traceback


def assert_caret_under(traceback, source, text):
    """The traceback shows the source line and a caret under `text`."""
    lines = traceback.splitlines()
    at = next((i for i, line in enumerate(lines) if line.endswith(source)), None)
    assert at is not None, traceback
    start = lines[at].index(source) + source.index(text)
    caret = lines[at + 1].index("^") if "^" in lines[at + 1] else -1
    assert start <= caret < start + len(text), traceback


MISTAKES = [
    # code, what the caret points at, words of the message or the hint
    ('lm.generate("a", #{generat: 5})', "generat:", ["generat", "generate"]),
    ('lm.generate("a", #{temprature: 0.5})', "temprature", ["temprature", "temperature"]),
    ('lm.generate("a", #{generate: "five"})', "generate:", ["generate", "five"]),
    ('lm.generate("a", #{generate: -1})', "generate:", ["generate", "-1"]),
    ('lm.generate("a", #{temperature: -1.5})', "temperature", ["temperature", "-1.5"]),
    ("lm.generate(5)", "generate(", ["generate"]),
    ('lm.genrate("a")', "genrate(", ["genrate", "generate"]),
    ('output.saliency(#{style: "detaild"})', "style", ["detaild", "detailed"]),
    ('output.saliency(#{method: "gradiant"})', "method", ["gradiant", "gradient"]),
    ('output.saliency(#{stile: "minimal"})', "stile", ["stile", "style"]),
    ('ecco::from_pretraned("demo")', "from_pretraned", ["from_pretraned", "from_pretrained"]),
    ('ecco::from_pretrained("demo", #{activation: true})', "activation", ["activation", "activations"]),
    ('ecco::from_pretrained("demo", #{device: "tpu"})', "device", ["tpu", "cpu"]),
    ("undefined_name + 1", "undefined_name", ["undefined_name"]),
]


@pytest.mark.parametrize(("code", "at", "words"), MISTAKES, ids=[row[0] for row in MISTAKES])
def test_a_mistake_in_a_cell_is_named_and_placed(kernel, code, at, words):
    _, traceback = failing(kernel, f"let first_line = 1;\n{code}")
    assert_caret_under(traceback, code, at)
    for word in words:
        assert re.search(rf"(?<!\w){re.escape(word)}(?!\w)", traceback), f"{word!r} not in\n{traceback}"


def test_a_text_longer_than_the_context_is_refused_with_the_numbers(kernel):
    value, _ = failing(kernel, 'let long = ""; for i in 0..100 { long += "x"; } lm.generate(long)')
    assert "100" in value and "64" in value


def test_activations_after_unloading_are_refused_with_the_option_that_keeps_them(kernel, model):
    load = f'let other = ecco::from_pretrained("{model["good"]}", #{{dtype: "bfloat16"}});'
    kernel.run(load + ' let short = other.generate("a", #{generate: 2}); other.unload();')
    _, traceback = failing(kernel, "short.activations")
    assert "unloaded" in traceback
    assert "activations: true" in traceback


FOLDERS = [
    # which folder, words of the message or hint
    ("missing", ["not-here"]),
    ("truncated", ["model.safetensors"]),
    ("garbled", ["model.safetensors"]),
    ("pickle", ["pytorch_model.bin", "not a whole PyTorch file"]),
    ("rwkv", ["rwkv", "gpt2"]),
    ("wider", ["wte.weight", "64", "32"]),
    ("tokenless", ["tokenizer.json"]),
]


@pytest.mark.parametrize(("folder", "words"), FOLDERS, ids=[row[0] for row in FOLDERS])
def test_a_folder_that_cannot_be_loaded_is_refused_with_the_reason(kernel, model, folder, words):
    code = f'ecco::from_pretrained("{model[folder]}")'
    _, traceback = failing(kernel, code)
    assert_caret_under(traceback, code, "from_pretrained(")
    for word in words:
        assert word in traceback, f"{word!r} not in\n{traceback}"


def test_a_name_that_is_no_model_is_an_error_when_offline(tmp_path):
    session = Session(home=tmp_path, extra={"HF_HUB_OFFLINE": "1"})
    try:
        run = session.run('ecco::from_pretrained("no-such-model")')
        assert run.status == "error"
        assert "no-such-model" in run.reply["evalue"]
        assert "HF_HUB_OFFLINE" in "\n".join(run.reply["traceback"])
        assert session.value("1 + 1") == "2"
    finally:
        session.close()


def test_markup_in_a_prompt_stays_text(kernel):
    code = 'lm.generate("<script>alert(1)</script>", #{generate: 2})'
    run = kernel.run(code)
    assert run.status == "ok", run.reply
    pages = [c["data"]["text/html"] for c in run.contents("execute_result", "display_data")]
    assert pages and not any("<script>alert" in page for page in pages)
