"""The picture of a tensor: values on hover and by keys, axes laid out the other way."""

import csv
import io
import json
from pathlib import Path


def view(page):
    return page.locator("ecco-tensor").first.locator(".live")


def readout(page):
    return view(page).locator(".readout").inner_text()


def size(page):
    return [int(part) for part in view(page).locator("svg.cells").get_attribute("viewBox").split()[2:]]


def test_keys_walk_through_all_axes(open_page, gallery):
    page = open_page("small-tensor")
    data = json.loads((gallery / "small-tensor.json").read_text())["data"]
    cells = view(page).locator("svg.cells")
    cells.focus()
    assert size(page) == [5 + 5 + 1, 4 * 3 + 2], "text and the last axis across, the others down"
    page.keyboard.press("ArrowDown")
    assert readout(page) == "text 0 · axis 1 0 · head 0 · axis 3 0: 0"
    for key in ["ArrowRight"] * 5 + ["ArrowDown"] * 5:
        page.keyboard.press(key)
    assert readout(page) == "text 1 · axis 1 1 · head 1 · axis 3 0: 10.62", data[1][1][1][0]
    page.keyboard.press("Escape")
    assert readout(page).startswith("Point at a value")
    for key in ["ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight"]:
        page.keyboard.press(key)
    assert readout(page).endswith("head 1 · axis 3 2: NaN")


def test_a_pointer_reads_what_is_under_it_and_nothing_in_a_gap(open_page, gallery):
    page = open_page("small-tensor")
    data = json.loads((gallery / "small-tensor.json").read_text())["data"]
    frame = view(page).locator("svg.cells").bounding_box()
    width, height = (
        frame[side] / extent for side, extent in zip(("width", "height"), size(page), strict=True)
    )
    page.mouse.move(frame["x"] + 8.5 * width, frame["y"] + 5.5 * height)
    assert readout(page) == "text 1 · axis 1 1 · head 0 · axis 3 2: 10.25" and data[1][1][0][2] == 10.25
    page.mouse.move(frame["x"] + 5.5 * width, frame["y"] + 5.5 * height)
    assert "axis 3 2" in readout(page), "between facets the last value stays"


def test_axes_are_laid_out_the_other_way(open_page):
    page = open_page("small-tensor")
    before = view(page).locator("svg.cells path").count()
    buttons = view(page).get_by_role("group", name="Axes across").get_by_role("button")
    assert buttons.all_inner_texts() == ["text → across", "axis 1 ↓ down", "head ↓ down", "axis 3 → across"]
    buttons.nth(2).click()
    assert buttons.nth(2).get_attribute("aria-pressed") == "true"
    assert size(page) == [2 * (4 * 5 + 3) + 2, 3], "a gap for each level of facets"
    assert view(page).locator("svg.cells path").count() == before
    for at in (0, 2, 3):
        buttons.nth(at).click()
    assert size(page)[0] == 1, "all axes may go down"


def test_what_is_left_out_and_not_finite_is_said(open_page):
    page = open_page("tensor", accept_downloads=True)
    assert "1 value is NaN, 1 value is infinite" in view(page).inner_text()
    assert "of 3,072; position 0–19 and 23–42 of 43" in view(page).inner_text()
    cells = view(page).locator("svg.cells")
    colours = cells.locator("path:not(.bad, .ground)").evaluate_all(
        "(paths) => paths.map((path) => getComputedStyle(path).fill)"
    )
    assert len(set(colours)) == len(colours) > 20
    view(page).locator(".save summary").click()
    with page.expect_download() as download:
        view(page).get_by_role("button", name="CSV", exact=True).click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    assert len(rows) <= 10_000 and {row["layer"] for row in rows} == set("012345")
    assert sum(row["value"] == "Infinity" for row in rows) == 1
