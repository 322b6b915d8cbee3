"""The documentation as a site: build/site, which works from a folder, without a network.

    python scripts/docs.py               # with the notebooks, run on the installed kernel
    python scripts/docs.py --no-notebooks  # the pages alone, some seconds

Pages stay where they are in the repository, so that their links are the same on GitHub and here. They are copied to
build/pages, where links to what is no page are led to GitHub, and mkdocs makes the site of them; a link that leads
nowhere ends it. mkdocs and not mdBook: a wheel in place of minutes of compiling, and Rhai has its colours by the lexer of
`ecco_kernel`.
"""

import argparse
import logging
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import unquote

import nbformat
import run_notebook
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import MkDocsException

REPO = Path(__file__).resolve().parents[1]
GITHUB = "https://github.com/ecco-kernel/ecco-kernel/blob/main/"
# What is on the left, in order; the pages of methods follow by name, and what is not named here is found by links.
START = {
    "README.md": "Ecco",
    "docs/coming-from-python.md": "Rhai for people from Python",
    "docs/from-libraries.md": "From other libraries",
    "docs/from-python.md": "From Python's notebooks",
    "docs/hosts.md": "In every host",
    "docs/attribution.md": "Attribution, a guide",
    "docs/data.md": "Tensors, files, tables",
    "docs/batch.md": "Many texts",
    "docs/live.md": "Views that answer",
}
REFERENCE = {
    "docs/primitives.md": "Primitives",
    "docs/results.md": "Results",
    "docs/families.md": "Families of models",
    "docs/formats.md": "Formats",
    "docs/adapters.md": "Adapters",
    "docs/gpu.md": "GPUs",
    "docs/kernel.md": "The kernel",
    "docs/architecture.md": "Architecture",
    "CONTRIBUTING.md": "Contributing",
    "SECURITY.md": "Security",
    "CHANGELOG.md": "Changelog",
}
# The theme lets rows of tables be one line each, however long.
WRAPPED = (
    ".rst-content .wy-table-responsive table td, .rst-content table th { white-space: normal !important; }\n"
)
LINK = re.compile(r"(\]\(<?)((?:[^()<>\s]|\([^()]*\))+)(>?(?:\s+\"[^\"]*\")?\))")
FENCE = re.compile(r"\s*(`{3,}|~{3,})")
ITEM = re.compile(r"([-*+]|\d+[.)]) ")


def tracked(*patterns):
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    listing = subprocess.run(command, cwd=REPO, check=True, capture_output=True, text=True)
    return [Path(name) for name in listing.stdout.splitlines() if (REPO / name).is_file()]


def slug(heading, separator):
    """GitHub's anchor of a heading, which links are written for."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", separator)


def page(path, known):
    """A page as mkdocs wants it: lists and tables stand apart, and links to what is no page lead to GitHub."""

    def led(match):
        link = match[2]
        file, _, anchor = unquote(link).partition("#")
        if not file or re.match(r"[a-z][a-z0-9+.-]*:", link, re.IGNORECASE):
            return match[0]
        target = (REPO / path.parent / file).resolve()
        if not target.exists():
            return match[0]
        name = target.relative_to(REPO)
        if name.suffix == ".ipynb" and name in known:
            return f"{match[1]}{file.removesuffix('.ipynb')}.html{match[3]}"
        if name in known:
            return match[0]
        folder = name / "README.md"
        if folder in known:
            return f"{match[1]}{file.rstrip('/')}/README.md{match[3]}"
        return f"{match[1]}{GITHUB}{name}{'#' + anchor if anchor else ''}{match[3]}"

    fence, before, lines = None, "", []
    for line in (REPO / path).read_text(encoding="utf-8").splitlines():
        mark = FENCE.match(line)
        if fence is None:
            is_apart = not before.strip() or before.startswith((" ", "|", "#")) or ITEM.match(before)
            if not is_apart and (ITEM.match(line) or line.startswith("|")):
                lines.append("")
            line = LINK.sub(led, line) if not mark else line
            fence = mark[1] if mark else None
        elif mark and line.strip().startswith(fence) and not line.strip().strip(fence[0]):
            fence = None
        lines.append(line)
        before = line
    return "\n".join(lines) + "\n"


def write_pages(folder, notebooks):
    """Everything that the site is made of; the notebooks are run."""
    pages = tracked("*.md")
    known = {*pages, *tracked("docs/images/*"), *(tracked("notebooks/*.ipynb") if notebooks else [])}
    for path in known:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            target.write_text(page(path, known), encoding="utf-8")
        elif path.suffix == ".ipynb":
            print(path, flush=True)
            notebook = nbformat.read(REPO / path, as_version=4)
            with tempfile.TemporaryDirectory() as saved:
                run_notebook.execute(notebook, folder=saved)
            html = run_notebook.to_html(notebook, path.stem)
            target.with_suffix(".html").write_text(html, encoding="utf-8")
        else:
            shutil.copy(REPO / path, target)
    shown = sorted(path for path in known if path.suffix == ".ipynb")
    if shown:
        links = [f"- [{path.stem}]({path.stem}.html)" for path in shown]
        text = "# Notebooks\nRun on the demo model; the views answer the mouse and the keys.\n\n" + "\n".join(
            links
        )
        (folder / "notebooks/README.md").write_text(text + "\n", encoding="utf-8")
    return bool(shown)


def navigation(has_notebooks):
    methods = [str(path) for path in tracked("docs/methods/*.md") if path.name != "README.md"]
    named = [{title: path} for path, title in START.items()]
    notebooks = [{"Notebooks": "notebooks/README.md"}] if has_notebooks else []
    return [
        *named,
        *notebooks,
        {"Methods": ["docs/methods/README.md", *methods]},
        {"Reference": [{title: path} for path, title in REFERENCE.items()]},
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--no-notebooks", action="store_true", help="do not run the notebooks")
    parser.add_argument("--build", type=Path, default=REPO / "build", help="where pages/ and site/ are made")
    arguments = parser.parse_args()
    folder = arguments.build.resolve()
    shutil.rmtree(folder / "pages", ignore_errors=True)
    has_notebooks = write_pages(folder / "pages", not arguments.no_notebooks)
    settings = folder / "mkdocs.yml"
    settings.write_text("site_name: Ecco\n")
    toc = {"permalink": True, "slugify": slug}
    colours = {"guess_lang": False}
    config = load_config(
        str(settings),
        docs_dir=str(folder / "pages"),
        site_dir=str(folder / "site"),
        # Nothing is fetched from elsewhere: no fonts, no script that colours code.
        theme={"name": "readthedocs", "highlightjs": False},
        use_directory_urls=False,
        strict=True,
        nav=navigation(has_notebooks),
        markdown_extensions=["tables", "sane_lists", {"codehilite": colours}, {"toc": toc}],
        extra_css=["site.css"],
        validation={
            "nav": {"omitted_files": "ignore", "not_found": "warn"},
            "links": {"not_found": "warn", "anchors": "warn", "unrecognized_links": "warn"},
        },
    )
    style = subprocess.run(
        [sys.executable, "-m", "pygments", "-S", "default", "-f", "html", "-a", ".codehilite"],
        check=True,
        capture_output=True,
        text=True,
    )
    (folder / "pages/site.css").write_text(WRAPPED + style.stdout, encoding="utf-8")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    build(config)
    print(folder / "site/index.html")


if __name__ == "__main__":
    try:
        main()
    except MkDocsException as error:
        sys.exit(str(error))
