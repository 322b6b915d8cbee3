"""What holds for every view: themes, widths, roles, hostile texts, absent numbers, long texts, pictures."""

import base64
import io
import json
import re
import xml.etree.ElementTree as ElementTree
import zlib

import pytest
from PIL import Image

from seen import ATTRIBUTION, HOSTILE, LAST, READINGS, box, chosen, frames, luminance, readout, view


def test_a_token_says_its_probability_rank_and_id(open_page, gallery):
    page, text = open_page("tokens-scored"), json.loads((gallery / "tokens-scored.json").read_text())
    said = lambda: readout(page, "ecco-tokens")
    assert said() == "Point at a token."
    for position, known in [(30, "rank 1,537"), (3, "given"), (23, "100%, rank 1")]:
        box(page, position, "ecco-tokens").hover()
        assert known in said() and said().endswith(f"id {text['tokens'][position]['id']}")
    page.mouse.move(1, 1)
    assert said() == "Point at a token."
    unknown = open_page("tokens")
    box(unknown, 30, "ecco-tokens").hover()
    assert readout(unknown, "ecco-tokens").endswith(f" 30 id {text['tokens'][30]['id']}"), "where nobody knows more"
    assert open_page("tokens", java_script_enabled=False).locator(".readout").count() == 0


@pytest.mark.parametrize("name", ["saliency-detailed", "factors"])
def test_sanitised_beside_a_trusted_view(open_page, gallery, name):
    """What is left of a view in an untrusted notebook: no custom element, script, style, picture or custom property."""
    source = (gallery / f"{name}.html").read_text().split("<body>", 1)[1]
    source = re.sub(r"<(script|style|svg)\b.*?</\1>", "", source, flags=re.DOTALL)
    source = re.sub(r"</?ecco-\w+[^>]*>|--\w+:[^;\"]*;", "", source)
    page = open_page("tokens")
    ground = "(boxes) => boxes.map((box) => getComputedStyle(box).backgroundColor)"
    page.evaluate("(source) => { document.body.innerHTML = source; }", source)
    alone = page.locator(".flow > span").evaluate_all(ground)
    assert len(set(alone)) > 5, "inline colours stand alone"
    page = open_page(name)
    page.evaluate("(source) => document.body.insertAdjacentHTML('beforeend', source)", source)
    last = page.locator("body > div.ecco-root > .ecco")
    assert last.evaluate("(view) => getComputedStyle(view).borderTopWidth") == "1px"
    beside = last.locator(".flow > span").evaluate_all(ground)
    coloured = [i for i, colour in enumerate(alone) if colour != "rgba(0, 0, 0, 0)"]
    assert [beside[i] for i in coloured] == [alone[i] for i in coloured], "the other view's style leaves them alone"


DRAWN = ["attribution-graph", "circuit", "circuit-curve", "corpus-neuron", "faithfulness", "probes", "projection", "tensor"]


@pytest.mark.parametrize("name", DRAWN)
def test_letters_of_stripped_drawings_are_not_seen(open_page, gallery, name):
    """A sanitiser that takes elements of drawings away leaves what stood in them."""
    source = (gallery / f"{name}.html").read_text().split("<body>", 1)[1]
    source = re.sub(r"<(script|style)\b.*?</\1>", "", source, flags=re.DOTALL)
    left = lambda drawing: f"<u>{re.sub(r'<[^>]*>', '', drawing[0])}</u>"
    source = re.sub(r"</?ecco-[^>]*>", "", re.sub(r"<svg\b.*?</svg>", left, source, flags=re.DOTALL))
    page = open_page("tokens")
    page.evaluate("(source) => { document.body.innerHTML = source; }", source)
    sizes = page.locator("u").evaluate_all("(all) => all.filter((u) => u.textContent.trim()).map((u) => getComputedStyle(u).fontSize)")
    assert sizes and set(sizes) == {"0px"}


def packed_anew(packed, old, new):
    """A view's script with another text in it."""
    script = zlib.decompress(base64.b64decode(packed), -zlib.MAX_WBITS).decode()
    assert old in script
    deflated = zlib.compress(script.replace(old, new).encode(), wbits=-zlib.MAX_WBITS)
    return base64.b64encode(deflated).decode()


def test_output_of_another_revision_stays_static_until_its_script_comes(open_page, gallery):
    page = open_page("saliency")
    source = (gallery / "saliency.html").read_text().split("<body>", 1)[1].replace("saliency-5", "saliency-next")
    source = re.sub('(?<=unpack\\("saliency-next",")[^"]+', lambda packed: packed_anew(packed[0], "saliency-5", "saliency-next"), source)
    page.evaluate("(source) => document.body.insertAdjacentHTML('beforeend', source)", source)
    newer = page.locator("ecco-saliency").nth(1)
    assert newer.evaluate("(host) => host.shadowRoot") is None
    assert newer.locator(".flow > span").nth(19).is_visible()
    newer.evaluate("(host) => (0, eval)(host.querySelector('script:not([type])').textContent)")
    page.wait_for_function("(host) => host.shadowRoot !== null", arg=newer.element_handle())


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_tokens_are_text(open_page, name):
    page = open_page(name)
    for token in page.locator(".flow > span:visible").all():
        token.hover()
        token.click()
    assert page.evaluate("window.hacked") is None
    everything = "(root) => [root, ...root.querySelectorAll('*')].flatMap((e) => [e, ...(e.shadowRoot?.querySelectorAll('*') ?? [])])"
    assert page.locator("body").evaluate(f"(root) => ({everything})(root).filter((e) => e.localName === 'img').length") == 0
    shown = page.locator(".flow:visible").inner_text()
    for text in ["</script><script>window.hacked=1</script>", "]]>", "<!--", "U+202Eevil", "\\0\\x1b[31m\\x07", "◌\u0301", "U+200D", "\\t\\r\\n", "👩 1/4", "2/4"]:
        assert text in shown
    assert not re.search("[\u202a-\u202e\u2028\u0000-\u0008\u001b]", shown)


@pytest.mark.parametrize("name", ["saliency", "factors", "hostile", "hostile-factors", "ragged", "ragged-factors", "long", "long-factors", *ATTRIBUTION,
                                  "hostile-targets", "hostile-score", "hostile-faithfulness", "hostile-comparison", "long-score", "long-comparison"])
def test_pictures_are_xml(gallery, name):
    root = ElementTree.parse(gallery / f"{name}.svg").getroot()
    names = [child.tag.split("}")[1] for child in root]
    assert names[:3] == ["title", "desc", "rect"]
    assert root[2].get("fill") == "#fff", "opaque, so that dark front ends show it as well"
    assert not [element for element in root.iter() if element.tag.split("}")[1] in ("script", "image", "foreignObject")]


def test_words_that_are_written_from_right_to_left_stand_in_their_order(open_page):
    page = open_page("tokens-from-right")
    flow = frames(page.locator(".live .flow"))[0]
    boxes = frames(page.locator(".live .flow > span"))
    x = [frame["x"] for frame in boxes]
    assert x[0] < x[1] < x[2], "a line that begins with a Latin letter"
    assert x[4] > x[5] > x[6] > x[7], "one that begins with a Hebrew one"
    assert boxes[4]["x"] + boxes[4]["width"] > flow["x"] + flow["width"] - 4, "at the right"
    assert x[7] > x[9] > x[8] > x[10] > x[11], "two words of English in it, and what follows them"
    assert x[13] == x[0]


@pytest.mark.parametrize("dark_by", ["media", "jupyterlab", "vscode", "colab"])
def test_dark_pages(open_page, dark_by):
    page = open_page("saliency", color_scheme="dark" if dark_by == "media" else "light")
    page.evaluate(
        """(how) => {
            if (how === "jupyterlab") document.body.dataset.jpThemeLight = "false";
            if (how === "vscode") document.body.dataset.vscodeThemeKind = "vscode-dark";
            if (how === "colab") document.documentElement.setAttribute("theme", "dark");
        }""",
        dark_by,
    )
    colour = lambda locator, name: [int(n) for n in re.findall(r"\d+", locator.evaluate(f"(e) => getComputedStyle(e).{name}"))[:3]]
    assert luminance(colour(view(page), "backgroundColor")) < 0.05
    assert luminance(colour(box(page, 30), "color")) > 0.6
    assert luminance(colour(box(page, 19), "color")) < 0.05, "the strongest is bright, its text dark"


@pytest.mark.parametrize("margin", [16.15, 16.3, 16.45, 16.6, 16.75, 16.9])
def test_a_box_has_one_colour_up_to_its_edges(open_page, margin):
    """The colour is a place on a wide gradient, whose other end must not show at an edge between two pixels."""
    scale = 2
    page = open_page("saliency", device_scale_factor=scale, viewport={"width": 860, "height": 900})
    page.evaluate("(margin) => { document.body.style.margin = `${margin}px`; }", margin)
    shot = Image.open(io.BytesIO(page.screenshot())).convert("L")
    boxes = frames(view(page).locator(".flow > span"))
    for position in [*range(19), *range(24, LAST + 1)]:
        frame = boxes[position]
        left, right = (round(edge * scale) for edge in (frame["x"], frame["x"] + frame["width"]))
        y = round((frame["y"] + frame["height"] - 8) * scale)
        ground = shot.getpixel((left + 3, y))
        edges = [shot.getpixel((x, y)) for x in (left - 1, left, left + 1, right - 2, right - 1, right)]
        assert min(edges) >= ground - 8, f"a dark edge at token {position}: {edges} on {ground}"


def test_a_light_theme_stays_light_on_a_dark_system(open_page):
    page = open_page("saliency", color_scheme="dark")
    page.evaluate("document.body.dataset.jpThemeLight = 'true'")
    ground = view(page).evaluate("(e) => getComputedStyle(e).backgroundColor")
    assert ground == "rgb(255, 255, 255)"


@pytest.mark.parametrize("name", ["saliency", "saliency-detailed", "factors", "tokens", "hostile", "hostile-factors", "hostile-reading", "model", "models", "tensor", "small-tensor", "progress", *READINGS, *ATTRIBUTION,
                                  "hostile-targets", "hostile-score", "hostile-faithfulness", "hostile-comparison", "long-comparison",
                                  "factors-texts", "factors-signed", "neuron-texts", "neurons", "similarity", "hostile-neuron", "edges", "hostile-edges", "circuit", "hostile-circuit", "circuit-curve", "attribution-graph", "hostile-attribution-graph",
                                  "probes", "probes-positions", "hostile-probes", "corpus-neuron", "hostile-corpus-neuron", "projection", "hostile-projection"])
def test_nothing_is_wider_than_the_page(open_page, name):
    """Opened narrow, then drawn wider, and narrow again."""
    page = open_page(name, viewport={"width": 320, "height": 600})
    for width in [320, 360, 900, 1600, 320]:
        page.set_viewport_size({"width": width, "height": 600})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width


@pytest.mark.parametrize("width", [320, 900])
@pytest.mark.parametrize("name", ["saliency", "factors"])
def test_the_head_and_the_readout_fit(open_page, name, width):
    """The menu keeps its corner, nothing lies under it, and every source that is named can be read."""
    page = open_page(name, viewport={"width": width, "height": 800})
    head = view(page, f"ecco-{name}").locator(".head")
    corner, menu = head.bounding_box(), head.locator(".save > summary").bounding_box()
    assert menu["x"] + menu["width"] == pytest.approx(corner["x"] + corner["width"], abs=1)
    assert menu["y"] == pytest.approx(corner["y"], abs=1)
    left = head.locator(".corner").bounding_box()["x"]
    for part in head.locator(":scope > :not(.corner):visible").all():
        assert part.bounding_box()["x"] + part.bounding_box()["width"] < left
    box(page, 11, f"ecco-{name}").hover()
    page.mouse.move(1, 1)
    if name == "factors":
        view(page, "ecco-factors").locator(".line").nth(3).hover()
    shown = view(page, f"ecco-{name}").locator(".readout")
    # What a factor is made of, or what its sources come to.
    assert shown.locator(":scope > span").count() == 7
    assert shown.evaluate("(e) => [e.scrollWidth <= e.clientWidth, e.scrollHeight <= e.clientHeight]") == [True, True]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["saliency-signed-detailed", "saliency-words", "score"])
def test_tokens_are_legible_on_their_colours(open_page, name, scheme):
    """As the browser draws them: the ground is a place on a wide gradient, which has no computed colour."""
    page = open_page(name, color_scheme=scheme, viewport={"width": 900, "height": 1200})
    tag = "ecco-score" if name == "score" else "ecco-saliency"
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    for token in frames(view(page, tag).locator(".flow > span")):
        ground = shot.getpixel((round(token["x"] + token["width"] - 5), round(token["y"] + token["height"] / 2)))
        darker, lighter = sorted([luminance(ground), luminance(token["colour"])])
        assert (lighter + 0.05) / (darker + 0.05) > 4.5, token["text"]


@pytest.mark.parametrize("name, tag", [("saliency", "ecco-saliency"), ("patch-map", "ecco-patch-map"), ("lens", "ecco-lens")])
def test_forced_colours_leave_the_data_its_own(open_page, name, tag):
    grounds = []
    for forced in ["none", "active"]:
        page = open_page(name, forced_colors=forced, color_scheme="light")
        painted = view(page, tag).locator("[style*='--s:']")
        grounds.append(painted.evaluate_all("(all) => all.map((element) => getComputedStyle(element).backgroundColor)"))
    assert grounds[0] == grounds[1] and len(set(grounds[0])) > 5


@pytest.mark.parametrize("name, tag", [("long", "ecco-saliency"), ("long-score", "ecco-score"), ("long-factors", "ecco-factors")])
def test_what_is_said_of_a_token_stays_in_sight(open_page, name, tag):
    page = open_page(name, viewport={"width": 900, "height": 600})
    boxes = view(page, tag).locator(".flow > span")
    boxes.nth(boxes.count() // 2).hover()
    seen = view(page, tag).locator(".readout").bounding_box()
    assert 0 <= seen["y"] and seen["y"] + seen["height"] <= 600
    if name == "long-factors":
        assert 0 <= view(page, tag).locator(".line").first.bounding_box()["y"] < 600


def test_names_and_roles(open_page):
    page = open_page("saliency")
    # Given tokens can be chosen too: then they are sources.
    targets = view(page).locator(".flow [role=button]")
    assert targets.count() == LAST + 1
    assert [target.get_attribute("tabindex") for target in targets.all()].count("0") == 1
    assert view(page).get_by_role("status").count() == 1
    assert "Arrow keys" in view(page).locator(".flow[role=group]").get_attribute("aria-label")
    assert "×9" in view(open_page("factors"), "ecco-factors").locator(".line").first.inner_text()


@pytest.mark.parametrize("name", ["long", "long-detailed"])
def test_five_thousand_tokens_stay_quick(open_page, gallery, name):
    page = open_page(name)
    view(page).locator(".flow > .on").scroll_into_view_if_needed()
    milliseconds, touched = page.evaluate(
        """async () => {
            const root = document.querySelector("ecco-saliency").shadowRoot;
            const boxes = root.querySelectorAll(".flow > span");
            const seen = new MutationObserver(() => {});
            seen.observe(root, { subtree: true, attributeFilter: ["style"], childList: true });
            const start = performance.now();
            boxes[4810].dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
            return [performance.now() - start, seen.takeRecords().length];
        }"""
    )
    print(f"{name}: {milliseconds:.0f} ms in the script, {touched} changes for a hover over 5,000 tokens")
    assert chosen(page) == 4810
    assert 10 < touched < 2000, "only boxes near the screen are painted"
    assert (gallery / f"{name}.html").stat().st_size < 4_000_000


def test_far_boxes_are_painted_when_they_come_near(open_page):
    page = open_page("long")
    view(page).locator(".flow > .on").scroll_into_view_if_needed()
    box(page, 4900).click()
    assert box(page, 4890).evaluate("(box) => box.style.getPropertyValue('--s')") != ""
    box(page, 2000).scroll_into_view_if_needed()
    page.wait_for_function(
        "document.querySelector('ecco-saliency').shadowRoot.querySelectorAll('.flow > span')[2000].style.getPropertyValue('--s')"
    )


NONE = ["nan", "infinite", "minus-infinite", "underflown", "zero"]
NO_NUMBER = re.compile(r"\b(?:nan|inf|infinity|null|undefined)\b", re.IGNORECASE)


def attributes_without_numbers(root):
    """Attributes that say NaN or infinite where a number belongs; what people read may say so."""
    read = {"title", "aria-label", "class", "data-labels", "alt"}
    return [
        f"{element.tag} {name}={value!r}"
        for element in root.iter()
        for name, value in element.attrib.items()
        if name not in read and NO_NUMBER.search(value)
    ]


def of_no_numbers(gallery, value, ending):
    paths = sorted(gallery.glob(f"none-*-{value}.{ending}"))
    # "none-x-minus-infinite" ends with "-infinite" too.
    return [path for path in paths if value != "infinite" or not path.stem.endswith("minus-infinite")]


@pytest.mark.parametrize("value", NONE)
def test_pictures_of_no_numbers_have_numbers_for_all_places(gallery, value):
    pictures = of_no_numbers(gallery, value, "svg")
    assert len(pictures) > 15
    for path in pictures:
        assert attributes_without_numbers(ElementTree.parse(path).getroot()) == [], path.name


@pytest.mark.parametrize("value", NONE)
def test_views_of_no_numbers_are_drawn_and_answer(open_page, gallery, value):
    """The page fails the test if a script of it throws."""
    pages = of_no_numbers(gallery, value, "html")
    assert len(pages) > 30
    everything = """(root) => [...root.querySelectorAll('*')].flatMap((e) => [e, ...(e.shadowRoot?.querySelectorAll('*') ?? [])])
        .flatMap((e) => [...e.attributes].filter((a) => !['title', 'aria-label', 'class', 'data-labels', 'alt'].includes(a.name))
        .filter((a) => /\\b(?:nan|inf|infinity|null|undefined)\\b/i.test(a.value)).map((a) => e.localName + ' ' + a.name + '=' + a.value))"""
    point = """(root) => {
        const all = [...root.querySelectorAll('*')].flatMap((e) => [...(e.shadowRoot?.querySelectorAll('td, th, button, span, i, tr, path, rect') ?? [])]);
        for (const element of all.slice(0, 150))
            for (const kind of ['pointerover', 'pointerenter', 'mouseover', 'mouseenter', 'click', 'focus', 'pointerleave'])
                element.dispatchEvent(new MouseEvent(kind, { bubbles: true, composed: true }));
        for (const key of ['ArrowRight', 'ArrowDown', 'Home', 'End'])
            for (const element of all.filter((e) => e.tabIndex === 0).slice(0, 5))
                element.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, composed: true }));
    }"""
    page = open_page(pages[0].stem)
    for path in pages:
        page.goto(path.as_uri())
        body = page.locator("body")
        assert body.evaluate(everything) == [], path.name
        body.evaluate(point)
        assert body.evaluate(everything) == [], path.name


def test_every_picture_goes_to_latex(gallery):
    """As PDF, which LaTeX takes; nbconvert makes one of SVG alone with Inkscape, or ends."""
    pictures = sorted(gallery.glob("*.svg"))
    assert len(pictures) > 50
    for path in pictures:
        file = base64.b64decode(path.with_suffix(".pdf").read_text())
        assert file.startswith(b"%PDF-1.4") and file.endswith(b"%%EOF\n"), path.name


def test_no_text_becomes_a_formula(gallery):
    for path in sorted(gallery.glob("*.html")):
        roots = re.findall(r'class="(ecco-root[^"]*)"', path.read_text())
        assert all(root.split() == ["ecco-root", "mathjax_ignore", "tex2jax_ignore"] for root in roots), path.name
        assert roots or path.stem == "streaming", path.name


@pytest.mark.parametrize("name, tag", [("saliency", "ecco-saliency"), ("parts", "ecco-parts"), ("neuron", "ecco-neuron")])
def test_a_card_is_as_wide_as_what_it_shows(open_page, name, tag):
    widths = {}
    for width in (1600, 360):
        page = open_page(name, viewport={"width": width, "height": 700})
        card = view(page, tag).bounding_box()
        box = view(page, tag).locator(".flow > span, td").nth(3)
        box.hover()
        widths[width] = card["width"]
        assert view(page, tag).bounding_box()["width"] == card["width"], "nothing moves under the pointer"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert 600 <= widths[1600] < 900 and widths[360] <= 360
