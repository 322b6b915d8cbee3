"""Runs a notebook on the kernel that it names and writes the result, as a notebook and as a page.

    python scripts/run_notebook.py notebooks/readme.ipynb build

The page is one file that works without a network: nbconvert's template loads RequireJS, MathJax and
Mermaid from elsewhere, so those blocks are left out.
"""

import sys
import time
from pathlib import Path

import nbformat
from jinja2 import DictLoader
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter

OFFLINE_TEMPLATE = """{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js_requirejs -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
"""
CELL_TIMEOUT_S = 600


def execute(notebook, report=lambda line: None, folder=None):
    """Runs all cells in order, in place. Raises CellExecutionError at the first that fails. What it saves goes to `folder`."""
    cells = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]

    def before(cell, cell_index):
        started[0] = time.monotonic()

    def after(cell, cell_index, execute_reply):
        seconds = time.monotonic() - started[0]
        first_line = cell.source.splitlines()[0]
        report(f"  cell {cells.index(cell_index) + 1}/{len(cells)}  {seconds:5.1f} s  {first_line}")

    started = [0.0]
    resources = {"metadata": {"path": str(folder)}} if folder else {}
    hooks = {"on_cell_execute": before, "on_cell_executed": after}
    NotebookClient(notebook, timeout=CELL_TIMEOUT_S, resources=resources, **hooks).execute()


def to_html(notebook, title):
    """One self-contained page, scripts of the outputs included."""
    exporter = HTMLExporter(
        template_file="offline.html.j2",
        extra_loaders=[DictLoader({"offline.html.j2": OFFLINE_TEMPLATE})],
        embed_images=True,
    )
    page, _ = exporter.from_notebook_node(notebook, resources={"metadata": {"name": title}})
    return page


def main(source, folder):
    notebook = nbformat.read(source, as_version=4)
    folder.mkdir(parents=True, exist_ok=True)
    failed = None
    try:
        execute(notebook, lambda line: print(line, flush=True), folder)
    except CellExecutionError as error:
        failed = error
    executed = folder / source.name
    nbformat.write(notebook, executed)
    if failed:
        sys.exit(f"{failed}\nthe notebook up to there: {executed}")
    executed.with_suffix(".html").write_text(to_html(notebook, source.stem), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
