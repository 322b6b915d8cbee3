"""What a test sees of a view, and the pages of several kinds."""


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
HOSTILE = ["hostile", "hostile-tokens", "hostile-factors", "hostile-neuron", "hostile-reading", "hostile-targets", "hostile-score"]
READINGS = ["reading-masked", "reading-next", "reading-written", "reading-replaced", "reading-labels",
            "reading-entities", "reading-answers", "reading-values", "reading-nothing"]
ATTRIBUTION = ["saliency-signed", "saliency-signed-detailed", "saliency-labels", "saliency-words", "saliency-pair", "score", "faithfulness", "comparison"]


def chips(page, tag="ecco-saliency"):
    return view(page, tag).locator(".targets > span")


def luminance(colour):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


PAIR, MAP = "ecco-side-by-side", "ecco-patch-map"
SITE = "ecco-site-attribution"


def painted(page):
    return [float(strength or 0) for strength in strengths(page)]
