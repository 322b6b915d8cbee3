"""What the menus of views save: one maker for all of them."""

import xml.etree.ElementTree as ElementTree

import pytest

SVG = "{http://www.w3.org/2000/svg}"
# Each view that has a menu, and words of its picture besides the title.
VIEWS = {
    "attention": ["layers down, heads across", "Croatia"],
    "attribution-graph": ["completeness 0.93", "L1 att", "France"],
    "candidates": ["Cyprus", "Atlantis"],
    "circuit": ["a5.h3", "faithfulness 0.91"],
    "circuit-curve": ["without it", "32491"],
    "comparison": ["rank correlation", "occlusion"],
    "corpus-neuron": ["promotes", "text 844"],
    "edges": ["a8.h2", "measured"],
    "factors": ["reconstruction error", "×9"],
    "faithfulness": ["comprehensiveness", "deletion"],
    "heads": ["induction", "entropy"],
    "lens": ["coloured by", "Croatia"],
    "model-diff": ["1.25", "attention"],
    "models": ["distilgpt2", "328 MB"],
    "neuron": ["Croatia"],
    "parts": ["layer"],
    "patch-map": ["corrupted", "0.62"],
    "predictions": ["layer"],
    "probes": ["layer", "shuffled"],
    "projection": ["component 1", "number"],
    "ranks": ["layer"],
    "saliency": ["gradient × input", "22%"],
    "saliency-detailed": ["13%"],
    "score": ["Croatia"],
    "side-by-side": ["untouched", "Malta"],
    "similarity": ["layer"],
    "site-attribution": ["layer", "sum"],
    "table": [],
    "tokens": ["Croatia", "23 given, 20 written"],
    "top-k": ["Croatia"],
    "vocabulary": ["head"],
}


def element(page):
    return page.locator("[data-view]").first


def saved(page, kind):
    element(page).get_by_text("Save", exact=True).click()
    with page.expect_download() as download:
        element(page).get_by_role("button", name=kind, exact=True).click()
    return download.value.path()


@pytest.mark.parametrize("name", VIEWS)
def test_a_picture_is_the_view_in_light_colours(open_page, name):
    page = open_page(name, accept_downloads=True, color_scheme="dark")
    # A class that was taken off again leaves its attribute.
    seen = """(host) => [host.outerHTML, host.shadowRoot.innerHTML.replaceAll(' class=""', ""),
        getComputedStyle(host.shadowRoot.querySelector('.ecco')).backgroundColor]"""
    element(page).get_by_text("Save", exact=True).hover()
    before = element(page).evaluate(seen)
    root = ElementTree.parse(saved(page, "SVG")).getroot()
    element(page).get_by_text("Save", exact=True).hover()
    assert element(page).evaluate(seen) == before, "the view stays as it was"
    assert before[2] == "rgb(22, 24, 29)" and root.find(f"{SVG}rect").get("fill") == "rgb(255,255,255)"
    title = root.find(f"{SVG}title").text
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert title.split(" · ")[0] in texts
    for word in VIEWS[name]:
        assert any(word in text for text in texts), (word, texts)
    width, height = float(root.get("width")), float(root.get("height"))
    for rect in root.findall(f"{SVG}rect"):
        x, y, wide, tall = (float(rect.get(key, 0)) for key in ["x", "y", "width", "height"])
        assert x >= 0 and y >= 0 and x + wide <= width and y + tall <= height


@pytest.mark.parametrize("name", VIEWS)
def test_menus_are_alike(open_page, name):
    page = open_page(name)
    element(page).get_by_text("Save", exact=True).click()
    items = element(page).locator(".save button").all_inner_texts()
    assert [item for item in items if item not in ("Copy picture", "CSV")] == ["PNG", "SVG", "JSON", "HTML"]


def test_what_a_page_cuts_off_is_cut_off(open_page):
    page = open_page("patch-map", accept_downloads=True)
    texts = [text.text for text in ElementTree.parse(saved(page, "SVG")).getroot().iter(f"{SVG}text")]
    long = [text for text in texts if text.startswith("</scr")]
    assert len(long) == 1 and long[0].endswith("…") and len(long[0]) > 8, texts


def test_a_picture_can_be_copied(open_page):
    page = open_page("saliency", permissions=["clipboard-read", "clipboard-write"])
    element(page).get_by_text("Save", exact=True).click()
    element(page).get_by_role("button", name="Copy picture").click()
    page.wait_for_function("async () => (await navigator.clipboard.read()).some((item) => item.types.includes('image/png'))")
