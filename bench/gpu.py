"""What the program does on a GPU: python bench/gpu.py --binary PATH [--device cuda|cpu] [--minutes 8] [--out FOLDER]

Needs the program, this working tree, and a Python with torch 2.11 and transformers 5; captum and scikit-learn are
compared with where they are installed. Makes its models itself; asks no network. With `--device cpu` the same is
rehearsed on the processor.

Four steps in the order of what matters, each with a time of its own: libtorch and devices; parity; residency; speed.
Whatever was reached is in FOLDER (build/gpu), a file for each step and the table, which are written anew after each row;
the table is printed last. Ends with 1 where anything is not as it should be.
"""

import argparse
import gzip
import json
import logging
import os
import shutil
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
# As the program has it: threads that wait leave the processor to others.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
REPO = Path(__file__).resolve().parents[1]
# The share of the time by which each step is over at the latest; what one leaves goes to the next. The first needs seconds,
# but comes after imports, and opens libraries of 2 GB, which take a minute from a disk that is cold. Of 8 minutes parity has
# till 4 then (bfloat16 comes last in it), residency till 6, and speed what is left.
SHARES = {"found": 0.3, "parity": 0.5, "residency": 0.75, "speed": 1.0}


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--binary",
        type=Path,
        required=True,
        help="the program ecco-kernel; packed where its name ends in .gz",
    )
    parser.add_argument(
        "--device", default="cuda", help="cuda (the default), cuda:1 …, or cpu for a rehearsal"
    )
    parser.add_argument("--minutes", type=float, default=8, help="the time for all of it (8)")
    parser.add_argument("--out", type=Path, default=REPO / "build/gpu", help="where results go (build/gpu)")
    parser.add_argument(
        "--only", nargs="+", choices=SHARES, default=list(SHARES), help="these steps, with all of the time"
    )
    return parser.parse_args()


def unpacked(program: Path, folder: Path) -> Path:
    """The program from what was brought along, beside the results."""
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / program.stem
    out.write_bytes(gzip.decompress(program.read_bytes()))
    out.chmod(0o755)
    return out


def main() -> int:
    asked = arguments()
    if not asked.binary.is_file():
        sys.exit(f"--binary: there is no file {asked.binary}")
    if asked.binary.suffix == ".gz":
        asked.binary = unpacked(asked.binary, asked.out)
    start = time.monotonic()
    # Both take seconds, which count.
    import torch
    import transformers

    from gpu import found, parity, residency, run, speed, table

    warnings.simplefilter("ignore")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    if asked.device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit(f'--device {asked.device}: torch sees no GPU; "--device cpu" rehearses')
    bench = begun(asked, start, run, table)
    # Whoever ends it early has what was written, and the disk as it was.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    packages = Path(torch.__file__).parents[1]
    works = {
        "found": lambda step: found.found(bench, step, packages, REPO),
        "parity": lambda step: parity.parity(bench, step),
        "residency": lambda step: residency.residency(bench, step),
        "speed": lambda step: speed.speed(bench, step),
    }
    try:
        for name in asked.only:
            attempt(bench.step(name, SHARES[name] / SHARES[asked.only[-1]]), works[name])
            bench.stop()
    finally:
        bench.stop()
        shutil.rmtree(bench.scratch, ignore_errors=True)
    print(table.table(bench, bench.steps))
    return int(any(row["ok"] is False for step in bench.steps for row in step.rows))


def begun(asked, start: float, run, table):
    """The bench, its folders, and the files that are written after each row."""
    out = asked.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    # Of an earlier run; what else is there is not ours.
    for name in [*(f"{step}.json" for step in SHARES), "all.json", "table.md"]:
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / "scripts", ignore_errors=True)
    scratch = run.scratch(out)
    program = run.installed(asked.binary, scratch / "environment")
    bench = run.Bench(program, asked.device, asked.minutes, out, scratch, start)

    def written():
        (out / "table.md").write_text(table.table(bench, bench.steps), encoding="utf-8")
        rows = {step.name: step.rows for step in bench.steps}
        (out / "all.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")

    bench.written = written
    return bench


def attempt(step, work):
    """Runs a step; whatever goes wrong, those behind it have their turn."""
    from gpu.run import Late

    begin = time.monotonic()
    try:
        work(step)
    except Late:
        step.add("not all was reached in the time", None)
    except Exception as error:  # noqa: BLE001
        traceback.print_exc()
        step.add("the step runs through", False, error=f"{type(error).__name__}: {error}")
    step.add("seconds", None, taken=round(time.monotonic() - begin, 1))


if __name__ == "__main__":
    sys.exit(main())
