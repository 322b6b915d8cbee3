"""Scores, faithfulness, methods compared, readings."""

import json
import re

import pytest

from seen import box, chips, chosen, luminance, readout, view


def test_what_was_read_and_written_stand_apart(open_page):
    page = open_page("saliency-pair")
    top = lambda element: element.bounding_box()["y"]
    parts = view(page).locator(".flow > .part")
    assert parts.all_inner_texts() == ["read", "written"]
    assert top(parts.nth(0)) < top(box(page, 0)) < top(parts.nth(1)) < top(box(page, 11))
    assert top(box(page, 10)) < top(parts.nth(1))
    box(page, 13).click()
    assert chosen(page) == 13 and "p(▁ist)" in readout(page)


def test_the_most_surprising_token_is_described_first(open_page, gallery):
    page = open_page("score")
    data = json.loads((gallery / "score.json").read_text())
    bits = [-1 if value is None else value for value in data["bits"]]
    most = bits.index(max(bits))
    text = readout(page, "ecco-score")
    assert f"{most} " in text and f"{bits[most]:.1f} bits" in text and f"{data['ranks'][most]:,}" in text
    for key, position in [("Home", 8), ("ArrowRight", 9), ("End", 42), ("ArrowLeft", 41)]:
        view(page, "ecco-score").locator(".flow [tabindex='0']").press(key)
        assert view(page, "ecco-score").locator(".flow > .on small").inner_text() == str(position), key
    assert view(page, "ecco-score").locator(".flow [role=button]").count() == 43 - 8, "context is not scored"
    box(page, 20, "ecco-score").hover()
    assert readout(page, "ecco-score").split()[:2] == ["\\n", "20"]


def test_curves_of_one_target(open_page, gallery):
    static, page = open_page("faithfulness", java_script_enabled=False), open_page("faithfulness")
    curve = "(path) => path.getAttribute('d')"
    of = lambda page, root: [path.evaluate(curve) for path in root.locator("path:not(.axis)").all()]
    live = view(page, "ecco-faithfulness")
    mean = of(page, live)
    numbers = lambda paths: [float(number) for path in paths for number in re.findall(r"[\d.]+", path)]
    assert numbers(mean) == pytest.approx(numbers(of(static, static)), abs=0.2)
    chips(page, "ecco-faithfulness").nth(3).click()
    assert of(page, live) != mean and len(of(page, live)) == 4
    assert live.locator("tr .bad").count() == 1 and live.locator("tr .good").count() == 4


def test_a_token_in_all_strips(open_page, gallery):
    page = open_page("comparison")
    data = json.loads((gallery / "comparison.json").read_text())
    live = view(page, "ecco-comparison")
    live.locator(".line:not(.names)").nth(2).locator("i").nth(18).hover()
    assert live.locator(".cells > .at").count() == 5, "the label and four methods"
    share = data["methods"][1]["scores"][0][18]
    beneath = live.locator(".line > small")
    assert beneath.nth(1).inner_text() == f".₁₈ {share * 100:.0f}%"
    page.mouse.move(1, 1)
    before = live.locator(".line > small").all_inner_texts()
    chips(page, "ecco-comparison").nth(4).click()
    assert live.locator(".line > small").all_inner_texts() != before
    cells = live.locator(".line:not(.names)").nth(0).locator("i")
    row = data["methods"][0]["scores"][4]
    shown = cells.evaluate_all("(cells) => cells.map((cell) => Number(cell.style.getPropertyValue('--s')))")
    assert shown[: len(row)] == pytest.approx([value / max(map(abs, row)) for value in row], abs=2e-3)
    strip = live.locator(".line:not(.names) .cells").nth(1)
    strip.press("ArrowRight")
    strip.press("ArrowRight")
    assert beneath.nth(1).inner_text().startswith("·of₂ ")


@pytest.mark.parametrize("name", ["hostile-faithfulness", "hostile-comparison"])
def test_hostile_targets_are_text(open_page, name):
    page = open_page(name)
    for chip in page.locator(".targets > span:visible").all()[:12]:
        chip.hover()
        chip.click()
    for cell in page.locator(".line:not(.names) > .cells > i:visible").all()[:40]:
        cell.hover()
    assert page.evaluate("window.hacked") is None
    everything = "(root) => [root, ...root.querySelectorAll('*')].flatMap((e) => [e, ...(e.shadowRoot?.querySelectorAll('*') ?? [])])"
    assert page.locator("body").evaluate(f"(root) => ({everything})(root).filter((e) => e.localName === 'img').length") == 0


def test_bars_are_as_long_as_their_probability(open_page, gallery):
    page = open_page("reading-labels", viewport={"width": 600, "height": 400})
    labels = json.loads((gallery / "reading-labels.json").read_text())["labels"]
    rows = page.locator(".reading.live li")
    assert rows.locator(".name").all_inner_texts() == [label["label"] for label in labels]
    for row, label in zip(rows.all(), labels, strict=True):
        track, bar = row.locator(".track").bounding_box(), row.locator(".track > span").bounding_box()
        assert bar["width"] == pytest.approx(max(label["probability"] * track["width"], 2), abs=1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["reading-masked", "reading-replaced"])
def test_readings_are_legible(open_page, name, scheme):
    """Text and ground differ, also where a box is coloured; colours come from the theme."""
    page = open_page(name, color_scheme=scheme)
    script = """(box) => {
        const canvas = new OffscreenCanvas(1, 1).getContext("2d");
        const view = getComputedStyle(box.closest(".ecco"));
        for (const colour of [view.backgroundColor, getComputedStyle(box).backgroundColor]) {
            canvas.fillStyle = colour;
            canvas.fillRect(0, 0, 1, 1);
        }
        const ground = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
        canvas.fillStyle = getComputedStyle(box).color;
        canvas.fillRect(0, 0, 1, 1);
        return [ground, [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3)];
    }"""
    for shown in page.locator(".reading.live .flow > span").all():
        darker, lighter = sorted(map(luminance, shown.evaluate(script)))
        assert (lighter + 0.05) / (darker + 0.05) > 4.5, shown.inner_text()


def test_methods_are_sorted_by_any_column_and_strips_end_at_their_target(open_page, gallery):
    page, tag = open_page("comparison"), "ecco-comparison"
    data = json.loads((gallery / "comparison.json").read_text())
    live = view(page, tag)
    names = lambda: [name.split(" referee")[0] for name in live.locator("tbody th[scope=row]").all_inner_texts()]
    assert "The mean of 10 targets" in live.inner_text()
    seconds = lambda method: float(method["figures"]["seconds"])
    for descending in (True, False):
        live.get_by_role("button", name="seconds").click()
        assert names() == [method["method"] for method in sorted(data["methods"], key=seconds, reverse=descending)]
    assert live.locator("tfoot").inner_text().split() == ["random", "order", "0.09", "0.33"], "stands where it stood"
    for k in (0, 5):
        chips(page, tag).nth(k).click()
        target = data["targets"][k]
        name = target["name"]["text"].replace(" ", "·").replace("\n", "\\n")
        assert live.locator(".of .shown").inner_text() == f"{name} at {target['position']}"
        cells = live.locator(".line:not(.names)").nth(1).locator(".cells > i:visible")
        assert cells.count() == len(data["methods"][1]["scores"][k])


def test_measures_have_bars_from_random_to_measured(open_page, gallery):
    page, tag = open_page("faithfulness"), "ecco-faithfulness"
    for figure, track in zip(json.loads((gallery / "faithfulness.json").read_text())["figures"], view(page, tag).locator(".track").all(), strict=True):
        sizes = sorted([abs(figure["value"]), abs(figure["random"])])
        bar, whole = track.locator("i").bounding_box(), track.bounding_box()
        assert (bar["x"] - whole["x"]) / whole["width"] == pytest.approx(sizes[0] / sizes[1], abs=0.02)
        assert (bar["x"] + bar["width"] - whole["x"]) / whole["width"] == pytest.approx(1, abs=0.02)
    assert "deletion: probability" in view(page, tag).locator(".plots").inner_text()
