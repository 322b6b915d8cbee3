"""The page of all views is whole, and so are the README's pictures, taken anew."""

import re
import sys
from pathlib import Path

import pytest
from PIL import Image

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "scripts"))
import gallery  # noqa: E402

# Those that the gallery's model and texts have nothing to show for, or that are parts of others.
NOT_SHOWN = {"ecco-model-diff", "ecco-patchscope"}


@pytest.fixture(scope="module")
def page_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("gallery") / "gallery.html"
    gallery.page_of(gallery.cells("demo"), path)
    return path


def tags():
    """The elements of all views, by their scripts."""
    scripts = (REPO / "widgets/src/views").glob("*/view.js")
    return {re.search(r'define\("([\w-]+)"', script.read_text()).group(1) for script in scripts}


def test_every_view_is_there_and_its_script_runs(page_path, chromium):
    page, complaints, requests = chromium.new_page(), [], []
    page.on("pageerror", lambda error: complaints.append(error.message))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(page_path.as_uri())
    shown = set(
        page.evaluate(
            "[...document.querySelectorAll('*')].filter(e => e.shadowRoot && e.localName.startsWith('ecco-')).map(e => e.localName)"
        )
    )
    assert tags() - shown <= NOT_SHOWN
    assert complaints == [] and len(requests) == 1
    page.close()


def test_the_readmes_pictures_are_taken_anew(chromium, tmp_path):
    """They show what the views look like now: as wide and about as high as those that are committed, and of as many colours."""
    gallery.readme_pictures(chromium, REPO / "build/readme.html", tmp_path)
    for committed in (REPO / "docs/images").glob("*.png"):
        taken = Image.open(tmp_path / committed.name).convert("RGB")
        known = Image.open(committed).convert("RGB")
        assert abs(taken.width - known.width) <= 8
        assert abs(taken.height - known.height) <= known.height // 10, committed.name
        n_taken, n_known = (len(image.quantize(64).getcolors()) for image in (taken, known))
        assert n_taken > n_known // 2 > 10, committed.name
