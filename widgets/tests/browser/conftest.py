"""One browser for all tests of the views, and the pages that `examples/gallery.rs` writes.

`ECCO_GALLERY` names a folder with those pages; without it they are made here.
"""

import os
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

WORKSPACE = Path(__file__).parents[3]
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@pytest.fixture(scope="session")
def gallery(tmp_path_factory):
    if folder := os.environ.get("ECCO_GALLERY"):
        return Path(folder)
    folder = tmp_path_factory.mktemp("gallery")
    command = ["cargo", "run", "--release", "-p", "ecco-widgets", "--example", "gallery", "--", str(folder)]
    subprocess.run(command, check=True, cwd=WORKSPACE)
    return folder


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


# Every view's script has run.
UNPACKED = "() => [...document.querySelectorAll('[data-view]')].every((view) => globalThis.eccoViews?.mounts.has(view.dataset.view))"


@pytest.fixture
def open_page(browser, gallery):
    """Opens a page of the gallery; the test fails if the page throws, complains, or asks the network for anything."""
    contexts, complaints = [], []

    def open_page(name, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: None if request.url.startswith(("file:", "blob:")) else complaints.append(request.url))
        page.goto((gallery / f"{name}.html").as_uri())
        if options.get("java_script_enabled", True):
            page.wait_for_function(UNPACKED)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
