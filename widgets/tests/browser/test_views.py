"""The views in a real browser."""

import base64
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from PIL import Image


def view(page, tag="ecco-saliency", copy=0):
    """The upgraded view; the static one stays, hidden, in the element."""
    return page.locator(tag).nth(copy).locator(".live")


def box(page, position, tag="ecco-saliency", copy=0):
    return view(page, tag, copy).locator(".flow > span").nth(position)


def frames(locator):
    """Where elements are, in pixels, with the colour of their text and what they say: of all of them in one question."""
    script = """(elements) => elements.map((element) => {
        const { x, y, width, height } = element.getBoundingClientRect();
        const colour = getComputedStyle(element).color.match(/[\\d.]+/g).slice(0, 3).map(Number);
        return { x, y, width, height, colour, text: element.innerText };
    })"""
    return locator.evaluate_all(script)


def strengths(page, tag="ecco-saliency", copy=0):
    script = "(host) => [...host.shadowRoot.querySelectorAll('.flow > span')].map((box) => box.style.getPropertyValue('--s'))"
    return page.locator(tag).nth(copy).evaluate(script)


def colours(page, tag="ecco-saliency", copy=0):
    """What a box looks like: its ground and its text colour as the browser computed them."""
    script = """(host) => [...host.shadowRoot.querySelectorAll('.flow > span')].map((box) => {
        const style = getComputedStyle(box);
        return [style.backgroundPositionX, style.backgroundColor, style.color].join(' ');
    })"""
    return page.locator(tag).nth(copy).evaluate(script)


def chosen(page, copy=0):
    return int(view(page, copy=copy).locator(".flow > .on small").inner_text())


def readout(page, tag="ecco-saliency"):
    return view(page, tag).locator(".readout").inner_text()


N_INPUT, LAST = 23, 42


def test_first_generated_token_is_chosen_and_its_row_shown(open_page, gallery):
    page = open_page("saliency")
    scores = json.loads((gallery / "saliency.json").read_text())["scores"]
    assert chosen(page) == N_INPUT
    expected = [value / max(scores[0]) for value in scores[0]]
    shown = [float(strength or 0) for strength in strengths(page)]
    assert shown[:N_INPUT] == pytest.approx(expected, abs=2e-3)
    assert set(shown[N_INPUT:]) == {0.0}


def test_click_changes_the_colours_of_the_others_and_holds(open_page):
    page = open_page("saliency")
    before = colours(page)
    box(page, 31).click()
    page.mouse.move(1, 1)
    after = colours(page)
    assert chosen(page) == 31
    assert sum(a != b for a, b in zip(before[:N_INPUT], after[:N_INPUT], strict=True)) > 10
    box(page, 27).hover()
    assert chosen(page) == 31, "held: hovering another generated token changes nothing"
    assert colours(page) == after
    box(page, 31).click()
    box(page, 27).hover()
    assert chosen(page) == 27, "a second click releases"


def test_hover_previews_and_goes_back(open_page):
    page = open_page("saliency")
    before = strengths(page)
    box(page, 36).hover()
    assert chosen(page) == 36 and strengths(page) != before
    page.mouse.move(1, 1)
    assert chosen(page) == N_INPUT and strengths(page) == before


def test_keys(open_page):
    page = open_page("saliency")
    for key, expected in [("ArrowRight", 24), ("ArrowDown", 25), ("ArrowLeft", 24), ("End", LAST), ("ArrowRight", LAST), ("Home", 0)]:
        view(page).locator(".flow [tabindex='0']").press(key)
        assert chosen(page) == expected, key
    focused = view(page).locator(".flow [tabindex='0']")
    focused.press("Enter")
    assert focused.get_attribute("aria-pressed") == "true"
    focused.press("Escape")
    assert focused.get_attribute("aria-pressed") == "false"


def test_keys_do_not_reach_the_notebook(open_page):
    page = open_page("saliency")
    page.evaluate("window.seen = []; document.addEventListener('keydown', (event) => seen.push(event.key))")
    focused = view(page).locator(".flow [tabindex='0']")
    for key in ["ArrowDown", "Enter", "Escape", "Shift+Enter", "a"]:
        view(page).locator(".flow [tabindex='0']").press(key)
    assert focused.count() == 1
    assert page.evaluate("seen") == ["Shift", "Enter", "a"], "only keys that mean something here are kept"


def test_exact_share_of_a_hovered_source(open_page, gallery):
    page = open_page("saliency")
    box(page, 31).click()
    box(page, 19).hover()
    exact = json.loads((gallery / "saliency.json").read_text())["scores"][31 - N_INPUT][19]
    assert f"{exact * 100:.2f}%" in readout(page)
    assert "of ·Czech · token 31" in readout(page)


def test_static_content_says_what_the_script_says(open_page):
    static = open_page("saliency-detailed", java_script_enabled=False)
    live = open_page("saliency-detailed")
    static_boxes = static.locator(".flow > span").all_inner_texts()
    assert static_boxes == view(live).locator(".flow > span").all_inner_texts()
    assert static.locator(".readout").inner_text() == view(live).locator(".readout").inner_text()
    assert len(static_boxes) == LAST + 1 and "22%" in static_boxes[19]
    assert static.locator(".flow > span").nth(19).evaluate("(box) => getComputedStyle(box).color") == "rgb(255, 255, 255)"


def test_detailed_boxes_follow_the_choice(open_page, gallery):
    page = open_page("saliency-detailed")
    box(page, 27).click()
    scores = json.loads((gallery / "saliency-detailed.json").read_text())["scores"][4]
    percent = lambda value: f"{value * 100:.0f}%" if value >= 0.0995 else f"{value * 100:.1f}%"
    shown = view(page).locator(".flow em").all_inner_texts()
    assert shown[:27] == [percent(value) if value >= 0.0005 else "0%" for value in scores]
    assert set(shown[27:]) == {""}


def test_two_copies_do_not_mind_each_other(open_page):
    page = open_page("twice")
    assert page.locator("ecco-saliency").count() == 2
    untouched = strengths(page, copy=1)
    box(page, 31).click()
    assert (chosen(page, 0), chosen(page, 1)) == (31, N_INPUT)
    assert strengths(page, copy=1) == untouched
    box(page, 36, copy=1).click()
    assert (chosen(page, 0), chosen(page, 1)) == (31, 36)


def test_as_jupyterlab_mounts_it(open_page, gallery):
    """innerHTML, then every script cloned in place; shown again after that; then moved within the page."""
    page = open_page("saliency")
    source = (gallery / "saliency.html").read_text().split("<body>", 1)[1]
    page.evaluate(
        """(source) => {
            for (let i = 0; i < 2; i++) {
                const output = document.body.appendChild(document.createElement("section"));
                output.innerHTML = source;
                for (const script of [...output.querySelectorAll("script")]) {
                    const clone = document.createElement("script");
                    for (const { name, value } of script.attributes) clone.setAttribute(name, value);
                    clone.textContent = script.textContent;
                    script.replaceWith(clone);
                }
            }
            document.querySelectorAll("ecco-saliency")[1].shadowRoot.querySelectorAll(".flow > span")[40].click();
            document.body.prepend(document.querySelectorAll("section")[0]);
        }""",
        source,
    )
    assert page.locator("ecco-saliency").count() == 3
    assert [chosen(page, copy) for copy in range(3)] == [40, N_INPUT, N_INPUT]
    box(page, 25, copy=2).click()
    assert chosen(page, 2) == 25


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


def test_output_of_another_revision_stays_static_until_its_script_comes(open_page, gallery):
    page = open_page("saliency")
    source = (gallery / "saliency.html").read_text().split("<body>", 1)[1].replace("saliency-5", "saliency-next")
    page.evaluate("(source) => document.body.insertAdjacentHTML('beforeend', source)", source)
    newer = page.locator("ecco-saliency").nth(1)
    assert newer.evaluate("(host) => host.shadowRoot") is None
    assert newer.locator(".flow > span").nth(19).is_visible()
    newer.evaluate("(host) => (0, eval)(host.querySelector('script:not([type])').textContent)")
    assert newer.evaluate("(host) => host.shadowRoot !== null")


def test_saved_files(open_page, gallery, tmp_path):
    page = open_page("saliency", accept_downloads=True)
    files = {}
    for kind in ["JSON", "HTML", "SVG", "PNG"]:
        view(page).get_by_text("Save").click()
        with page.expect_download() as download:
            view(page).get_by_role("button", name=kind, exact=True).click()
        files[kind] = tmp_path / download.value.suggested_filename
        download.value.save_as(files[kind])
    saved, data = (json.loads(path.read_text()) for path in (files["JSON"], gallery / "saliency.json"))
    assert [token["text"] for token in saved["tokens"]] == [token["text"] for token in data["tokens"]]
    assert saved["scores"][5] == pytest.approx(data["scores"][5], abs=2e-5)
    page.goto(files["HTML"].as_uri())
    box(page, 31).click()
    assert chosen(page) == 31
    texts = [text.text for text in ElementTree.parse(files["SVG"]).iter("{http://www.w3.org/2000/svg}text")]
    for word in ["Input saliency", "gradient × input", "22%", "Croatia"]:
        assert word in texts, "title, method, legend and tokens"
    assert "Save" not in texts and not any("draws on" in text for text in texts), "nothing that is there to be used"
    drawing = ElementTree.parse(files["SVG"]).getroot()
    with Image.open(files["PNG"]) as pixels:
        assert pixels.format == "PNG" and pixels.size == (2 * int(drawing.get("width")), 2 * int(drawing.get("height")))
        assert len(set(pixels.convert("RGB").getdata())) > 50, "something is drawn"


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
    assert list(map(float, cells.all_inner_texts())) == pytest.approx([value for row in data for value in row], abs=0.0051)
    cells.nth(12 * 2 + 5).hover()
    assert "layer of distilgpt2 2 and layer of gpt2 5" in readout(page, "ecco-similarity")
    cells.nth(13).click()
    cells.nth(40).hover()
    assert "layer of distilgpt2 1 and layer of gpt2 1" in readout(page, "ecco-similarity"), "held"
    for key, expected in [("ArrowRight", (1, 2)), ("ArrowDown", (2, 2)), ("End", (2, 11)), ("ArrowUp", (1, 11)), ("Home", (1, 0)), ("ArrowLeft", (1, 0))]:
        view(page, "ecco-similarity").locator("td[tabindex='0']").press(key)
        assert f"distilgpt2 {expected[0]} and layer of gpt2 {expected[1]}" in readout(page, "ecco-similarity"), key
    assert view(page, "ecco-similarity").locator("table").get_attribute("role") == "grid"


@pytest.mark.parametrize("name", ["factors-texts", "factors-signed", "neuron-texts", "neurons", "similarity"])
def test_without_scripts_and_narrow(open_page, name):
    page = open_page(name, java_script_enabled=False, viewport={"width": 340, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 340
    assert page.locator(".ecco").first.is_visible()


HOSTILE = ["hostile", "hostile-tokens", "hostile-factors", "hostile-neuron", "hostile-reading", "hostile-targets", "hostile-score"]
READINGS = ["reading-masked", "reading-next", "reading-written", "reading-replaced", "reading-labels", "reading-nothing"]
ATTRIBUTION = ["saliency-signed", "saliency-signed-detailed", "saliency-labels", "saliency-words", "saliency-pair", "score", "faithfulness", "comparison"]


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
    for text in ["</script><script>window.hacked=1</script>", "]]>", "<!--", "U+202Eevil", "\\0\\x1b[31m\\x07", "◌\u0301", "U+200D", "\\t\\r\\n", "👩 2/4"]:
        assert text in shown
    assert not re.search("[\u202a-\u202e\u2028\u0000-\u0008\u001b]", shown)


def test_the_count_of_a_part_stands_right_of_its_character(open_page):
    """Also where the character is one of a script that is written from right to left."""
    page = open_page("hostile-tokens")
    for character in ["م", "👩"]:
        for box in page.locator(".flow > span", has_text=character).all():
            count = box.locator("bdi > i")
            edges = "(element) => { const range = document.createRange(); range.selectNodeContents(element); return range.getBoundingClientRect().left; }"
            assert count.evaluate(edges) > box.locator("bdi > bdi").evaluate(edges)


@pytest.mark.parametrize("name", ["saliency", "factors", "hostile", "hostile-factors", "ragged", "ragged-factors", "long", "long-factors", *ATTRIBUTION,
                                  "hostile-targets", "hostile-score", "hostile-faithfulness", "hostile-comparison", "long-score", "long-comparison"])
def test_pictures_are_xml(gallery, name):
    root = ElementTree.parse(gallery / f"{name}.svg").getroot()
    names = [child.tag.split("}")[1] for child in root]
    assert names[:3] == ["title", "desc", "rect"]
    assert root[2].get("fill") == "#fff", "opaque, so that dark front ends show it as well"
    assert not [element for element in root.iter() if element.tag.split("}")[1] in ("script", "image", "foreignObject")]


def test_bad_numbers_are_said_and_the_rest_is_shown(open_page):
    page = open_page("ragged")
    notes = view(page).locator(".note").all_inner_texts()
    assert len(notes) == 3 and "19 rows of scores for 20 generated tokens" in notes[0]
    assert "–" in box(page, 3).inner_text()
    box(page, 25).click()
    assert [bool(strength) for strength in strengths(page)[:6]] == [True] * 4 + [False] * 2
    view(open_page("ragged-factors"), "ecco-factors").locator(".line").nth(2).click()
    assert "there is no generated token" in view(open_page("nothing")).locator(".note").inner_text()


def chips(page, tag="ecco-saliency"):
    return view(page, tag).locator(".targets > span")


def test_named_targets_are_chosen_above_the_text(open_page, gallery):
    page = open_page("saliency-signed")
    data = json.loads((gallery / "saliency-signed.json").read_text())
    for k, (wait, place) in enumerate([(chips(page).nth(0).hover, 36), (chips(page).nth(1).click, 23)]):
        wait()
        row = data["scores"][k]
        shown = [float(strength or 0) for strength in strengths(page)]
        assert shown[: len(row)] == pytest.approx([value / max(map(abs, row)) for value in row], abs=2e-3)
        assert set(shown[len(row) :]) <= {0.0}
        assert min(shown) < 0 < max(shown), "signs are kept"
        assert int(view(page).locator(".flow > .at small").inner_text()) == place
    page.mouse.move(1, 1)
    assert chips(page).nth(1).get_attribute("aria-pressed") == "true", "held"
    chips(page).nth(1).press("ArrowRight")
    assert view(page).locator(".targets > .on").inner_text().startswith("·Finland 43")
    assert view(page).locator(".flow > .at").count() == 0, "behind the last token"


def test_checks_are_those_of_the_target(open_page):
    page = open_page("saliency-signed")
    completeness = view(page).locator(".checks > span").first
    assert completeness.get_attribute("class") == "good" and "3e-8 of 2.41" in completeness.inner_text()
    chips(page).nth(1).click()
    assert completeness.get_attribute("class") == "bad" and completeness.inner_text() == "⚠ completeness error 0.14 of 0.87"
    assert "comprehensiveness 0.41" in view(page).locator(".checks > span").last.inner_text()


@pytest.mark.parametrize("name", ["saliency-signed-detailed", "saliency-words", "saliency-pair", "saliency-labels", "score"])
def test_static_content_of_attribution_says_what_the_script_says(open_page, name):
    tag = "ecco-score" if name == "score" else "ecco-saliency"
    static, live = open_page(name, java_script_enabled=False), open_page(name)
    for part in [".flow > span", ".readout", ".legend", ".targets > span"]:
        shown = view(live, tag).locator(part).all_inner_texts()
        assert [" ".join(text.split()) for text in static.locator(part).all_inner_texts()] == [" ".join(text.split()) for text in shown], part
    place = "(boxes) => boxes.map((box) => Number(box.style.getPropertyValue('--s')).toFixed(2))"
    weak = lambda strengths: [strength if abs(float(strength)) >= 0.01 else "0.00" for strength in strengths]
    assert weak(static.locator(".flow > span").evaluate_all(place)) == weak(view(live, tag).locator(".flow > span").evaluate_all(place))


def test_exact_contribution_of_a_hovered_source(open_page, gallery):
    page = open_page("saliency-signed")
    box(page, 15).hover()
    value = json.loads((gallery / "saliency-signed.json").read_text())["scores"][0][15]
    shown = float(re.search(r"−[\d.e-]+", readout(page))[0].replace("−", "-"))
    assert value < 0 and shown == pytest.approx(value, abs=2e-5)
    assert "of logit of ·Denmark rather than ·Iceland = 2.413 · token 36" in readout(page)


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


def luminance(colour):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


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
                                  "factors-texts", "factors-signed", "neuron-texts", "neurons", "similarity", "hostile-neuron", "edges", "hostile-edges", "circuit", "hostile-circuit", "circuit-curve",
                                  "probes", "probes-positions", "hostile-probes", "corpus-neuron", "hostile-corpus-neuron"])
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
    for part in head.locator(":scope > :not(.save)").all():
        assert part.bounding_box()["x"] + part.bounding_box()["width"] < menu["x"]
    box(page, 11, f"ecco-{name}").hover()
    page.mouse.move(1, 1)
    if name == "factors":
        view(page, "ecco-factors").locator(".line").nth(3).hover()
    shown = view(page, f"ecco-{name}").locator(".readout")
    # What a factor is made of, or what its sources come to.
    assert shown.locator(":scope > span").count() == 7
    assert shown.evaluate("(e) => [e.scrollWidth <= e.clientWidth, e.scrollHeight <= e.clientHeight]") == [True, True]


def test_bars_are_as_long_as_their_probability(open_page, gallery):
    page = open_page("reading-labels", viewport={"width": 600, "height": 400})
    labels = json.loads((gallery / "reading-labels.json").read_text())["labels"]
    rows = page.locator(".reading li")
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
    for box in page.locator(".reading .flow > span").all():
        darker, lighter = sorted(map(luminance, box.evaluate(script)))
        assert (lighter + 0.05) / (darker + 0.05) > 4.5, box.inner_text()


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


PAIR, MAP = "ecco-side-by-side", "ecco-patch-map"


def pair_box(page, position, side="b"):
    return view(page, PAIR).locator(f".flow.{side} > span").nth(position)


def test_texts_side_by_side(open_page, gallery):
    page = open_page("side-by-side")
    data = json.loads((gallery / "side-by-side.json").read_text())
    assert pair_box(page, 29).get_attribute("title") == pair_box(page, 29, "a").get_attribute("title") == "the texts part here"
    assert "the texts part here" in readout(page, PAIR) and "Malta 29" in readout(page, PAIR)
    bars = view(page, PAIR).locator(".bars rect")
    assert bars.count() == len(data["intervened"]["tokens"])
    heights = [float(bar.get_attribute("height")) for bar in bars.all()]
    kl = [0.0 if one is None else one["kl"] for one in data["predictions"]]
    assert heights == pytest.approx([44 * value / max(kl) for value in kl], abs=0.02)
    pair_box(page, 35).hover()
    assert f"KL {kl[35]:.2f}".rstrip("0") in readout(page, PAIR), readout(page, PAIR)
    page.mouse.move(1, 1)
    assert "Malta 29" in readout(page, PAIR)


def test_lines_of_both_sides_stand_at_the_same_height(open_page, gallery):
    page = open_page("side-by-side")
    lines = {side: [line.bounding_box() for line in view(page, PAIR).locator(f".flow.{side}").all()] for side in "ab"}
    assert [(line["y"], line["height"]) for line in lines["a"][:6]] == [(line["y"], line["height"]) for line in lines["b"][:6]]
    kl = [(one or {"kl": 0})["kl"] for one in json.loads((gallery / "side-by-side.json").read_text())["predictions"]]
    written = [pair_box(page, i).locator("em").inner_text() for i in range(len(kl))]
    assert [text != "" for text in written] == [value >= 0.01 for value in kl] and "" in written
    shown = lambda: view(page, PAIR).locator(".flow.b:visible").count()
    every = shown()
    view(page, PAIR).get_by_role("button", name="differences only").click()
    assert 0 < shown() < every == len(lines["b"])
    assert view(page, PAIR).locator(".flow.a:visible").count() == shown()


def test_texts_side_by_side_by_keys(open_page):
    page = open_page("side-by-side")
    focused = view(page, PAIR).locator(".flow.b [tabindex='0']")
    for key, expected in [("ArrowRight", 30), ("ArrowLeft", 29), ("End", 39), ("ArrowRight", 39), ("Home", 0), ("ArrowDown", 1)]:
        focused.press(key)
        assert focused.locator("small").inner_text() == str(expected), key
    focused.press("Enter")
    pair_box(page, 20).hover()
    assert focused.get_attribute("aria-pressed") == "true" and "countries 1 " in readout(page, PAIR) + " ", "held"
    focused.press("Escape")
    assert focused.get_attribute("aria-pressed") == "false"
    assert view(page, PAIR).locator("[role=button][tabindex='0']").count() == 1


def test_texts_side_by_side_without_scripts(open_page):
    static, live = open_page("side-by-side", java_script_enabled=False), open_page("side-by-side")
    boxes = static.locator(".flow > span").all_inner_texts()
    assert boxes == view(live, PAIR).locator(".flow > span").all_inner_texts() and len(boxes) == 83
    assert static.locator(".readout").inner_text() == readout(live, PAIR)


def test_texts_side_by_side_stand_above_each_other_where_it_is_narrow(open_page):
    tops = {}
    for width in (1000, 380):
        page = open_page("side-by-side", viewport={"width": width, "height": 800})
        tops[width] = [view(page, PAIR).locator(f".flow.{side}").first.bounding_box() for side in "ab"]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert tops[1000][0]["y"] == tops[1000][1]["y"] and tops[1000][0]["x"] < tops[1000][1]["x"]
    assert tops[380][0]["y"] < tops[380][1]["y"] and tops[380][0]["x"] == tops[380][1]["x"]


def map_cell(page, row, column):
    return view(page, MAP).locator("tbody tr").nth(row).locator("td").nth(column)


def test_patching_map(open_page, gallery):
    page = open_page("patch-map")
    data = json.loads((gallery / "patch-map.json").read_text())
    cells = view(page, MAP).locator("td")
    assert cells.count() == len(data["restored"]) * len(data["restored"][0])
    strengths = [float(cell.evaluate("(cell) => cell.style.getPropertyValue('--s')")) for cell in cells.all()]
    flat = [value for row in data["restored"] for value in row]
    assert strengths == pytest.approx([value / max(map(abs, flat)) for value in flat], abs=2e-3)
    assert view(page, MAP).locator("th.differs").count() == 1
    map_cell(page, 2, 6).hover()
    restored = data["restored"][2][6]
    answer = data["corrupted"] + restored * (data["clean"] - data["corrupted"])
    assert "L2 ·are 6 restores" in readout(page, MAP)
    assert f"{float(f'{restored:.3g}')}" in readout(page, MAP) and f"{float(f'{answer:.3g}')}" in readout(page, MAP)
    page.mouse.move(1, 1)
    assert "the most of all" in readout(page, MAP)


def test_patching_map_by_keys(open_page):
    page = open_page("patch-map")
    focused = view(page, MAP).locator("td[tabindex='0']")
    place = lambda: focused.evaluate("(cell) => [cell.parentNode.rowIndex - 1, cell.cellIndex - 1]")
    focused.press("Home")
    for key, expected in [("ArrowDown", [1, 0]), ("ArrowRight", [1, 1]), ("End", [1, 14]), ("ArrowRight", [1, 14]), ("ArrowUp", [0, 14]), ("ArrowUp", [0, 14])]:
        focused.press(key)
        assert place() == expected, key
    focused.press("Enter")
    assert focused.get_attribute("aria-selected") == "true"
    map_cell(page, 4, 4).hover()
    assert readout(page, MAP).startswith("L0 "), "held"
    focused.press("Escape")
    assert focused.get_attribute("aria-selected") == "false"
    assert "Arrow keys" in view(page, MAP).get_by_role("grid").get_attribute("aria-label")


def test_attribution_patching_says_what_was_measured(open_page, gallery):
    page = open_page("attribution-patching")
    data = json.loads((gallery / "attribution-patching.json").read_text())
    cell = data["estimate"]["measured"][3]
    map_cell(page, cell["row"], cell["column"]).hover()
    assert "would restore" in readout(page, MAP) and f"measured: {float(format(cell['restored'], '.3g'))}".replace("-", "−") in readout(page, MAP)
    unmeasured = next(at for at in range(15) if [0, at] not in [[m["row"], m["column"]] for m in data["estimate"]["measured"]])
    map_cell(page, 0, unmeasured).hover()
    assert "would restore" in readout(page, MAP) and "measured" not in readout(page, MAP)
    beside = view(page, MAP).locator(".beside")
    assert "20 cells: r = 0.97" in beside.inner_text() and beside.locator("dt").count() == 12


SITE = "ecco-site-attribution"


def test_contributions_of_a_site(open_page, gallery):
    page = open_page("site-attribution")
    data = json.loads((gallery / "site-attribution.json").read_text())
    rows = view(page, SITE).locator("tbody tr")
    assert rows.count() == len(data["layers"])
    rows.nth(4).locator("td").nth(2).hover()
    said = readout(page, SITE)
    number = lambda x: str(float(f"{x:.3g}")).replace("-", "−")
    assert "L4 ·of 2 contributes" in said and f"promised {number(data['sums'][4]['promised'])}" in said, said
    ends = view(page, SITE).locator("tbody th.end")
    assert "of" in ends.nth(4).inner_text() and "of" not in ends.nth(2).inner_text()
    assert "layer 4 is off by" in view(page, SITE).inner_text()


@pytest.mark.parametrize("name", ["patch-map", "patch-map-heads"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_patching_maps_are_legible(open_page, name, scheme):
    page = open_page(name, color_scheme=scheme, viewport={"width": 1000, "height": 700})
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    for cell in frames(view(page, MAP).locator("td")):
        ground = shot.getpixel((round(cell["x"] + cell["width"] / 2), round(cell["y"] + 3)))
        darker, lighter = sorted([luminance(ground), luminance(cell["colour"])])
        assert (lighter + 0.05) / (darker + 0.05) > 4.5, cell["text"]


def test_patching_map_without_scripts_and_narrow(open_page):
    static, live = open_page("patch-map", java_script_enabled=False), open_page("patch-map", viewport={"width": 380, "height": 700})
    assert static.locator("td").all_inner_texts() == view(live, MAP).locator("td").all_inner_texts()
    assert static.locator("td").nth(3).evaluate("(cell) => getComputedStyle(cell).color") == "rgb(255, 255, 255)"
    assert live.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the table scrolls by itself"


@pytest.mark.parametrize("name, tag, what", [("side-by-side", PAIR, "KL"), ("patch-map", MAP, "Activation patching"), ("attribution-patching", MAP, "Attribution patching"), ("site-attribution", SITE, "Contributions")])
def test_views_of_interventions_are_saved(open_page, name, tag, what):
    page = open_page(name)
    for kind in ("SVG", "JSON"):
        view(page, tag).locator(".save summary").click()
        with page.expect_download() as download:
            view(page, tag).locator(".save button", has_text=kind).click()
        text = Path(download.value.path()).read_text()
        if kind == "SVG":
            assert what in ElementTree.fromstring(text)[0].text
        else:
            assert json.loads(text)


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


def painted(page):
    return [float(strength or 0) for strength in strengths(page)]


def test_a_held_source_shows_what_later_tokens_draw_from_it(open_page, gallery):
    page = open_page("saliency")
    scores = json.loads((gallery / "saliency.json").read_text())["scores"]
    before = painted(page)
    box(page, 11).click()
    page.mouse.move(1, 1)
    drawn = [row[11] for row in scores]
    assert painted(page)[23:] == pytest.approx([value / max(drawn) for value in drawn], abs=1e-3)
    assert set(painted(page)[:23]) == {0.0}
    assert readout(page).startswith("·Austria 11 has its largest shares in ·Czech 31 16%")
    box(page, 27).hover()
    assert f"·Austria 11: share {scores[4][11]:.2%} of ·Cyprus · token 27" in readout(page)
    page.keyboard.press("Escape")
    page.mouse.move(1, 1)
    assert painted(page) == before


def test_sums_over_lines_one_scale_and_numbers_in_the_view(open_page, gallery):
    page = open_page("saliency")
    scores, chip = json.loads((gallery / "saliency.json").read_text())["scores"], lambda name: view(page).get_by_role("button", name=name, exact=True).click()
    assert view(page).locator(".flow em").count() == 0
    chip("numbers")
    chip("line")
    lines = [scores[0][start:end] for start, end in [(0, 9), (9, 13), (13, 17), (17, 21), (21, 23)]]
    sums = [sum(line) for line in lines]
    assert painted(page)[:23] == pytest.approx([value / max(sums) for value, line in zip(sums, lines, strict=True) for _ in line], abs=1e-3)
    written = [text for text in view(page).locator(".flow em").all_inner_texts() if text]
    assert [float(text.rstrip("%")) for text in written] == pytest.approx([100 * value for value in sums], abs=0.6)
    chip("token")
    chip("all rows")
    most = max(max(row) for row in scores)
    assert painted(page)[:23] == pytest.approx([value / most for value in scores[0]], abs=1e-3)


def test_targets_by_sources_as_a_matrix(open_page, gallery):
    page = open_page("saliency")
    scores = json.loads((gallery / "saliency.json").read_text())["scores"]
    view(page).get_by_role("button", name="matrix").click()
    assert view(page).locator(".flow > span").first.is_hidden()
    cells = view(page).locator(".matrix > i")
    assert cells.count() == len(scores) * len(scores[-1])
    shown = cells.evaluate_all("(cells) => cells.map((cell) => Number(cell.style.getPropertyValue('--s')))")
    last = scores[-1]
    assert shown[-len(last):] == pytest.approx([value / max(last) for value in last], abs=1e-3)
    cells.nth(11).hover()
    assert f"·Austria 11: share {scores[0][11]:.2%} of ·Croatia" in readout(page)
    view(page).get_by_role("button", name="text").click()
    assert view(page).locator(".matrix").count() == 0 and box(page, 0).is_visible()


def test_a_line_ends_at_its_target(open_page, gallery):
    page = open_page("saliency-lines")
    scores = json.loads((gallery / "saliency-lines.json").read_text())["scores"]
    chips(page).nth(1).click()
    page.mouse.move(1, 1)
    shown = painted(page)
    assert shown[34:36] == pytest.approx([scores[1][7] / max(scores[1])] * 2, abs=1e-3) and set(shown[36:]) == {0.0}
    assert "token 36" in readout(page) and "·Denmark 36" in chips(page).nth(1).inner_text(), "the token, not the line"
    static = open_page("saliency-lines", java_script_enabled=False)
    assert "2.·Belgium\\n 13–16" in static.locator(".readout").inner_text()
    assert static.locator(".flow > span[style]").count() == 23


def called(open_page, gallery, name, call):
    """A page whose view came from a cell that ended with a call."""
    page = open_page("tokens")
    tag = f"ecco-{name.split('-')[0]}"
    source = (gallery / f"{name}.html").read_text().split("<body>", 1)[1].replace(f"<{tag} ", f'<{tag} data-call="{call}" ', 1)
    page.evaluate("(source) => document.body.insertAdjacentHTML('beforeend', source)", source)
    page.locator(tag).evaluate("(host) => (0, eval)(host.querySelector('script:not([type])').textContent)")
    return page


def test_the_head_says_the_call_and_a_held_token_what_to_ask_next(open_page, gallery):
    page = called(open_page, gallery, "saliency", "answer.saliency(#{method: &quot;ig&quot;})")
    head = view(page).locator(".head .call")
    assert head.inner_text() == 'answer.saliency(#{method: "ig"})'
    head.click()
    copied = "(code) => code.classList.contains('copied') || code.getRootNode().getSelection?.().toString() || getSelection().toString()"
    assert head.evaluate(copied)
    assert view(page).locator(".next").is_hidden()
    box(page, 31).click()
    asked = ["answer.candidates(31)", "answer.logit_attribution(#{position: 31})", "answer.layer_predictions(#{position: 31})"]
    assert view(page).locator(".next .call").all_inner_texts() == asked
    page.keyboard.press("Escape")
    assert view(page).locator(".next").is_hidden()
    assert "call" not in open_page("saliency", java_script_enabled=False).content().split("<script", 1)[0].split("<div", 1)[1]


def test_what_is_called_on_a_model_has_no_place_to_ask_about(open_page, gallery):
    page = called(open_page, gallery, "score", "lm.score(&quot;a&quot;)")
    box(page, 11, "ecco-score").click()
    assert view(page, "ecco-score").locator(".head .call").inner_text() == 'lm.score("a")'
    assert view(page, "ecco-score").locator(".next").is_hidden()


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
    for k in (0, 5):
        chips(page, tag).nth(k).click()
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
