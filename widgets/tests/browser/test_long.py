"""Long texts: the whole as a strip beside which the text scrolls, tokens that are searched, and what is copied of a text."""

import xml.etree.ElementTree as ElementTree

import pytest

SVG = "{http://www.w3.org/2000/svg}"
STRIPED = {"long": "ecco-saliency", "long-score": "ecco-score", "long-attention": "ecco-attention"}
# Places that are in the scrolling text's frame.
SEEN = """(flow) => {
    const frame = flow.getBoundingClientRect(), boxes = [...flow.children].filter((child) => child.localName === "span");
    return boxes.flatMap((box, i) => {
        const { top, bottom } = box.getBoundingClientRect();
        return bottom > frame.top + 1 && top < frame.bottom - 1 ? [i] : [];
    });
}"""
COLOURS = """(canvas) => {
    const all = canvas.getContext("2d").getImageData(0, 0, canvas.width, 1).data, found = new Set();
    for (let i = 0; i < all.length; i += 4) found.add(all.slice(i, i + 4).join());
    return found.size;
}"""


def live(page, tag):
    return page.locator(f"{tag} .ecco.live").first


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", STRIPED)
def test_a_strip_has_the_whole_text_and_is_pulled(open_page, name, scheme):
    page = open_page(name, viewport={"width": 900, "height": 700}, color_scheme=scheme)
    view = live(page, STRIPED[name])
    flow, strip = view.locator(".flow.tall").first, view.locator(".overview")
    n = flow.locator("> span").count()
    page.wait_for_function("(strip) => strip.querySelector('i').style.width", arg=strip.element_handle())
    assert flow.bounding_box()["height"] <= 0.7 * 700 + 1
    assert flow.evaluate(SEEN)[0] == 0
    box = strip.bounding_box()
    strip.click(position={"x": box["width"] * 0.75, "y": 9})
    seen = flow.evaluate(SEEN)
    assert seen[0] <= 0.75 * n <= seen[-1], (seen[0], seen[-1], n)
    marker = strip.locator("i").first
    page.wait_for_function("([i, at]) => Math.abs(parseFloat(i.style.left) - at) < 0.1", arg=[marker.element_handle(), 100 * seen[0] / n])
    if name != "long-attention":
        assert strip.locator("canvas").evaluate(COLOURS) > 5


def test_tokens_are_searched_also_across_boxes(open_page, gallery):
    page = open_page("long-score", viewport={"width": 900, "height": 700})
    view = live(page, "ecco-score")
    find, says = view.get_by_role("searchbox"), view.locator(".head [role=status]")
    find.fill("czech rep")
    found = view.locator(".flow > .found")
    n = found.count()
    assert n > 10 and says.inner_text() == f"1 of {n}"
    assert set(found.locator("bdi").all_inner_texts()) == {"·Czech"}
    find.press("Enter")
    assert says.inner_text() == f"2 of {n}"
    second = int(found.nth(1).locator("small").inner_text())
    assert second in view.locator(".flow").evaluate(SEEN)
    find.press("Shift+Enter")
    find.press("Shift+Enter")
    assert says.inner_text() == f"{n} of {n}", "the last one stands before the first"
    find.fill("atlantis")
    assert says.inner_text() == "nowhere" and found.count() == 0
    find.press("Escape")
    assert says.inner_text() == "" and find.input_value() == ""


def test_a_short_text_has_neither(open_page):
    view = live(open_page("saliency"), "ecco-saliency")
    assert view.locator(".find, .overview, .tall").count() == 0


def test_a_picture_has_all_of_a_long_text(open_page):
    page = open_page("long-attention", accept_downloads=True)
    view = live(page, "ecco-attention")
    view.locator(".save summary").click()
    with page.expect_download() as download:
        view.locator(".save").get_by_role("button", name="SVG", exact=True).click()
    root = ElementTree.parse(download.value.path()).getroot()
    last = view.locator(".flow > span small").last.inner_text()
    assert last in [text.text for text in root.iter(f"{SVG}text")]
    assert view.locator(".flow.tall").evaluate("(flow) => flow.scrollHeight > flow.clientHeight"), "the view stays as it was"


def test_what_is_copied_is_the_text(open_page, gallery):
    page = open_page("tokens", permissions=["clipboard-read", "clipboard-write"])
    flow = live(page, "ecco-tokens").locator(".flow")
    flow.evaluate("(flow) => flow.getRootNode().getSelection().selectAllChildren(flow)")
    page.keyboard.press("Control+C")
    expected = (gallery / "tokens.txt").read_text().replace("│", "")
    page.wait_for_function("async (text) => (await navigator.clipboard.readText()).trim() === text.trim()", arg=expected)


# The quickest of some moves of the pointer over places from all of the text: script, style and layout, whatever else the machine does.
MOVES = """(flow) => {
    const places = [...flow.children].filter((child) => child.role === "button"), took = [];
    for (let i = 0; i < places.length; i += Math.floor(places.length / 25)) {
        const begun = performance.now();
        places[i].dispatchEvent(new PointerEvent("pointerover", { bubbles: true, composed: true, pointerType: "mouse" }));
        flow.getBoundingClientRect();
        took.push(performance.now() - begun);
    }
    return Math.min(...took);
}"""


def test_a_text_of_thousands_is_drawn_in_parts_and_answers_at_once(open_page):
    page = open_page("long-score", viewport={"width": 900, "height": 700})
    flow = live(page, "ecco-score").locator(".flow")
    page.wait_for_function("(flow) => !flow.querySelector('.later')", arg=flow.element_handle())
    assert flow.locator("> span").count() == 5000 and flow.locator("> span").last.evaluate("(box) => box.offsetWidth > 0")
    assert flow.evaluate(MOVES) < 16


def test_what_is_not_drawn_yet_comes_where_somebody_goes(browser, gallery):
    page = browser.new_page(viewport={"width": 900, "height": 700})
    page.add_init_script("globalThis.requestIdleCallback = () => {};")  # the page has always something else to do
    page.goto((gallery / "long-score.html").as_uri())
    flow = live(page, "ecco-score").locator(".flow")
    flow.wait_for()
    assert flow.locator("> span.later").count() == 4600
    flow.locator("> [role=button]").first.press("End")
    assert flow.locator(".later").count() == 0
    assert flow.locator("> span").last.evaluate("(box) => box.getRootNode().activeElement === box")
    page.close()
