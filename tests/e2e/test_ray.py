"""A batch on a local Ray: one of two workers is killed half-way, and the results' bytes are those of one machine."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """let lm = ecco::from_pretrained("demo");
// %% each batch
lm.score(rows.map(|row| row.text)).table
"""
N_ROWS = 3_000
WORDS = "the keys to a cabinet are on that table".split()


@pytest.fixture
def study(tmp_path):
    (tmp_path / "study.rhai").write_text(SCRIPT)
    with open(tmp_path / "texts.jsonl", "w") as file:
        for at in range(N_ROWS):
            words = [WORDS[(at * at + word * 3) % len(WORDS)] for word in range(3 + at * 7 % 25)]
            file.write(json.dumps({"text": " ".join(words)} if at != 1_234 else {}) + "\n")
    return tmp_path


def processes(name):
    """Those whose command line has it, with their parents' numbers."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            parent = (folder / "stat").read_text().rsplit(")", 1)[1].split()[1]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if name.encode() in words:
            yield int(folder.name), int(parent)


def environment():
    # Ray's workers are nice to all others, and here others test.
    return os.environ | {"RAY_worker_niceness": "0"}


def test_a_worker_that_is_lost_costs_nothing(study):
    alone = [Path(sys.executable).with_name("ecco-kernel"), "batch", "study.rhai", "--input", "texts.jsonl"]
    options = ["--batch", "16", "--threads", "1"]
    ended = subprocess.run([*alone, "--output", "alone", *options], cwd=study, capture_output=True, text=True)
    assert ended.returncode == 3, ended.stderr

    command = [
        sys.executable,
        "-m",
        "ecco_kernel.ray",
        "study.rhai",
        "--input",
        "texts.jsonl",
        "--workers",
        "2",
    ]
    command += ["--cpus", "1", "--output", "on_ray", "--batch", "16"]
    before = set(processes("batch-worker"))
    batch = subprocess.Popen(command, cwd=study, env=environment(), stderr=subprocess.PIPE, text=True)
    manifest = study / "on_ray" / "manifest.json"
    deadline = time.monotonic() + 120
    while not (manifest.exists() and json.loads(manifest.read_text())["rows"]["results"] > 100):
        assert batch.poll() is None and time.monotonic() < deadline, batch.communicate()[1]
        time.sleep(0.05)
    workers = set(processes("batch-worker")) - before
    assert len(workers) == 2, workers
    # Ray's own process, with the program below it: as where a machine is lost.
    worker, actor = sorted(workers)[0]
    os.kill(actor, signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)
    said = batch.communicate(timeout=240)[1]
    assert batch.returncode == 3, said
    for file in ("results.jsonl", "passed_over.jsonl"):
        assert (study / "on_ray" / file).read_bytes() == (study / "alone" / file).read_bytes()
    rows = [json.loads(line)["row"] for line in (study / "on_ray" / "results.jsonl").open()]
    assert rows == [row for row in range(N_ROWS) if row != 1_234]
    # What is lost is said where it is given out again: there was something to lose.
    now = json.loads(manifest.read_text())
    assert now["is_finished"] and now["rows"] == {"results": N_ROWS - 1, "passed_over": 1}


def test_a_script_that_is_wrong_is_said(study):
    (study / "study.rhai").write_text("let x = nothing;\n// %% each row\nrow")
    command = [
        sys.executable,
        "-m",
        "ecco_kernel.ray",
        "study.rhai",
        "--input",
        "texts.jsonl",
        "--output",
        "out",
    ]
    ended = subprocess.run(command, cwd=study, env=environment(), capture_output=True, text=True, timeout=240)
    assert ended.returncode == 1
    assert "there is no variable `nothing`" in ended.stderr, ended.stderr
