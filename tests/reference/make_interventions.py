"""Writes tests/fixtures/interventions.{json,safetensors}: what transformers computes with forward hooks that change it.

    python tests/reference/make_interventions.py

For each model some interventions, in the words that `tests/parity/interventions.rs` reads: what the last two positions'
logits are under them, and the tokens that greedy decoding (with its cache) writes. And activation patching maps, by a
plain loop of one forward pass for each cell.
"""

import json
from contextlib import contextmanager

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from make_fixtures import FIXTURES

torch.set_num_threads(1)
N_GENERATED = 8
GENERATOR = torch.Generator().manual_seed(3)


class Gpt2:
    def __init__(self, model):
        self.blocks, self.model = model.transformer.h, model

    def mlp(self, layer, encoder):
        return self.blocks[layer].mlp

    def down(self, layer, encoder):
        return self.blocks[layer].mlp.c_proj

    def heads(self, layer, encoder):
        return self.blocks[layer].attn.c_proj

    def attention(self, layer, encoder):
        return self.blocks[layer].attn

    def block(self, layer, encoder):
        return self.blocks[layer]


class Llama(Gpt2):
    def __init__(self, model):
        self.blocks, self.model = model.model.layers, model

    def down(self, layer, encoder):
        return self.blocks[layer].mlp.down_proj

    def heads(self, layer, encoder):
        return self.blocks[layer].self_attn.o_proj

    def attention(self, layer, encoder):
        return self.blocks[layer].self_attn


class T5(Gpt2):
    def __init__(self, model):
        self.model = model

    def block(self, layer, encoder):
        return (self.model.encoder if encoder else self.model.decoder).block[layer]

    def mlp(self, layer, encoder):
        return self.block(layer, encoder).layer[-1].DenseReluDense

    def down(self, layer, encoder):
        return self.mlp(layer, encoder).wo

    def heads(self, layer, encoder):
        return self.block(layer, encoder).layer[0].SelfAttention.o

    def attention(self, layer, encoder):
        return self.block(layer, encoder).layer[0].SelfAttention

    def cross(self, layer, encoder):
        return self.block(layer, encoder).layer[1].EncDecAttention


def first(output):
    return output[0] if isinstance(output, tuple) else output


def with_first(output, value):
    return (value, *output[1:]) if isinstance(output, tuple) else value


MODULES = {
    "mlp_output": "mlp", "residual_after": "block", "attention_output": "attention", "cross_output": "cross",
    "mlp_inner": "down", "head_outputs": "heads",
}


class Steps:
    """Where a pass of one stack starts: cached decoding calls it again and again."""

    def __init__(self):
        self.done = 0


def changed(case, x, start, n_heads, vectors):
    """x: [batch, position, feature]"""
    positions = case.get("positions")
    rows = [i for i in range(x.shape[1]) if positions is None or start + i in positions]
    if not rows:
        return x
    x = x.clone()
    part = x[:, rows]
    select = slice(None)
    if "head" in case:
        width = x.shape[-1] // n_heads
        select = slice(case["head"] * width, (case["head"] + 1) * width)
    if "neurons" in case:
        select = case["neurons"]
    if "direction" in case:
        unit = vectors[case["direction"]] / vectors[case["direction"]].norm()
        part = part - (part @ unit)[..., None] * unit
    elif case["change"] == "ablate":
        part[..., select] = case.get("to", 0.0)
    elif case["change"] == "scale":
        part[..., select] = part[..., select] * case["factor"]
    elif case["change"] == "add":
        part[..., select] = part[..., select] + case["factor"] * vectors[case["vector"]]
    elif case["change"] == "patch":
        source = vectors[case["source"]]
        part = source[[start + i for i in rows]][None].expand_as(part)
    x[:, rows] = part
    return x


@contextmanager
def hooked(modules, cases, vectors):
    handles = []
    for case in cases:
        encoder = case["site"].startswith("encoder_")
        site = case["site"].removeprefix("encoder_")
        module = getattr(modules, MODULES[site])(case["layer"], encoder)
        config = modules.model.config
        n_heads, steps = config.num_attention_heads, Steps()

        def change(x, case=case, steps=steps):
            start = steps.done
            steps.done += x.shape[1]
            return changed(case, x, start, n_heads, vectors)

        if site in ("mlp_inner", "head_outputs"):
            handles.append(module.register_forward_pre_hook(lambda _, args, change=change: (change(args[0]), *args[1:])))
        else:
            handles.append(
                module.register_forward_hook(lambda _, args, output, change=change: with_first(output, change(first(output))))
            )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def logits(model, ids, target):
    inputs = torch.tensor([ids])
    if target:
        return model(inputs, decoder_input_ids=torch.tensor([target])).logits[0]
    return model(inputs).logits[0]


def greedy(model, ids, target):
    """With the model's cache, so that hooks see one position at a time; None where a choice is close."""
    inputs = torch.tensor([ids])
    memory = model.get_encoder()(inputs) if target else None
    tokens, cache, written = torch.tensor([target or ids]), None, []
    for _ in range(N_GENERATED):
        if target:
            output = model(encoder_outputs=memory, decoder_input_ids=tokens, past_key_values=cache, use_cache=True)
        else:
            output = model(tokens, past_key_values=cache, use_cache=True)
        row, cache = output.logits[0, -1], output.past_key_values
        best = row.topk(2).values
        assert best[0] - best[1] > 1e-3, "a close choice"
        written.append(int(row.argmax()))
        tokens = row.argmax()[None, None]
    return written


@torch.no_grad()
def captured(modules, ids, site, layer, n):
    model = modules.model
    kept = []
    hook = getattr(modules, MODULES[site])(layer, False).register_forward_hook(lambda _, args, output: kept.append(first(output)))
    logits(model, ids, None)
    hook.remove()
    return kept[0][0]


@torch.no_grad()
def run_cases(name, modules, ids, target, groups, vectors, tensors):
    stored = []
    for index, cases in enumerate(groups):
        with hooked(modules, cases, vectors):
            tensors[f"{name}.{index}"] = logits(modules.model, ids, target)[-2:].clone().contiguous()
        with hooked(modules, cases, vectors):
            generated = greedy(modules.model, ids, target)
        stored.append({"interventions": cases, "generated": generated})
    untouched = greedy(modules.model, ids, target)
    assert sum(case["generated"] != untouched for case in stored) >= len(stored) - 3
    return {"ids": ids, "target": target or [], "untouched": untouched, "cases": stored}


@torch.no_grad()
def patch_map(modules, clean, corrupted, site, by_head, target, contrast):
    """One pass for each cell; answers are logit differences at the last position."""
    model, config = modules.model, modules.model.config
    n_heads, n_layers = config.num_attention_heads, config.num_hidden_layers
    difference = lambda row: float(row[target] - row[contrast])
    module_of = getattr(modules, MODULES[site])
    is_input = site in ("mlp_inner", "head_outputs")
    rows = []
    for layer in range(n_layers):
        kept = []
        if is_input:
            hook = module_of(layer, False).register_forward_pre_hook(lambda _, args: kept.append(args[0].clone()))
        else:
            hook = module_of(layer, False).register_forward_hook(lambda _, args, output: kept.append(first(output).clone()))
        logits(model, clean, None)
        hook.remove()
        row = []
        for column in range(n_heads if by_head else len(clean)):
            def put(x):
                x = x.clone()
                width = x.shape[-1] // n_heads
                if by_head:
                    x[..., column * width : (column + 1) * width] = kept[0][..., column * width : (column + 1) * width]
                else:
                    x[:, column] = kept[0][:, column]
                return x

            if is_input:
                hook = module_of(layer, False).register_forward_pre_hook(lambda _, args: (put(args[0]), *args[1:]))
            else:
                hook = module_of(layer, False).register_forward_hook(lambda _, args, output: with_first(output, put(first(output))))
            row.append(difference(logits(model, corrupted, None)[-1]))
            hook.remove()
        rows.append(row)
    ends = [difference(logits(model, text, None)[-1]) for text in (clean, corrupted)]
    return {
        "site": site, "by": "head" if by_head else "position", "clean_ids": clean, "corrupted_ids": corrupted,
        "target": target, "contrast": contrast, "patched": rows, "clean": ends[0], "corrupted": ends[1],
    }


def causal_cases(layers):
    last = layers - 1
    return [
        [{"change": "ablate", "site": "mlp_output", "layer": 1}],
        [{"change": "scale", "site": "head_outputs", "layer": 0, "head": 1, "factor": 4.0}],
        [{"change": "add", "site": "residual_after", "layer": 0, "vector": "steer", "factor": 2.0, "positions": [2, 3]}],
        [{"change": "add", "site": "residual_after", "layer": last, "vector": "steer", "factor": -1.5}],
        [{"change": "ablate", "site": "mlp_inner", "layer": 1, "neurons": [3, 7], "to": 5.0}],
        [{"change": "patch", "site": "residual_after", "layer": 0, "source": "other", "positions": [1, 4]}],
        [{"change": "ablate", "site": "residual_after", "layer": 0, "direction": "steer"}],
        [
            {"change": "ablate", "site": "head_outputs", "layer": 1, "head": 0},
            {"change": "scale", "site": "attention_output", "layer": 0, "factor": 0.5, "positions": [6, 9, 12]},
        ],
    ]


T5_CASES = [
    [{"change": "ablate", "site": "mlp_output", "layer": 1}],
    [{"change": "add", "site": "encoder_residual_after", "layer": 0, "vector": "steer", "factor": 2.0, "positions": [1]}],
    [{"change": "scale", "site": "encoder_head_outputs", "layer": 1, "head": 2, "factor": 3.0}],
    [{"change": "ablate", "site": "cross_output", "layer": 0}],
    [{"change": "ablate", "site": "encoder_mlp_inner", "layer": 0, "neurons": [0, 5], "to": 4.0}],
]


def main():
    stored, tensors = {"maps": {}, "runs": {}}, {}
    ids = [40, 81, 12, 200, 33, 91, 57, 140]
    others = [11, 92, 13, 201, 88, 91, 30, 144]
    for name, of, auto in [
        ("gpt2-tiny", Gpt2, AutoModelForCausalLM), ("families/llama", Llama, AutoModelForCausalLM),
        ("families/flan-t5", T5, AutoModelForSeq2SeqLM),
    ]:
        model = auto.from_pretrained(FIXTURES / name, dtype=torch.float32, attn_implementation="eager").eval()
        model.generation_config.eos_token_id = None
        modules, config = of(model), model.config
        vectors = {"steer": torch.randn(config.hidden_size, generator=GENERATOR)}
        if of is T5:
            target = [config.decoder_start_token_id, 51, 22]
            stored["runs"][name] = run_cases(name, modules, ids, target, T5_CASES, vectors, tensors)
        else:
            vectors["other"] = captured(modules, others, "residual_after", 0, 8)
            tensors[f"{name}.other"] = vectors["other"].contiguous()
            groups = causal_cases(config.num_hidden_layers)
            stored["runs"][name] = run_cases(name, modules, ids, None, groups, vectors, tensors)
            corrupted = [*ids[:2], 99, *ids[3:]]
            ends = [logits(model, text, None)[-1] for text in (ids, corrupted)]
            gap = ends[0] - ends[1]
            target, contrast = int(gap.argmax()), int(gap.argmin())
            stored["maps"][name] = [
                patch_map(modules, ids, corrupted, site, by_head, target, contrast)
                for site, by_head in [
                    ("residual_after", False), ("attention_output", False), ("mlp_output", False), ("head_outputs", True),
                    ("head_outputs", False),
                ]
            ]
        tensors[f"{name}.steer"] = vectors["steer"]
    (FIXTURES / "interventions.json").write_text(json.dumps(stored) + "\n")
    save_file({key: value.contiguous() for key, value in tensors.items()}, FIXTURES / "interventions.safetensors")


if __name__ == "__main__":
    main()
