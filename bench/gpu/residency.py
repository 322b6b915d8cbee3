"""Step 3: models stay where they are put, give back what they had, and what does not fit is refused or stopped."""

import os
import resource
import signal
import time

import torch

from .models import giant, made, text_of
from .run import Bench, Late, Running, Step, quoted

MB = 1 << 20
# What a device may hold besides, and by how much figures of the driver may be off.
SLACK = 64 * MB
# What the libraries of products keep on an H100 once they were asked.
WORKSPACES = 192 * MB
# From Ctrl-C to the error.
MOST_SECONDS = 1.0
# Seconds that each part may take in any case.
ENOUGH = 40
# Room that is left for a piece of work that needs more.
TIGHT = 192 * MB
# The same on the processor: a cell ends by itself where less than 256 MB are free.
TIGHT_HOST = 320 * MB

TELL = """
fn tell(map) { print(map.to_json()); sleep(0.3); }
fn state(at) { tell(#{at: at, devices: ecco::devices(), resident: ecco::models().len()}); }
"""
KEPT = (
    TELL
    + """
state("start");
let lm = ecco::from_pretrained(FOLDER, #{device: DEVICE, verbose: false});
lm.generate("1. Austria", #{generate: 2});
tell(#{memory: lm.memory});
state("loaded");
let again = ecco::from_pretrained(FOLDER, #{device: DEVICE, verbose: false});
state("twice");
lm.unload();
again = ();
state("unloaded");
let lm = ecco::from_pretrained(FOLDER, #{device: DEVICE, verbose: false});
state("again");
lm.generate("1. Austria", #{generate: 2, cuda_graph: true});
state("recorded");
lm.unload();
state("unloaded again");
"""
)
REFUSED = (
    TELL
    + """
try {
    ecco::from_pretrained(FOLDER, #{device: DEVICE, dtype: DTYPE, verbose: false});
    tell(#{refused: false});
} catch (error) {
    tell(#{refused: true, kind: error.kind, why: error.message});
}
tell(#{lives: ecco::models().len() == 0});
"""
)
OVER = (
    TELL
    + """
let lm = ecco::from_pretrained(FOLDER, #{device: DEVICE, verbose: false});
let output = lm.generate(TEXT, #{generate: 8});
state("loaded");
state("tight");
try {
    output.saliency(#{method: "ig"}).scores;
    tell(#{over: false});
} catch (error) {
    tell(#{over: true, kind: error.kind, why: error.message});
}
state("after");
lm.generate("1. Austria", #{generate: 4});
tell(#{lives: true});
"""
)
AUTO = (
    TELL
    + """
state("start");
let whole = ecco::from_pretrained(FOLDER, #{device: "cpu", dtype: "float32", verbose: false});
let lm = ecco::from_pretrained(FOLDER, #{device: "auto", dtype: "float32", verbose: false});
let tokens = lm.generate("1. Austria", #{generate: 4}).token_ids;
tell(#{layers: lm.layer_devices, same: tokens == whole.generate("1. Austria", #{generate: 4}).token_ids});
"""
)
TWO = (
    TELL
    + """
let lm = ecco::from_pretrained(FOLDER, #{device: DEVICE, verbose: false});
tell(#{at: "loaded"});
let rounds = 0;
let tokens = [];
while rounds < 5 { tokens = lm.generate("1. Austria", #{generate: 16}).token_ids; rounds += 1; }
tell(#{tokens: tokens});
"""
)
INTERRUPTED = """
let lm = ecco::from_pretrained(FOLDER, #{device: DEVICE, verbose: false});
let output = lm.generate(TEXT, #{generate: 4});
let run = lm.run(TEXT);
output.activations;
print(#{begins: true}.to_json());
loop { WORK; }
"""
KINDS = {
    "generate": "lm.generate(TEXT, #{generate: 100, cuda_graph: false})",
    "generate by a graph": "lm.generate(TEXT, #{generate: 100, cuda_graph: true})",
    "a pass": "lm.run(TEXT).logits",
    "saliency": 'lm.generate(TEXT, #{generate: 4}).saliency(#{method: "grad_x_input"}).scores',
    "integrated gradients": 'lm.generate(TEXT, #{generate: 4}).saliency(#{method: "ig", n_steps: 200}).scores',
    "occlusion": 'lm.generate(TEXT, #{generate: 4}).saliency(#{method: "occlusion"}).scores',
    "factors": "output.run_nmf(#{n_components: 8, max_iter: 5000}).error",
    "lens": "lm.run(TEXT).lens().ranks",
    "patching": "lm.patch_map(TEXT, OTHER).restored",
    "loading": "let other = ecco::from_pretrained(FOLDER, #{device: DEVICE, verbose: false, dtype: DTYPE}); other.unload()",
}


def residency(bench: Bench, step: Step):
    large = "llama-1.2b" if bench.takes_large else "distilgpt2"
    small = "llama-1.2b" if bench.on_gpu else "distilgpt2"
    folder = made(large, bench.scratch / "models", bench.device)
    if bench.on_gpu:
        torch.cuda.empty_cache()
    part(bench, step, "loading", lambda: kept(bench, step, folder))
    part(bench, step, "refusing", lambda: refused(bench, step))
    small_folder = made(small, bench.scratch / "models", bench.device)
    part(bench, step, "running out of memory", lambda: over(bench, step, small_folder))
    part(bench, step, "two kernels", lambda: two(bench, step, small_folder))
    if bench.on_gpu:
        part(bench, step, "device auto", lambda: auto(bench, step, small_folder))
    else:
        step.add("device auto with a small limit", None, why="on a GPU only")
    interrupts(bench, step, small_folder)


def part(bench: Bench, step: Step, what: str, work):
    """What goes wrong in one, or hangs, leaves the others their turn: it has a third of the time that is left, if that is enough."""
    whole, left = step.until, step.left()
    limit = min(left, max(left / 3, ENOUGH))
    step.until = time.monotonic() + limit
    try:
        work()
    except Late:
        step.add(what, None, not_done_in=f"{limit:.0f} s")
    except Exception as error:  # noqa: BLE001
        step.add(f"{what} runs through", False, error=f"{type(error).__name__}: {error}"[-500:])
    finally:
        step.until = whole
        bench.stop()


def filled(script: str, bench: Bench, **values) -> str:
    """The script with its words in capitals replaced."""
    for word, value in {"device": bench.device, **values}.items():
        script = script.replace(word.upper(), quoted(value))
    return script


def on_device(bench: Bench, line: dict, key: str) -> int:
    """A figure of the device that is under test."""
    name = "cuda:0" if bench.device == "cuda" else bench.device
    return next(device[key] for device in line["devices"] if device["device"] == name)


def kept(bench: Bench, step: Step, folder):
    running = bench.begin("kept", filled(KEPT, bench, folder=folder))
    states, memory = {}, 0
    while (line := running.next(step.left())) is not None:
        if "memory" in line:
            memory = line["memory"]
            continue
        line["bytes"] = on_device(bench, line, "tensors") if bench.on_gpu else running.host_memory()
        states[line["at"]] = line
    if "again" not in states:
        return step.add("load, load, unload, load", False, error=running.complaints().strip()[-1000:])
    bytes_at = {at: line["bytes"] for at, line in states.items()}
    grown = bytes_at["loaded"] - bytes_at["start"]
    # On the processor the weights are pages of a file, which the system takes in as they are read.
    fits = memory * 0.98 <= grown <= memory * 1.05 + SLACK if bench.on_gpu else None
    step.add("memory after loading", fits, weights=memory, grown=grown)
    once = states["twice"]["resident"] == 1 and bytes_at["twice"] - bytes_at["loaded"] < SLACK
    step.add("loaded twice, resident once", once, grown=bytes_at["twice"] - bytes_at["loaded"])
    left = bytes_at["unloaded"] - bytes_at["start"]
    step.add("given back after unloading", left < max(SLACK, 0.1 * memory), left=left, of=memory)
    if bench.on_gpu:
        reserved = on_device(bench, states["unloaded"], "reserved")
        step.add("libtorch keeps little for itself after unloading", reserved < WORKSPACES, reserved=reserved)
    step.add("loaded again", states["again"]["resident"] == 1)
    graphs(bench, step, states, memory, running.without_graph())


def graphs(bench: Bench, step: Step, states: dict, memory: int, without: set[str]):
    """What a recorded step takes beside its model, and that it goes with it."""
    if "unloaded again" not in states:
        return step.add("given back with its CUDA graph", False, error="the script ended before")
    taken, left = (
        states[at]["bytes"] - states[before]["bytes"]
        for at, before in (("recorded", "again"), ("unloaded again", "unloaded"))
    )
    # The stream that graphs are recorded on has a workspace, which stays.
    ok = left < max(SLACK, 0.1 * memory) and not (bench.on_gpu and without)
    return step.add("given back with its CUDA graph", ok, taken=taken, left=left, recorded=not without)


def refused(bench: Bench, step: Step):
    """More than there is, of any device here; on the processor as another type, since mapped files need no memory."""
    host = 2 * sum(
        int(line.split()[1]) * 1024 for line in open("/proc/meminfo") if line.startswith("MemTotal")
    )
    there = torch.cuda.get_device_properties(0).total_memory if bench.on_gpu else 0
    folder = giant(bench.scratch / "models", max(host, 2 * there))
    begin = time.monotonic()
    lines = bench.run("refused", filled(REFUSED, bench, folder=folder, dtype="float32"), step.left())
    said = lines[0]
    numbers = said["refused"] and said["kind"] == "MemoryError" and "needs" in said["why"]
    step.add("more than there is: refused with numbers", numbers, why=said.get("why"))
    step.add(
        "… at once, and the session lives",
        lines[-1].get("lives") is True,
        seconds=round(time.monotonic() - begin, 1),
    )


class Hog:
    """Leaves little room: on a GPU it fills the memory, on the processor it bounds the process's addresses."""

    def __init__(self, bench: Bench, running: Running, room: int):
        self.held = None
        if bench.on_gpu:
            free = torch.cuda.mem_get_info(bench.device)[0]
            self.held = torch.empty(max(free - room, 0), dtype=torch.uint8, device=bench.device)
        else:
            self.process = running.process.pid
            most = running.host_memory("VmSize") + room
            resource.prlimit(self.process, resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))

    def leave(self):
        if self.held is None:
            unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            resource.prlimit(self.process, resource.RLIMIT_AS, unlimited)
        self.held = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def over(bench: Bench, step: Step, folder):
    """Memory that ends in the middle of a saliency."""
    text = text_of(folder, 1000 if bench.on_gpu else 400)
    running = bench.begin("over", filled(OVER, bench, folder=folder, text=text))
    hog, seen = None, {}
    try:
        while (line := running.next(step.left())) is not None:
            seen |= {line["at"]: line} if "at" in line else line
            if line.get("at") == "loaded":
                # It sleeps after each line; so it does nothing until there is little room.
                running.signal(signal.SIGSTOP)
                hog = Hog(bench, running, TIGHT if bench.on_gpu else TIGHT_HOST)
                running.signal(signal.SIGCONT)
            if line.get("at") == "after":
                hog.leave()
    finally:
        if running.process.poll() is None:
            running.kill()
    told = seen.get("over") is True and seen.get("kind") == "MemoryError"
    step.add(
        "memory ends in a saliency: an error", told, why=seen.get("why"), stderr=running.complaints()[-300:]
    )
    if bench.on_gpu and "after" in seen:
        now, before = (on_device(bench, seen[at], "tensors") for at in ("after", "loaded"))
        step.add("… what it had is freed", now - before < SLACK, more=now - before)
    step.add("… and the session goes on", seen.get("lives") is True)


def interrupts(bench: Bench, step: Step, folder):
    text = text_of(folder, 600 if bench.on_gpu else 100)
    dtype = "float32" if bench.on_gpu else "bfloat16"
    values = {"folder": folder, "text": text, "other": text.replace("Austria", "Belgium"), "dtype": dtype}
    for kind, work in KINDS.items():
        script = filled(INTERRUPTED.replace("WORK", work), bench, **values)
        part(
            bench,
            step,
            f"interrupt: {kind}",
            lambda kind=kind, script=script: interrupt(bench, step, kind, script),
        )


def interrupt(bench: Bench, step: Step, kind: str, script: str):
    running = bench.begin(f"interrupt-{kind.replace(' ', '-')}", script)
    if running.next(step.left()) is None:
        return step.add(f"interrupt: {kind}", False, error=running.complaints().strip()[-500:])
    time.sleep(0.6)
    begin, before = time.monotonic(), cpu_seconds_of_ended() + running.cpu_seconds()
    running.signal(signal.SIGINT)
    # Till it is told: how long CUDA takes to end the process is not ours.
    while "KeyboardInterrupt" not in running.complaints() and running.process.poll() is None:
        step.left()
        time.sleep(0.005)
    seconds = time.monotonic() - begin
    while running.next(step.left()) is not None:
        pass
    worked = (cpu_seconds_of_ended() - before) / (os.cpu_count() or 1)
    # On a processor that others use too, what it worked counts, and not what it waited.
    soon = seconds <= MOST_SECONDS or not bench.on_gpu and worked <= MOST_SECONDS
    values = {"seconds": round(seconds, 2), "worked": round(worked, 2), "status": running.status}
    return step.add(f"interrupt: {kind}", running.status == 130 and soon, **values)


def cpu_seconds_of_ended() -> float:
    """Time on a processor of all processes that were started from here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def two(bench: Bench, step: Step, folder):
    """Two programs on one device at the same time."""
    both = [bench.begin(f"two-{n}", filled(TWO, bench, folder=folder)) for n in (1, 2)]
    lines = [running.finish(step.left()) for running in both]
    same = all(len(told) == 2 for told in lines) and lines[0][-1]["tokens"] == lines[1][-1]["tokens"]
    step.add("two kernels on one device", same and all(running.status == 0 for running in both))


def auto(bench: Bench, step: Step, folder):
    """Room for a part of the model only: the other part is on the processor."""
    running = bench.begin("auto", filled(AUTO, bench, folder=folder))
    hog, layers, same = None, [], None
    while (line := running.next(step.left())) is not None:
        if line.get("at") == "start":
            running.signal(signal.SIGSTOP)
            hog = Hog(bench, running, 2400 * MB)
            running.signal(signal.SIGCONT)
        if "layers" in line:
            layers, same = line["layers"], line["same"]
    if hog:
        hog.leave()
    counts = {device: layers.count(device) for device in sorted(set(layers))}
    step.add("device auto with a small limit: on both", len(counts) == 2, layers=counts)
    step.add("… and the tokens are those of the processor", same)
