"""The README's notebook in a real JupyterLab in a real browser."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import urllib.request

import pytest

import widgets
from front_ends import menu
from servers import ended, server, wait_for_server

pytestmark = pytest.mark.timeout(600)
CELLS_TIMEOUT_MS = 240_000


@pytest.fixture(scope="module")
def lab(repo, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    (folder / "notebooks").mkdir()
    shutil.copy(repo / "notebooks/readme.ipynb", folder / "notebooks")
    with server("lab", folder) as address:
        yield address


def test_make_lab_starts_a_server_with_the_kernel(repo, tmp_path):
    """The README's command itself, on an environment that is set up."""
    token, log, runtime = secrets.token_hex(16), tmp_path / "lab.log", tmp_path / "runtime"
    places = {"HOME": str(tmp_path), "JUPYTER_RUNTIME_DIR": str(runtime), "JUPYTER_TOKEN": token}
    command = ["make", "--old-file=.venv/.kernel", "lab", "LAB_FLAGS=--no-browser --port=0"]
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=repo, env=os.environ | places, stdout=output, stderr=output, start_new_session=True
        )
    try:
        url = wait_for_server(process, runtime, log)
        request = urllib.request.Request(f"{url}api/kernelspecs", headers={"Authorization": f"token {token}"})
        with urllib.request.urlopen(request, timeout=30) as reply:
            assert json.load(reply)["kernelspecs"]["ecco"]["spec"]["display_name"] == "Ecco"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        ended(process)


@pytest.fixture(scope="module")
def page(lab, chromium):
    url, token = lab
    page = chromium.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(60_000)
    page.lab_url = f"{url}lab?token={token}"
    yield page
    page.close()


def open_notebook(page):
    page.goto(page.lab_url.replace("lab?", "lab/tree/readme.ipynb?"))
    page.wait_for_selector(".jp-NotebookPanel .jp-Cell")


def test_ecco_is_in_the_launcher(page):
    page.goto(page.lab_url)
    card = page.locator('.jp-LauncherCard[data-category="Notebook"]', has_text="Ecco")
    card.wait_for()
    icon = card.locator("img")
    assert icon.evaluate("image => image.complete && image.naturalWidth > 0")


def test_all_cells_run_and_the_widgets_show(page):
    open_notebook(page)
    page.locator(".jp-KernelName").get_by_text("Ecco", exact=True).wait_for()
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()
    menu(page, "Run", "Run All Cells")
    page.locator(widgets.FACTORS).wait_for(timeout=CELLS_TIMEOUT_MS)
    assert page.locator('[data-mime-type="application/vnd.jupyter.stderr"]').count() == 0
    assert page.locator(widgets.TOKENS).count() >= 1, "the generation shows its tokens"
    assert page.locator(widgets.SALIENCY).count() == 2
    for element in [widgets.SALIENCY, widgets.FACTORS]:
        assert widgets.all_upgraded(page.locator(element)), element


def test_a_click_recolours_the_tokens(page):
    widgets.assert_click_recolours(page.locator(widgets.SALIENCY).first)


def test_hovering_a_factor_recolours_the_tokens(page):
    factors = page.locator(widgets.FACTORS)
    factors.scroll_into_view_if_needed()
    factors.locator(widgets.FACTOR).first.hover()
    first = widgets.colours(factors)
    factors.locator(widgets.FACTOR).nth(1).hover()
    assert widgets.colours(factors) != first


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_both_themes_are_readable(page, repo, theme):
    """Text stands out against its background, by the contrast that WCAG asks for (4.5)."""
    menu(page, "Settings", "Theme", f"JupyterLab {theme}")
    page.locator(f"body[data-jp-theme-light={str(theme == 'Light').lower()}]").wait_for(state="attached")
    folder = repo / "build/screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    for name in [widgets.SALIENCY, widgets.FACTORS]:
        widget = page.locator(name).first
        widget.scroll_into_view_if_needed()
        page.wait_for_timeout(500)  # the theme's and the widget's transitions
        widget.screenshot(path=folder / f"lab-{name}-{theme.lower()}.png")
        assert widgets.lowest_contrast(widget) >= 4.5
    page.screenshot(path=folder / f"lab-{theme.lower()}.png")


def test_saved_outputs_come_alive_after_a_reload(page):
    """No cell runs: the widgets come from the notebook on disk."""
    menu(page, "File", "Save Notebook")
    page.locator(".jp-DirListing-item.jp-mod-dirty, .lm-TabBar-tab.jp-mod-dirty").wait_for(state="detached")
    open_notebook(page)
    factors = page.locator(widgets.FACTORS)
    factors.wait_for(state="attached")
    factors.scroll_into_view_if_needed()
    assert widgets.all_upgraded(factors)
    saliencies = page.locator(widgets.SALIENCY)
    assert saliencies.count() == 2 and widgets.all_upgraded(saliencies)
    widgets.assert_click_recolours(saliencies.first)
