"""Attention as a matrix, by several heads, from both ends; heads by scores; pictures that are pinned; tables made larger or smaller."""

import json

import pytest

from seen import view as live

TAG = "ecco-attention"


def data(gallery, name):
    return json.loads((gallery / f"{name}.json").read_text())


def tool(page, name, tag=TAG):
    return live(page, tag).locator(".tools, .corner").get_by_role("button", name=name, exact=True)


def weight(known, layer, head, query, key):
    """By the document: rows of queries, causal ones end with their own place. Without a head the mean of the layer's."""
    place = query * (query + 1) // 2 + key if known["causal"] else query * len(known["keys"]) + key
    found = [pattern["weights"][place] for pattern in known["patterns"] if pattern["layer"] == layer and head in (None, pattern["head"])]
    return sum(found) / len(found)


def at(page, query, key):
    """Points at a cell of a matrix that is seen as a whole."""
    canvas, known = live(page, TAG).locator(".pane canvas"), page.evaluate("(tag) => [...document.querySelector(tag).shadowRoot.querySelectorAll('.keys > span')].length", TAG)
    canvas.scroll_into_view_if_needed()
    frame = canvas.bounding_box()
    size = frame["width"] / known
    return frame["x"] + (key + 0.5) * size, frame["y"] + (query + 0.5) * size


def test_a_matrix_says_each_cell_and_a_click_holds_its_row(open_page, gallery):
    page, known = open_page("attention"), data(gallery, "attention")
    readout = live(page, TAG).locator(".readout")
    tool(page, "matrix").click()
    for query, key in [(12, 8), (20, 0), (5, 5)]:
        page.mouse.move(*at(page, query, key))
        assert f"{weight(known, known['layer'], known['head'], query, key) * 100:.2f}%" in readout.inner_text()
    page.mouse.move(*at(page, 5, 12))
    assert "comes later" in readout.inner_text()
    page.mouse.click(*at(page, 12, 8))
    tool(page, "text").click()
    assert live(page, TAG).locator(".keys > .held small").inner_text() == "12"


def test_a_matrix_is_made_larger_and_moved_by_keys(open_page):
    page = open_page("attention")
    tool(page, "matrix").click()
    labels = live(page, TAG).locator(".tops > span")
    whole, pane = labels.count(), live(page, TAG).locator(".pane")
    for _ in range(4):
        live(page, TAG).get_by_role("button", name="Larger").click()
    assert labels.count() < whole
    pane.focus()
    for _ in range(3):
        page.keyboard.press("ArrowUp")
    assert "looks at" in live(page, TAG).locator(".readout").inner_text()
    page.keyboard.press("0")
    assert labels.count() == whole
    frame = pane.bounding_box()
    page.mouse.move(frame["x"] + 50, frame["y"] + 50)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    page.wait_for_function("([tag, n]) => document.querySelector(tag).shadowRoot.querySelectorAll('.lefts > span').length < n", arg=[TAG, whole])


def test_several_heads_have_their_own_colours(open_page, gallery):
    page, known = open_page("attention"), data(gallery, "attention")
    tool(page, "matrix").click()
    tool(page, "several").click()
    frame = live(page, TAG).locator(".map").bounding_box()
    page.mouse.click(frame["x"] + frame["width"] * 5.5 / 12, frame["y"] + frame["height"] * 2.5 / 6)
    picked = live(page, TAG).locator(".picked button")
    assert [name.strip() for name in picked.all_inner_texts()] == ["L3 h3", "L2 h5"]
    colours = picked.evaluate_all("(buttons) => buttons.map((button) => getComputedStyle(button).borderLeftColor)")
    assert len(set(colours)) == 2
    page.mouse.move(*at(page, 12, 11))
    said = live(page, TAG).locator(".readout").inner_text()
    both = [weight(known, *head, 12, 11) for head in [(3, 3), (2, 5)]]
    assert f"{sum(both) / 2 * 100:.2f}%" in said and "L2 h5" in said
    picked.first.click()
    assert picked.count() == 1


@pytest.mark.parametrize("name", ["attention", "attention-cross"])
def test_who_looks_at_a_token(open_page, gallery, name):
    page, known = open_page(name), data(gallery, name)
    key, n = 2, len(known["queries"] or known["keys"])
    if name == "attention":
        tool(page, "is looked at by").click()
    live(page, TAG).locator(".keys > span").nth(key).click()
    column = [weight(known, known["layer"], known["head"], query, key) if query >= key or not known["causal"] else 0 for query in range(n)]
    flow = ".keys" if name == "attention" else ".queries"
    shown = page.locator(TAG).evaluate("(host, flow) => [...host.shadowRoot.querySelectorAll(flow + ' > span')].map((box) => Number(box.style.getPropertyValue('--s') || 0))", flow)
    assert shown == pytest.approx([weight / max(column) for weight in column], abs=2e-3)
    assert "is looked at by" in live(page, TAG).locator(".readout").inner_text()


def test_heads_are_found_by_scores(open_page, gallery):
    page, known = open_page("attention"), data(gallery, "attention")
    live(page, TAG).locator(".finder summary").click()
    score = live(page, TAG).get_by_label("score")
    n = len(known["keys"])

    def mean(layer, head, places):
        sums = [sum(weight(known, layer, head, query, key) for key in places(query)) for query in range(n) if places(query)]
        return sum(sums) / len(sums)

    ids = [token["id"] for token in known["keys"]]
    before = lambda query: [key for key in range(query) if ids[key] == ids[query]]
    for name, places in {
        "previous": lambda query: [query - 1] if query else [],
        "first": lambda query: [0] if query else [],
        "duplicate": before,
        "induction": lambda query: [key + 1 for key in before(query)],
    }.items():
        score.select_option(name)
        found = live(page, TAG).locator(".found button")
        values = {(pattern["layer"], pattern["head"]): mean(pattern["layer"], pattern["head"], places) for pattern in known["patterns"]}
        expected = sorted(values, key=lambda head: (-values[head], head))[:8]
        told = [text.split() for text in found.all_inner_texts()]
        assert [float(value) for *_, value in told] == pytest.approx([values[head] for head in expected], abs=6e-3), name
    best = found.first.inner_text().split()
    found.first.click()
    chosen = [live(page, TAG).get_by_label(label, exact=True).input_value() for label in ("layer", "head")]
    assert ["L" + chosen[0], "h" + chosen[1]] == best[:2]


def test_pictures_are_pinned_compared_and_let_go(open_page):
    page, tag = open_page("saliency"), "ecco-saliency"
    host = live(page, tag)
    boxes = host.locator(":scope > .flow > span")
    pins = page.locator(".pins > div")
    boxes.nth(25).click()
    tool(page, "Pin", tag).click()
    boxes.nth(30).click()
    tool(page, "Pin", tag).click()
    assert pins.count() == 2
    first, second = (pins.nth(i).locator(".readout").inner_text() for i in range(2))
    assert first != second and second == host.locator(":scope > .readout").inner_text()
    # What is kept does not change, is not in the way of keys, and has nothing to be used.
    boxes.nth(33).click()
    assert pins.nth(1).locator(".readout").inner_text() == second
    assert pins.nth(0).locator("[tabindex], [role=button], .save").count() == 0
    page.keyboard.press("Escape")  # frees what is held
    assert pins.count() == 2
    page.keyboard.press("Escape")
    assert pins.count() == 0


def test_pins_of_another_view_are_brought(open_page):
    page = open_page("twice")
    hosts = page.locator("[data-view]")
    kinds = hosts.evaluate_all("(hosts) => hosts.map((host) => host.dataset.view)")
    assert len(kinds) > 1 and kinds[0] == kinds[1]
    hosts.nth(0).locator(".live .corner").get_by_role("button", name="Pin", exact=True).click()
    other = hosts.nth(1).locator(".ecco.live")
    other.hover()
    other.get_by_role("button", name="Bring pins").click()
    assert hosts.nth(1).locator(".pins > div").count() == 1
    assert hosts.nth(0).locator(".pins > div").count() == 0


def test_a_large_table_is_made_smaller(open_page):
    page, tag = open_page("lens"), "ecco-lens"
    table = live(page, tag).locator("table")
    before = table.bounding_box()["width"]
    live(page, tag).get_by_role("button", name="Smaller").click()
    assert table.bounding_box()["width"] < 0.8 * before
    for _ in range(2):
        live(page, tag).get_by_role("button", name="Larger").click()
    assert table.bounding_box()["width"] > 1.2 * before
    # Pictures have it as it is.
    assert live(page, tag).get_by_role("button", name="Larger").is_enabled()
