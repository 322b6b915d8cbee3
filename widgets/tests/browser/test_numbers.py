"""Numbers that a script writes are those that the page had without it: one table for both."""

import json
from pathlib import Path

WIDGETS = Path(__file__).parents[2]


def test_numbers_are_those_of_the_table(browser):
    table = json.loads((WIDGETS / "tests" / "numbers.json").read_text())
    script = (WIDGETS / "src" / "kit" / "element.js").read_text()
    page = browser.new_page()
    written = page.evaluate(
        """([script, table]) => {
            const formats = (0, eval)(`(() => {${script}; return {${Object.keys(table)}}})()`);
            return Object.entries(table).map(([name, cases]) => [name, cases.map(([value]) => formats[name](value ?? NaN))]);
        }""",
        [script, table],
    )
    page.close()
    assert dict(written) == {name: [text for _, text in cases] for name, cases in table.items()}
