"""Every example notebook runs from its first cell to its last, and each of its views is complete offline."""

import re
import sys
from pathlib import Path

import nbformat
import pytest

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "scripts"))
import run_notebook  # noqa: E402

# The README's has tests of its own.
NOTEBOOKS = sorted(p for p in (REPO / "notebooks").glob("*.ipynb") if p.stem != "readme")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "outputs belong into build/"
    run_notebook.execute(notebook, folder=tmp_path)
    pages = [
        output["data"]["text/html"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]
    assert len(pages) >= 5, "an example notebook shows something"
    for page in pages:
        assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", page)
    # A study ends in a page that works by itself.
    saved = [page.read_text(encoding="utf-8") for page in tmp_path.glob("*.html")]
    assert len(saved) == (path.stem in ("probes", "neurons"))
    assert all(
        "<ecco-" in page and not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", page) for page in saved
    )
