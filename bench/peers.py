"""Jobs of explaining, side by side with the libraries that people use for them: this kernel and a peer, in turns.

    .venv/bin/python bench/peers.py PYTHON_WITH_PEERS [PYTHON_WITH_ECCO] [--rounds 3] [--threads 1 2] [--only decode saliency] [--kernel PROGRAM]

Both sides run as Jupyter kernels, are driven alike, and keep their models from job to job, as in a notebook; a job is timed
after it has run once on a shorter text. A job whose results differ is an error and has no row. `make bench` makes the peers'
environments of bench/peers-requirements.txt and bench/requirements.txt, and runs this.
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from xml.sax.saxutils import escape

import readme_example
from jobs import ALONE, JOBS, MODELS, OURS_START, THEIRS_START, Job
from sides import Kernel, processor

REPO = Path(__file__).resolve().parents[1]
PAGE = REPO / "bench/RESULTS.md"
PICTURE = REPO / "docs/images/speed.svg"
PEERS = ["torch", "transformers", "captum", "inseq", "transformer-lens", "scikit-learn"]

NOTE = """Jobs of explaining beside the libraries that people use for them, in turns, on models of distilgpt2's, \
SmolLM2-135M's and a tiny shape with seeded weights, on the CPU, in float32 but where it says otherwise. Both sides run as Jupyter kernels and \
keep their models. Seconds are medians of up to {rounds} rounds; a ratio is theirs / ours, the range is that over rounds. "Off" is the \
largest difference between results, of the largest number; a job whose results differ by more than rounding ends the run. \
Where a peer takes minutes it does one part of so many, and the seconds are multiplied. "Limit" is how long the job's products and the weights it has to read take at least at what one thread of the machine did in the run, {read:.0f} GB/s of reading memory and {multiply:.0f} GFLOP/s of the faster of libtorch's products; "of it" is what part of our time that is, and what is missing to 100 % is our overhead, or caches that were larger than a matrix.

{processor}; load average {load}. {versions}. What was tried, and what did not help: [NOTES.md](NOTES.md).

![CPU time on one thread, how many times faster](../docs/images/speed.svg)"""


class Side:
    """A kernel, and how it says a result as JSON."""

    def __init__(self, kernel, start, say):
        self.kernel, self.say = kernel, say
        kernel.cell(start)

    def run(self, before, timed, result):
        """(wall, CPU) seconds, and the result."""
        if before:
            self.kernel.cell(before)
        times, _ = self.kernel.cell(timed)
        return times, json.loads(self.kernel.printed(self.say % result))["x"]


def difference(ours, theirs):
    """The largest, of the largest number; NaN where shapes differ."""

    def flat(value):
        return [x for part in value for x in flat(part)] if isinstance(value, list) else [value]

    a, b = flat(ours), flat(theirs)
    if len(a) != len(b):
        return math.nan
    return max(abs(x - y) for x, y in zip(a, b, strict=True)) / max(map(abs, b))


def check(job, ours, theirs):
    if job.smaller_is_better and ours[0] <= theirs[0]:
        return 0.0
    if job.tolerance is None and ours == theirs:
        return 0.0
    off = difference(ours, theirs)
    if job.tolerance is None or not off <= job.tolerance:
        sys.exit(
            f"{job.name}: results differ by {off:.1e} of the largest number\n"
            f"ours   {str(ours)[:500]}\ntheirs {str(theirs)[:500]}"
        )
    return off


def ours_command(options):
    return [options.kernel, "run", "-f", "{connection_file}"] if options.kernel else None


def measure(jobs, options):
    """For each job and number of threads: ours and theirs, a (wall, CPU) for each round, and the differences."""
    found = {(job.name, threads): ([], [], []) for job in jobs for threads in options.threads}
    theirs_command = [options.python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    for threads in options.threads:
        sides = {
            "ours": Side(Kernel(threads, ours_command(options)), OURS_START, "print(#{x: %s}.to_json());"),
            "theirs": Side(Kernel(threads, theirs_command), THEIRS_START, "print(json.dumps({'x': %s}))"),
        }
        for turn in range(options.rounds):
            for job in jobs:
                if turn >= job.rounds:
                    continue
                steps = {
                    "ours": (job.before_ours, job.ours, job.our_result),
                    "theirs": (job.before_theirs, job.theirs, job.their_result),
                }
                got = {name: sides[name].run(*steps[name]) for name in sorted(sides, reverse=turn % 2 == 1)}
                ours, theirs, off = found[job.name, threads]
                ours.append(got["ours"][0])
                theirs.append([seconds * job.parts for seconds in got["theirs"][0]])
                off.append(check(job, got["ours"][1], got["theirs"][1]))
                said = ", ".join(f"{a[1]:.3f} s" for a in (ours[-1:] + theirs[-1:]))
                print(f"{threads} threads, round {turn + 1}: {job.name}: {said} CPU", file=sys.stderr)
        for side in sides.values():
            side.kernel.close()
    return found


def alone(options):
    """A table of what is timed beside ourselves, CPU seconds."""
    threads = [f"{n} thread{'s' * (n > 1)}" for n in options.threads]
    lines = [f"| job | goal | {' | '.join(threads)} |"]
    lines.append("|---|---|" + "--:|" * len(options.threads))
    kernels = [Kernel(threads, ours_command(options)) for threads in options.threads]
    for kernel in kernels:
        kernel.cell(OURS_START)
    for name, goal, before, timed in ALONE:
        seconds = []
        for kernel in kernels:
            kernel.cell(before)
            seconds.append(f"{kernel.cell(timed)[0][1]:.2f}")
        lines.append(f"| {name} | {goal} | {' | '.join(seconds)} |")
    for kernel in kernels:
        kernel.close()
    return "\n".join(lines)


LIMITS = """
import time
torch.set_num_threads(1)
def best(work, n=7):
    def once():
        start = time.perf_counter()
        work()
        return time.perf_counter() - start
    return min(once() for _ in range(n))
memory = torch.ones(100_000_000)
read = 4e8 / best(memory.sum)
x, weight = torch.rand(512, 768), torch.rand(3072, 768)
linear = torch.ops.mkldnn._linear_pointwise
ways = [lambda: x.mm(weight.t()), lambda: linear(x, weight, None, "none", [], None)]
multiply = 2 * 512 * 768 * 3072 / min(map(best, ways))
del memory
print(read, multiply)
"""


def limits(python):
    """Bytes read and operations done a second by one thread."""
    kernel = Kernel(1, [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"])
    kernel.cell("import torch")
    read, multiply = map(float, kernel.printed(LIMITS).split())
    kernel.close()
    return read, multiply


README = {
    "README's example: load, generate 20, saliency of all": (
        10,
        readme_example.EXAMPLE,
        readme_example.TOLERANCE,
    ),
    "the same in a fresh process, with start and import": (
        15,
        ["start", "import", *readme_example.EXAMPLE],
        readme_example.TOLERANCE,
    ),
    "rankings of the 20 tokens after each layer, drawn": (20, ["rankings"], None),
}


def readme_rows(options):
    """The README's example beside the Python library: jobs and what was measured of them, as `measure` has it."""
    runs, off = readme_example.measure(options.threads, options.rounds, options.python_with_ecco)
    jobs, found = [], {}
    for name, (goal, steps, tolerance) in README.items():
        jobs.append(Job(name, "ecco 0.1.2", goal, "", "", "", "", tolerance=tolerance))
        for threads in options.threads:
            times = [
                [[readme_example.seconds(run, steps, kind) for kind in (0, 1)] for run in runs[threads][side]]
                for side in ("ours", "theirs")
            ]
            found[name, threads] = (*times, [off[0]])
    return jobs, found


def ratio(measured, kind):
    """Of medians, and the lowest and highest of a round; `kind` 0 is wall, 1 CPU time."""
    mine, other = (statistics.median(times[kind] for times in side) for side in measured[:2])
    each = sorted(b[kind] / a[kind] for a, b in zip(*measured[:2], strict=True))
    return mine, other, other / mine, each[0], each[-1]


def table(jobs, found, threads, rates):
    lines = [
        "| job | against | goal | CPU, ours | theirs | ratio | range | limit | of it | wall, ours | theirs | ratio | off |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for job in jobs:
        measured = found[job.name, threads]
        cpu, wall = ratio(measured, 1), ratio(measured, 0)
        peer = job.peer if job.parts == 1 else f"{job.peer}, 1 of {job.parts} parts"
        limit = job.limit(*rates)
        of_limit = f"{limit:.3f} | {limit / cpu[0]:.0%}" if limit else "– | –"
        off = "the same" if job.tolerance is None else f"{max(measured[2]):.0e}"
        lines.append(
            f"| {job.name} | {peer} | ≥ {job.goal:g} | {cpu[0]:.3f} | {cpu[1]:.3f} | **{cpu[2]:.1f}** | {cpu[3]:.1f}–{cpu[4]:.1f} "
            f"| {of_limit} | {wall[0]:.3f} | {wall[1]:.3f} | {wall[2]:.1f} | {off} |"
        )
    return "\n".join(lines)


def picture(jobs, found, threads):
    """A bar for each job, its length the logarithm of the ratio, as an SVG that reads in both themes."""
    row, left, width = 22, 330, 330
    ratios = [ratio(found[job.name, threads], 1)[2] for job in jobs]
    most = max(*ratios, 10.0)
    bars = []
    for i, (job, value) in enumerate(zip(jobs, ratios, strict=True)):
        y = 8 + i * row
        length = max(2.0, width * math.log(value) / math.log(most))  # of one that is no faster, a line
        bars.append(
            f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{escape(job.name)}</text>'
            f'<rect x="{left}" y="{y + 2}" width="{length:.0f}" height="14" rx="2"/>'
            f'<text x="{left + length + 6:.0f}" y="{y + 13}">{value:.1f} × {escape(job.peer.split(",")[0])}</text>'
        )
    height = 16 + row * len(jobs)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 230} {height}" font-family="sans-serif" '
        'font-size="12"><style>text{fill:#222}rect{fill:#3b6fb6}@media (prefers-color-scheme:dark){text{fill:#ddd}'
        f"rect{{fill:#7aa7e8}}}}</style>{''.join(bars)}</svg>\n"
    )


def peers_versions(python):
    code = (
        f"from importlib.metadata import version; print(', '.join(f'{{p}} {{version(p)}}' for p in {PEERS}))"
    )
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("python", metavar="PYTHON_WITH_PEERS")
    parser.add_argument(
        "python_with_ecco", metavar="PYTHON_WITH_ECCO", nargs="?", help="for the README's example"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", nargs="+", help="words of jobs' names; writes no page")
    parser.add_argument("--kernel", help="the program, where it is not the installed kernelspec's")
    options = parser.parse_args()
    subprocess.run([options.python, REPO / "bench/make_models.py", MODELS], check=True)
    jobs = [job for job in JOBS if not options.only or any(word in job.name for word in options.only)]
    of_readme, times = readme_rows(options) if options.python_with_ecco else ([], {})
    found = times | measure(jobs, options)
    jobs = of_readme + jobs
    rates = limits(options.python)
    facts = {
        "read": rates[0] / 1e9,
        "multiply": rates[1] / 1e9,
        "rounds": options.rounds,
        "processor": processor(),
        "load": f"{os.getloadavg()[2]:.1f}",
    }
    facts["versions"] = f"{peers_versions(options.python)}, Python {platform.python_version()}"
    parts = ["# Beside other libraries", NOTE.format(**facts)]
    for threads in options.threads:
        parts += [f"## {threads} thread{'s' if threads > 1 else ''}", table(jobs, found, threads, rates)]
    if not options.only:
        parts += ["## Beside ourselves", "CPU seconds of one run.", alone(options)]
    text = "\n\n".join(parts) + "\n"
    print(text)
    if not options.only:
        PAGE.write_text(text, encoding="utf-8")
        PICTURE.write_text(picture(jobs, found, options.threads[0]), encoding="utf-8")


if __name__ == "__main__":
    main()
