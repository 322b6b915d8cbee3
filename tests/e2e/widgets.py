"""What the browser tests know about the widgets; all of it is here.

Playwright's CSS selectors look into open shadow roots, so they find the upgraded content.
"""

SALIENCY = "ecco-saliency"
FACTORS = "ecco-factors"
TOKENS = "ecco-tokens"
TOKEN = "[data-position]"
GENERATED = "[data-position].generated"
FACTOR = "[data-factor]"

UPGRADED = "elements => elements.every(e => customElements.get(e.localName) && e.shadowRoot)"

COLOURS = """elements => elements.map(e => {
  const style = getComputedStyle(e);
  return style.backgroundColor + " " + style.backgroundImage;
})"""

# Relative luminance and contrast as WCAG 2 defines them; a transparent background is its parent's.
LOWEST_CONTRAST = """elements => {
  const rgba = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const channel = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const over = ([r, g, b, a = 1], below) => [r, g, b].map((c, i) => c * a + below[i] * (1 - a));
  const parent = e => e.parentElement || (e.getRootNode() || {}).host;
  const background = e => {
    if (!e) return [255, 255, 255];
    const own = rgba(getComputedStyle(e).backgroundColor);
    return own.length > 3 && own[3] < 1 ? over(own, background(parent(e))) : own.slice(0, 3);
  };
  return Math.min(...elements.filter(e => e.textContent.trim()).map(e => {
    const below = background(e);
    const [a, b] = [luminance(over(rgba(getComputedStyle(e).color), below)), luminance(below)];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  }));
}"""


def all_upgraded(widgets):
    """Whether the scripts of these elements have run."""
    return widgets.count() > 0 and widgets.evaluate_all(UPGRADED)


def counts(widget):
    """How many tokens a widget shows: of the prompt, and in all."""
    n_tokens = widget.locator(TOKEN).count()
    return n_tokens - widget.locator(GENERATED).count(), n_tokens


def colours(widget):
    """The background of every token of one widget, in order."""
    return widget.locator(TOKEN).evaluate_all(COLOURS)


def lowest_contrast(widget):
    """The contrast of the token that is hardest to read."""
    return widget.locator(TOKEN).evaluate_all(LOWEST_CONTRAST)


def hold(widget, position):
    """Clicks a token, and moves the pointer away so that only the click can have an effect."""
    widget.locator(f'{TOKEN}[data-position="{position}"]').click()
    widget.page.mouse.move(0, 0)


def assert_click_recolours(widget, n_input, n_tokens):
    """Holding another generated token colours other tokens: the point of the saliency view."""
    hold(widget, n_input + 1)
    early = colours(widget)
    hold(widget, n_tokens - 1)
    late = colours(widget)
    assert len(early) == len(late) == n_tokens
    changed = [i for i, (a, b) in enumerate(zip(early, late)) if a != b]
    prompt = [i for i in changed if i < n_input]
    assert len(prompt) >= n_input // 4, f"only {changed} changed"
    assert any(i > n_input + 1 for i in changed), "the tokens between the two did not change"
