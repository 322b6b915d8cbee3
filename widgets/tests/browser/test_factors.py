"""Factors, neurons over texts, similarities."""

import json

import pytest

from seen import LAST, N_INPUT, box, colours, readout, strengths, view


def test_factors_focus(open_page):
    page = open_page("factors")
    line = view(page, "ecco-factors").locator(".line")
    at_rest = colours(page, "ecco-factors")
    line.nth(3).hover()
    preview = colours(page, "ecco-factors")
    assert preview != at_rest and "factor 3 strongest at" in readout(page, "ecco-factors")
    page.mouse.move(1, 1)
    assert colours(page, "ecco-factors") == at_rest
    line.nth(3).click()
    line.nth(1).hover()
    assert colours(page, "ecco-factors") == preview, "held"
    for key, focus in [("ArrowDown", 4), ("End", 9), ("Home", 0), ("ArrowUp", 0)]:
        view(page, "ecco-factors").locator(".line[tabindex='0']").press(key)
        assert view(page, "ecco-factors").locator(".line.on > b").inner_text() == str(focus)
    view(page, "ecco-factors").locator(".line[tabindex='0']").press("Escape")
    page.mouse.move(1, 1)
    view(page, "ecco-factors").locator(".line[tabindex='0']").evaluate("(line) => line.blur()")
    assert colours(page, "ecco-factors") == at_rest


def test_a_factor_stands_at_what_was_read_or_before_what_was_written(open_page, gallery):
    page = open_page("factors")
    values = json.loads((gallery / "factors.json").read_text())["components"][3]
    view(page, "ecco-factors").locator(".line").nth(3).click()
    peak = max(value or 0 for value in values)
    shown = lambda: [float(s or 0) for s in strengths(page, "ecco-factors")]
    assert shown() == pytest.approx([(value or 0) / peak for value in values], abs=2e-3)
    hollow = view(page, "ecco-factors").locator(".unread")
    assert hollow.count() == 1 and hollow.locator("small").inner_text() == str(LAST)
    view(page, "ecco-factors").get_by_role("button", name="before what was written").click()
    before = values[:N_INPUT] + values[N_INPUT - 1:-1]
    assert shown() == pytest.approx([value / peak for value in before], abs=2e-3)
    assert hollow.count() == 0


def test_factors_at_a_token(open_page, gallery):
    page = open_page("factors")
    data = json.loads((gallery / "factors.json").read_text())
    box(page, 11, "ecco-factors").hover()
    values = [value or 0 for value in data["components"][3]]
    # In the order of the colours, and in their unit.
    assert f"factor 3 {values[11] / max(values):.0%} of its max ({values[11]:.3g}) factor 8" in readout(page, "ecco-factors")
    assert f"max {max(values):.4g}" in view(page, "ecco-factors").locator(".line").nth(3).inner_text()
    # At rest the number of the strongest, for those who cannot tell ten hues apart; none where a factor is in focus.
    assert box(page, 11, "ecco-factors").locator("em").inner_text() == "3"
    view(page, "ecco-factors").locator(".line").nth(8).hover()
    assert set(view(page, "ecco-factors").locator(".flow em").all_inner_texts()) == {""}


def test_factors_of_several_texts(open_page, gallery):
    page = open_page("factors-texts")
    texts = json.loads((gallery / "factors-texts.json").read_text())["texts"]
    places = view(page, "ecco-factors").locator(".flow > span > small").all_inner_texts()
    starts = [text["start"] for text in texts]
    assert [i for i, place in enumerate(places) if place == "0"] == starts and len(starts) == 3
    box(page, starts[2] + 1, "ecco-factors").hover()
    assert "1 in text 2" in readout(page, "ecco-factors")
    view(page, "ecco-factors").locator(".line").nth(1).hover()
    data = json.loads((gallery / "factors-texts.json").read_text())["neurons"][1][0]
    assert f"L{data['layer']} n{data['neuron']}" in readout(page, "ecco-factors")
    assert view(page, "ecco-factors").locator(".curve circle").count() == 10
    assert view(page, "ecco-factors").locator(".curve").inner_text() == "held-out error 41% with 4 of 1 to 10 components"


def test_signed_components_have_two_colours(open_page, gallery):
    page = open_page("factors-signed")
    data = json.loads((gallery / "factors-signed.json").read_text())["components"]
    assert data[0][-1] is None, "the last token was not read"
    scaled = lambda k: [(value or 0) / max(abs(value or 0) for value in data[k]) for value in data[k]]
    shown = lambda: [float(s or 0) for s in strengths(page, "ecco-factors")]
    assert shown() == pytest.approx(scaled(0), abs=2e-3), "at rest the first"
    view(page, "ecco-factors").locator(".line").nth(2).click()
    assert shown() == pytest.approx(scaled(2), abs=2e-3) and min(shown()) < -0.9
    assert "component 2 (13% of the variance)" in readout(page, "ecco-factors") or "component 2 (12% of the variance)" in readout(page, "ecco-factors")


def test_a_neuron_over_texts(open_page, gallery):
    page = open_page("neuron-texts")
    data = json.loads((gallery / "neuron-texts.json").read_text())
    assert view(page, "ecco-neuron").locator(".sep").all_inner_texts()[0].startswith("text 1"), "the most active first"
    texts = [data["texts"][1], data["texts"][0]]
    padded = lambda text: [*text["values"], *[None] * (len(text["tokens"]) - len(text["values"]))]
    values = [value for text in texts for value in padded(text)]
    shown = [float(s or 0) for s in strengths(page, "ecco-neuron")]
    assert shown == pytest.approx([(value or 0) / data["peak"] for value in values], abs=2e-3)
    best = max(range(len(values)), key=lambda i: values[i] or -9)
    assert f"{values[best]:.4g}" in readout(page, "ecco-neuron"), "the strongest token is described at first"
    last = len(texts[0]["tokens"]) - 1
    box(page, last, "ecco-neuron").click()
    assert readout(page, "ecco-neuron").endswith("not read")
    view(page, "ecco-neuron").locator(".flow [tabindex='0']").press("ArrowRight")
    assert "in text 0" in readout(page, "ecco-neuron")
    focused = view(page, "ecco-neuron").locator(".flow [tabindex='0']")
    focused.press("Escape")
    assert focused.get_attribute("aria-pressed") == "false"


def test_a_grid_of_similarities(open_page, gallery):
    page = open_page("similarity")
    data = json.loads((gallery / "similarity.json").read_text())["values"]
    cells = view(page, "ecco-similarity").locator("td")
    assert [float(text.replace("−", "-")) for text in cells.all_inner_texts()] == pytest.approx([value for row in data for value in row], abs=0.0051)
    cells.nth(12 * 2 + 5).hover()
    assert "layer of distilgpt2 2 and layer of gpt2 5" in readout(page, "ecco-similarity")
    cells.nth(13).click()
    cells.nth(40).hover()
    assert "layer of distilgpt2 1 and layer of gpt2 1" in readout(page, "ecco-similarity"), "held"
    for key, expected in [("ArrowRight", (1, 2)), ("ArrowDown", (2, 2)), ("End", (2, 11)), ("ArrowUp", (1, 11)), ("Home", (1, 0)), ("ArrowLeft", (1, 0))]:
        view(page, "ecco-similarity").locator("td[tabindex='0']").press(key)
        assert f"distilgpt2 {expected[0]} and layer of gpt2 {expected[1]}" in readout(page, "ecco-similarity"), key
    assert view(page, "ecco-similarity").locator("table").get_attribute("role") == "grid"


def test_a_large_grid_of_similarities_says_its_numbers_when_asked(open_page, gallery):
    page = open_page("similarity-of-many")
    values = json.loads((gallery / "similarity-of-many.json").read_text())["values"]
    cells = view(page, "ecco-similarity").locator("td")
    assert cells.count() == 17 * 30 and set(cells.all_inner_texts()) == {""}
    grounds = cells.evaluate_all("(cells) => cells.map((cell) => getComputedStyle(cell).backgroundColor)")
    assert len(set(grounds)) > 50
    cells.nth(30 * 3 + 8).hover()
    said = readout(page, "ecco-similarity")
    assert "distilgpt2 3 and layer of gpt2 8" in said
    assert float(said.split()[-1]) == pytest.approx(values[3][8], abs=0.006)


@pytest.mark.parametrize("name", ["factors-texts", "factors-signed", "neuron-texts", "neurons", "similarity"])
def test_without_scripts_and_narrow(open_page, name):
    page = open_page(name, java_script_enabled=False, viewport={"width": 340, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 340
    assert page.locator(".ecco").first.is_visible()
