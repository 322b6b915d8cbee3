"""The views that look inside a model: layers, parts, heads, candidates."""

import json
import xml.etree.ElementTree as ElementTree

import pytest

from seen import luminance

TABLES = {
    "predictions": "ecco-layer-predictions", "ranks": "ecco-ranks", "ranks-watched": "ecco-ranks", "lens": "ecco-lens",
    "top-k": "ecco-top-k", "vocabulary": "ecco-vocabulary",
    "parts": "ecco-parts", "parts-heads": "ecco-parts", "parts-neurons": "ecco-parts",
}
ATTENTION = ["attention", "attention-mean", "attention-cross"]
HOSTILE = ["hostile-predictions", "hostile-lens", "hostile-attention"]


def live(page, tag):
    return page.locator(tag).locator(".live")


def cell(page, tag, row, column):
    return live(page, tag).locator("tbody tr").nth(row).locator("td").nth(column)


def readout(page, tag):
    return live(page, tag).locator(".readout").inner_text()


def data(gallery, name):
    return json.loads((gallery / f"{name}.json").read_text())


def test_a_token_is_found_in_the_other_layers(open_page, gallery):
    page, tag = open_page("predictions"), "ecco-layer-predictions"
    readings = data(gallery, "predictions")["readings"]
    wanted = readings[5]["top"][0]["id"]
    expected = sum(token["id"] == wanted for reading in readings for token in reading["top"])
    cell(page, tag, 5, 0).hover()
    assert live(page, tag).locator("td:is(.on,.same)").count() == expected > 1
    said = readout(page, tag)
    assert f"id {wanted}" in said and "entropy" in said and "nats from the output" in said
    page.mouse.move(1, 1)
    assert live(page, tag).locator("td:is(.on,.same)").count() == 0


def test_ranks_are_printed_and_strong_where_they_are_low(open_page, gallery):
    page, tag = open_page("ranks"), "ecco-ranks"
    ranks = data(gallery, "ranks")["ranks"]
    for row in (0, 3, 5):
        assert live(page, tag).locator("tbody tr").nth(row).locator("td").all_inner_texts() == [str(rank) for rank in ranks[row]]
    strength = lambda row, column: float(cell(page, tag, row, column).evaluate("(cell) => cell.style.getPropertyValue('--s')") or 0)
    best, worst = ranks[5].index(1), max(range(len(ranks[0])), key=lambda column: ranks[0][column])
    assert strength(5, best) == 1 > strength(0, worst)
    cell(page, tag, 0, worst).hover()
    assert f"rank {ranks[0][worst]:,}" in readout(page, tag)


def test_the_lens_is_coloured_by_what_one_chooses(open_page, gallery):
    page, tag = open_page("lens"), "ecco-lens"
    readings = data(gallery, "lens")["readings"]
    strength = lambda row, column: float(cell(page, tag, row, column).evaluate("(cell) => cell.style.getPropertyValue('--s')"))
    assert strength(3, 2) == pytest.approx(readings[3][2]["top"][0]["probability"], abs=2e-3)
    live(page, tag).get_by_role("button", name="entropy").click()
    most = max(reading["entropy"] for row in readings for reading in row)
    assert strength(3, 2) == pytest.approx(1 - readings[3][2]["entropy"] / most, abs=2e-3)
    assert live(page, tag).get_by_role("button", name="entropy").get_attribute("aria-pressed") == "true"
    live(page, tag).get_by_role("button", name="text's token").click()
    assert f"rank {readings[3][2]['rank']}" in cell(page, tag, 3, 2).inner_text()
    cell(page, tag, 3, 2).click()
    assert "KL to the output" in readout(page, tag)


def test_a_fitted_lens_says_which_it_is(open_page, gallery):
    heads = {name: open_page(name).locator("ecco-lens").locator(".live .head b").inner_text() for name in ["lens", "fitted-lens"]}
    assert heads == {"lens": "Logit lens", "fitted-lens": "Jacobian lens"}
    assert data(gallery, "fitted-lens")["lens"] == "jacobian" and "lens" not in data(gallery, "lens")


@pytest.mark.parametrize("name", ["parts", "parts-heads", "parts-neurons"])
def test_parts_say_their_share(open_page, gallery, name):
    page, tag = open_page(name), "ecco-parts"
    known = data(gallery, name)
    part = {
        "parts": lambda: known["layers"][2]["mlp"], "parts-heads": lambda: known["heads"][2][1], "parts-neurons": lambda: known["neurons"][2]["part"],
    }[name]()
    cell(page, tag, 2, 0 if name == "parts-neurons" else 1).click()
    said = readout(page, tag)
    assert f"{abs(part):.4g}" in said and "%" in said
    assert ("activation" in said) == (name == "parts-neurons")
    assert "within 3e-6" in live(page, tag).locator(".balance").inner_text()


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_walked_by_keys(open_page, name):
    page, tag = open_page(name), TABLES[name]
    pressed = []
    page.expose_function("pressed", lambda key: pressed.append(key))
    page.evaluate("document.addEventListener('keydown', (event) => pressed(event.key))")
    table = live(page, tag).get_by_role("grid")
    assert "Arrow keys" in table.get_attribute("aria-label")
    assert table.locator("td[tabindex='0']").count() == 1
    table.locator("td[tabindex='0']").focus()
    place = "(table) => { const cell = table.querySelector('td.on'); return [cell.parentNode.rowIndex - 1, cell.cellIndex - 1]; }"
    for key, expected in [("ArrowDown", [1, 0]), ("ArrowRight", [1, 1]), ("ArrowUp", [0, 1]), ("Home", [0, 0]), ("ArrowLeft", [0, 0])]:
        page.keyboard.press(key)
        assert table.evaluate(place) == expected, key
    page.keyboard.press("Enter")
    assert table.locator("td.held").count() == 1 and table.locator("td[aria-selected='true']").count() == 1
    cell(page, tag, 2, 0).hover()
    assert table.evaluate(place) == [0, 0], "held"
    page.keyboard.press("Escape")
    assert table.locator("td.held").count() == 0
    assert pressed == [], "the notebook has its own meaning for these keys"


@pytest.mark.parametrize("name", ATTENTION)
def test_a_query_shows_what_it_looks_at(open_page, gallery, name):
    page, tag = open_page(name), "ecco-attention"
    known = data(gallery, name)
    queries = live(page, tag).locator(".queries > span" if name == "attention-cross" else ".keys > span")
    keys = "(host) => [...host.shadowRoot.querySelectorAll('.keys > span')].map((box) => Number(box.style.getPropertyValue('--s') || 0))"
    for query in (0, 1, len(known["weights"]) - 1):
        queries.nth(query).click()
        row = known["weights"][query]
        shown = page.locator(tag).evaluate(keys)
        assert shown[: len(row)] == pytest.approx([weight / max(row) for weight in row], abs=2e-3)
        assert set(shown[len(row) :]) <= {0}, "nothing after it is looked at"
        queries.nth(query).click()


def test_heads_are_chosen_in_the_map_by_keys_and_by_lists(open_page):
    page, tag = open_page("attention"), "ecco-attention"
    choice = lambda: [live(page, tag).get_by_label(name, exact=True).input_value() for name in ("layer", "head")]
    assert choice() == ["3", "3"]
    before = readout(page, tag)
    frame = live(page, tag).locator(".map").bounding_box()
    page.mouse.click(frame["x"] + frame["width"] * 7.5 / 12, frame["y"] + frame["height"] * 1.5 / 6)
    assert choice() == ["1", "7"] and readout(page, tag) != before
    live(page, tag).locator(".pick").press("ArrowDown")
    live(page, tag).locator(".pick").press("ArrowLeft")
    assert choice() == ["2", "6"]
    live(page, tag).get_by_label("head", exact=True).select_option("mean")
    assert choice() == ["2", "mean"]
    live(page, tag).get_by_label("layer", exact=True).select_option("3")
    live(page, tag).get_by_label("head", exact=True).select_option("3")
    assert readout(page, tag) == before


def test_of_a_long_text_only_what_fits_is_there(open_page):
    page, tag = open_page("long-attention"), "ecco-attention"
    notes = live(page, tag).locator(".note").all_inner_texts()
    assert "from position 300 on" in notes[0] and "1 of 2 heads are here in full" in notes[1]
    assert live(page, tag).locator(".keys [role=button]").count() == 100
    live(page, tag).get_by_label("head", exact=True).select_option("0")
    assert "not here in full" in readout(page, tag)


def test_the_map_is_a_picture_of_its_heads(open_page):
    page = open_page("attention")
    view = live(page, "ecco-attention")
    map_ = view.locator("canvas.map")
    assert map_.evaluate("(canvas) => [canvas.width, canvas.height]") == [12 * 25 + 1, 6 * 25 + 1]
    # In the colours of the scale: its strongest is that of the legend's end.
    end = "(view) => getComputedStyle(view).getPropertyValue('--k6')"
    strongest = """(canvas) => {
        const all = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data, hex = new Set();
        for (let i = 0; i < all.length; i += 4) hex.add("#" + [...all.slice(i, i + 3)].map((part) => part.toString(16).padStart(2, "0")).join(""));
        return [...hex];
    }"""
    assert view.evaluate(end).strip() in map_.evaluate(strongest)


def test_candidates_mark_the_taken_one(open_page, gallery):
    page = open_page("candidates", viewport={"width": 600, "height": 400})
    known = data(gallery, "candidates")["places"][0]["candidates"]
    # Beside what is there without scripts, which is hidden.
    rows = page.locator(".candidates tr:visible")
    assert rows.count() == len(known)
    assert rows.locator("xpath=self::*[contains(@class, 'taken')]").count() == 1
    for row, candidate in zip(rows.all(), known, strict=True):
        track, bar = row.locator(".track").bounding_box(), row.locator(".track > span").bounding_box()
        assert bar["width"] == pytest.approx(max(candidate["probability"] * (track["width"] - 12), 2), abs=1.5)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_tokens_are_text(open_page, name):
    page = open_page(name)
    for target in page.locator(".live :is(td, .flow > span)").all()[:40]:
        target.hover()
        target.click()
    assert page.evaluate("window.hacked") is None
    everything = "(root) => [root, ...root.querySelectorAll('*')].flatMap((e) => [e, ...(e.shadowRoot?.querySelectorAll('*') ?? [])])"
    images = f"(root) => ({everything})(root).filter((e) => e.localName === 'img' && !e.classList.contains('map')).length"
    assert page.locator("body").evaluate(images) == 0


@pytest.mark.parametrize("name", [*TABLES, *ATTENTION, *HOSTILE, "candidates"])
def test_nothing_is_wider_than_the_page(open_page, name):
    page = open_page(name, viewport={"width": 320, "height": 600})
    for width in [320, 900, 320]:
        page.set_viewport_size({"width": width, "height": 600})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width


@pytest.mark.parametrize("name", [*TABLES, "attention"])
def test_pictures_are_xml(gallery, name):
    root = ElementTree.parse(gallery / f"{name}.svg").getroot()
    assert [child.tag.split("}")[1] for child in root][:3] == ["title", "desc", "rect"]


@pytest.mark.parametrize("name", TABLES)
def test_saved_pictures_have_every_cell(open_page, name, tmp_path):
    page, tag = open_page(name, accept_downloads=True), TABLES[name]
    live(page, tag).get_by_text("Save").click()
    with page.expect_download() as download:
        live(page, tag).get_by_role("button", name="SVG", exact=True).click()
    path = tmp_path / "view.svg"
    download.value.save_as(path)
    texts = "".join(text.text for text in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text"))
    cells = ["".join(text.split())[:3] for text in live(page, tag).locator("td").all_inner_texts()]
    assert len(cells) > 3 and all(cell in "".join(texts.split()) for cell in cells)


# A ground and the ink on it, in 0..255 with opacity, of each cell that is seen.
INKS = """(cells) => {
    const parts = (colour) => {
        const numbers = colour.match(/[\\d.]+(?:e-?\\d+)?/g).map(Number), unit = colour.startsWith("color(") ? 255 : 1;
        return [...numbers.slice(0, 3).map((part) => part * unit), numbers[3] ?? 1];
    };
    return cells.map((cell) => [cell.textContent, ...["backgroundColor", "color"].map((name) => parts(getComputedStyle(cell)[name]))]);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", TABLES)
def test_cells_are_legible(open_page, name, scheme):
    """Text on each cell's ground differs enough from it, in both themes."""
    page, tag = open_page(name, color_scheme=scheme), TABLES[name]
    paper = live(page, tag).evaluate("(view) => getComputedStyle(view).backgroundColor")
    paper = [float(part) for part in paper[paper.index("(") + 1 : -1].split(",")][:3]
    cells = live(page, tag).locator("td").evaluate_all(INKS)
    assert len(cells) > 3
    for text, (*ground, opacity), ink in cells:
        mixed = [opacity * part + (1 - opacity) * below for part, below in zip(ground, paper, strict=True)]
        darker, lighter = sorted(map(luminance, (mixed, ink[:3])))
        assert (lighter + 0.05) / (darker + 0.05) > 4.5, text


def test_a_row_names_the_most_probable_tokens(open_page, gallery):
    page = open_page("top-k")
    expected = data(gallery, "top-k")["positions"][3]
    cell(page, "ecco-top-k", 3, 1).hover()
    text = readout(page, "ecco-top-k")
    assert f"position {expected['position']}" in text
    assert all(token["text"].strip() in text for token in expected["top"])
    assert f"rank {expected['rank']}" in text  # beyond the five


def test_heads_are_sorted_by_any_score(open_page, gallery):
    page, tag = open_page("heads"), "ecco-heads"
    shown, scores = live(page, tag).locator("tbody th"), data(gallery, "heads")

    def expected(score, descending):
        layers = enumerate(scores["values"][scores["scores"].index(score)])
        heads = [(value, f"L{layer} h{head}") for layer, row in layers for head, value in enumerate(row)]
        return [name for _, name in sorted(heads, key=lambda head: head[0], reverse=descending)]

    assert shown.all_inner_texts() == expected("induction", True)
    button = live(page, tag).get_by_role("button", name="copying")
    button.focus()
    page.keyboard.press("Enter")
    assert shown.all_inner_texts() == expected("copying", True)
    assert live(page, tag).locator("thead [aria-sort=descending]").inner_text() == "copying"
    button.click()
    assert shown.all_inner_texts() == expected("copying", False)
    assert "smallest first" in readout(page, tag)


def test_of_many_parts_the_largest_alone(open_page, gallery):
    page, tag = open_page("parts-heads"), "ecco-parts"
    known = data(gallery, "parts-heads")
    written = known["embedding"] + known["bias"]
    for row, layer in enumerate(known["layers"]):
        written += layer["attention"] + layer["mlp"]
        assert float(cell(page, tag, row, 14).inner_text()) == pytest.approx(written, abs=0.006), "the logit so far"
    seen = lambda: live(page, tag).locator("td:not(:empty, .small, :has(.bar))").count()
    assert seen() > 40
    live(page, tag).get_by_role("button", name="the 10 largest").click()
    assert seen() == 10
    strengths = live(page, tag).locator("td:not(.small)[style]").evaluate_all("(cells) => cells.map((cell) => Math.abs(cell.style.getPropertyValue('--s')))")
    assert strengths.count(1) == 2, "heads and MLPs have scales of their own"


def test_a_token_of_the_vocabulary_says_its_logit(open_page, gallery):
    page, tag = open_page("vocabulary"), "ecco-vocabulary"
    row = data(gallery, "vocabulary")["rows"][2]
    for column, token in enumerate(row["promotes"] + row["suppresses"]):
        cell(page, tag, 2, column).hover()
        text = readout(page, tag)
        value = float(text.split()[-1].replace("−", "-").replace("+", ""))
        assert abs(value - token["value"]) < 0.01, text
