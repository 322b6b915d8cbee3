"""Step 2: the same numbers on the device, on the processor, and by transformers on the same device.

The program loads each model twice in one session, on the processor and on the device, and saves what it finds as
tensors; here they are compared. A difference is the largest one, by the largest value where that is above 1.
"""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from .models import families, made, others, text_of
from .run import Bench, Late, Step, quoted

# Single precision with TF32 off, whatever the order of sums.
F32 = 1e-4
# What goes through many sweeps or is normalised by small numbers.
LOOSE = {"nmf": 1e-2, "gradient": 1e-3}
# bfloat16 is as far from single precision as transformers' is, or so many times as far and a little more. Where a layer
# chooses experts, rounding may choose another one at a position, with quite other numbers: there the median position
# counts.
BF16_TIMES, BF16_MORE = 3.0, 0.02
N_GENERATED = 6
# transformers' eager attention adds the ALiBi of this one twice, its fused attention once, as in training.
FUSED = {"falcon-rw"}
# What transformers does not follow before some release, by the key in config.json.
YOUNG = ("swiglu_limit",)

# Each quantity by itself: not every kind of model has all.
SCRIPT = """
fn tell(map) { print(map.to_json()); }
fn keep(to, what, work) {
    try {
        let found = work.call();
        found.save(`${to}.${what}.npy`);
    } catch (error) {
        tell(#{missing: what, at: to, why: `${error}`});
    }
}
fn inside(lm, text, options, to) {
    let run = lm.run(text, options);
    keep(to, "logits", || run.logits);
    keep(to, "hidden_states", || run.hidden_states);
    keep(to, "attention", || run.attention);
    keep(to, "activations", || run.activations);
    run
}
fn explained(lm, text, options, to, n) {
    let run = lm.run(text, options);
    keep(to, "lens", || run.lens().probabilities);
    keep(to, "nmf", || run.run_nmf(#{n_components: 2, max_iter: 30}).components);
    keep(to, "ablated", || lm.intervene(#{ablate: [#{layer: 0, head: 0}]}).run(text, options).logits);
    try {
        let output = lm.generate(text, #{generate: n});
        tell(#{tokens: output.token_ids, at: to});
        keep(to, "gradient", || output.saliency(#{method: "gradient"}).scores);
    } catch (error) {
        tell(#{missing: "generated", at: to, why: `${error}`});
        keep(to, "gradient", || run.saliency(#{method: "gradient"}).scores);
    }
}
fn model(folder, name, text, options, sides, dtype, n) {
    for side in sides {
        let lm = ecco::from_pretrained(folder, #{device: side[1], dtype: dtype, verbose: false});
        let to = `parity/${name}.${side[0]}`;
        inside(lm, text, options, to);
        if dtype == "float32" { explained(lm, text, options, to, n); }
        lm.unload();
    }
    tell(#{done: name});
}
"""

# What is written with a CUDA graph and without. Apart from the others: what goes wrong while one is recorded spoils nothing.
RECORDED = """
fn model(folder, name, text, device, n) {
    let lm = ecco::from_pretrained(folder, #{device: device, dtype: "float32", verbose: false});
    let usual = ();
    try { usual = lm.generate(text, #{generate: n, cuda_graph: false}).token_ids; } catch { }  // not every kind of model writes
    if usual != () {
        try {
            let graph = lm.generate(text, #{generate: n, cuda_graph: true}).token_ids;
            let again = lm.generate(text, #{generate: n, cuda_graph: true}).token_ids;
            print(#{name: name, same: usual == graph && usual == again}.to_json());
        } catch (error) {
            print(#{name: name, same: false, why: `${error}`}.to_json());
        }
    }
    lm.unload();
}
"""
# Factors of a matrix that is large enough for the device to find them, on both sides.
FACTORS = """
let found = [];
for device in DEVICES {
    let lm = ecco::from_pretrained(FOLDER, #{device: device, dtype: "float32", verbose: false});
    let factors = lm.run(TEXT).run_nmf(#{n_components: 8, max_iter: 60});
    found.push(#{error: factors.error, n_iter: factors.n_iter, device: device});
    factors.components.save(`${device}.npy`);
    lm.unload();
}
print(#{found: found}.to_json());
"""
# Where none can be recorded, for these reasons alone.
NO_GRAPH = ("encoder has read", "experts are needed", "turn at other frequencies")


@dataclass
class Seen:
    """What was compared under one name."""

    limit: float
    number: int = 0
    worst: float = 0.0
    where: str = ""
    wrong: list = field(default_factory=list)

    def add(self, name: str, difference: float, limit: float | None = None):
        self.number += 1
        if not difference <= self.worst:
            self.worst, self.where = difference, name
        if not difference <= (limit or self.limit):
            self.wrong.append(f"{name} {difference:.1e}")

    def row(self) -> dict:
        row = {
            "ok": not self.wrong,
            "compared": self.number,
            "worst": f"{self.worst:.1e}",
            "limit": self.limit,
        }
        return row | {"of": self.where} | ({"wrong": self.wrong} if self.wrong else {})


def parity(bench: Bench, step: Step):
    (bench.scratch / "parity").mkdir()
    for dtype in ("float32", "bfloat16"):
        found = ours(bench, step, dtype)
        compare_sides(step, bench, dtype, found)
        compare_references(step, bench, dtype, found)
        if dtype == "float32":
            stored(bench, step)
            recorded(bench, step)
            factors(bench, step)


def stored(bench: Bench, step: Step):
    """Weights of few bits, GGUF files and adapters: they are decoded on the device."""
    text, cells, names = families()[0][1]["text"], [SCRIPT], []
    for kind, folder in others(bench.scratch / "others"):
        name = f"{kind}.{folder.name.replace('.', '_')}"
        names.append(name)
        sides = f'[["processor", "cpu"], ["device", {quoted(bench.device)}]]'
        options = '#{target: "Une forêt"}' if "t5" in name else "#{}"
        call = f"model({quoted(folder)}, {quoted(name)}, {quoted(text)}, {options}, {sides}"
        cells.append(f'{call}, "float32", {N_GENERATED});')
    running = bench.begin("parity-stored", "\n// %%\n".join(cells))
    found, now = {}, {"tokens": {}, "missing": {}}
    for line in running.finish(0.5 * step.left()):
        if "done" in line:
            found[line["done"]], now = now, {"tokens": {}, "missing": {}}
        elif "tokens" in line:
            now["tokens"][side(line)] = line["tokens"]
        else:
            now["missing"].setdefault(side(line), {})[line["missing"]] = line["why"]
    ended = running.status == 0 and len(found) == len(names)
    error = {} if ended else {"error": running.complaints().strip()[-500:]}
    step.add("few bits, GGUF, adapters: models", ended, run=len(found), of=len(names), **error)
    compare_sides(step, bench, "float32", found, "few bits, GGUF, adapters")


def recorded(bench: Bench, step: Step):
    """Greedy tokens by CUDA graphs; on the processor by the same steps of fixed shapes, one operation at a time."""
    cells = [RECORDED]
    for folder, case in families():
        call = f"model({quoted(folder)}, {quoted(folder.name)}, {quoted(case['text'])}"
        cells.append(f"{call}, {quoted(bench.device)}, {N_GENERATED});")
    running = bench.begin("parity-graphs", "\n// %%\n".join(cells))
    lines = running.finish(0.5 * step.left())
    wrong = [
        line["name"] + (f" ({line['why']})" if "why" in line else "") for line in lines if not line["same"]
    ]
    values = {"compared": len(lines)} | ({"wrong": wrong} if wrong else {})
    ended = running.status == 0
    if not ended:
        values["error"] = running.complaints().strip()[-500:]
    step.add(
        "float32: greedy tokens, with a CUDA graph and without", ended and bool(lines) and not wrong, **values
    )
    reasons = running.without_graph()
    others = sorted(reason for reason in reasons if not any(known in reason for known in NO_GRAPH))
    step.add("… graphs were recorded", not others if bench.on_gpu else None, reasons_for_none=sorted(reasons))


def factors(bench: Bench, step: Step):
    folder = made("distilgpt2", bench.scratch / "models", bench.device)
    words = {"FOLDER": folder, "TEXT": text_of(folder, 400), "DEVICES": [bench.device, "cpu"]}
    script = FACTORS
    for word, value in words.items():
        script = script.replace(word, json.dumps(value) if isinstance(value, list) else quoted(value))
    (line,) = bench.run("factors", script, step.left())
    here, there = line["found"]
    apart = abs(here["error"] - there["error"]) / there["error"]
    values = {
        "n_iter": [here["n_iter"], there["n_iter"]],
        "error": apart,
        "components": difference(*(np.load(bench.scratch / f"{name}.npy") for name in words["DEVICES"])),
    }
    step.add("factors of a large matrix, as on the processor", apart < F32, **values)


def ours(bench: Bench, step: Step, dtype: str) -> dict:
    """Runs every family on both sides. Returns by name what was said; what was not reached is missing."""
    cells = [SCRIPT]
    for folder, case in families():
        target = {"target": tail_of(case)} if "target" in case else {}
        options = "#{" + ", ".join(f"{k}: {quoted(v)}" for k, v in target.items()) + "}"
        sides = f'[["processor", "cpu"], ["device", {quoted(bench.device)}]]'
        call = f"model({quoted(folder)}, {quoted(f'{folder.name}.{dtype}')}, {quoted(case['text'])}"
        cells.append(f"{call}, {options}, {sides}, {quoted(dtype)}, {N_GENERATED});")
    running = bench.begin(f"parity-{dtype}", "\n// %%\n".join(cells))
    found, now = {}, {"tokens": {}, "missing": {}}
    # Reading what transformers says of them takes about as long.
    until = 0.6 * step.left()
    late = False
    try:
        start_left = step.left()
        while (line := running.next(until - (start_left - step.left()))) is not None:
            if "done" in line:
                found[line["done"]], now = now, {"tokens": {}, "missing": {}}
            elif "tokens" in line:
                now["tokens"][side(line)] = line["tokens"]
            else:
                now["missing"].setdefault(side(line), {})[line["missing"]] = line["why"]
    except Late:
        late = True
    if not late and running.status != 0:
        step.add(f"{dtype}: the script runs through", False, error=running.complaints().strip()[-2000:])
    step.add(f"{dtype}: models", len(found) == len(families()) or None, run=len(found), of=len(families()))
    return found


def tail_of(case: dict) -> str:
    """What the decoder has written, behind the token that it starts with: the fixtures' text for it."""
    return "Une forêt\n" if case["target"] else ""


def side(line: dict) -> str:
    return line["at"].rsplit(".", 1)[1]


def saved(bench: Bench, name: str, side: str) -> dict[str, np.ndarray]:
    files = (bench.scratch / "parity").glob(f"{name}.{side}.*.npy")
    return {file.name.split(".")[-2]: np.load(file) for file in files}


def difference(a: np.ndarray, b: np.ndarray) -> float:
    if a.shape != b.shape:
        return math.inf
    a, b = np.nan_to_num(a, nan=1e30), np.nan_to_num(b, nan=1e30)
    return float(np.abs(a - b).max() / max(1.0, np.abs(b).max())) if a.size else 0.0


def typical_difference(a: np.ndarray, b: np.ndarray) -> float:
    """That of the median position, which is the first axis."""
    if a.shape != b.shape:
        return math.inf
    return float(np.median(np.abs(a - b).max(axis=1)) / max(1.0, np.abs(b).max()))


def compare_sides(step: Step, bench: Bench, dtype: str, found: dict, of: str | None = None):
    """The device against the processor."""
    seen: dict[str, Seen] = {}
    limit = F32 if dtype == "float32" else math.inf
    for name, said in found.items():
        here, there = saved(bench, name, "device"), saved(bench, name, "processor")
        entry = seen.setdefault("the same is there", Seen(0.0))
        entry.add(
            name,
            float(
                here.keys() != there.keys()
                or said["missing"].get("device") != said["missing"].get("processor")
            ),
        )
        for what in here.keys() & there.keys():
            entry = seen.setdefault(what, Seen(LOOSE.get(what, limit) if dtype == "float32" else limit))
            entry.add(name, difference(here[what], there[what]))
        if said["tokens"]:
            entry = seen.setdefault("greedy tokens", Seen(0.0))
            entry.add(name, float(said["tokens"].get("device") != said["tokens"].get("processor")))
    for what, entry in sorted(seen.items()):
        row = entry.row()
        if entry.limit == math.inf:
            row |= {"ok": None, "limit": "none: stated"}
        step.add(f"{of or dtype}, {bench.device} and cpu: {what}", **row)


def compare_references(step: Step, bench: Bench, dtype: str, found: dict):
    """The device against transformers on the same device."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    seen: dict[str, Seen] = {}
    try:
        for folder, case in families():
            name = f"{folder.name}.{dtype}"
            if name in found and is_transformers(folder):
                step.left()
                if key := unread(folder):
                    step.add(f"{name}: this transformers does not read {key}", None)
                    continue
                try:
                    reference(
                        seen, folder, case, found[name], saved(bench, name, "device"), bench.device, dtype
                    )
                except Exception as error:  # noqa: BLE001  Whatever that version of it does not do.
                    step.add(f"{name}: transformers itself failed", None, error=str(error)[:300])
    except Late:
        step.add(f"{dtype}: transformers was not asked about all", None)
    for what, entry in sorted(seen.items()):
        row = entry.row()
        if dtype == "bfloat16":
            row["limit"] = f"{BF16_TIMES:g} times transformers' and {BF16_MORE}"
        step.add(f"{dtype}, {bench.device} and transformers: {what}", **row)


def is_transformers(folder: Path) -> bool:
    """Whether transformers has such a model: of some their authors have code of their own, and those of TransformerLens name no type."""
    return json.loads((folder / "config.json").read_text()).get("model_type") in CONFIG_MAPPING_NAMES


def unread(folder: Path) -> str | None:
    """What the model is told that this release of transformers does not know of."""
    config = json.loads((folder / "config.json").read_text())
    usual = transformers.AutoConfig.for_model(config["model_type"])
    return next((key for key in YOUNG if key in config and not hasattr(usual, key)), None)


def loaded(folder: Path, device: str, dtype: str):
    config = json.loads((folder / "config.json").read_text())
    kind = getattr(transformers, config["architectures"][0])
    how = "sdpa" if folder.name in FUSED else "eager"
    model = kind.from_pretrained(folder, dtype=getattr(torch, dtype), attn_implementation=how)
    # The grouped products that are the default want rows of 16 bytes at least.
    if hasattr(model, "set_experts_implementation"):
        model.set_experts_implementation("eager")
    return model.to(device).eval()


def reference(seen: dict, folder: Path, case: dict, said: dict, here: dict, device: str, dtype: str):
    model = loaded(folder, device, dtype)
    name, expected = folder.name, inside(model, case, device)
    if dtype == "bfloat16":
        if "logits" in expected and "logits" in here:
            exact = inside(loaded(folder, device, "float32"), case, device)["logits"]
            chooses = any(getattr(model.config, key, None) for key in ("num_experts", "num_local_experts"))
            apart = typical_difference if chooses else difference
            theirs, mine = apart(expected["logits"], exact), apart(here["logits"], exact)
            entry = seen.setdefault("logits, from those in float32", Seen(BF16_MORE))
            entry.add(f"{name} (transformers {theirs:.1e})", mine, BF16_TIMES * theirs + BF16_MORE)
        return
    for what, value in expected.items():
        if what in here:
            found = here[what]
            # The last of the hidden states is normalised in some models of transformers and not in others.
            found = found[: len(value)] if what == "hidden_states" else found
            seen.setdefault(what, Seen(F32)).add(name, difference(found, value))
    if said["tokens"].get("device") and not model.config.is_encoder_decoder:
        tokens = said["tokens"]["device"]
        seen.setdefault("greedy tokens", Seen(0.0)).add(
            name, float(tokens != greedy(model, case["ids"], device))
        )
        if "gradient" in here:
            rows = gradients(model, tokens, len(case["ids"]), device)
            entry = seen.setdefault("gradient (autograd)", Seen(LOOSE["gradient"]))
            entry.add(name, difference(here["gradient"], rows))


def inside(model, case: dict, device: str) -> dict[str, np.ndarray]:
    """Logits, hidden states and attention, of an encoder–decoder the decoder's."""
    ids = torch.tensor([case["ids"]], device=device)
    inputs = {"input_ids": ids}
    if "target" in case:
        inputs["decoder_input_ids"] = torch.tensor([case["target"]], device=device)
    is_eager = model.config._attn_implementation == "eager"
    with torch.no_grad():
        run = model(**inputs, output_hidden_states=True, output_attentions=is_eager)
    prefix = "decoder_" if "target" in case else ""
    found = {"hidden_states": torch.stack(run[f"{prefix}hidden_states"][:-1])[:, 0]}
    if is_eager:
        found["attention"] = torch.stack(run[f"{prefix}attentions"])[:, 0]
    if "logits" in run:
        found["logits"] = run.logits[0]
    return {what: value.float().cpu().numpy() for what, value in found.items()}


def greedy(model, ids: list[int], device: str) -> list[int]:
    given = torch.tensor([ids], device=device)
    made = model.generate(
        given,
        attention_mask=torch.ones_like(given),
        max_new_tokens=N_GENERATED,
        do_sample=False,
        pad_token_id=0,
    )
    return made[0].tolist()


def gradients(model, tokens: list[int], n_input: int, device: str) -> np.ndarray:
    """Of each generated token's probability by the embeddings before it, of a model with two tables by both: norms, as shares of their sum."""
    named = dict(model.named_modules())
    tables = [model.get_input_embeddings()]
    tables += [table for name, table in named.items() if name.endswith("embed_tokens_per_layer")]
    rows = np.zeros((len(tokens) - n_input, len(tokens) - 1), dtype=np.float32)
    for row, end in enumerate(range(n_input, len(tokens))):
        leaves = []

        def leaf(table, _, embeddings, leaves=leaves):
            leaves.append((embeddings.detach().requires_grad_(), float(getattr(table, "embed_scale", 1.0))))
            return leaves[-1][0]

        hooks = [table.register_forward_hook(leaf) for table in tables]
        probability = (
            model(torch.tensor([tokens[:end]], device=device)).logits[0, -1].softmax(-1)[tokens[end]]
        )
        for hook in hooks:
            hook.remove()
        found = torch.autograd.grad(probability, [embeddings for embeddings, _ in leaves])
        squares = [(scale * by[0]).square().sum(-1) for by, (_, scale) in zip(found, leaves, strict=True)]
        norms = sum(squares).sqrt()
        rows[row, :end] = (norms / norms.sum()).detach().cpu().numpy()
    return rows
