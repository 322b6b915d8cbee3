"""Edges, circuits and circuits by size, as a person uses them."""

import csv
import io
import json
from pathlib import Path

import pytest

from test_inside import data


def live(page):
    return page.locator(".live")


def lit(page):
    """The names of the parts that are not dimmed, and how many connections."""
    names = live(page).locator(".node.on").all_text_contents()
    return {name.strip() for name in names}, live(page).locator("path.on").count()


def expected(circuit, name):
    at = next(i for i, node in enumerate(circuit["nodes"]) if node["name"] == name)
    near = [edge for edge in circuit["edges"] if at in (edge["from"], edge["to"])]
    parts = {circuit["nodes"][end]["name"] for edge in near for end in (edge["from"], edge["to"])}
    return parts, len(near)


def part(page, name):
    return live(page).locator(f'.node[aria-label="{name}"]')


def test_a_part_shows_what_goes_in_and_out(open_page, gallery):
    page, circuit = open_page("circuit"), data(gallery, "circuit")
    part(page, "a5.h3").hover()
    assert lit(page) == expected(circuit, "a5.h3")
    said = live(page).locator(".readout").inner_text()
    assert said.startswith("a5.h3") and "in: m0 by q 0.9, m0 by k 0.5" in said and "out: a8.h2.v 1.7" in said
    page.mouse.move(1, 1)
    assert lit(page) == (set(), 0) and live(page).locator("svg.chosen").count() == 0


def test_a_part_is_held_by_a_click_and_freed_by_escape(open_page, gallery):
    page, circuit = open_page("circuit"), data(gallery, "circuit")
    part(page, "m0").click()
    part(page, "m8").hover()
    assert lit(page) == expected(circuit, "m0")
    part(page, "m0").press("Escape")
    page.mouse.move(1, 1)
    part(page, "m8").focus()
    assert lit(page) == expected(circuit, "m8")
    part(page, "m8").press("Enter")
    part(page, "m8").evaluate("(element) => element.blur()")
    assert lit(page) == expected(circuit, "m8")


def test_edges_do_not_run_through_parts_of_their_own_column(open_page):
    page = open_page("circuit")
    crossed = live(page).locator(".graph svg").evaluate(
        """(svg) => {
          const boxes = [...svg.querySelectorAll(".node")].map((g) => [g.textContent, g.getBoundingClientRect()]), found = [];
          for (const path of svg.querySelectorAll("path")) {
            const [from, to] = path.querySelector("title").textContent.split(/ → | /).map((name) => name.replace(/\\.[qkv]$/, ""));
            const ends = [from, to], length = path.getTotalLength(), matrix = path.getScreenCTM();
            for (const [name, box] of boxes) {
              if (ends.includes(name)) continue;
              let inside = 0;
              for (let i = 0; i <= 200; i++) {
                const point = path.getPointAtLength(length * i / 200).matrixTransform(matrix);
                inside += point.x > box.left + 6 && point.x < box.right - 6 && point.y > box.top && point.y < box.bottom;
              }
              if (inside > 2) found.push(path.querySelector("title").textContent + " through " + name);
            }
          }
          return found;
        }"""
    )
    assert len(crossed) <= 4, crossed


@pytest.mark.parametrize("name, columns", [("edges", "from,to,score,measured"), ("circuit", "from,to,by,score"), ("circuit-curve", "edges,kept,faithfulness,without,random"), ("attribution-graph", "from,to,weight")])
def test_numbers_are_saved_as_csv(open_page, gallery, name, columns):
    page = open_page(name, accept_downloads=True)
    live(page).locator(".save summary").click()
    with page.expect_download() as download:
        live(page).get_by_role("button", name="CSV", exact=True).click()
    rows = list(csv.reader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))
    document = json.loads((gallery / f"{name}.json").read_text())
    assert ",".join(rows[0]) == columns
    assert len(rows) - 1 == len(document.get("edges", document.get("circuits")))


def test_hostile_names_are_names(open_page):
    for name in ("hostile-edges", "hostile-circuit", "hostile-attribution-graph"):
        page = open_page(name)
        assert page.evaluate("window.hacked") is None
    for at in range(live(page).locator(".node").count()):
        live(page).locator(".node").nth(at).dispatch_event("pointerenter")
    assert page.evaluate("window.hacked") is None


def graph_node(page, name, token):
    return live(page).locator(f'.node[aria-label="{name} at {token}"]')


def test_a_graphs_node_says_where_it_comes_from(open_page, gallery):
    page, graph = open_page("attribution-graph"), data(gallery, "attribution-graph")
    at = next(i for i, one in enumerate(graph["nodes"]) if one["name"] == "L3 n13")
    graph_node(page, "L3 n13", "·called").click()
    near = [edge for edge in graph["edges"] if at in (edge["from"], edge["to"])]
    assert live(page).locator(".edges path").count() == len(near)
    said = live(page).locator(".readout").inner_text()
    assert "activation 3.2" in said and "score +2.8" in said and "without it the answer changes by −2.5" in said, said
    assert "·Paris" in said and "other parts" in said and "biases and positions" in said
    largest = max((edge for edge in near if edge["to"] == at), key=lambda edge: abs(edge["weight"]))
    first = live(page).locator(".detail ol").first.locator("button").first
    assert first.inner_text().startswith(graph["nodes"][largest["from"]]["name"].replace(" France", "·France"))
    first.click()  # goes there
    assert "L3 n13" in live(page).locator(".detail").inner_text()
    live(page).locator(".node.at").press("Escape")
    assert "Strongest: L1 h2" in live(page).locator(".readout").inner_text()


def test_a_graph_is_walked_by_keys_pinned_named_and_searched(open_page, gallery):
    page, graph = open_page("attribution-graph"), data(gallery, "attribution-graph")
    answer = live(page).locator(".node").last
    answer.press("ArrowDown")
    into = [edge for edge in graph["edges"] if edge["to"] == len(graph["nodes"]) - 1]
    strongest = graph["nodes"][max(into, key=lambda edge: abs(edge["weight"]))["from"]]
    focused = page.evaluate("document.querySelector('[data-view]').shadowRoot.activeElement.getAttribute('aria-label')")
    assert focused.replace("·", " ").startswith(strongest["name"])
    for name in ("L1 h2", "L2 h0"):
        graph_node(page, name, "·called").press("p")
    live(page).get_by_role("button", name="pinned only").click()
    assert live(page).locator(".node:not(.gone)").count() == len(graph["tokens"]) + 1 + 2
    naming = live(page).get_by_label("a name for the pinned nodes together")
    naming.fill("reads the <b>country</b>")
    naming.press("Enter")
    live(page).get_by_role("button", name="pinned only").click()
    live(page).get_by_role("button", name="reads the <b>country</b>").click()
    assert "2 nodes · scores +12" in live(page).locator(".readout").inner_text()
    live(page).get_by_label("find nodes").fill("n13")
    assert live(page).locator(".node.found").count() == 1
    nodes = live(page).locator("input[type=range]").first
    nodes.fill("3")
    assert live(page).locator(".node:not(.gone)").count() < len(graph["nodes"])


def test_a_mean_of_pairs_says_how_sure_it_is(open_page, gallery):
    page, map_ = open_page("patch-map-pairs"), data(gallery, "patch-map-pairs")
    assert "mean of 12 pairs" in live(page).locator(".answer").inner_text()
    live(page).locator("tbody tr").nth(2).locator("td").nth(1).hover()
    said = live(page).locator(".readout").inner_text()
    assert "on average" in said and f"± {map_['pairs']['interval'][2][1]:.2f}" in said, said
