"""Writes tests/fixtures/circuits.json and circuits.safetensors: what heads look at and what their weights say, gradients
at sites and attribution patching, by transformers and autograd in float64.

    python tests/reference/make_circuits.py

The models are those of the other scripts. Names, `<model>.` before them:

    scores.<score>      (layer, head)    attention on a text of random tokens that stands twice (`ids`, copies of `n`)
    copying, matching   (layer, head)    sum of eigenvalues over the sum of their sizes of OV and QK in the vocabulary
    ov, qk              (layer, head, token, vocabulary)   the circuits of the `tokens`, norms by their linear parts
    neuron              (neuron, vocabulary)               what the first neurons of the last layer write
    value.<site>, gradient.<site>   (layer, ...)   at the clean text and, of f = target - contrast, its gradient there
    denoise.<site>, noise.<site>    (layer, ...)   differences times gradients, summed over the hidden axis
"""

import json
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"

MODELS = {
    "gpt2-tiny": "CausalLM",
    "families/llama": "CausalLM",
    "families/gemma2": "CausalLM",
    "families/qwen3": "CausalLM",
    "families/gpt_neox": "CausalLM",
    "families/bert": "MaskedLM",
    "families/t5": "Seq2SeqLM",
}
WEIGHTS = ["gpt2-tiny", "families/llama", "families/gemma2", "families/qwen3"]
N = 8
TOKENS = [65, 137]
NEURONS = [0, 3, 7]
CLEAN = [40, 100, 277, 68, 79, 310, 52]
CORRUPTED = [40, 101, 277, 68, 80, 310, 52]
TARGET, CONTRAST = 120, 255


def scores(pattern, causal):
    """Of one text's patterns (layer, head, query, key)."""
    length = pattern.shape[-1]
    q = torch.arange(length)
    second, rest = q[N : 2 * N], q[1:]
    entropy = torch.special.entr(pattern).sum(-1)[..., rest]
    seen = (rest + 1.0) if causal else torch.full((length - 1,), float(length))
    distance = (pattern * (q[:, None] - q[None]).abs()).sum(-1)[..., rest]
    return {
        "induction": pattern[..., second, second - N + 1].mean(-1),
        "duplicate": pattern[..., second, second - N].mean(-1),
        "previous": pattern[..., rest, rest - 1].mean(-1),
        "self": pattern[..., rest, rest].mean(-1),
        "first": pattern[..., rest, 0].mean(-1),
        "entropy": entropy.mean(-1),
        "relative_entropy": (entropy / seen.log()).mean(-1),
        "distance": distance.mean(-1),
    }


class Weights:
    """The parts of a decoder by what they do, the same for every architecture here."""

    def __init__(self, model):
        config = model.config
        self.heads = config.num_attention_heads
        self.groups = getattr(config, "num_key_value_heads", None) or self.heads
        self.width = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.gpt2 = config.model_type == "gpt2"
        self.gemma = config.model_type.startswith("gemma")
        body = model.transformer if self.gpt2 else model.model
        self.layers = body.h if self.gpt2 else body.layers
        embedding = body.wte if self.gpt2 else body.embed_tokens
        self.embedding = embedding.weight * (config.hidden_size**0.5 if self.gemma else 1.0)
        self.final = body.ln_f if self.gpt2 else body.norm
        self.head = model.lm_head.weight
        self.bilinear = not (hasattr(self.attention(0), "q_norm") or getattr(config, "attn_logit_softcapping", None))

    def attention(self, layer):
        return self.layers[layer].attn if self.gpt2 else self.layers[layer].self_attn

    def fold(self, norm, x):
        if self.gpt2:
            x = x - x.mean(-1, keepdim=True)
        return x * (norm.weight + (1.0 if self.gemma else 0.0))

    def matrices(self, layer, head):
        """W_Q, W_K, W_V (hidden, head_dim) and W_O (head_dim, hidden)."""
        block, attention = self.layers[layer], self.attention(layer)
        group = head // (self.heads // self.groups)
        if self.gpt2:
            q, k, v = attention.c_attn.weight.split(attention.split_size, 1)
            part = [w[:, head * self.width : (head + 1) * self.width] for w in (q, k, v)]
            o = attention.c_proj.weight[head * self.width : (head + 1) * self.width]
        else:
            rows = lambda w, at: w.weight[at * self.width : (at + 1) * self.width].T
            part = [rows(attention.q_proj, head), rows(attention.k_proj, group), rows(attention.v_proj, group)]
            o = attention.o_proj.weight[:, head * self.width : (head + 1) * self.width].T
        if self.gemma:
            o = self.fold(block.post_attention_layernorm, o)
        return *part, o

    def read(self, layer, x):
        block = self.layers[layer]
        return self.fold(block.ln_1 if self.gpt2 else block.input_layernorm, x)

    def said(self, direction):
        return self.fold(self.final, direction) @ self.head.T

    def neuron(self, index):
        block = self.layers[-1]
        write = block.mlp.c_proj.weight[index] if self.gpt2 else block.mlp.down_proj.weight[:, index]
        return self.fold(block.post_feedforward_layernorm, write) if self.gemma else write

    def scale(self, layer):
        attention = self.attention(layer)
        return self.width**-0.5 if self.gpt2 else attention.scaling


def share(matrix):
    values = np.linalg.eigvals(matrix.detach().numpy())
    return float(values.sum().real / np.abs(values).sum())


def circuits(weights):
    n_layers, grid = len(weights.layers), {"ov": [], "qk": [], "copying": [], "matching": []}
    for layer in range(n_layers):
        read = weights.read(layer, weights.embedding)
        for head in range(weights.heads):
            q, k, v, o = weights.matrices(layer, head)
            # The whole matrices, token by token: slow and plain.
            ov = weights.said(read @ v @ o)
            grid["ov"].append(ov[TOKENS])
            grid["copying"].append(torch.tensor(share(ov)))
            if weights.bilinear:
                qk = (read @ q) @ (read @ k).T
                grid["qk"].append(qk[TOKENS] * weights.scale(layer))
                grid["matching"].append(torch.tensor(share(qk)))
    shaped = lambda values: torch.stack(values).unflatten(0, (n_layers, weights.heads))
    found = {name: shaped(values) for name, values in grid.items() if values}
    found["neuron"] = torch.stack([weights.said(weights.neuron(index)) for index in NEURONS])
    return found


def sites(model, ids):
    """Values of sites by layer and the gradients of f there."""
    gpt2, neox = model.config.model_type == "gpt2", model.config.model_type == "gpt_neox"
    body = model.transformer if gpt2 else model.gpt_neox if neox else model.model
    seen, hooks = {}, []

    def keep(name):
        def hook(value):
            value = value[0] if isinstance(value, tuple) else value
            value.requires_grad_(True).retain_grad() if value.is_leaf else value.retain_grad()
            seen.setdefault(name, []).append(value)

        return hook

    def before(module, name):
        hooks.append(module.register_forward_pre_hook(lambda _m, args: keep(name)(args[0])))

    def after(module, name):
        hooks.append(module.register_forward_hook(lambda _m, _args, value: keep(name)(value)))

    for block in body.h if gpt2 else body.layers:
        attention = block.attn if gpt2 else block.attention if neox else block.self_attn
        before(block, "residual_before")
        before(attention.c_proj if gpt2 else attention.dense if neox else attention.o_proj, "head_outputs")
        gemma = model.config.model_type == "gemma2"
        after(block.post_attention_layernorm if gemma else attention, "attention_output")
        down = block.mlp.c_proj if gpt2 else block.mlp.dense_4h_to_h if neox else block.mlp.down_proj
        before(down, "mlp_inner")
        after(block.post_feedforward_layernorm if gemma else block.mlp, "mlp_output")
    embedded = model.get_input_embeddings()(torch.tensor([ids])).detach().requires_grad_(True)
    logits = model(inputs_embeds=embedded).logits[0, -1]
    value = logits[TARGET] - logits[CONTRAST]
    value.backward()
    for hook in hooks:
        hook.remove()
    heads = model.config.num_attention_heads

    def shaped(name, tensors):
        x = torch.stack([tensor[0] for tensor in tensors]).detach()
        return x.unflatten(-1, (heads, -1)).transpose(1, 2) if name == "head_outputs" else x

    values = {name: shaped(name, each) for name, each in seen.items()}
    gradients = {name: shaped(name, [x.grad for x in each]) for name, each in seen.items()}
    return value.item(), values, gradients


def patching(model):
    clean, at_clean, of_clean = sites(model, CLEAN)
    corrupted, at_corrupted, of_corrupted = sites(model, CORRUPTED)
    found = {}
    for name in at_clean:
        found[f"value.{name}"], found[f"gradient.{name}"] = at_clean[name], of_clean[name]
        difference = at_clean[name] - at_corrupted[name]
        denoise, noise = difference * of_corrupted[name], -difference * of_clean[name]
        whole = name != "mlp_inner"
        found[f"denoise.{name}"] = denoise.sum(-1) if whole else denoise
        found[f"noise.{name}"] = noise.sum(-1) if whole else noise
    return {"clean": clean, "corrupted": corrupted}, found


def main():
    told, tensors = {}, {}
    for name, kind in MODELS.items():
        load = getattr(transformers, f"AutoModelFor{kind}").from_pretrained
        model = load(FIXTURES / name, attn_implementation="eager", dtype=torch.float64).eval()
        model.requires_grad_(False)
        copy = np.random.default_rng(5).choice(np.arange(30, 380), N, replace=False).tolist()
        ids = torch.tensor([copy + copy])
        if kind == "Seq2SeqLM":
            attentions = model.encoder(ids, output_attentions=True).attentions
        else:
            attentions = model(ids, output_attentions=True).attentions
        found = {f"scores.{key}": value for key, value in scores(torch.stack(attentions)[:, 0], kind == "CausalLM").items()}
        told[name] = {"ids": copy + copy, "n": N}
        if name in WEIGHTS:
            found |= circuits(Weights(model))
        if kind == "CausalLM":
            answers, patched = patching(model)
            told[name] |= answers
            found |= patched
        tensors |= {f"{name}.{key}": np.ascontiguousarray(value.detach().numpy().astype(np.float32)) for key, value in found.items()}
    constants = {"tokens": TOKENS, "neurons": NEURONS, "clean": CLEAN, "corrupted": CORRUPTED, "target": TARGET, "contrast": CONTRAST}
    (FIXTURES / "circuits.json").write_text(json.dumps(constants | {"models": told}, indent=1) + "\n")
    save_file(tensors, FIXTURES / "circuits.safetensors")


if __name__ == "__main__":
    main()
