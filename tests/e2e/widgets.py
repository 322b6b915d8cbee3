"""What the browser tests know about the widgets; all of it is here.

Playwright's CSS selectors look into open shadow roots too. The static content stays in the document
under an upgraded element, where it is not visible.
"""

import io

from PIL import Image

SALIENCY = "ecco-saliency"
FACTORS = "ecco-factors"
TOKENS = ".ecco.tokens"
TOKEN = ".flow > span:visible"
GENERATED = ".flow > span.g:visible"
FACTOR = ".list .line:visible"

UPGRADED = "elements => elements.every(e => customElements.get(e.localName) && e.shadowRoot)"
BACKGROUNDS = "elements => elements.map(e => getComputedStyle(e).background)"
TEXT_COLOURS = "elements => elements.map(e => getComputedStyle(e).color)"


def all_upgraded(widgets):
    """Whether the scripts of these elements have run."""
    return widgets.count() > 0 and widgets.evaluate_all(UPGRADED)


def counts(widget):
    """How many tokens a widget shows: of the prompt, and in all."""
    n_tokens = widget.locator(TOKEN).count()
    return n_tokens - widget.locator(GENERATED).count(), n_tokens


def colours(widget):
    """The background of every token of one widget, in order."""
    return widget.locator(TOKEN).evaluate_all(BACKGROUNDS)


def hold(widget, position):
    """Clicks a token, and moves the pointer away so that only the click can have an effect."""
    widget.locator(TOKEN).nth(position).click()
    widget.page.mouse.move(0, 0)


def assert_click_recolours(widget):
    """Holding another generated token colours other tokens: the point of the saliency view."""
    n_input, n_tokens = counts(widget)
    assert n_input > 10 and n_tokens > n_input + 2
    hold(widget, n_input + 1)
    early = colours(widget)
    hold(widget, n_tokens - 1)
    late = colours(widget)
    changed = [i for i, (a, b) in enumerate(zip(early, late, strict=True)) if a != b]
    assert len([i for i in changed if i < n_input]) >= n_input // 4, f"only {changed} changed"
    assert any(n_input + 1 < i < n_tokens - 1 for i in changed), "nothing between the two changed"


def lowest_contrast(widget):
    """The contrast of the token that is hardest to read, as WCAG 2 defines it: the colour of its text
    against the colour that most of its box has on the screen."""
    widget.scroll_into_view_if_needed()
    tokens = widget.locator(TOKEN)
    text = tokens.evaluate_all(TEXT_COLOURS)
    shot = Image.open(io.BytesIO(widget.page.screenshot())).convert("RGB")
    boxes = [token.bounding_box() for token in tokens.all()]
    on_screen = [(b, t) for b, t in zip(boxes, text, strict=True) if 0 <= b["y"] <= shot.height - b["height"]]
    assert on_screen
    return min(contrast(rgb(text), most_common_colour(shot, box)) for box, text in on_screen)


def most_common_colour(image, box):
    edges = (box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"])
    crop = image.crop([round(edge) for edge in edges])
    return max(crop.getcolors(crop.width * crop.height))[1]


def rgb(css):
    """`rgb(1, 2, 3)` as numbers."""
    return tuple(float(part) for part in css[css.index("(") + 1 : -1].split(",")[:3])


def contrast(a, b):
    lighter, darker = sorted((luminance(a), luminance(b)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour):
    linear = [c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
