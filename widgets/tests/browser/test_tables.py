"""Tables: sorted, searched, walked through, and with more rows than a page could hold."""

import csv
import io
import json
import time

import pytest


def view(page):
    return page.locator("ecco-table").first.locator(".live")


def column(page, at):
    return view(page).locator(f"tbody tr:not([aria-hidden]) > :nth-child({at + 2})").all_inner_texts()


def heading(page, name):
    return view(page).get_by_role("button", name=name, exact=True)


def readout(page):
    return view(page).locator(".readout").inner_text()


def figures(page):
    return view(page).locator(".figures").inner_text()


def test_headings_sort_up_down_and_back(open_page):
    page = open_page("table")
    before = column(page, 3)
    heading(page, "loss").click()
    assert column(page, 3) == ["3.750e-7", "1.25", "2.346", "4", "NaN"], "numbers first, then texts"
    assert view(page).locator("th[aria-sort]").get_attribute("aria-sort") == "ascending"
    heading(page, "loss").click()
    assert column(page, 3) == ["NaN", "4", "2.346", "1.25", "3.750e-7"]
    heading(page, "loss").click()
    assert column(page, 3) == before and view(page).locator("th[aria-sort]").count() == 0
    heading(page, "label").click()
    assert column(page, 1)[-1] == "", "what is missing comes last"
    heading(page, "label").click()
    assert column(page, 1)[-1] == "", "either way"


def test_search_keeps_rows_with_the_text_anywhere(open_page):
    page = open_page("table")
    view(page).get_by_role("searchbox").fill("CITY")
    page.wait_for_timeout(50)
    assert column(page, 2) == ["12", "11"] and figures(page).startswith("2 of 5 rows")
    view(page).get_by_role("searchbox").fill("no such text")
    page.wait_for_timeout(50)
    assert column(page, 0) == [] and figures(page).startswith("0 of 5 rows")
    view(page).get_by_role("searchbox").fill("")
    page.wait_for_timeout(50)
    assert len(column(page, 0)) == 5 and figures(page) == "5 rows, 5 columns"


def test_keys_walk_and_the_cell_is_said_whole(open_page):
    page = open_page("table")
    page.evaluate("window.seen = []; document.addEventListener('keydown', (event) => seen.push(event.key))")
    grid = view(page).get_by_role("grid")
    grid.focus()
    for key, expected in [
        ("ArrowDown", "text of row 0: The capital of France is Paris."),
        ("ArrowDown", "text of row 1: The capital of Italy is Rome."),
        ("ArrowRight", "label of row 1: city"),
        ("End", "label of row 4: nothing"),
        ("Home", "label of row 0: city"),
        ("ArrowLeft", "text of row 0: The capital of France is Paris."),
        ("ArrowLeft", "text of row 0: The capital of France is Paris."),
    ]:
        grid.press(key)
        assert readout(page) == expected, key
    assert page.evaluate("seen") == [], "the notebook has its own meaning for these keys"
    active = grid.get_attribute("aria-activedescendant")
    assert view(page).locator(f"#{active}").inner_text() == "The capital of France is Paris."
    view(page).locator("td", has_text="3.750e-7").click()
    assert readout(page) == "loss of row 2: 3.75e-7"


def test_a_hundred_thousand_rows_stay_usable(open_page):
    start = time.monotonic()
    page = open_page("long-table")
    n_rows = lambda: view(page).locator("tbody tr").count()
    assert n_rows() < 80, "only what is seen stands in the page"
    assert "the first 100,000 of 250,000 rows are here" in view(page).inner_text()
    view(page).locator(".scroll").evaluate("(scroll) => { scroll.scrollTop = 50000 * 26; }")
    page.wait_for_function("document.querySelector('ecco-table').shadowRoot.querySelector('tbody tr[aria-rowindex=\"50002\"]')")
    shown = column(page, 0)
    assert "50000" in shown and n_rows() < 80
    heading(page, "loss").click()
    losses = [float(loss) for loss in column(page, 2)]
    assert losses[0] == 0 and losses == sorted(losses)
    view(page).get_by_role("searchbox").fill("number 777")
    page.wait_for_function("document.querySelector('ecco-table').shadowRoot.querySelector('.figures').textContent.includes(' of ')")
    assert all("number 777" in text for text in column(page, 1))
    grid = view(page).get_by_role("grid")
    grid.focus()
    grid.press("End")
    assert "number 777" in view(page).locator("td.on").evaluate("(cell) => cell.closest('tr').innerText")
    view(page).get_by_role("searchbox").fill("")
    page.wait_for_function("!document.querySelector('ecco-table').shadowRoot.querySelector('.figures').textContent.includes(' of ')")
    grid.press("End")
    last = view(page).locator("td.on").evaluate("(cell) => cell.closest('tr').getAttribute('aria-rowindex')")
    assert last == "100001" and view(page).locator("td.on").is_visible()
    assert time.monotonic() - start < 30


def test_static_content_says_what_the_script_says(open_page):
    for name in ["table", "hostile-table"]:
        static, live = open_page(name, java_script_enabled=False), open_page(name)
        cells = static.locator(".scroll :is(td,th)").all_inner_texts()
        assert cells == view(live).locator(".scroll :is(td,th)").all_inner_texts(), name
    assert static.locator("tbody tr").count() == 6
    long = open_page("long-table", java_script_enabled=False)
    assert long.locator("tbody tr").count() == 200 and "without its script the page shows the first 200 rows" in long.inner_text("body")


def test_strangers_texts_are_texts(open_page):
    page = open_page("hostile-table")
    assert view(page).locator("img, script").count() == 0
    assert column(page, 0)[0] == "<img src=x onerror=alert(1)>"
    assert column(page, 0)[1] == "U+202EreversedU+2066 \\x1b[31m\\0U+2028x"
    view(page).locator("td", has_text="long long").first.click()
    assert len(readout(page)) > 4500, "the whole of it"


@pytest.mark.parametrize("width", [320, 1100])
def test_nothing_leaves_its_frame(open_page, width):
    for name in ["table", "wide-table", "long-table", "none-table"]:
        page = open_page(name, viewport={"width": width, "height": 700})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name


def test_what_is_shown_is_saved(open_page, gallery):
    page = open_page("hostile-table")
    view(page).get_by_role("searchbox").fill("hyperlink")
    page.wait_for_timeout(50)
    view(page).locator(".save summary").click()
    with page.expect_download() as download:
        view(page).get_by_role("button", name="CSV").click()
    rows = list(csv.reader(io.StringIO(download.value.path().read_text(encoding="utf-8"))))
    assert rows[0][0] == "<b>bold</b>" and rows[1][1] == "'=HYPERLINK(\"x\")" and len(rows) == 2
    view(page).locator(".save summary").click()
    with page.expect_download() as download:
        view(page).get_by_role("button", name="JSON").click()
    assert json.loads(download.value.path().read_text()) == json.loads((gallery / "hostile-table.json").read_text())
