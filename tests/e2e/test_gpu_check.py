"""The check for GPUs, rehearsed on the processor: `bench/gpu.py`."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from session import bare_environment

MINUTES = 2


def check(repo, out, minutes, *more):
    """What the check printed and the rows of each step, by their names."""
    program = shutil.which("ecco-kernel", path=str(Path(sys.executable).parent))
    command = [sys.executable, repo / "bench/gpu.py", "--binary", program, "--device", "cpu", *more]
    begin = time.monotonic()
    done = subprocess.run(
        [*map(str, command), "--minutes", str(minutes), "--out", str(out)], capture_output=True, text=True,
        env=bare_environment(home=out.parent), cwd=out.parent, timeout=minutes * 60 + 60,
    )  # fmt: skip
    seconds = time.monotonic() - begin
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-4000:]
    assert seconds < minutes * 60 + 30, f"{seconds:.0f} s"
    assert (out / "table.md").read_text(encoding="utf-8") == done.stdout.removesuffix("\n")
    steps = json.loads((out / "all.json").read_text(encoding="utf-8"))
    return done.stdout, {name: {row["what"]: row for row in rows} for name, rows in steps.items()}


@pytest.fixture(scope="module")
def rehearsed(repo, tmp_path_factory):
    return check(repo, tmp_path_factory.mktemp("gpu") / "out", MINUTES)


def test_libtorch_is_that_of_the_python(rehearsed):
    found = rehearsed[1]["found"]
    assert found["libtorch is this Python's"]["ok"] is True
    assert found["device cpu"]["total"] > 1e9
    size = found["size of what is brought along"]
    assert 0 < size["tree"] < size["both"]


def test_every_family_that_was_reached_agrees(rehearsed):
    parity = rehearsed[1]["parity"]
    assert parity["float32: models"]["run"] >= 20
    for what in ("logits", "hidden_states", "attention", "greedy tokens", "gradient (autograd)"):
        row = parity[f"float32, cpu and transformers: {what}"]
        assert row["ok"] is True and row["compared"] >= 5, row
    for what in ("logits", "activations", "gradient", "nmf", "lens", "ablated", "the same is there"):
        row = parity[f"float32, cpu and cpu: {what}"]
        assert row["ok"] is True and row["compared"] >= 10, row


def test_models_stay_and_give_back(rehearsed):
    residency = rehearsed[1]["residency"]
    for what in (
        "loaded twice, resident once",
        "given back after unloading",
        "given back with its CUDA graph",
        "more than there is: refused with numbers",
    ):
        assert residency[what]["ok"] is True


def test_the_table_has_every_step_and_says_that_it_is_a_rehearsal(rehearsed):
    table = rehearsed[0]
    for title in ("1. libtorch and devices", "2. Parity", "3. Residency", "4. Speed"):
        assert f"## {title}" in table
    assert "nothing of it on a GPU" in table


def test_what_is_written_crosses_no_more_by_steps_of_fixed_shapes(repo, tmp_path):
    out = tmp_path / "results of an earlier run"
    out.mkdir()
    (out / "mine.txt").write_text("kept")
    speed = check(repo, out, 1, "--only", "speed")[1]["speed"]
    rows = [speed[f"{work}: distilgpt2, float32, 40 tokens"] for work in ("decode", "graph")]
    # A processor finds the most probable token where its logits lie.
    assert [row["crossings"] for row in rows] == ["0 to the host and 0.1 to the device"] * 2
    assert rows[1]["ok"] is True and rows[1]["same_tokens"] == "10 of 10"
    # Here is no GPU that would record them.
    assert rows[1]["recorded"] is False and rows[1]["since"] == "the model is on cpu"
    assert rows[1]["to"] == "decode" and rows[1]["ratio"] > 0
    left_out = [what for what, row in speed.items() if "processor" in row.get("why", "")]
    assert left_out == ["4,000 tokens: decode and graph alone", "llama-1.2b"]
    left = {file.name for file in out.iterdir()}
    assert left == {"mine.txt", "scripts", "speed.json", "all.json", "table.md"}
