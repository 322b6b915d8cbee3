"""A model that knows things, read from its GGUF file: what it writes, and why, as transformers says of its weights.

Where it cannot be downloaded (scripts/real_model.py), the tests say so and are skipped.
"""

import json
import sys
from pathlib import Path

import nbformat
import pytest

from session import data_of

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "scripts"))
import real_model as download  # noqa: E402
import run_notebook  # noqa: E402


@pytest.fixture(scope="session")
def real_model():
    """The path of the file."""
    try:
        return download.path()
    except download.Unreachable as why:
        pytest.skip(str(why))


@pytest.fixture(scope="module")
def said(repo):
    """What transformers says of the same file: see tests/reference/make_gguf.py."""
    return json.loads((repo / "tests/fixtures/gguf/real.json").read_text())


@pytest.fixture(scope="module", autouse=True)
def loaded(kernel, real_model):
    run = kernel.run(f'let real = ecco::from_pretrained("{real_model}", #{{device: "cpu"}});')
    assert run.status == "ok", run.reply


def token_ids(kernel, output):
    """All of them, which the text of a long array does not have."""
    run = kernel.run(f"for id in {output}.token_ids {{ print(id); }}")
    assert run.status == "ok", run.reply
    return [int(line) for line in run.stream("stdout").split()]


def test_greedy_texts(kernel, said):
    for text in said["texts"]:
        n = len(text["generated"])
        run = kernel.run(f"let output = real.generate({json.dumps(text['text'])}, #{{generate: {n}}});")
        assert run.status == "ok", run.reply
        ids = token_ids(kernel, "output")
        assert ids == text["ids"] + text["generated"], text["continuation"]


def test_a_chat(kernel, said):
    chat = said["chat"]
    run = kernel.run(
        f'let chat = real.chat([#{{role: "user", content: {json.dumps(chat["question"])}}}]);'
        f"let answer = real.generate(chat, #{{generate: {len(chat['generated'])}}});"
    )
    assert run.status == "ok", run.reply
    ids = token_ids(kernel, "answer")
    assert ids[-len(chat["generated"]) :] == chat["generated"], chat["answer"]
    assert chat["answer"].startswith("The capital of Norway is Oslo.")


def test_why_it_says_mary(kernel, said):
    text = said["texts"][1]
    run = kernel.run(f"real.generate({json.dumps(text['text'])}, #{{generate: 1}}).saliency()")
    assert run.status == "ok", run.reply
    scores = data_of(run.result)["scores"][0]
    assert scores == pytest.approx(text["shares"], abs=2e-4)
    tokens = [token["text"] for token in data_of(run.result)["tokens"]]
    # The first token gets much of every text's attention, whatever it is.
    names = sorted(range(1, len(text["ids"])), key=lambda at: -scores[at])[:2]
    assert {tokens[at] for at in names} == {" John", " Mary"}


def test_the_head_that_carries_the_name(repo, real_model):
    """The notebook about circuits, on a model that knows who was given the bag: all its methods find the same head."""
    notebook = nbformat.read(repo / "notebooks/circuits.ipynb", as_version=4)
    told = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    text = "When John and Mary went to the shops, {} gave the bag to"
    told.source = (
        f"let model = {json.dumps(str(real_model))}; let answer = #{{target: ' Mary', contrast: ' John'}};"
        f"let clean = {json.dumps(text.format('John'))}; let corrupted = {json.dumps(text.format('Mary'))};"
    ).replace("'", '"')
    run_notebook.execute(notebook)
    strongest = next(cell for cell in notebook.cells if cell.id == "agree").outputs[-1]
    assert json.loads(strongest["data"]["text/plain"]) == ["a23.h3"] * 4
    graph = next(cell for cell in notebook.cells if cell.id == "graph").outputs[-1]
    document = data_of(graph["data"])
    assert document["correlation"] > 0.8 and document["value"] == pytest.approx(3.12, abs=0.05)


def study(repo, name, real_model, folder):
    """What the cells of a notebook show, by their names, as texts; run on the real model."""
    notebook = nbformat.read(repo / f"notebooks/{name}.ipynb", as_version=4)
    told = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    told.source = f"let model = {json.dumps(str(real_model))};"
    run_notebook.execute(notebook, folder=folder)
    return {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}


def rows(outputs):
    """The rows of a table that a cell shows, each as a map."""
    document = data_of(outputs[-1]["data"])
    return [dict(zip(document["columns"], row, strict=True)) for row in document["rows"]]


def test_a_study_of_probes(repo, real_model, tmp_path):
    """It knows of countries that the probe has not seen where they are, and what it says follows the direction."""
    shown = study(repo, "probes", real_model, tmp_path)
    places = data_of(shown["probes"][-1]["data"])["places"]
    assert len(places) == 30 and max(place["accuracy"] for place in places) > 0.98
    assert max(place["control"] for place in places) < 0.6
    above = [row["europe_above_elsewhere"] for row in rows(shown["strength"])]
    assert above == sorted(above, reverse=True) and above[0] > 0.5 and above[-1] < -1
    assert "<ecco-probes" in (tmp_path / "probe_study.html").read_text(encoding="utf-8")


def test_a_study_of_neurons(repo, real_model, tmp_path):
    """Twenty of 46,080 neurons carry the capitals; without twenty others almost nothing is lost."""
    shown = study(repo, "neurons", real_model, tmp_path)
    right = {row["without"]: row["right"] for row in rows(shown["ablated"])}
    assert right["nothing"] > 150 and right["the twenty"] < 20 and right["others"] > 150
    assert "<ecco-corpus-neuron" in (tmp_path / "neuron_study.html").read_text(encoding="utf-8")
