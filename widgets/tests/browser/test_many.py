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
    assert heights == pytest.approx([lowest - (lowest - highest) * accuracy for accuracy in accuracies], abs=0.06), "higher is better"
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
        assert [at for at, box in enumerate(boxes.all()) if "at" in (box.get_attribute("class") or "")] == [text["peak"]]
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
