"""What every view looks like, beside a picture of it that somebody has looked at.

The pictures are coarse: a box that lies a pixel further is no fault, and a view that is empty, cut off, of one colour or twice
as high is one. They have Debian's font; where the system's is much wider or narrower, lines break elsewhere and nothing is compared. `ECCO_BLESS=1 pytest widgets/tests/browser/test_looks.py` takes them anew; look at
them before they are committed.
"""

import io
import os
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageStat

REFERENCES = Path(__file__).parent / "looks"
BLESS = os.environ.get("ECCO_BLESS") == "1"
# Pages of the gallery that are no view's own picture.
OTHERS = ("hostile", "index", "long", "minus-infinite", "nan", "infinite", "underflown", "none", "nothing", "ragged", "streaming", "twice", "zero")
# A reference's width in pixels; of a page the first so many are looked at.
WIDTH, HIGHEST = 64, 1800
# Of 255, over all pixels, and over the sixteenth of the picture that differs most; and of the height.
MOST, MOST_OF_A_PART, HIGHER = 8, 30, 0.25
# What this text takes in that font, in pixels.
WORDS, WORDS_WIDTH = "The quick brown fox jumps over the lazy dog", 360


def is_shown(name):
    return not any(name == other or name.startswith(f"{other}-") for other in OTHERS)


def taken(open_page, name, scheme):
    page = open_page(name, color_scheme=scheme, viewport={"width": 900, "height": 900}, reduced_motion="reduce")
    shot = Image.open(io.BytesIO(page.locator("body").screenshot(animations="disabled"))).convert("RGB")
    page.close()
    return shot.crop((0, 0, shot.width, min(shot.height, HIGHEST)))


def width_of_words(open_page):
    script = """(words) => {
        const context = document.createElement("canvas").getContext("2d");
        context.font = `16px ${getComputedStyle(document.querySelector("ecco-saliency").shadowRoot.querySelector(".live")).fontFamily}`;
        return context.measureText(words).width;
    }"""
    return open_page("saliency").evaluate(script, WORDS)


def small(shot):
    return shot.resize((WIDTH, max(1, round(WIDTH * shot.height / shot.width))), Image.Resampling.BOX)


def unlike(shot, reference):
    """What is wrong with a picture, or nothing."""
    height = WIDTH * shot.height / shot.width
    if abs(height / reference.height - 1) > HIGHER and abs(height - reference.height) > 2:
        return f"{height:.0f} high in place of {reference.height}"
    resized = shot.resize(reference.size, Image.Resampling.BOX)
    difference = ImageChops.difference(resized, reference).convert("L")
    of_all = ImageStat.Stat(difference).mean[0]
    of_part = difference.resize((4, 4), Image.Resampling.BOX).getextrema()[1]
    is_like = of_all <= MOST and of_part <= MOST_OF_A_PART
    return None if is_like else f"{of_all:.1f} of {MOST}, {of_part} of {MOST_OF_A_PART}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_looks_as_it_did(open_page, gallery, scheme):
    width = width_of_words(open_page)
    if abs(width / WORDS_WIDTH - 1) > 0.02:
        pytest.skip(f"another font: {WORDS!r} takes {width:.0f} pixels and not {WORDS_WIDTH}")
    names = sorted(page.stem for page in gallery.glob("*.html") if is_shown(page.stem))
    folder = REFERENCES / scheme
    if BLESS:
        folder.mkdir(parents=True, exist_ok=True)
        [old.unlink() for old in folder.glob("*.png")]
    else:
        assert sorted(picture.stem for picture in folder.glob("*.png")) == names, "each view has a reference, see above"
    wrong = {}
    for name in names:
        shot = taken(open_page, name, scheme)
        path = folder / f"{name}.png"
        if BLESS:
            small(shot).quantize(32).save(path, optimize=True)
            continue
        if said := unlike(shot, Image.open(path).convert("RGB")):
            wrong[name] = said
    assert wrong == {}
    assert not BLESS, "references were written: look at them"


def test_what_is_no_view_is_told_from_one(open_page):
    """A view is like itself; an empty one, one that is cut in half or twice as high, and the other theme's are not."""
    shot, dark = (taken(open_page, "saliency", scheme) for scheme in ["light", "dark"])
    ground, (width, height) = shot.getpixel((2, 2)), shot.size
    empty = Image.new("RGB", shot.size, ground)
    cut = shot.copy()
    ImageDraw.Draw(cut).rectangle((0, height // 2, width, height), fill=ground)
    high = Image.new("RGB", (width, 2 * height), ground)
    high.paste(shot)
    reference = small(shot)
    assert unlike(shot, reference) is None
    for other in [empty, cut, high, dark]:
        assert unlike(other, reference)
