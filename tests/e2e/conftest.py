"""What the end-to-end tests share: a running kernel, small models on disk, a browser.

The kernel under test is the installed one: the kernelspec "ecco" of the environment that runs pytest.
"""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

import models
from session import Session

REPO = Path(__file__).resolve().parents[2]
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# What is there at the end counts; on a busy machine the way takes its time.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="session", autouse=True)
def history_of_its_own(tmp_path_factory):
    """Kernels that inherit the environment must not write into the history of whoever runs the tests."""
    os.environ["ECCO_DATA_DIR"] = str(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def repo():
    return REPO


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """One kernel for the tests of a module, started with next to nothing in its environment."""
    session = Session(home=tmp_path_factory.mktemp("home"))
    yield session
    session.close()


@pytest.fixture(scope="session")
def small_model(tmp_path_factory):
    """A GPT-2 folder of a few hundred kilobytes with seeded weights; its context is 64 tokens."""
    return models.write_gpt2(tmp_path_factory.mktemp("small"), n_layer=2, n_embd=32, n_positions=64)


@pytest.fixture(scope="session")
def slow_model(tmp_path_factory):
    """Large enough that 1,000 tokens take seconds."""
    return models.write_gpt2(tmp_path_factory.mktemp("slow"), n_layer=6, n_embd=512, n_positions=1024)


@pytest.fixture(scope="module")
def chromium():
    """The system's Chromium. Not for the whole session: Playwright's event loop, while it is there, keeps
    other users of asyncio in this thread from theirs."""
    names = [os.environ.get("CHROMIUM", "chromium"), "chromium-browser", "google-chrome"]
    executable = next(filter(None, map(shutil.which, names)), None)
    assert executable, "Chromium is not on PATH"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()
