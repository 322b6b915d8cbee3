"""Step 1: the program finds the libtorch of this Python, and the devices with their memory."""

import os
from pathlib import Path

from .run import Bench, Step

SCRIPT = """
let devices = ecco::devices();
print(#{devices: devices}.to_json());
sleep(5.0);
"""
# What the tree and the stripped program may take together, where they are brought along.
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
    step.add("libtorch is this Python's", bool(names) and len(own) == len(names), libraries=sorted(names))
    devices = devices["devices"]
    for device in devices:
        told = {key: value for key, value in device.items() if key != "device"}
        step.add(f"device {device['device']}", told.get("total") is not None, **told)
    wanted = "cuda:0" if bench.device == "cuda" else bench.device
    there = [device["device"] for device in devices]
    step.add(f"{wanted} is there", wanted in there, devices=there)
    tree, program = size(repo), bench.program.stat().st_size
    step.add(
        "size of what is brought along",
        None,
        tree=tree,
        program=program,
        most=MOST_BYTES,
        both=tree + program,
    )
    return None


def size(folder: Path) -> int:
    """Bytes of the files that belong to the tree."""
    total = 0
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in NO_PART]
        paths = (Path(place) / name for name in files)
        total += sum(path.stat().st_size for path in paths if not path.is_symlink())
    return total
