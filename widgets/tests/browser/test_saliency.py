"""Saliency: choosing targets, pointing at sources, units, the matrix, saving."""

import json
import re
import xml.etree.ElementTree as ElementTree

import pytest
from PIL import Image

from seen import LAST, N_INPUT, box, chips, chosen, colours, painted, readout, strengths, view


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


def test_the_count_of_a_part_stands_right_of_its_character(open_page):
    """Also where the character is one of a script that is written from right to left."""
    page = open_page("hostile-tokens")
    for character in ["م", "👩"]:
        for shown in page.locator(".live .flow > span", has_text=character).all():
            count = shown.locator("bdi > i")
            edges = "(element) => { const range = document.createRange(); range.selectNodeContents(element); return range.getBoundingClientRect().left; }"
            assert count.evaluate(edges) > shown.locator("bdi > bdi").evaluate(edges)


def test_bad_numbers_are_said_and_the_rest_is_shown(open_page):
    page = open_page("ragged")
    notes = view(page).locator(".note").all_inner_texts()
    assert len(notes) == 3 and "19 rows of scores for 20 generated tokens" in notes[0]
    assert "–" in box(page, 3).inner_text()
    box(page, 25).click()
    assert [bool(strength) for strength in strengths(page)[:6]] == [True] * 4 + [False] * 2
    view(open_page("ragged-factors"), "ecco-factors").locator(".line").nth(2).click()
    assert "there is no generated token" in view(open_page("nothing")).locator(".note").inner_text()


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
    page.wait_for_function(copied, arg=head.element_handle())  # the clipboard answers when it likes
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
