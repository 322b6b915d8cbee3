"""The kernel beside its peers: this one, ipykernel and evcxr_jupyter, in turns.

    .venv/bin/python bench/kernel.py [--evcxr PATH] [--rounds 20] [--quick]

Every measure goes round the kernels, so that a busy minute meets all. Writes bench/results/kernel.md.
"""

import argparse
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager

REPO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPO / "tests/e2e")]

import models  # noqa: E402
from readme_example import processor  # noqa: E402
from thin_client import Kernel, own_cost_s  # noqa: E402

TABLE = REPO / "bench/results/kernel.md"
LINES, FLOOD = 10_000, 400_000
MB = 1 << 20

# The same cells in each kernel's language.
CODE = {
    "ecco": {
        "add": "1+1",
        "print": "for i in 0..{n} {{ print(i); }}",
        "loop": 'print("running"); loop {{ }}',
    },
    "ipykernel": {
        "add": "1+1",
        "print": "for i in range({n}): print(i)",
        "loop": 'print("running")\nwhile True: pass',
    },
    "evcxr": {
        "add": "1+1",
        "print": 'for i in 0..{n} {{ println!("{{}}", i); }}',
        "loop": 'println!("running"); loop {{ std::hint::spin_loop(); }}',
    },
}
TRIPS = {"ecco": 10, "ipykernel": 10, "evcxr": 1}  # in a turn: evcxr compiles each

# Work of this kernel that is not a script: what, the cells before, the cell that is interrupted.
NATIVE = {
    "generation": ([], 'let o = lm.generate("abc", #{generate: 900});'),
    "saliency": (
        ['let o = lm.generate("abc", #{generate: 300});'],
        'o.saliency(#{method: "integrated_gradients", n_steps: 200})',
    ),
    "factors (NMF)": (
        ['let o = lm.generate("abc", #{generate: 300});'],
        "o.run_nmf(#{n_components: 100, max_iter: 100000}).error",
    ),
}


def commands(evcxr):
    """How each kernel is started, by name; evcxr only where it is."""
    spec = KernelSpecManager().get_kernel_spec("ecco")
    argv = [part.replace("{resource_dir}", spec.resource_dir) for part in spec.argv]
    found = {
        "ecco": (argv, spec.env),
        "ipykernel": ([sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], {}),
    }
    if evcxr:
        found["evcxr"] = ([evcxr, "--control_file", "{connection_file}"], {})
    else:
        print("evcxr_jupyter is not there; going on without it (see bench/README.md)", file=sys.stderr)
    return found


def turns(names, rounds):
    """Each name once a round, another one first each time."""
    names = list(names)
    for turn in range(rounds):
        yield from names[turn % len(names) :] + names[: turn % len(names)]


def code(name, what, **values):
    return CODE[name][what].format(**values)


def measure_start(starts, rounds):
    """Seconds to kernel_info, and bytes of memory after the first `1+1`."""
    results = {name: {"start": [], "rss": [], "pss": []} for name in starts}
    for name in turns(starts, rounds):
        kernel = Kernel(*starts[name])
        kernel.run(code(name, "add"))
        time.sleep(0.2)
        results[name]["start"].append(kernel.start_s)
        results[name]["rss"].append(kernel.memory("Rss"))
        results[name]["pss"].append(kernel.memory("Pss"))
        kernel.close()
    return results


def measure_round_trips(kernels, rounds):
    """Seconds from sending `1+1` to its reply and to its idle."""
    results = {name: {"reply": [], "idle": []} for name in kernels}
    for name in kernels:
        for _ in range(5 * TRIPS[name]):
            kernels[name].run(code(name, "add"))
    for name in turns(kernels, rounds):
        for _ in range(TRIPS[name]):
            reply, idle = round_trip(kernels[name], code(name, "add"))
            results[name]["reply"].append(reply)
            results[name]["idle"].append(idle)
    return results


def round_trip(kernel, cell):
    """Seconds to the reply and to the idle, taken in the order in which they come."""
    begin = time.perf_counter()
    request = kernel.execute(cell)
    reply = idle = None
    while reply is None or idle is None:
        if reply is None and kernel.shell.poll(0 if idle is None else None):
            _, parent, _ = kernel.receive(kernel.shell)
            reply = time.perf_counter() - begin if parent == request else None
        if idle is None and kernel.iopub.poll(0 if reply is None else None):
            _, parent, content = kernel.receive(kernel.iopub)
            if parent == request and content.get("execution_state") == "idle":
                idle = time.perf_counter() - begin
    return reply, idle


def expected(lines):
    return "".join(f"{i}\n" for i in range(lines))


def measure_lines(kernels, rounds):
    """Seconds for 10,000 printed lines, until this client has them all and has seen idle."""
    results = {name: {"lines": []} for name in kernels}
    wanted = expected(LINES)
    for name in turns(kernels, rounds):
        begin = time.perf_counter()
        text = kernels[name].run(code(name, "print", n=LINES))
        results[name]["lines"].append(time.perf_counter() - begin)
        if text.replace("\r\n", "\n") != wanted:
            sys.exit(f"{name} lost lines: {len(text)} of {len(wanted)} bytes came")
    return results


def measure_flood(kernels, rounds):
    """Bytes by which memory grows at most while 400,000 lines are printed, seconds, and the share that came."""
    results = {name: {"flood": [], "flood_s": [], "came": []} for name in kernels}
    wanted = expected(FLOOD)
    for name in turns(kernels, rounds):
        kernel = kernels[name]
        kernel.reset_peak()
        before, begin = kernel.memory("Rss"), time.perf_counter()
        text = kernel.run(code(name, "print", n=FLOOD)).replace("\r\n", "\n")
        results[name]["flood_s"].append(time.perf_counter() - begin)
        results[name]["flood"].append(max(0, kernel.peak() - before))
        results[name]["came"].append(len(text) / len(wanted))
    return results


def interrupted_after(kernel, cell, running, delay_s):
    """Seconds from an interrupt_request to the reply of the cell that it ends. It is sent a while after the
    first message of the type `running`."""
    request = kernel.execute(cell)
    kernel.until(request, lambda kind, _: kind == running)
    time.sleep(delay_s)
    over = kernel.shell.poll(0)
    begin = time.perf_counter()
    asked = kernel.interrupt()
    reply = kernel.reply(request)
    seconds = time.perf_counter() - begin
    kernel.reply(asked, kernel.control)
    kernel.until_idle(request)
    if over:
        sys.exit(f"{cell} was over before it could be interrupted: {str(reply)[:500]}")
    return seconds


def measure_interrupts(kernels, rounds):
    """Seconds from the interrupt of a script's loop to its reply. evcxr kills its child, and its state."""
    results = {name: {"interrupt": []} for name in kernels}
    for name in turns(kernels, rounds):
        delay = random.uniform(0.01, 0.05)
        results[name]["interrupt"].append(
            interrupted_after(kernels[name], code(name, "loop"), "stream", delay)
        )
    return results


def measure_native(start, rounds):
    """The same for work that is not a script: by name, the seconds, at random moments of the work."""
    with tempfile.TemporaryDirectory() as folder:
        model = models.write_gpt2(Path(folder), n_layer=6, n_embd=512, n_positions=1024)
        kernel = Kernel(*start)
        kernel.run(f'let lm = ecco::from_pretrained("{model}", #{{activations: true, verbose: false}});')
        results = {}
        for name, (before, cell) in NATIVE.items():
            for each in before:
                kernel.run(each)
            results[name] = [
                interrupted_after(kernel, cell, "execute_input", random.uniform(0.02, 0.6))
                for _ in range(rounds)
            ]
        kernel.close()
    return results


def p95(values):
    return sorted(values)[min(len(values) - 1, int(0.95 * len(values)))]


def milliseconds(value):
    return f"{1000 * value:.1f} ms" if value < 1 else f"{value:.2f} s"


def megabytes(value):
    return f"{value / MB:.1f} MB"


# What, how it is summed up and written, and what was asked for beside ipykernel.
ROWS = [
    ("`1+1` to the reply, median", "reply", statistics.median, milliseconds, "ratio ≥ 8"),
    ("`1+1` to the reply, 95%", "reply", p95, milliseconds, ""),
    ("`1+1` to idle, median", "idle", statistics.median, milliseconds, "ratio ≥ 8"),
    ("`1+1` to idle, 95%", "idle", p95, milliseconds, ""),
    ("start to the first `kernel_info` reply", "start", statistics.median, milliseconds, "ratio ≥ 8"),
    ("memory after `1+1`, resident (RSS)", "rss", statistics.median, megabytes, "ratio ≥ 3"),
    ("memory after `1+1`, own share (PSS)", "pss", statistics.median, megabytes, "ratio ≥ 3"),
    ("10,000 printed lines", "lines", statistics.median, milliseconds, "ratio ≥ 3"),
    ("400,000 printed lines: growth of memory", "flood", max, megabytes, "ours ≤ 32 MB"),
    ("400,000 printed lines: time", "flood_s", statistics.median, milliseconds, ""),
    ("interrupt of a loop, median", "interrupt", statistics.median, milliseconds, "ours < 10 ms"),
    ("interrupt of a loop, worst", "interrupt", max, milliseconds, ""),
]


def table(results):
    names = list(results)
    peers = names[1:]
    head = ["", *names, *(f"{peer} / ecco" for peer in peers), "asked"]
    lines = [f"| {' | '.join(head)} |", f"|---|{'--:|' * (len(names) + len(peers))}---|"]
    for label, key, summary, write, asked in ROWS:
        values = {name: summary(results[name][key]) for name in names}
        ratios = [f"{values[peer] / values['ecco']:.1f}" if values["ecco"] else "–" for peer in peers]
        lines.append(f"| {' | '.join([label, *map(write, values.values()), *ratios, asked])} |")
    return "\n".join(lines)


def native_table(native):
    lines = ["| interrupt of | times | median | worst | asked |", "|---|--:|--:|--:|---|"]
    for name, times in native.items():
        summary = [milliseconds(statistics.median(times)), milliseconds(max(times))]
        lines.append(f"| {name} | {len(times)} | {' | '.join(summary)} | < 1 s |")
    return "\n".join(lines)


def measure(options):
    starts = commands(options.evcxr)
    results = {name: {} for name in starts}

    def add(found):
        for name in results:
            results[name] |= found[name]
        print(f"{', '.join(found['ecco'])}: done", file=sys.stderr)

    add(measure_start(starts, max(3, options.rounds // 3)))
    kernels = {name: Kernel(*start) for name, start in starts.items()}
    add(measure_round_trips(kernels, options.rounds * 2))
    add(measure_lines(kernels, max(3, options.rounds // 3)))
    add(measure_interrupts(kernels, options.rounds))
    for kernel in kernels.values():
        kernel.close()
    # A kernel that has printed much keeps memory for more: each flood has a fresh one.
    kernels = {name: Kernel(*start) for name, start in starts.items()}
    for name, kernel in kernels.items():
        kernel.run(code(name, "add"))
    add(measure_flood(kernels, 1))
    for kernel in kernels.values():
        kernel.close()
    native = measure_native(starts["ecco"], max(5, options.rounds // 2))
    return results, native


NOTE = """Kernels of Jupyter side by side, in turns, on {processor} (load average {load:.1f} at the start, {after:.1f} \
at the end). A ratio is theirs / ours. {versions}

The client is the same for all, on bare pyzmq; it takes {cost} of each round trip (measured against a socket that \
sends back what it gets, both ends counted). evcxr compiles every cell, and starts a new process when interrupted."""


def versions(results):
    import ipykernel

    parts = [f"ipykernel {ipykernel.__version__} on Python {sys.version.split()[0]}"]
    return ", ".join([*parts, *(["evcxr_jupyter"] if "evcxr" in results else [])]) + "."


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--evcxr", default=shutil.which("evcxr_jupyter"), help="where evcxr_jupyter is")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="few rounds, and nothing is written")
    options = parser.parse_args()
    if options.quick:
        options.rounds = 4
    load, begin = os.getloadavg()[0], time.monotonic()
    results, native = measure(options)
    facts = {"processor": processor(), "load": load, "after": os.getloadavg()[0]}
    facts |= {"versions": versions(results), "cost": f"{1000 * own_cost_s():.2f} ms"}
    lost = [f"{name} lost {1 - min(r['came']):.0%}" for name, r in results.items() if min(r["came"]) < 1]
    parts = ["# The kernel beside its peers", NOTE.format(**facts), table(results)]
    parts += (
        [f"Of the 400,000 lines {', '.join(lost)}."]
        if lost
        else ["All lines of the 400,000 came, from each."]
    )
    parts += [
        "## Interrupting native work",
        "This kernel only, on a seeded GPT-2 of 6 layers and 512 channels, at random moments of the work.",
        native_table(native),
    ]
    text = "\n\n".join(parts) + "\n"
    print(text)
    print(f"{time.monotonic() - begin:.0f} s in all", file=sys.stderr)
    if not options.quick:
        TABLE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
