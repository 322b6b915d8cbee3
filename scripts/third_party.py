"""Writes THIRD_PARTY.md: whose code is in the program, and under which terms.

    python scripts/third_party.py            # writes it
    python scripts/third_party.py --check    # fails when it is stale

Cargo says which packages are linked (not those that only build or test it) and where they lie; the texts are those in the packages, so
no network is needed. Of a choice that has MIT in it, MIT is taken; GPL, beside BSD, is not. Equal texts are printed once, under the names and
copyright lines of all packages that have them. (`cargo about` does the like; compiling it takes minutes.)
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
PAGE = REPO / "THIRD_PARTY.md"
# One target, so that the page is the same wherever it is made.
TARGET = "x86_64-unknown-linux-gnu"
TEXT_FILE = re.compile(r"^(licen[cs]e|copying|notice|unlicen[cs]e|copyright)", re.IGNORECASE)
# Whose it is; and lines that begin in the same way.
RIGHTS = re.compile(r"\s*(copyright\b|©|\(c\).*\d{4})", re.IGNORECASE)
NO_RIGHTS = re.compile(r"[\[{]yyyy|copyright (notice|owner|license|holder)", re.IGNORECASE)
# A text's name, and words that only it has; the first that fits.
KINDS = [
    ("Apache-2.0", "apache license version 2.0, january 2004"),
    ("MPL-2.0", "mozilla public license version 2.0"),
    ("BSL-1.0", "boost software license"),
    ("CC0-1.0", "cc0 1.0 universal"),
    ("CDLA-Permissive-2.0", "community data license agreement"),
    ("Unlicense", "free and unencumbered software released into the public domain"),
    ("MIT", "permission is hereby granted, free of charge"),
    ("BSD-3-Clause", "neither the name"),
    ("BSD-2-Clause", "redistributions in binary form"),
    ("ISC", "permission to use, copy, modify, and/or distribute this software for any purpose"),
    ("Zlib", "this software is provided 'as-is', without any express"),
]
HEAD = """# Third-party notices

The program `ecco-kernel` has these packages in it, and so has the wheel. Their sources are at
`https://crates.io/crates/<package>/<version>`. libtorch is not among them: pip brings it as the package `torch`, with notices of
its own. No script, style sheet, font or picture of a widget is anybody else's.

`libsqlite3-sys` has SQLite in it, which is in the public domain. The program also has Rust's standard library in it, which is
`MIT OR Apache-2.0`, copyright The Rust Project Contributors; both texts stand below.

This page is made by `scripts/third_party.py`.
"""


def cargo(*arguments):
    command = ["cargo", *arguments, "--offline", "--locked"]
    return subprocess.run(command, cwd=REPO, check=True, stdout=subprocess.PIPE, text=True).stdout


def linked_packages():
    """Name, version, licence, authors and folder of each, sorted by name."""
    tree = cargo(
        "tree", "--package=ecco-kernel", "--edges=normal,no-proc-macro", f"--target={TARGET}", "--prefix=none"
    )
    linked = {tuple(line.split()[:2]) for line in tree.splitlines()}
    packages = json.loads(cargo("metadata", "--format-version=1", f"--filter-platform={TARGET}"))["packages"]
    others = (package for package in packages if package["source"])
    found = [package for package in others if (package["name"], "v" + package["version"]) in linked]
    return sorted(found, key=lambda package: (package["name"], package["version"]))


def plain(text):
    return " ".join(text.lower().split())


def kind_of(text):
    return next((name for name, words in KINDS if words in plain(text)), None)


def texts_of(package):
    """The texts that the package has to be passed on with, those of code inside of it included."""
    root = Path(package["manifest_path"]).parent
    files = (path for path in root.rglob("*") if path.is_file() and TEXT_FILE.match(path.name))
    files = [path for path in files if path.suffix not in (".rs", ".c", ".h")]
    has_mit = "MIT" in re.split(r"\s+OR\s+|/", package["license"] or "")
    texts = []
    for folder in sorted({path.parent for path in files}):
        read = [
            path.read_text(encoding="utf-8", errors="replace")
            for path in sorted(files)
            if path.parent == folder
        ]
        named = [
            (kind_of(text), text.strip()) for text in read if "gnu general public license" not in plain(text)
        ]
        if has_mit and any(kind == "MIT" for kind, _ in named):
            named = [(kind, text) for kind, text in named if kind in ("MIT", None)]
        texts += named
    return texts


def parted(kind, text):
    """Copyright lines, and the text without them and its headings; what is equal but for these is one text."""
    if kind == "Apache-2.0" and "END OF TERMS AND CONDITIONS" in text:
        text, _, appendix = text.partition("END OF TERMS AND CONDITIONS")
    elif kind in ("MIT", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Zlib"):
        appendix = ""
    else:
        return [], text
    lines = (text + "\n" + appendix).splitlines() if appendix else text.splitlines()
    rights = [line.strip() for line in lines if RIGHTS.match(line) and not NO_RIGHTS.search(line)]
    body = "\n".join(line for line in text.splitlines() if line.strip() not in rights)
    return rights, re.sub(r"\n{3,}", "\n\n", body).strip()


def key_of(kind, body):
    words = plain(body)
    start = next((words.find(begin) for name, begin in KINDS if name == kind and kind != "BSD-3-Clause"), 0)
    return kind, re.sub(r"\W+", " ", words[max(start, 0) :])


def notices(packages):
    """By text: its name, the text, and the lines that say whose it is. The commonest first."""
    groups, without = {}, []
    for package in packages:
        texts = texts_of(package)
        label = f"{package['name']} {package['version']}"
        if not texts:
            without.append(
                (label, package["license"], ", ".join(package["authors"]) or package["repository"])
            )
        for kind, text in texts:
            rights, body = parted(kind, text)
            _, _, owners = groups.setdefault(key_of(kind, body), (kind, body, []))
            line = "; ".join([f"- {label}", *rights])
            owners += [line] if line not in owners else []
    return sorted(groups.values(), key=lambda group: (-len(group[2]), group[1])), without


def page():
    packages = linked_packages()
    lines = [HEAD, "## Packages", "| package | version | licence |", "|---|---|---|"]
    lines += [f"| {p['name']} | {p['version']} | {p['license']} |" for p in packages]
    groups, without = notices(packages)
    lines += [
        "",
        "## Packages without a text",
        "They name a licence whose text stands below, under other packages.",
        "",
    ]
    lines += [f"- {label}: {licence}; {whose}" for label, licence, whose in without]
    lines += ["", "## Texts"]
    for kind, body, owners in groups:
        text = "\n".join(line.rstrip() for line in body.splitlines())
        lines += [f"### {kind or 'Notice'}", *owners, "", "````text", text, "````", ""]
    return "\n".join(lines).rstrip() + "\n"


def main(arguments):
    if arguments not in ([], ["--check"]):
        sys.exit(__doc__)
    fresh = page()
    if not arguments:
        PAGE.write_text(fresh, encoding="utf-8")
    elif not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != fresh:
        sys.exit(f"{PAGE.name} is stale: make bless")


if __name__ == "__main__":
    os.environ.pop("RUSTFLAGS", None)
    main(sys.argv[1:])
