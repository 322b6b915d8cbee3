"""The documentation as a site: complete, without dead links, and of one folder."""

import re
import subprocess
import sys

import pytest


def make(repo, build):
    command = [sys.executable, repo / "scripts/docs.py", "--no-notebooks", "--build", build]
    return subprocess.run(command, cwd=repo, capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(repo, tmp_path_factory):
    build = tmp_path_factory.mktemp("docs")
    done = make(repo, build)
    assert done.returncode == 0, done.stderr
    return build / "site"


def test_every_page_of_the_documentation_is_there(repo, site):
    for page in (repo / "docs").rglob("*.md"):
        name = "index" if page.stem == "README" else page.stem
        assert (site / page.relative_to(repo).with_name(f"{name}.html")).is_file()


def test_pages_load_nothing_from_elsewhere_and_colour_rhai(site):
    loads = re.compile(r'<(?:script|img|source|link rel="stylesheet")[^>]*?(?:src|href|srcset)="(\w+:|//)')
    for page in site.rglob("*.html"):
        assert not loads.search(page.read_text(encoding="utf-8")), page
    assert '<span class="k">let</span>' in (site / "index.html").read_text(encoding="utf-8")


def test_a_link_that_leads_nowhere_ends_it(repo, tmp_path):
    copy = tmp_path / "repo"
    subprocess.run(["git", "clone", "--quiet", "--shared", repo, copy], check=True)
    for name in ["docs.py", "run_notebook.py"]:
        (copy / "scripts" / name).write_bytes((repo / "scripts" / name).read_bytes())
    with (copy / "SECURITY.md").open("a") as page:
        page.write("\n[gone](docs/gone.md) [no heading](docs/kernel.md#gone)\n")
    done = make(copy, tmp_path)
    assert done.returncode == 1
    assert "docs/gone.md" in done.stderr and "#gone" in done.stderr, done.stderr
