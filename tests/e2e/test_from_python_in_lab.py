"""The notebook of Python's own kernel in a real JupyterLab: `%%ecco` cells show their views there."""

import shutil

import pytest
from playwright.sync_api import expect

import widgets
from front_ends import menu
from servers import server

pytestmark = pytest.mark.timeout(600)
CELLS_TIMEOUT_MS = 240_000


@pytest.fixture(scope="module")
def page(repo, tmp_path_factory, chromium):
    folder = tmp_path_factory.mktemp("lab")
    (folder / "notebooks").mkdir()
    shutil.copy(repo / "notebooks/from-python.ipynb", folder / "notebooks")
    with server("lab", folder) as (url, token):
        page = chromium.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(60_000)
        page.goto(f"{url}lab/tree/from-python.ipynb?token={token}")
        page.locator(".jp-KernelName").get_by_text("Python 3").wait_for()
        page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()
        yield page
        page.close()


def test_all_cells_run_and_the_views_show(page, repo):
    menu(page, "Run", "Run All Cells")
    saliency = page.locator(widgets.SALIENCY)
    saliency.wait_for(timeout=CELLS_TIMEOUT_MS)
    last = page.locator(".jp-CodeCell").last
    expect(last.locator(".jp-InputPrompt")).to_have_text("[14]:", timeout=CELLS_TIMEOUT_MS)
    # Errors too are of this type.
    assert page.locator('[data-mime-type="application/vnd.jupyter.stderr"]').count() == 0
    assert widgets.all_upgraded(saliency)
    saliency.scroll_into_view_if_needed()
    widgets.assert_click_recolours(saliency)
    folder = repo / "build/screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / "lab-from-python.png")


def assert_it_answers(page):
    saliency = page.locator(widgets.SALIENCY)
    saliency.scroll_into_view_if_needed()
    saliency.locator(".talk").get_by_role("button", name="Ask").click()
    saliency.get_by_label("method").select_option("occlusion")
    expect(saliency.locator(".ask code")).to_have_text('output.saliency(#{method: "occlusion"})')
    expect(saliency.locator(".ecco.live .head")).to_contain_text("occlusion")
    page.keyboard.press("Escape")


def test_a_view_asks_the_kernel_beside_pythons(page):
    assert_it_answers(page)


def test_a_view_of_a_kernel_that_has_learned_it_late_asks_too(page):
    """A view from before has asked the fresh kernel, which knew of no such questions then."""
    menu(page, "Kernel", "Restart Kernel…")
    page.locator(".jp-Dialog .jp-mod-accept").click()
    saliency = page.locator(widgets.SALIENCY)
    saliency.scroll_into_view_if_needed()
    expect(saliency.locator(".talk")).to_contain_text("not live")
    saliency.evaluate("view => view.dataset.from = 'before'")
    menu(page, "Run", "Run All Cells")
    page.locator(f"{widgets.SALIENCY}:not([data-from])").wait_for(state="attached")
    assert_it_answers(page)


def test_tab_completes_what_the_kernel_knows(page):
    cell = page.locator(".jp-CodeCell").nth(1)
    cell.scroll_into_view_if_needed()
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.press("Enter")
    page.keyboard.type("lm.steering_v")
    page.keyboard.press("Tab")
    row = page.locator(".jp-Completer-item", has_text="steering_vector")
    expect(row.locator(".jp-Completer-typeExtended")).to_have_text("method")
    page.keyboard.press("Enter")
    expect(cell.locator(".cm-content")).to_contain_text("lm.steering_vector")


def test_an_error_is_the_kernels(page):
    cell = page.locator(".jp-CodeCell").nth(1)
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.type("%%ecco\nlm.generat(1)")
    page.keyboard.press("Control+Enter")
    output = cell.locator(".jp-Cell-outputArea")
    expect(output).to_contain_text("NameError: there is no function `generat`")
    text = output.inner_text()
    assert "^^^^^^^" in text and "Traceback" not in text and "ecco_kernel" not in text
