"""What axe-core finds in every view, in both themes: nothing.

Its rules of whole pages, a heading and landmarks, are not for a view, which is a part of a page.
"""

from pathlib import Path

import axe_playwright_python
import pytest

from test_looks import is_shown

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
OF_PAGES = ("landmark-one-main", "page-has-heading-one", "region")
RUN = """async (of_pages) => {
    const rules = Object.fromEntries(of_pages.map((rule) => [rule, { enabled: false }]));
    const { violations } = await axe.run(document, { rules, resultTypes: ["violations"] });
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 200) + node.failureSummary).join("; ")}`);
}"""


def found(page):
    page.evaluate(AXE)
    return page.evaluate(RUN, OF_PAGES)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.timeout(600)
def test_axe_finds_nothing(open_page, gallery, scheme):
    names = sorted(file.stem for file in gallery.glob("*.html") if is_shown(file.stem))
    assert len(names) > 60
    all_found = {}
    for name in names:
        page = open_page(name, color_scheme=scheme, viewport={"width": 1000, "height": 900}, reduced_motion="reduce")
        all_found[name] = found(page)
        page.context.close()
    assert {name: some for name, some in all_found.items() if some} == {}


def test_axe_would_find_something(open_page):
    page = open_page("tokens")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p style=\"color:#888;background:#999\">faint</p><button></button>')")
    assert {line.split(":")[0] for line in found(page)} == {"color-contrast", "button-name"}
