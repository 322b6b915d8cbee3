"""Step 4: how fast, beside transformers, captum and scikit-learn on the same device, and beside what it could do."""

import importlib.util
import time

import numpy as np
import torch
import transformers

from .models import made, text_of
from .run import Bench, Failed, Late, Step, quoted

# Of an H100 SXM; another card's figures are to be read with its own.
BYTES_PER_SECOND = 3.3e12
N_DECODED = 100
N_EXPLAINED = 10
N_STEPS = 50
LENGTHS = (40, 400, 4000)

START = """
fn tell(map) { print(map.to_json()); }
let lm = ecco::from_pretrained(FOLDER, #{device: DEVICE, dtype: DTYPE, verbose: false});
"""
TIMED = """
WARM;
let start = timestamp();
let found = WORK;
let seconds = start.elapsed;
tell(#{seconds: seconds, memory: lm.memory, device: ecco::devices()[0], extra: EXTRA});
"""
# What is measured: what warms up, the work, and what else is told.
WORKS = {
    "decode": ("lm.generate(TEXT, #{generate: 4})", "lm.generate(TEXT, #{generate: N})", "found.token_ids.len() - found.n_input_tokens"),
    "saliency": ("lm.generate(TEXT, #{generate: N}).saliency().scores", "lm.last_output.primary_attributions(#{attr_method: \"grad_x_input\", aggregation: \"l1\"}).scores", "0"),
    "ig": ("lm.generate(TEXT, #{generate: N}).saliency(#{method: \"ig\", n_steps: 2}).scores", "lm.last_output.saliency(#{method: \"ig\", n_steps: STEPS}).scores", "0"),
    "lens": ("lm.run(TEXT).lens().ranks", "lm.run(TEXT).lens().ranks", "0"),
    "patching": ("lm.run(TEXT)", "lm.patch_map(TEXT, OTHER).restored", "0"),
    "nmf": ("lm.run(TEXT).activations.save(\"activations.npy\")", "lm.run(TEXT).run_nmf(#{n_components: 10, max_iter: 100})", "found.n_iter"),
}  # fmt: skip


def speed(bench: Bench, step: Step):
    peers(step)
    plan = list(cases(bench))
    for number, (name, dtype, length, work) in enumerate(plan):
        try:
            left = step.left()
        except Late:
            step.add(f"{len(plan) - number} of {len(plan)} rows were not reached", None)
            return
        try:
            row(bench, step, name, dtype, length, work, left)
        except (Failed, torch.OutOfMemoryError) as error:
            step.add(f"{work}: {name}, {dtype}, {length} tokens", False, error=str(error)[-500:])


def peers(step: Step):
    there = {name: importlib.util.find_spec(name) is not None for name in ("captum", "sklearn")}
    for name, is_there in there.items():
        if not is_there:
            step.add(f"{name} is not installed: nothing to compare with", None)


def cases(bench: Bench):
    """Model, type, tokens and work, what matters most first."""
    large = [("llama-1.2b", "bfloat16")] if bench.on_gpu or bench.minutes >= 6 else []
    small = [("distilgpt2", "float32"), ("smollm2-135m", "bfloat16")]
    models = large + small if bench.on_gpu else small + large
    for length in LENGTHS:
        for work in ("decode", "saliency", "nmf", "lens", "ig", "patching"):
            for name, dtype in models:
                if reaches(bench, name, length, work):
                    yield name, dtype, length, work
    if large:
        yield "llama-1.2b", "float32", 40, "decode"
        yield "llama-1.2b", "float32", 400, "saliency"
    yield "distilgpt2", "bfloat16", 40, "decode"
    yield "smollm2-135m", "float32", 40, "decode"


def reaches(bench: Bench, name: str, length: int, work: str) -> bool:
    """GPT-2's context has 1,024 places; a patching map is a pass for each place and layer; a processor is slow."""
    context = name != "distilgpt2" or length <= 800
    most = {"patching": 40, "ig": 400, "nmf": 4000}.get(work, 4000)
    return context and length <= (most if bench.on_gpu else min(most, 400))


def row(bench: Bench, step: Step, name: str, dtype: str, length: int, work: str, left: float):
    folder = made(name, bench.out / "models", bench.device)
    text = text_of(folder, length)
    ours = measured(bench, folder, dtype, text, work, left)
    theirs = peer(bench, folder, dtype, text, work, ours)
    values = {"seconds": round(ours["seconds"], 3)} | figures(bench, ours, work, length, dtype)
    if theirs:
        values |= {"theirs": round(theirs["seconds"], 3), "by": theirs["by"], "ratio": round(theirs["seconds"] / ours["seconds"], 2)}
    values["peak"] = ours["device"].get("peak") if bench.on_gpu else ours["host"]
    step.add(f"{work}: {name}, {dtype}, {length} tokens", None, **values)


def measured(bench: Bench, folder, dtype: str, text: str, work: str, left: float) -> dict:
    warm, timed, extra = WORKS[work]
    script = START + TIMED.replace("WARM", warm).replace("WORK", timed).replace("EXTRA", extra)
    n = N_DECODED if work == "decode" else N_EXPLAINED
    if not bench.on_gpu:
        n = min(n, 20)
    words = {"FOLDER": folder, "DEVICE": bench.device, "DTYPE": dtype, "TEXT": text, "OTHER": text.replace("Austria", "Belgium")}
    script = script.replace("generate: N}", f"generate: {n}}}").replace("STEPS", str(N_STEPS))
    for word, value in words.items():
        script = script.replace(word, quoted(value))
    running = bench.begin(f"{work}-{folder.name}-{dtype}", script)
    line = running.next(left)
    if line is None:
        raise Failed(running.complaints().strip())
    line["host"] = running.host_memory("VmHWM")
    running.kill()
    return line | {"n": n}


def figures(bench: Bench, ours: dict, work: str, length: int, dtype: str) -> dict:
    """What share of what the device can do."""
    bytes_each = 2 if dtype == "bfloat16" else 4
    n_parameters = ours["memory"] / bytes_each
    if work == "decode":
        rate = ours["n"] / ours["seconds"]
        moved = rate * ours["memory"]
        share = {"of_3.3_TB/s": f"{moved / BYTES_PER_SECOND:.0%}"} if bench.on_gpu else {}
        return {"tokens/s": round(rate, 1), "GB/s": round(moved / 1e9, 1)} | share
    if work in ("saliency", "ig"):
        passes = 2 * n_parameters * (length + ours["n"])
        # A pass there, and for each target one back, at every step of the path.
        done = passes * (1 + ours["n"]) * (N_STEPS if work == "ig" else 1)
        return {"of_matmul_rate": f"{done / ours['seconds'] / matmul_rate(bench.device, dtype):.0%}"}
    if work == "nmf":
        return {"sweeps": ours["extra"]}
    return {}


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


def peer(bench: Bench, folder, dtype: str, text: str, work: str, ours: dict) -> dict | None:
    if work == "nmf":
        return factors(bench, ours)
    if work == "patching" or work == "ig" and not (bench.on_gpu or len(text) < 200):
        return None
    kind = getattr(torch, dtype)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=kind).to(bench.device).eval()
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
        explain = lambda: IntegratedGradients(value).attribute(embeddings, n_steps=N_STEPS, internal_batch_size=10)
    explain()
    return {"seconds": n * once(explain, device), "by": f"captum, one of {n} targets measured"}


def factors(bench: Bench, ours: dict) -> dict | None:
    if importlib.util.find_spec("sklearn") is None:
        return None
    from sklearn.decomposition import NMF

    found = np.load(bench.out / "activations.npy")  # layer, neuron, position
    matrix = found.reshape(-1, found.shape[-1]).T.clip(min=0)
    model = NMF(n_components=10, init="random", random_state=0, max_iter=100)
    return {"seconds": once(lambda: model.fit_transform(matrix), "cpu"), "by": "scikit-learn on the host", "theirs": model.n_iter_}
