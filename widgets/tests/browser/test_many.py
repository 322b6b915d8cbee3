"""What is found over many texts, as a person uses it."""

import csv
import io
from pathlib import Path

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
    accuracies = [place["accuracy"] for place in probes["places"]]
    assert sorted(range(24), key=lambda at: -heights[at]) == sorted(range(24), key=lambda at: accuracies[at]), "higher is better"
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


def test_hostile_labels_are_labels(open_page):
    page = open_page("hostile-probes")
    assert page.evaluate("window.hacked") is None and live(page).locator("tbody tr").count() == 18
