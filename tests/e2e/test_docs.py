"""The pages of the repository: what they link to is there."""

import re
import subprocess
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

REPO = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\(<?((?:[^()<>\s]|\([^()]*\))+)>?(?:\s+\"[^\"]*\")?\)")
HTML_LINK = re.compile(r"<(?:a|img|source)\b[^>]*?\b(?:href|src|srcset)=\"([^\"\s]+)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$")
CODE = re.compile(r"(`+)(?:(?!\1).)+\1")


def pages():
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md", "llms.txt"],
        cwd=REPO,
        check=True,
        capture_output=True,
        text=True,
    )
    return [name for name in listing.stdout.splitlines() if (REPO / name).is_file()]


def prose(text):
    """The lines outside of fenced code, numbered from 1."""
    fence = None
    for number, line in enumerate(text.splitlines(), 1):
        mark = re.match(r"\s*(`{3,}|~{3,})", line)
        if mark and fence is None:
            fence = mark[1]
        elif mark and line.strip().startswith(fence) and not line.strip().strip(fence[0]):
            fence = None
        elif fence is None:
            yield number, line


@cache
def anchors(path):
    """As GitHub makes them of headings; the second of the same name ends in -1."""
    found, seen = set(), {}
    for _, line in prose(path.read_text(encoding="utf-8")):
        found.update(re.findall(r"\b(?:id|name)=\"([^\"]+)\"", line))
        heading = HEADING.match(line)
        if not heading:
            continue
        words = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
        words = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        count = seen[words] = seen.get(words, -1) + 1
        found.add(f"{words}-{count}" if count else words)
    return found


def broken_links(page):
    """Line, link and what is wrong with it."""
    for number, line in prose(page.read_text(encoding="utf-8")):
        line = CODE.sub("`…`", line)
        for link in LINK.findall(line) + HTML_LINK.findall(line):
            if re.match(r"[a-z][a-z0-9+.-]*:", link, re.IGNORECASE):
                continue
            file, _, anchor = unquote(link).partition("#")
            target = (page.parent / file).resolve() if file else page
            if not target.is_relative_to(REPO) or not target.exists():
                yield number, link, "no such file"
            elif anchor and target.suffix == ".md" and anchor not in anchors(target):
                yield number, link, "no such heading"


@pytest.mark.parametrize("name", pages())
def test_what_a_page_links_to_is_there(name):
    assert list(broken_links(REPO / name)) == []


def test_a_broken_link_is_found(tmp_path, monkeypatch):
    """Of each kind one, so that the test above cannot pass by finding no links."""
    monkeypatch.setattr("test_docs.REPO", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "# A heading: `code`, twice\n"
        "[here](#a-heading-code-twice) [gone](#gone) [file](gone.md) `[no](link.md)`\n"
        "[![picture](gone.png)](page.md#gone) [outside](../../etc/passwd) [web](https://example.org/gone)\n"
        '<img src="gone.svg"> [round (brackets)](gone_(1).md)\n'
        "```\n[code](gone.md)\n```\n"
    )
    wrong = [(line, link) for line, link, _ in broken_links(page)]
    assert sorted(wrong) == sorted(
        [
            (2, "#gone"),
            (2, "gone.md"),
            (3, "../../etc/passwd"),
            (3, "gone.png"),
            (3, "page.md#gone"),
            (4, "gone.svg"),
            (4, "gone_(1).md"),
        ]
    )
