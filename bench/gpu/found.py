"""Step 1: the program finds the libtorch of this Python, and the devices with their memory."""

import gzip
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from .run import Bench, Step

SCRIPT = """
let devices = ecco::devices();
print(#{devices: devices}.to_json());
sleep(5.0);
"""
# What the tree and the program, stripped and packed, may take together, where they are brought along.
MOST_BYTES = 64 * 1024 * 1024
NO_PART = {".git", "target", ".venv", "build", "__pycache__", "node_modules"}


def found(bench: Bench, step: Step, packages: Path, repo: Path):
    running = bench.begin("found", SCRIPT)
    devices = running.next(step.left())
    if devices is None:
        return step.add("libtorch is found", False, error=running.complaints().strip())
    maps = running.libraries()
    running.kill()
    names = {line.split()[-1] for line in maps.splitlines() if "/libtorch_" in line}
    own = [name for name in names if Path(name).resolve().is_relative_to(packages.resolve())]
    shown = sorted(str(Path(name).resolve()).replace(f"{packages.resolve()}/", "") for name in names)
    step.add("libtorch is this Python's", bool(names) and len(own) == len(names), libraries=shown)
    if bench.on_gpu:
        step.add(
            "… and its CUDA half is open", any(Path(name).name.startswith("libtorch_cuda") for name in names)
        )
    devices = devices["devices"]
    for device in devices:
        told = {key: value for key, value in device.items() if key != "device"}
        step.add(f"device {device['device']}", told.get("total") is not None, **told)
    wanted = "cuda:0" if bench.device == "cuda" else bench.device
    there = [device["device"] for device in devices]
    step.add(f"{wanted} is there", wanted in there, devices=there)
    tree, program = size(repo), packed(bench.program)
    sizes = {"tree": tree, "program": program, "both": tree + program, "most": MOST_BYTES}
    step.add("size of what is brought along", tree + program <= MOST_BYTES, **sizes)
    return None


def packed(program: Path) -> int:
    """Bytes of the program as it is brought along: without the names in it where something strips, and by gzip."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / program.name
        strips = (
            shutil.which("strip")
            and not subprocess.run(["strip", "-o", copy, program], capture_output=True).returncode
        )
        return len(gzip.compress((copy if strips else program).read_bytes(), 6))


def size(folder: Path) -> int:
    """Bytes of the files that belong to the tree: those that git knows, or all where there is no git."""
    listed = (
        subprocess.run(["git", "ls-files", "-z"], cwd=folder, capture_output=True, text=True)
        if git()
        else None
    )
    if listed and listed.returncode == 0 and listed.stdout:
        paths = [folder / name for name in listed.stdout.split("\0") if name]
    else:
        paths = [Path(place) / name for place, _, names in walked(folder) for name in names]
    return sum(path.lstat().st_size for path in paths if path.exists())


def git() -> bool:
    return shutil.which("git") is not None


def walked(folder: Path):
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in NO_PART]
        yield place, folders, names
