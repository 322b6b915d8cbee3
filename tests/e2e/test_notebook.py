"""The README's notebook through nbclient, and the page that is made of it."""

import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbconvert import LatexExporter

import widgets
from session import data_of

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import run_notebook  # noqa: E402


@pytest.fixture(scope="module")
def notebook(repo):
    """The notebook, executed: no cell may fail."""
    notebook = nbformat.read(repo / "notebooks/readme.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "outputs belong into build/"
    run_notebook.execute(notebook)
    return notebook


def outputs(notebook, line):
    """The MIME bundles that the cell ending with this line has shown."""
    (cell,) = [c for c in notebook.cells if c.cell_type == "code" and c.source.endswith(line)]
    return [o["data"] for o in cell.outputs if o["output_type"] in ("display_data", "execute_result")]


def only_output(notebook, line):
    (bundle,) = outputs(notebook, line)
    return bundle


def assert_a_view(bundle, element):
    """Text, picture, page fragment and data, none of which needs anything from elsewhere."""
    assert bundle["text/plain"].strip()
    assert bundle["image/svg+xml"].lstrip().startswith("<svg")
    assert f"<{element}" in bundle["text/html"]
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", bundle["text/html"])


def test_generation_shows_its_tokens(notebook):
    bundle = outputs(notebook, "seed: 1});")[-1]
    data = data_of(bundle)
    assert data["n_input"] < len(data["tokens"]) <= data["n_input"] + 20
    text = "".join(token["text"] for token in data["tokens"])
    assert text.startswith("The countries of the European Union are:\n1. Austria")
    assert re.search(r"\n5\. [A-Z]", text), "the list goes on"


@pytest.mark.parametrize(
    ("line", "style"),
    [("output.saliency()", "minimal"), ('output.saliency(#{style: "detailed"})', "detailed")],
)
def test_saliency_is_a_share_of_every_earlier_token(notebook, line, style):
    bundle = only_output(notebook, line)
    assert_a_view(bundle, widgets.SALIENCY)
    data = data_of(bundle)
    assert data["style"] == style
    assert len(data["scores"]) == len(data["tokens"]) - data["n_input"] > 0
    for k, row in enumerate(data["scores"]):
        assert len(row) == data["n_input"] + k
        assert min(row) >= 0
        assert sum(row) == pytest.approx(1, abs=1e-3)


def test_it_becomes_latex_without_inkscape(notebook, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    # Markdown would need pandoc.
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    tex, resources = LatexExporter().from_notebook_node(nbformat.v4.new_notebook(cells=code))
    pictures = re.findall(r"\{(output_\w+\.pdf)\}", tex)
    assert pictures
    assert all(resources["outputs"][name].startswith(b"%PDF-1.4") for name in pictures)


def test_both_styles_show_the_same_numbers(notebook):
    minimal = data_of(only_output(notebook, "output.saliency()"))
    detailed = data_of(only_output(notebook, 'output.saliency(#{style: "detailed"})'))
    assert minimal["scores"] == detailed["scores"]


def test_activations_print_their_shape(notebook):
    text = only_output(notebook, "output.activations")["text/plain"]
    layers, neurons, positions = map(
        int, re.search(r"\(layer (\d+), neuron (\d+), position (\d+)\)", text).groups()
    )
    tokens = len(data_of(only_output(notebook, "output.saliency()"))["tokens"])
    assert layers >= 2 and neurons >= 64
    assert positions == tokens - 1  # the last token was never fed back
    assert len(text) < 2000


def test_factors_cover_every_token(notebook):
    bundle = only_output(notebook, "nmf_1.explore()")
    assert_a_view(bundle, widgets.FACTORS)
    data = data_of(bundle)
    assert len(data["components"]) == 10
    for component in data["components"]:
        assert len(component) == len(data["tokens"])
        *read, last = component
        assert last is None, "nothing has read the last token"
        assert min(read) >= 0 and max(read) > 0
    assert 0 < data["relative_error"] < 1


@pytest.fixture(scope="module")
def page(notebook, chromium, tmp_path_factory):
    """The page as a person opens it: a file, without a network. Collects what goes wrong."""
    path = tmp_path_factory.mktemp("page") / "readme.html"
    path.write_text(run_notebook.to_html(notebook, "readme"), encoding="utf-8")
    context = chromium.new_context(offline=True, viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.problems = []
    page.on("console", lambda m: page.problems.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("request", lambda r: page.problems.append(r.url) if r.url.startswith("http") else None)
    page.goto(path.as_uri())
    yield page
    context.close()


def test_the_page_needs_no_network_and_its_scripts_run(page):
    for element, count in [(widgets.SALIENCY, 2), (widgets.FACTORS, 1)]:
        found = page.locator(element)
        assert found.count() == count
        assert widgets.all_upgraded(found)
    assert page.problems == []


def test_a_click_on_the_page_recolours_the_tokens(page):
    widgets.assert_click_recolours(page.locator(widgets.SALIENCY).first)
    assert page.problems == []


def test_make_demo_has_written_both_files(repo):
    executed = nbformat.read(repo / "build/readme.ipynb", as_version=4)
    assert all(cell.execution_count for cell in executed.cells if cell.cell_type == "code")
    assert widgets.SALIENCY in (repo / "build/readme.html").read_text(encoding="utf-8")
