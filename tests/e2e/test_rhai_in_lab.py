"""Rhai in the cells of JupyterLab and Notebook 7, and what a selected text can be asked there."""

import pytest
from ecco_kernel.lexer import RhaiLexer
from playwright.sync_api import expect
from pygments.token import Comment, Keyword, Number, String

from front_ends import OpenNotebook, write_notebook
from servers import server

pytestmark = pytest.mark.timeout(600)
MODEL = 'let small = ecco::from_pretrained("demo");'
# What Rust has otherwise: keywords, nested comments, texts in backticks with code inside, maps.
CODE = r"""until throw switch let /* a /* b */ c */ fn twice(x) { x + 0x1F }
let t = `one ${ twice(#{a: "}"}.a) } two`; // and so on
let r = #"raw "quoted" text"#; 'c'; 1..3; 1.5e3; "a \
goes on"; x.len(); this.y ?? true"""
PROSE = 'She said: "no".\tThen 🙂 left.'


@pytest.fixture(scope="module", params=["lab", "notebook"])
def notebook(request, chromium, repo, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "notebooks").mkdir()
    write_notebook(folder / "notebooks/one.ipynb", [MODEL, CODE, f"print(`{PROSE}`)"])
    with server(request.param, folder) as address:
        page = chromium.new_page(viewport={"width": 1300, "height": 900})
        yield OpenNotebook(request.param, page, address, "one.ipynb", repo / "build/screenshots")
        page.close()


# The text of a cell's editor in pieces, each with its colour and weight.
PIECES = """content => [...content.querySelectorAll(".cm-line")].map(line => {
  const pieces = [], walk = node => {
    if (node.nodeType === 3) {
      const style = getComputedStyle(node.parentElement);
      pieces.push([node.data, `${style.color} ${style.fontWeight} ${style.fontStyle}`]);
    } else for (const child of node.childNodes) walk(child);
  };
  walk(line);
  return pieces;
})"""


def styles(notebook, number):
    """Of each letter of a cell its style."""
    lines = notebook.cell(number).locator(".cm-content").evaluate(PIECES)
    return [[style for text, style in line for _ in text] for line in lines]


def test_cells_have_the_colours_that_pygments_gives(notebook):
    """Letters of one kind have one colour, and those of different kinds different ones."""
    notebook.edit(1)
    found = styles(notebook, 1)
    kinds = {"keyword": Keyword, "string": String, "comment": Comment, "number": Number}
    seen = {kind: set() for kind in kinds}
    line = column = 0
    # A text's escapes and the borders of what stands inside of it have colours of their own in both.
    apart = (String.Interpol, String.Escape, Keyword.Constant)
    for token, text in RhaiLexer().get_tokens(CODE):
        for letter in text:
            if letter == "\n":
                line, column = line + 1, 0
                continue
            kind = next((name for name, of in kinds.items() if token in of and token not in apart), None)
            if kind and not letter.isspace():
                seen[kind].add(found[line][column])
            column += 1
    assert all(len(colours) == 1 for colours in seen.values()), seen
    assert len(set.union(*seen.values())) == len(kinds), seen
    notebook.shot("rhai")


def test_lines_are_indented_and_commented(notebook):
    notebook.edit(0)
    keys = notebook.page.keyboard
    keys.press("Enter")
    keys.type("fn f(x) {")
    keys.press("Enter")
    keys.type("x")
    keys.press("Control+/")
    keys.press("Enter")
    keys.type("}")
    lines = notebook.cell(0).locator(".cm-line").all_inner_texts()
    assert lines == [MODEL, "fn f(x) {", "    // x", "}"]


def test_a_selected_text_becomes_a_cell_below(notebook):
    for number in [0, 2]:
        notebook.run(number)
    notebook.wait_until_idle()
    page, output = notebook.page, notebook.output(2).locator("pre").first
    expect(output).to_have_text(PROSE)
    for label, name in [("Score This Text", "score"), ("Attribute This Text", "attribute")]:
        output.evaluate("""pre => getSelection().selectAllChildren(pre)""")
        output.click(button="right", position={"x": 20, "y": 8})
        page.locator(".lm-Menu-itemLabel", has_text=label).click()
        line = notebook.cell(3).locator(".cm-line")
        expect(line).to_have_text(f'small.{name}("She said: \\"no\\".\\tThen 🙂 left.")')
    notebook.run(3)
    notebook.wait_until_idle()
    expect(notebook.output(3)).to_be_visible()
    assert "Error" not in notebook.output(3).inner_text()
    # Without a selection there is nothing to ask.
    page.evaluate("getSelection().removeAllRanges()")
    output.click(button="right", position={"x": 20, "y": 8})
    page.locator(".lm-Menu-itemLabel", has_text="Cut Cell").wait_for()
    expect(page.locator(".lm-Menu-itemLabel", has_text="Score This Text")).to_be_hidden()
    page.keyboard.press("Escape")
