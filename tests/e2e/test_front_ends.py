"""JupyterLab and Notebook 7 in a browser: run, interrupt, restart, complete, inspect, answer, survive."""

import pytest
from playwright.sync_api import expect

from front_ends import OpenNotebook, write_notebook
from servers import server

pytestmark = pytest.mark.timeout(300)

FLOOD_TIMEOUT_MS = 90_000

CELLS = {
    "value": "let kept = 6 * 7; kept",
    "loop": 'print("running"); loop { }',
    "again": "kept",
    "input": 'input("name? ")',
    "password": 'password("secret? ").len()',
    "complete": "let more = ke",
    "options": 'ecco::from_pretrained("demo", #{act',
    "inspect": "ecco::from_pretrained",
    "help": 'help("ecco::from_pretrained")',
    "flood": "for i in 0..100000 { print(`line ${i}`); } loop { }",
}
NUMBER = {name: i for i, name in enumerate(CELLS)}


@pytest.fixture(scope="module", params=["lab", "notebook"])
def notebook(request, repo, chromium, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "notebooks").mkdir()
    write_notebook(folder / "notebooks/cells.ipynb", CELLS.values())
    with server(request.param, folder) as address:
        page = chromium.new_page(viewport={"width": 1200, "height": 900})
        page.set_default_timeout(15_000)
        yield OpenNotebook(request.param, page, address, "cells.ipynb", repo / "build/screenshots")
        page.close()


def test_a_cell_runs(notebook):
    notebook.run(NUMBER["value"])
    expect(notebook.output(NUMBER["value"])).to_contain_text("42")
    expect(notebook.cell(NUMBER["value"]).locator(".jp-InputPrompt")).to_have_text("[1]:")


def test_the_code_is_coloured(notebook):
    spans = notebook.cell(NUMBER["value"]).locator(".cm-line span")
    colours = spans.evaluate_all("spans => spans.map(span => getComputedStyle(span).color)")
    assert len(set(colours)) >= 2


def test_the_button_interrupts_a_loop(notebook):
    notebook.run(NUMBER["loop"])
    expect(notebook.output(NUMBER["loop"])).to_contain_text("running")
    expect(notebook.cell(NUMBER["loop"]).locator(".jp-InputPrompt")).to_have_text("[*]:")
    notebook.interrupt()
    expect(notebook.output(NUMBER["loop"])).to_contain_text("KeyboardInterrupt")
    notebook.wait_until_idle()
    notebook.shot("interrupt")
    notebook.run(NUMBER["again"])
    expect(notebook.output(NUMBER["again"])).to_contain_text("42")


def test_tab_completes_a_variable(notebook):
    notebook.edit(NUMBER["complete"])
    notebook.page.keyboard.press("Tab")
    row = notebook.page.locator(".jp-Completer-item", has_text="kept")
    expect(row.locator(".jp-Completer-typeExtended")).to_have_text("variable")
    notebook.page.keyboard.press("Enter")
    expect(notebook.cell(NUMBER["complete"]).locator(".cm-content")).to_have_text("let more = kept")


def test_tab_shows_options_with_their_types(notebook):
    notebook.edit(NUMBER["options"])
    notebook.page.keyboard.press("Tab")
    rows = notebook.page.locator(".jp-Completer-item")
    expect(rows.filter(has_text="activations_layer_nums")).to_be_visible()
    expect(rows.first.locator(".jp-Completer-typeExtended")).to_have_text("option")
    notebook.shot("complete")
    notebook.page.keyboard.press("Escape")


def test_shift_tab_inspects(notebook):
    notebook.edit(NUMBER["inspect"])
    notebook.page.keyboard.press("Shift+Tab")
    tooltip = notebook.page.locator(".jp-Tooltip")
    expect(tooltip).to_contain_text("Loads a language model")
    notebook.shot("inspect")
    notebook.page.keyboard.press("Escape")
    expect(tooltip).to_have_count(0)


def test_help_shows_its_page(notebook):
    notebook.run(NUMBER["help"])
    expect(notebook.output(NUMBER["help"])).to_contain_text("Loads a language model")


def test_a_question_is_answered(notebook):
    notebook.run(NUMBER["input"])
    box = notebook.cell(NUMBER["input"]).locator(".jp-Stdin-input")
    expect(notebook.cell(NUMBER["input"]).locator(".jp-Stdin-prompt")).to_contain_text("name?")
    expect(box).not_to_have_attribute("type", "password")
    box.fill("Ada")
    notebook.shot("input")
    box.press("Enter")
    expect(notebook.output(NUMBER["input"])).to_contain_text('"Ada"')


def test_a_password_is_masked(notebook):
    notebook.run(NUMBER["password"])
    box = notebook.cell(NUMBER["password"]).locator(".jp-Stdin-input")
    expect(box).to_have_attribute("type", "password")
    box.fill("hidden")
    notebook.shot("password")
    box.press("Enter")
    output = notebook.output(NUMBER["password"])
    expect(output).to_contain_text("6")
    expect(output).not_to_contain_text("hidden")


def test_an_interrupt_takes_a_question_back(notebook):
    notebook.run(NUMBER["input"])
    notebook.cell(NUMBER["input"]).locator(".jp-Stdin-input").wait_for()
    notebook.interrupt()
    expect(notebook.output(NUMBER["input"])).to_contain_text("KeyboardInterrupt")
    notebook.wait_until_idle()


def test_the_page_survives_a_flood(notebook):
    """A megabyte at once: all of it is shown, the interrupt arrives, and the next cell runs. From two megabytes
    on front ends take seconds to draw, and the server lets no more than three through: what a kernel prints
    beyond that is tested without them."""
    notebook.run(NUMBER["flood"])
    expect(notebook.output(NUMBER["flood"])).to_contain_text("line 99999", timeout=FLOOD_TIMEOUT_MS)
    notebook.interrupt(timeout=FLOOD_TIMEOUT_MS)
    notebook.wait_until_idle(timeout=FLOOD_TIMEOUT_MS)
    notebook.run(NUMBER["again"])
    expect(notebook.output(NUMBER["again"])).to_contain_text("42", timeout=FLOOD_TIMEOUT_MS)
    notebook.shot("flood")


def test_a_restart_forgets_the_variables(notebook):
    notebook.restart()
    notebook.wait_until_idle()
    notebook.run(NUMBER["again"])
    expect(notebook.output(NUMBER["again"])).to_contain_text("NameError")
    notebook.shot("restart")
