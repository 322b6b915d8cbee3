"""Texts side by side, maps of patches, contributions of sites."""

import io
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from PIL import Image

from seen import MAP, PAIR, SITE, frames, luminance, readout, view


def pair_box(page, position, side="b"):
    return view(page, PAIR).locator(f".flow.{side} > span").nth(position)


def test_texts_side_by_side(open_page, gallery):
    page = open_page("side-by-side")
    data = json.loads((gallery / "side-by-side.json").read_text())
    assert pair_box(page, 29).get_attribute("title") == pair_box(page, 29, "a").get_attribute("title") == "the texts part here"
    assert "the texts part here" in readout(page, PAIR) and "Malta 29" in readout(page, PAIR)
    bars = view(page, PAIR).locator(".bars rect")
    assert bars.count() == len(data["intervened"]["tokens"])
    heights = [float(bar.get_attribute("height")) for bar in bars.all()]
    kl = [0.0 if one is None else one["kl"] for one in data["predictions"]]
    assert heights == pytest.approx([44 * value / max(kl) for value in kl], abs=0.02)
    pair_box(page, 35).hover()
    assert f"KL {kl[35]:.2f}".rstrip("0") in readout(page, PAIR), readout(page, PAIR)
    page.mouse.move(1, 1)
    assert "Malta 29" in readout(page, PAIR)


def test_lines_of_both_sides_stand_at_the_same_height(open_page, gallery):
    page = open_page("side-by-side")
    lines = {side: [line.bounding_box() for line in view(page, PAIR).locator(f".flow.{side}").all()] for side in "ab"}
    assert [(line["y"], line["height"]) for line in lines["a"][:6]] == [(line["y"], line["height"]) for line in lines["b"][:6]]
    kl = [(one or {"kl": 0})["kl"] for one in json.loads((gallery / "side-by-side.json").read_text())["predictions"]]
    written = [pair_box(page, i).locator("em").inner_text() for i in range(len(kl))]
    assert [text != "" for text in written] == [value >= 0.01 for value in kl] and "" in written
    shown = lambda: view(page, PAIR).locator(".flow.b:visible").count()
    every = shown()
    view(page, PAIR).get_by_role("button", name="differences only").click()
    assert 0 < shown() < every == len(lines["b"])
    assert view(page, PAIR).locator(".flow.a:visible").count() == shown()


def test_texts_side_by_side_by_keys(open_page):
    page = open_page("side-by-side")
    focused = view(page, PAIR).locator(".flow.b [tabindex='0']")
    for key, expected in [("ArrowRight", 30), ("ArrowLeft", 29), ("End", 39), ("ArrowRight", 39), ("Home", 0), ("ArrowDown", 1)]:
        focused.press(key)
        assert focused.locator("small").inner_text() == str(expected), key
    focused.press("Enter")
    pair_box(page, 20).hover()
    assert focused.get_attribute("aria-pressed") == "true" and "countries 1 " in readout(page, PAIR) + " ", "held"
    focused.press("Escape")
    assert focused.get_attribute("aria-pressed") == "false"
    assert view(page, PAIR).locator("[role=button][tabindex='0']").count() == 1


def test_texts_side_by_side_without_scripts(open_page):
    static, live = open_page("side-by-side", java_script_enabled=False), open_page("side-by-side")
    boxes = static.locator(".flow > span").all_inner_texts()
    assert boxes == view(live, PAIR).locator(".flow > span").all_inner_texts() and len(boxes) == 83
    assert static.locator(".readout").inner_text() == readout(live, PAIR)


def test_texts_side_by_side_stand_above_each_other_where_it_is_narrow(open_page):
    tops = {}
    for width in (1000, 380):
        page = open_page("side-by-side", viewport={"width": width, "height": 800})
        tops[width] = [view(page, PAIR).locator(f".flow.{side}").first.bounding_box() for side in "ab"]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert tops[1000][0]["y"] == tops[1000][1]["y"] and tops[1000][0]["x"] < tops[1000][1]["x"]
    assert tops[380][0]["y"] < tops[380][1]["y"] and tops[380][0]["x"] == tops[380][1]["x"]


def map_cell(page, row, column):
    return view(page, MAP).locator("tbody tr").nth(row).locator("td").nth(column)


def test_patching_map(open_page, gallery):
    page = open_page("patch-map")
    data = json.loads((gallery / "patch-map.json").read_text())
    cells = view(page, MAP).locator("td")
    assert cells.count() == len(data["restored"]) * len(data["restored"][0])
    strengths = [float(cell.evaluate("(cell) => cell.style.getPropertyValue('--s')")) for cell in cells.all()]
    flat = [value for row in data["restored"] for value in row]
    assert strengths == pytest.approx([value / max(map(abs, flat)) for value in flat], abs=2e-3)
    assert view(page, MAP).locator("th.differs").count() == 1
    map_cell(page, 2, 6).hover()
    restored = data["restored"][2][6]
    answer = data["corrupted"] + restored * (data["clean"] - data["corrupted"])
    assert "L2 ·are 6 restores" in readout(page, MAP)
    assert f"{float(f'{restored:.3g}')}" in readout(page, MAP) and f"{float(f'{answer:.3g}')}" in readout(page, MAP)
    page.mouse.move(1, 1)
    assert "the most of all" in readout(page, MAP)


def test_patching_map_by_keys(open_page):
    page = open_page("patch-map")
    focused = view(page, MAP).locator("td[tabindex='0']")
    place = lambda: focused.evaluate("(cell) => [cell.parentNode.rowIndex - 1, cell.cellIndex - 1]")
    focused.press("Home")
    for key, expected in [("ArrowDown", [1, 0]), ("ArrowRight", [1, 1]), ("End", [1, 14]), ("ArrowRight", [1, 14]), ("ArrowUp", [0, 14]), ("ArrowUp", [0, 14])]:
        focused.press(key)
        assert place() == expected, key
    focused.press("Enter")
    assert focused.get_attribute("aria-selected") == "true"
    map_cell(page, 4, 4).hover()
    assert readout(page, MAP).startswith("L0 "), "held"
    focused.press("Escape")
    assert focused.get_attribute("aria-selected") == "false"
    assert "Arrow keys" in view(page, MAP).get_by_role("grid").get_attribute("aria-label")


def test_patching_map_of_heads_at_positions(open_page, gallery):
    page = open_page("patch-map-head-positions")
    data = json.loads((gallery / "patch-map-head-positions.json").read_text())
    headings = view(page, MAP).locator("tbody th").all_inner_texts()
    assert len(headings) == 40 and len(data["restored"]) == 48, "of many heads the strongest are shown"
    row = 33
    name = headings[row]
    at = next(at for at, head in enumerate(data["heads"]) if f"L{data['layers'][at]} h{head}" == name)
    assert at > row, "rows above it are left out"
    column = max(range(15), key=lambda column: abs(data["restored"][at][column]))
    map_cell(page, row, column).hover()
    said = readout(page, MAP)
    assert said.startswith(f"{name} ") and f" {column} restores {float(format(data['restored'][at][column], '.3g'))}".replace("-", "−") in said, said
    page.mouse.move(1, 1)
    assert "the most of all" in readout(page, MAP) and "the 40 strongest of 48 heads" in view(page, MAP).inner_text()
    assert view(page, MAP).get_by_role("grid").get_attribute("aria-label").startswith("Heads by positions.")


def test_attribution_patching_says_what_was_measured(open_page, gallery):
    page = open_page("attribution-patching")
    data = json.loads((gallery / "attribution-patching.json").read_text())
    cell = data["estimate"]["measured"][3]
    map_cell(page, cell["row"], cell["column"]).hover()
    assert "would restore" in readout(page, MAP) and f"measured: {float(format(cell['restored'], '.3g'))}".replace("-", "−") in readout(page, MAP)
    unmeasured = next(at for at in range(15) if [0, at] not in [[m["row"], m["column"]] for m in data["estimate"]["measured"]])
    map_cell(page, 0, unmeasured).hover()
    assert "would restore" in readout(page, MAP) and "measured" not in readout(page, MAP)
    beside = view(page, MAP).locator(".beside")
    assert "20 cells: r = 0.97" in beside.inner_text() and beside.locator("dt").count() == 12


def test_contributions_of_a_site(open_page, gallery):
    page = open_page("site-attribution")
    data = json.loads((gallery / "site-attribution.json").read_text())
    rows = view(page, SITE).locator("tbody tr")
    assert rows.count() == len(data["layers"])
    rows.nth(4).locator("td").nth(2).hover()
    said = readout(page, SITE)
    number = lambda x: str(float(f"{x:.3g}")).replace("-", "−")
    assert "L4 ·of 2 contributes" in said and f"promised {number(data['sums'][4]['promised'])}" in said, said
    ends = view(page, SITE).locator("tbody th.end")
    assert "of" in ends.nth(4).inner_text() and "of" not in ends.nth(2).inner_text()
    assert "layer 4 is off by" in view(page, SITE).inner_text()


@pytest.mark.parametrize("name", ["patch-map", "patch-map-heads"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_patching_maps_are_legible(open_page, name, scheme):
    page = open_page(name, color_scheme=scheme, viewport={"width": 1000, "height": 700})
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    for cell in frames(view(page, MAP).locator("td")):
        ground = shot.getpixel((round(cell["x"] + cell["width"] / 2), round(cell["y"] + 3)))
        darker, lighter = sorted([luminance(ground), luminance(cell["colour"])])
        assert (lighter + 0.05) / (darker + 0.05) > 4.5, cell["text"]


def test_patching_map_without_scripts_and_narrow(open_page):
    static, live = open_page("patch-map", java_script_enabled=False), open_page("patch-map", viewport={"width": 380, "height": 700})
    assert static.locator("td").all_inner_texts() == view(live, MAP).locator("td").all_inner_texts()
    assert static.locator("td").nth(3).evaluate("(cell) => getComputedStyle(cell).color") == "rgb(255, 255, 255)"
    assert live.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the table scrolls by itself"


@pytest.mark.parametrize("name, tag, what", [("side-by-side", PAIR, "KL"), ("patch-map", MAP, "Activation patching"), ("attribution-patching", MAP, "Attribution patching"), ("site-attribution", SITE, "Contributions")])
def test_views_of_interventions_are_saved(open_page, name, tag, what):
    page = open_page(name)
    for kind in ("SVG", "JSON"):
        view(page, tag).locator(".save summary").click()
        with page.expect_download() as download:
            view(page, tag).locator(".save button", has_text=kind).click()
        text = Path(download.value.path()).read_text()
        if kind == "SVG":
            assert what in ElementTree.fromstring(text)[0].text
        else:
            assert json.loads(text)
