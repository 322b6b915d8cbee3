"""Views that ask by the widget protocol, in a JupyterLab that has Jupyter's own widgets and not the kernel's extension: the manager of
models, the comm and anywidget are those that people have."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

from front_ends import OpenNotebook
from servers import server
from test_live import is_ours, line, opened, saliency, two_notebooks

pytestmark = pytest.mark.timeout(600)
WIDGETS = Path(__file__).resolve().parents[2] / "build/widgets"
CELLS = [
    'let lm = ecco::from_pretrained("demo");\nlet output = lm.generate("The countries are:\\n1.", #{generate: 6});',
    "output.saliency()",
    "ecco::live()",
]


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    assert (WIDGETS / "anywidget").is_dir(), "make build/widgets/.requirements"
    place = two_notebooks(tmp_path_factory.mktemp("widgets"), CELLS)
    settings = place / "config/labconfig"
    settings.mkdir(parents=True)
    (settings / "page_config.json").write_text(json.dumps({"disabledExtensions": {"ecco-kernel-live": True}}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(WIDGETS / "share/jupyter"))
        with server("lab", place) as address:
            yield address


@pytest.fixture(scope="module")
def notebook(host, chromium, repo):
    page = chromium.new_context(viewport={"width": 1400, "height": 1100}).new_page()
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(error.stack) if is_ours(error) else None)
    notebook = OpenNotebook("lab", page, host, "one.ipynb", repo / "build/screenshots")
    notebook.run(0)
    notebook.run(1)
    notebook.wait_until_idle()
    yield notebook
    page.context.close()


def test_views_are_quiet_until_the_model_is_there(notebook):
    view = saliency(notebook)
    expect(view.locator(".quiet")).to_have_text("not live")
    notebook.run(2)
    expect(notebook.output(2)).to_contain_text("Views on this page ask this kernel")
    panel = opened(view)
    panel.get_by_label("method").select_option("occlusion")
    expect(line(view)).to_have_text('output.saliency(#{method: "occlusion"})')
    expect(view.locator(".ecco.live .head")).to_contain_text("occlusion")
    notebook.shot("widget-host")


def test_a_second_call_opens_no_second_model(notebook):
    notebook.run(2)
    notebook.wait_until_idle()
    view = saliency(notebook)
    opened(view).get_by_label("by").select_option("word")
    expect(line(view)).to_contain_text('by: "word"')
    expect(notebook.output(2)).to_contain_text("Views on this page ask this kernel")


def test_views_of_another_kernel_are_not_taken(notebook, host, repo):
    other = OpenNotebook(
        "lab", notebook.page.context.new_page(), host, "two.ipynb", repo / "build/screenshots"
    )
    for number in range(3):
        other.run(number)
    other.wait_until_idle()
    stranger = saliency(notebook).get_attribute("data-live")
    view = saliency(other)
    opened(view)
    is_taken = """(view, id) => {
        const own = view.dataset.live;
        view.dataset.live = id;
        const event = new CustomEvent("ecco:ask", { bubbles: true, composed: true, cancelable: true,
            detail: { ask: 777, question: { result: id } } });
        view.dispatchEvent(event);
        view.dataset.live = own;
        return event.defaultPrevented;
    }"""
    assert view.evaluate(is_taken, stranger) is False
    assert view.evaluate(is_taken, view.get_attribute("data-live")) is True
    other.page.close()


def test_a_reload_finds_the_model_again(notebook):
    notebook.page.locator(".jp-Notebook").first.click()
    notebook.page.keyboard.press("Control+s")
    notebook.page.wait_for_timeout(1_000)
    notebook.page.reload()
    notebook.wait_until_idle()
    view = saliency(notebook)
    view.scroll_into_view_if_needed()
    opened(view).get_by_label("by").select_option("line")
    expect(line(view)).to_contain_text('by: "line"')


def test_a_restart_ends_it_and_a_cell_begins_anew(notebook):
    notebook.restart()
    view = saliency(notebook)
    expect(view.locator(".quiet")).to_have_text("not live", timeout=60_000)
    for number in range(3):
        notebook.run(number)
    notebook.wait_until_idle()
    opened(saliency(notebook)).get_by_label("method").select_option("occlusion")
    expect(line(saliency(notebook))).to_contain_text("occlusion")
    assert notebook.page.complaints == []
