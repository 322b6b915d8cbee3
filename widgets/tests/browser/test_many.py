"""What is found over many texts, as a person uses it."""

import csv
import io
from pathlib import Path

import pytest

from test_inside import data


def live(page):
    return page.locator(".live")


def test_a_probe_of_each_layer_is_a_row_and_a_point(open_page, gallery):
    page, probes = open_page("probes", accept_downloads=True), data(gallery, "probes")
    rows = live(page).locator("tbody tr")
    assert rows.count() == len(probes["places"]) == 24
    points = live(page).locator("circle:not(.control)")
    assert points.count() == 24 and live(page).locator("circle.control").count() == 24
    heights = [float(point.get_attribute("cy")) for point in points.all()]
    highest, lowest = 18, 138
    accuracies = [place["accuracy"] for place in probes["places"]]
    assert heights == pytest.approx(
        [lowest - (lowest - highest) * accuracy for accuracy in accuracies], abs=0.06
    ), "higher is better"
    assert live(page).locator(".key").inner_text().startswith("— accuracy on texts left out (5 parts)")
    live(page).locator(".save summary").click()
    with page.expect_download() as download:
        live(page).get_by_role("button", name="CSV", exact=True).click()
    saved = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))
    assert [float(row["accuracy"]) for row in saved] == accuracies


def test_each_position_has_a_picture(open_page):
    page = open_page("probes-positions")
    titles = live(page).locator("svg > title").all_text_contents()
    assert titles == [f"Accuracy by layer {at}" for at in ("-3", "-2", "-1")]
    assert live(page).locator("circle.control").count() == 0, "there is no control"
    assert "shuffled" not in live(page).locator(".key").inner_text()


def test_hostile_labels_are_labels(open_page):
    page = open_page("hostile-probes")
    assert page.evaluate("window.hacked") is None and live(page).locator("tbody tr").count() == 18


def test_the_strongest_token_of_each_text_is_marked(open_page, gallery):
    page, neuron = open_page("corpus-neuron"), data(gallery, "corpus-neuron")
    texts = [text for group in neuron["groups"] for text in group["texts"]]
    flows = live(page).locator(".text .flow")
    assert flows.count() == len(texts) == 4
    for flow, text in zip(flows.all(), texts, strict=True):
        boxes = flow.locator(":scope > span")
        assert [at for at, box in enumerate(boxes.all()) if "at" in (box.get_attribute("class") or "")] == [
            text["peak"]
        ]
        grounds = boxes.evaluate_all("(boxes) => boxes.map((box) => getComputedStyle(box).backgroundColor)")
        # Where only the strongest is known, the others have no colour.
        known = [at for at, ground in enumerate(grounds) if ground != grounds[-1] or at == text["peak"]]
        assert text["peak"] in known and ("values" in text or known == [text["peak"]])
        assert boxes.nth(text["peak"]).get_attribute("title") == f"{text['value']:g}"
    assert live(page).locator(".group").all_inner_texts()[0] == "strongest"
    assert live(page).locator(".words").all_inner_texts()[1].startswith("suppresses")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_neuron_s_tokens_are_legible(open_page, scheme):
    """Colours come from the theme where there is a style sheet."""
    page = open_page("corpus-neuron", color_scheme=scheme)
    ground = live(page).evaluate("(e) => getComputedStyle(e).backgroundColor")
    assert ground == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(22, 24, 29)")
    assert live(page).locator(".histogram svg").bounding_box()["height"] == 44


def test_a_hostile_corpus_is_a_text(open_page):
    page = open_page("hostile-corpus-neuron")
    assert page.evaluate("window.hacked") is None and live(page).locator(".text").count() == 4


def test_a_row_of_results_opens_its_view(open_page, gallery):
    page, results = open_page("results"), data(gallery, "results")
    rows = page.locator(".results > details")
    assert rows.count() == len(results["rows"]) == 3
    assert [row["result"]["type"] for row in results["rows"]] == ["saliency"] * 3
    first = rows.first.locator(":scope > summary")
    assert first.locator(".text").inner_text().startswith("The countries of the European Union are:")
    assert "value 0.53" in first.locator(".figures").inner_text()
    boxes = rows.nth(1).locator("ecco-saliency .live .flow > span")
    assert boxes.count() > 20 and not boxes.first.is_visible()
    # With the keys alone; each view has its script, though it is sent once.
    rows.nth(1).locator(":scope > summary").press("Enter")
    assert boxes.first.is_visible() and not rows.first.locator(".live .flow > span").first.is_visible()
    boxes.nth(-3).click()
    assert "on" in boxes.nth(-3).get_attribute("class")
    assert page.locator("ecco-saliency .live").count() == 3
    scripts = page.locator("ecco-saliency script:not([type])").all_text_contents()
    assert len(scripts[0]) > 10_000 and [len(script) < 200 for script in scripts[1:]] == [True, True]


def test_results_of_strangers_texts_are_inert_and_very_many_are_cut(open_page):
    page = open_page("hostile-results")
    assert page.evaluate("window.hacked") is None
    assert page.locator(".results > details").count() == 3
    assert page.locator(".results .text").first.inner_text() == "<img src=x onerror=alert(1)>"
    page = open_page("long-results")
    assert page.locator(".results > .closed").count() == 2000
    assert "the first 2,000 of 3,000 texts are here" in page.locator(".results .note").first.inner_text()


@pytest.mark.parametrize("width", [420, 1100])
@pytest.mark.parametrize("name", ["results", "model-diff"])
def test_rows_fit_at_every_width(open_page, name, width):
    page = open_page(name, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_models_apart_are_coloured_by_how_far(open_page, gallery):
    page, diff = open_page("model-diff"), data(gallery, "model-diff")
    text = diff["texts"][0]
    boxes = page.locator(".model-diff.live .flow").first.locator(":scope > span")
    assert boxes.count() == len(text["tokens"])
    strengths = [
        float(style.split(";")[0].removeprefix("--s:"))
        for style in boxes.evaluate_all("(boxes) => boxes.slice(1).map((box) => box.getAttribute('style'))")
    ]
    known = text["divergences"][1 : len(text["tokens"])]
    assert strengths == pytest.approx([kl / max(text["divergences"][1:]) for kl in known], abs=6e-4)
    grounds = boxes.evaluate_all("(boxes) => boxes.map((box) => getComputedStyle(box).backgroundColor)")
    strongest = known.index(max(known)) + 1
    assert grounds[strongest] not in ("rgba(0, 0, 0, 0)", grounds[known.index(min(known)) + 1])
    assert "unread" in boxes.first.get_attribute("class"), "nothing is predicted of the first token"
    assert "at" in boxes.nth(text["parted"]).get_attribute("class")
    rows = page.locator(".model-diff.live tbody tr")
    assert rows.count() == len(diff["grafts"]["layer"]) + 2
    assert float(rows.nth(12).locator("td").nth(1).inner_text()) == pytest.approx(diff["cka"][12], abs=6e-4)
    share = 1 - diff["grafts"]["layer"][0] / diff["divergence"]
    assert rows.nth(1).locator("td").nth(2).inner_text() in (f"{100 * share:.0f}%", f"{100 * share:.1f}%")
    assert rows.nth(12).locator("td").nth(5).inner_text() == "100%"


def points(page):
    return live(page).locator(".points > g")


def test_a_point_names_its_token_and_those_around_it(open_page, gallery):
    page, found = open_page("projection"), data(gallery, "projection")
    n = len(found["names"])
    assert points(page).count() == n
    readout = live(page).locator(".readout")
    assert readout.inner_text().startswith("Point at a point")
    at = next(at for at in range(n) if found["names"][at] == " Belgium")
    points(page).nth(at).scroll_into_view_if_needed()
    box = points(page).nth(at).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert readout.inner_text().splitlines()[0] == "·Belgium · word · cluster 0 · text 0"
    assert "2. Belgium" in readout.inner_text().replace("\n", " ").replace("  ", " ")
    assert live(page).locator(".ring").get_attribute("visibility") == "visible"
    # Distances on the screen are those of the points, by one scale for both axes.
    boxes = [points(page).nth(k).bounding_box() for k in (0, 1, 2)]
    centre = [(b["x"] + b["width"] / 2, b["y"] + b["height"] / 2) for b in boxes]
    scale = (centre[1][0] - centre[0][0]) / (found["x"][1] - found["x"][0])
    assert -(centre[2][1] - centre[0][1]) / (found["y"][2] - found["y"][0]) == pytest.approx(scale, rel=0.03)


def test_keys_walk_over_points_and_hold_one(open_page):
    page = open_page("projection")
    svg, readout = live(page).locator(".map > svg"), live(page).locator(".readout")
    svg.focus()
    page.keyboard.press("Home")
    assert readout.inner_text().startswith("The · word · cluster 0 · text 0")
    ring = live(page).locator(".ring")
    before = float(ring.get_attribute("cx"))
    page.keyboard.press("ArrowLeft")
    assert float(ring.get_attribute("cx")) < before
    page.keyboard.press("Enter")
    kept = readout.inner_text()
    page.mouse.move(*[svg.bounding_box()[k] + 40 for k in ("x", "y")])
    assert readout.inner_text() == kept, "what is held stays"
    page.keyboard.press("Escape")
    assert readout.inner_text().startswith("Point at a point")


def test_points_are_coloured_and_chosen_by_groups(open_page, gallery):
    page, found = open_page("projection"), data(gallery, "projection")
    key = live(page).locator(".key:not([hidden]) > span")
    counts = [found["labels"].count(group) for group in range(3)]
    assert [text.split()[-1] for text in key.all_inner_texts()] == [str(count) for count in counts]
    fills = points(page).evaluate_all("(all) => all.map((g) => getComputedStyle(g).fill)")
    assert len(set(fills)) == 3 and [fills[at] == fills[0] for at in range(60)] == [label == 0 for label in found["labels"][:60]]
    key.nth(1).press("Enter")
    faint = points(page).evaluate_all("(all) => all.map((g) => g.classList.contains('faint'))")
    assert faint == [label != 1 for label in found["labels"]]
    live(page).get_by_role("button", name="cluster", exact=True).click()
    assert live(page).locator(".faint").count() == 0 and key.count() == 4
    fills = points(page).evaluate_all("(all) => all.map((g) => g.getAttribute('fill'))")
    assert len(set(fills)) == 4
    live(page).get_by_role("searchbox").fill("austria")
    shown = points(page).evaluate_all("(all) => all.map((g, i) => g.classList.contains('faint') ? -1 : i).filter((i) => i >= 0)")
    assert shown == [at for at, name in enumerate(found["names"]) if name == " Austria"]


def test_a_map_without_its_script_names_its_points(browser, gallery):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((gallery / "projection.html").as_uri())
    titles = page.locator(".points title").all_text_contents()
    assert titles[0] == "The" and "·Belgium" in titles
    assert page.locator(".names text").count() > 10 and page.locator(".key:not([hidden])").count() == 1
    context.close()


def test_a_hostile_map_is_a_map(open_page):
    page = open_page("hostile-projection")
    assert page.evaluate("window.hacked") is None
    live(page).locator(".map > svg").focus()
    for key in ("Home", "ArrowRight", "ArrowUp", "End"):
        page.keyboard.press(key)
    assert page.evaluate("window.hacked") is None


def test_of_very_many_points_some_are_drawn(open_page):
    page = open_page("long-projection")
    assert points(page).count() == 5000
    assert "5,000 of 12,000" in live(page).locator(".note").inner_text()
    live(page).locator(".map > svg").focus()
    page.keyboard.press("End")
    assert live(page).locator(".readout").inner_text().startswith("·word11997")
