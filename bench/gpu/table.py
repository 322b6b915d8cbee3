"""The page: a row for each thing that was looked at, and what it was looked at on."""

import platform
from datetime import UTC, datetime
from pathlib import Path

import torch
import transformers

from .run import Bench, Step

TITLES = {
    "found": "1. libtorch and devices",
    "parity": "2. Parity",
    "residency": "3. Residency",
    "speed": "4. Speed",
}
# Longer texts, as errors are, are in the files whole.
WIDEST = 240


def table(bench: Bench, steps: list[Step]) -> str:
    """Markdown."""
    other = "cpu" if bench.on_gpu else "cuda"
    lines = [
        f"# On {card(bench)}",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, torch {torch.__version__}, transformers {transformers.__version__}, Python "
        f"{platform.python_version()}, `bench/gpu.py --device {bench.device} --minutes {bench.minutes:g}`. {count(steps)}",
    ]
    if not bench.on_gpu:
        lines += [
            "",
            "The column `cuda` is empty: none of this has been run on a GPU. The same command without `--device cpu` does.",
        ]
    for step in steps:
        lines += ["", f"## {TITLES[step.name]}", "", f"| | {bench.device} | {other} | |", "|---|---|---|---|"]
        rows = [line(row) for row in step.rows if row["what"] != "seconds"]
        lines += [row.replace(f"{bench.out}/", "").replace(f"{bench.scratch}/", "") for row in rows]
    return "\n".join(lines) + "\n"


def card(bench: Bench) -> str:
    if bench.on_gpu:
        return torch.cuda.get_device_name(bench.device)
    models = [
        row.split(":")[1].strip()
        for row in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in row
    ]
    return (
        f"the processor ({len(models)} × {models[0]}): a rehearsal, nothing of it on a GPU"
        if models
        else "the processor"
    )


def count(steps: list[Step]) -> str:
    rows = [row for step in steps for row in step.rows]
    held, wrong = (sum(row["ok"] is ok for row in rows) for ok in (True, False))
    return f"{held + wrong} things held, {wrong} of them not as they should be."


def line(row: dict) -> str:
    values = {
        key: value for key, value in row.items() if key not in ("what", "ok") and value not in (None, "")
    }
    said = "; ".join(f"{key.replace('_', ' ')} {shown(value)}" for key, value in values.items())
    said = said if len(said) <= WIDEST else said[: WIDEST - 1] + "…"
    mark = {True: "✓", False: "✗", None: ""}[row["ok"]]
    return f"| {escaped(row['what'])} | {escaped(said)} | | {mark} |"


def shown(value) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1_000_000:
        return f"{value / 1e9:.2f} GB" if abs(value) >= 1e9 else f"{value / 1e6:.0f} MB"
    if isinstance(value, list):
        return (
            f"{len(value)}: {', '.join(map(str, value[:3]))}"
            if len(value) > 3
            else ", ".join(map(str, value))
        )
    return str(value)


def escaped(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
