"""Step 4: how fast, beside transformers, captum and scikit-learn on the same device, and beside what it could do.

`crossings` is how often the host waited for data to cross, from the device and to it; of text that is written, for a token.
"""

import importlib.util
import time

import numpy as np
import torch
import transformers

from .models import made, text_of
from .residency import on_device
from .run import Bench, Late, Step, in_time, quoted

# Of an H100 SXM; another card's figures are to be read with its own.
BYTES_PER_SECOND = 3.3e12
N_DECODED = 100
N_EXPLAINED = 10
N_STEPS = 50
LENGTHS = (40, 400, 4000)
WRITTEN = ["decode", "graph"]
# What no other program does that is compared with.
OURS_ALONE = ["graph", "patching"]
# Of a matrix that scikit-learn gets: it is not what is measured here.
MOST_NUMBERS = 6_000_000
# Of the step's time, what a row may take at most.
ROW_SHARE = 0.25

START = """
fn tell(map) { print(map.to_json()); }
let usual = [];
let lm = ecco::from_pretrained(FOLDER, #{device: DEVICE, dtype: DTYPE, verbose: false});
"""
TIMED = """
try {
    WARM;
    let before = ecco::crossings();
    let start = timestamp();
    let found = WORK;
    let seconds = start.elapsed;
    let after = ecco::crossings();
    let crossed = #{to_host: after.to_host - before.to_host, to_device: after.to_device - before.to_device};
    tell(#{
        seconds: seconds, memory: lm.memory, config: lm.config, devices: ecco::devices(), crossed: crossed, extra: EXTRA
    });
} catch (error) {
    tell(#{failed: `${error}`});
}
"""
# What is measured: what warms up, the work, and what else is told.
WORKS = {
    "decode": (
        "lm.generate(TEXT, #{generate: 4})",
        "lm.generate(TEXT, #{generate: N, cuda_graph: false})",
        "{ usual = found.token_ids; found.token_ids.len() - found.n_input_tokens }",
    ),
    "graph": (
        "lm.generate(TEXT, #{generate: N, cuda_graph: true})",
        "lm.generate(TEXT, #{generate: N, cuda_graph: true})",
        "{ let n = 0; while n < usual.len() && usual[n] == found.token_ids[n] { n += 1; } n - found.n_input_tokens }",
    ),
    "saliency": (
        "lm.generate(TEXT, #{generate: N}).saliency().scores",
        'lm.last_output.saliency(#{aggregation: "l1"}).scores',
        "0",
    ),
    "nmf": (
        'lm.run(TEXT).activations.save("activations.npy")',
        "lm.run(TEXT).run_nmf(#{n_components: 10, max_iter: 100})",
        "found.n_iter",
    ),
    "lens": ("lm.run(TEXT).lens().ranks", "lm.run(TEXT).lens().ranks", "0"),
    "patching": ("lm.run(TEXT)", "lm.patch_map(TEXT, OTHER).restored", "0"),
    "ig": (
        'lm.generate(TEXT, #{generate: N}).saliency(#{method: "ig", n_steps: 2}).scores',
        'lm.last_output.saliency(#{method: "ig", n_steps: STEPS}).scores',
        "0",
    ),
}


def speed(bench: Bench, step: Step):
    peers(step)
    left_out(bench, step)
    plan, most = list(cases(bench)), ROW_SHARE * step.left()
    for number, (name, dtype, length, works) in enumerate(plan):
        try:
            step.left()
        except Late:
            rest = sum(len(works) for *_, works in plan[number:])
            step.add(f"{rest} of {sum(len(works) for *_, works in plan)} rows were not reached", None)
            return
        group(bench, step, name, dtype, length, works, most)


def peers(step: Step):
    there = {name: importlib.util.find_spec(name) is not None for name in ("captum", "sklearn")}
    for name, is_there in there.items():
        if not is_there:
            step.add(f"{name} is not installed: nothing to compare with", None)


def left_out(bench: Bench, step: Step):
    """What a rehearsal has no row for, whatever its time."""
    if bench.on_gpu:
        return
    step.add("4,000 tokens: decode and graph alone", None, why="the rest takes a processor too long")
    if not bench.takes_large:
        step.add("llama-1.2b", None, why="left out on a processor in less than 15 minutes")


def cases(bench: Bench):
    """Model, type, tokens and works; what matters most first. What is written has a session of its own, so that a graph
    that goes wrong takes nothing with it."""
    llama, small = ("llama-1.2b", "bfloat16"), [("distilgpt2", "float32"), ("smollm2-135m", "bfloat16")]
    if bench.on_gpu:
        order = [(llama, length) for length in LENGTHS] + [
            (model, length) for length in LENGTHS for model in small
        ]
    else:  # where bfloat16 is slow, and a small model is slow enough
        small = [(name, "float32") for name, _ in small]
        order = [(model, length) for length in LENGTHS for model in small]
    for (name, dtype), length in order:
        for some in (WRITTEN, [work for work in WORKS if work not in WRITTEN]):
            works = [work for work in some if reaches(bench, name, length, work)]
            if works:
                yield name, dtype, length, works
    if bench.takes_large:
        yield "llama-1.2b", "float32" if bench.on_gpu else "bfloat16", 40, WRITTEN
    if bench.on_gpu:
        yield "llama-1.2b", "float32", 400, ["saliency"]
    yield "distilgpt2", "bfloat16", 40, WRITTEN
    yield "smollm2-135m", "float32" if bench.on_gpu else "bfloat16", 40, WRITTEN


def reaches(bench: Bench, name: str, length: int, work: str) -> bool:
    """GPT-2's context has 1,024 places; a patching map is a pass for each place and layer; a processor is slow, but writes."""
    if work == "patching" and name != "distilgpt2" and not bench.on_gpu:
        return False
    context = name != "distilgpt2" or length <= 800
    most = {"patching": 40, "ig": 400, "nmf": 400}.get(work, 4000)
    return context and length <= (most if bench.on_gpu or work in WRITTEN else min(most, 400))


def group(bench: Bench, step: Step, name: str, dtype: str, length: int, works: list[str], most: float):
    """Several works of one model in one session, each followed by what others take for it."""
    folder = made(name, bench.scratch / "models", bench.device)
    text = text_of(folder, length)
    n = {work: (N_DECODED if work in WRITTEN else N_EXPLAINED) if bench.on_gpu else 10 for work in works}
    running = bench.begin(f"speed-{name}-{dtype}-{length}-{works[0]}", script(bench, folder, dtype, text, n))
    found = {}
    for work in works:
        what = f"{work}: {name}, {dtype}, {length} tokens"
        limit = min(step.left(), most)
        try:
            line = running.next(limit)
        except Late:
            step.add(what, None, not_done_in=f"{limit:.0f} s")
            break
        if line is None or "failed" in line:
            step.add(what, False, error=line["failed"] if line else running.complaints().strip()[-500:])
            continue
        found[work] = line | {"n": n[work], "host": running.host_memory("VmHWM")}
        found[work]["row"] = own_row(bench, step, what, found[work], work, length, dtype)
        if work == "graph":
            beside_usual(bench, step, found, running.without_graph(), dtype)
    running.kill()
    # Only now: both at once would be slower, each.
    for work, ours in found.items():
        if work not in OURS_ALONE:
            with_peer(bench, step, folder, dtype, text, work, ours)


def own_row(bench: Bench, step: Step, what: str, ours: dict, work: str, length: int, dtype: str) -> dict:
    values = {"seconds": round(ours["seconds"], 3)} | figures(bench, ours, work, length, dtype)
    values["crossings"] = crossings(ours["crossed"], ours["n"] if work in WRITTEN else 1)
    values["peak_so_far"] = on_device(bench, ours, "peak") if bench.on_gpu else ours["host"]
    return step.add(what, None, **values)


def beside_usual(bench: Bench, step: Step, found: dict, without: set[str], dtype: str):
    """Graphs on and off: the same tokens, and how much sooner they come."""
    ours, usual = found["graph"], found.get("decode")
    row, is_same = ours["row"], ours["extra"] == ours["n"]
    # With others' products and another order of sums, bfloat16 may choose another token where two are equally probable.
    row["ok"] = is_same if dtype == "float32" else None
    if bench.on_gpu and without:
        row["ok"] = False
    values = {"ratio": round(usual["seconds"] / ours["seconds"], 2), "to": "decode"} if usual else {}
    values |= {"same_tokens": f"{ours['extra']} of {ours['n']}", "recorded": not without}
    step.more(row, **values | ({"since": ", ".join(sorted(without))} if without else {}))


def crossings(crossed: dict, n: int) -> str:
    return f"{crossed['to_host'] / n:g} to the host and {crossed['to_device'] / n:g} to the device"


def script(bench: Bench, folder, dtype: str, text: str, n: dict[str, int]) -> str:
    cells = [START]
    for work, count in n.items():
        warm, timed, extra = WORKS[work]
        cell = TIMED.replace("WARM", warm).replace("WORK", timed).replace("EXTRA", extra)
        cells.append(
            cell.replace("generate: N", f"generate: {count}").replace("STEPS", str(n_steps(bench.device)))
        )
    whole = "\n// %%\n".join(cells)
    words = {"FOLDER": folder, "DEVICE": bench.device, "DTYPE": dtype, "TEXT": text}
    for word, value in (words | {"OTHER": text.replace("Austria", "Belgium")}).items():
        whole = whole.replace(word, quoted(value))
    return whole


def with_peer(bench: Bench, step: Step, folder, dtype: str, text: str, work: str, ours: dict):
    try:
        with in_time(step):
            theirs = peer(bench, folder, dtype, text, work, ours)
    except Exception as error:  # noqa: BLE001  Late, no memory, or what that version of theirs does not do.
        step.more(ours["row"], theirs=f"not reached ({type(error).__name__})")
        return
    if theirs:
        ratio = round(theirs["seconds"] / ours["seconds"], 2)
        step.more(ours["row"], theirs=round(theirs["seconds"], 3), by=theirs["by"], ratio=ratio)


def figures(bench: Bench, ours: dict, work: str, length: int, dtype: str) -> dict:
    """What share of what the device can do."""
    bytes_each = 2 if dtype == "bfloat16" else 4
    n_parameters = ours["memory"] / bytes_each
    if work in WRITTEN:
        rate = ours["n"] / ours["seconds"]
        moved = rate * ours["memory"]
        share = {"of_3.3_TB/s": f"{moved / BYTES_PER_SECOND:.0%}"} if bench.on_gpu else {}
        return {"tokens/s": round(rate, 1), "GB/s": round(moved / 1e9, 1)} | share
    if work in ("saliency", "ig"):
        # A pass there, and for each target one back, at every step of the path; the head at the targets alone.
        head = ours["config"]["vocab_size"] * ours["config"]["hidden_size"]
        body = 2 * (n_parameters - head) * (length + ours["n"]) * (1 + ours["n"])
        done = (body + 4 * head * ours["n"]) * (n_steps(bench.device) if work == "ig" else 1)
        return {"of_matmul_rate": f"{done / ours['seconds'] / matmul_rate(bench.device, dtype):.0%}"}
    if work == "nmf":
        return {"sweeps": ours["extra"]}
    return {}


def n_steps(device: str) -> int:
    """Of integrated gradients; on a processor as few as rehearse it."""
    return N_STEPS if device.startswith("cuda") else 5


RATES: dict = {}


def matmul_rate(device: str, dtype: str) -> float:
    """Operations a second in a large product."""
    if (device, dtype) not in RATES:
        size = 8192 if device.startswith("cuda") else 1024
        a, b = (torch.randn(size, size, device=device, dtype=getattr(torch, dtype)) for _ in range(2))
        seconds = timed(lambda: a @ b, device, rounds=5)
        RATES[device, dtype] = 2 * size**3 / seconds
    return RATES[device, dtype]


def timed(work, device: str, rounds: int = 1) -> float:
    """Seconds that a piece of work takes, once it is warm."""

    def wait():
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)

    work()
    wait()
    begin = time.perf_counter()
    for _ in range(rounds):
        work()
    wait()
    return (time.perf_counter() - begin) / rounds


HELD: dict = {}


def held(folder, dtype: str, device: str):
    """transformers' model; the last one is kept."""
    key = (folder, dtype)
    if key not in HELD:
        HELD.clear()
        kind = getattr(torch, dtype)
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=kind)
        HELD[key] = model.to(device).eval()
    return HELD[key]


def peer(bench: Bench, folder, dtype: str, text: str, work: str, ours: dict) -> dict | None:
    if work == "nmf":
        return factors(bench, ours)
    if work == "ig" and not (bench.on_gpu or len(text) < 200):
        return None
    model = held(folder, dtype, bench.device)
    reads = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    ids = torch.tensor([reads(text)["input_ids"]], device=bench.device)
    if work == "decode":
        options = dict(do_sample=False, pad_token_id=0, attention_mask=torch.ones_like(ids))
        model.generate(ids, max_new_tokens=4, **options)
        work = lambda: model.generate(ids, max_new_tokens=ours["n"], min_new_tokens=ours["n"], **options)
        return {"seconds": once(work, bench.device), "by": "transformers"}
    if work == "lens":
        return {"seconds": timed(lambda: lens(model, ids), bench.device), "by": "transformers"}
    return attributions(model, ids, ours["n"], work, bench.device)


def once(work, device: str) -> float:
    begin = time.perf_counter()
    work()
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin


@torch.no_grad()
def lens(model, ids):
    states = model(ids, output_hidden_states=True).hidden_states
    inner = getattr(model, "model", None) or model.transformer
    norm = getattr(inner, "norm", None) or inner.ln_f
    for state in states:
        logits = model.lm_head(norm(state)).float()
        logits.argsort(-1, descending=True)


def attributions(model, ids, n: int, work: str, device: str) -> dict | None:
    """captum, a target after the other, as one has to ask it; one target is measured and counted n times."""
    if importlib.util.find_spec("captum") is None:
        return None
    from captum.attr import InputXGradient, IntegratedGradients

    embeddings = model.get_input_embeddings()(ids).detach().requires_grad_()
    value = lambda embeddings: model(inputs_embeds=embeddings).logits[:, -1].softmax(-1)[:, 0]
    if work == "saliency":
        explain = lambda: InputXGradient(value).attribute(embeddings)
    else:
        explain = lambda: IntegratedGradients(value).attribute(
            embeddings, n_steps=n_steps(device), internal_batch_size=10
        )
    explain()
    return {"seconds": n * once(explain, device), "by": f"captum, one of {n} targets measured"}


def factors(bench: Bench, ours: dict) -> dict | None:
    if importlib.util.find_spec("sklearn") is None:
        return None
    from sklearn.decomposition import NMF

    found = np.load(bench.scratch / "activations.npy")  # layer, neuron, position
    matrix = found.reshape(-1, found.shape[-1]).T.clip(min=0)
    if matrix.size > MOST_NUMBERS:
        return None
    model = NMF(n_components=10, init="random", random_state=0, max_iter=100)
    return {"seconds": once(lambda: model.fit_transform(matrix), "cpu"), "by": "scikit-learn on the host"}
