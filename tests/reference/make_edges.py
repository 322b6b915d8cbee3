"""Writes tests/fixtures/edges.json and edges.safetensors: scores of the edges between a model's parts, and circuits, by a
decoder in plain torch whose readers each have their own copy of the stream, in float64.

    python tests/reference/make_edges.py

The models are those of the other scripts; the decoder is held against transformers first. Names, `<model>.` before them:

    eap      (source, reader)   difference of the source's write times the gradient at the reader's copy, at the corrupted text
    eap_ig   (source, reader)   the same with gradients in the middles of STEPS steps between the embeddings
    exact    (source, reader)   change of the answer with that edge alone as in the clean text

Sources: input, then of each layer its heads and its MLP. Readers: of each layer queries by head, keys and values by key
head, the MLP; then the logits.
"""

import json
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
MODELS = ["gpt2-tiny", "families/llama", "families/gemma2", "families/qwen3"]
CLEAN = [40, 100, 277, 68, 79, 310, 52]
CORRUPTED = [40, 101, 277, 68, 80, 310, 52]
TARGET, CONTRAST = 120, 255
STEPS = 5
SIZES = [10, 20]
GELU = lambda x: 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)))


class Decoder:
    """One text's pass, parts apart. `read(layer, kind, stream)` gives the copies of the stream that readers see."""

    def __init__(self, model):
        config = self.config = model.config
        self.model, self.gpt2 = model, config.model_type == "gpt2"
        self.gemma = config.model_type == "gemma2"
        self.body = model.transformer if self.gpt2 else model.model
        self.layers = self.body.h if self.gpt2 else self.body.layers
        self.heads = config.num_attention_heads
        self.groups = getattr(config, "num_key_value_heads", None) or self.heads
        self.width = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.n_layers = len(self.layers)
        self.sources = 1 + self.n_layers * (self.heads + 1)
        self.per_layer = self.heads + 2 * self.groups + 1
        self.readers = self.n_layers * self.per_layer + 1

    def embed(self, ids):
        ids = torch.tensor(ids)
        if self.gpt2:
            return self.body.wte.weight[ids] + self.body.wpe.weight[: len(ids)]
        return self.body.embed_tokens.weight[ids] * (self.config.hidden_size**0.5 if self.gemma else 1.0)

    def norm(self, norm, x):
        if self.gpt2:
            return torch.nn.functional.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps)
        eps = getattr(norm, "variance_epsilon", None) or norm.eps
        return x * (x.pow(2).mean(-1, keepdim=True) + eps).rsqrt() * (norm.weight + (1.0 if self.gemma else 0.0))

    def projections(self, layer):
        """Weights (head, hidden, head_dim) and biases (head, head_dim) of queries, keys and values; (head, head_dim, hidden)."""
        if self.gpt2:
            attention = self.layers[layer].attn
            weights = attention.c_attn.weight.split(attention.split_size, 1)
            biases = attention.c_attn.bias.split(attention.split_size)
            read = [(w.unflatten(1, (self.heads, -1)).transpose(0, 1), b.unflatten(0, (self.heads, -1))) for w, b in zip(weights, biases, strict=True)]
            return read, attention.c_proj.weight.unflatten(0, (self.heads, -1))
        attention = self.layers[layer].self_attn
        parts = [(attention.q_proj, self.heads), (attention.k_proj, self.groups), (attention.v_proj, self.groups)]
        read = [(p.weight.unflatten(0, (n, -1)).transpose(1, 2), 0 if p.bias is None else p.bias.unflatten(0, (n, -1))) for p, n in parts]
        return read, attention.o_proj.weight.T.unflatten(0, (self.heads, -1))

    def turn(self, x):
        """Rotary positions of (position, head, head_dim)."""
        if self.gpt2:
            return x
        cos, sin = self.body.rotary_emb(x, torch.arange(len(x))[None])
        one, other = x.chunk(2, -1)
        return x * cos[0, :, None].double() + torch.cat([-other, one], -1) * sin[0, :, None].double()

    def attention(self, layer, streams):
        """What each head adds: (head, position, hidden), and what is added besides."""
        block, (read, out) = self.layers[layer], self.projections(layer)
        before = block.ln_1 if self.gpt2 else block.input_layernorm
        query, key, value = (torch.einsum("phd,hde->phe", self.norm(before, x), w) + b for x, (w, b) in zip(streams, read, strict=True))
        scale = self.width**-0.5
        if not self.gpt2:
            own = block.self_attn
            scale = own.scaling
            if hasattr(own, "q_norm"):
                query, key = self.norm(own.q_norm, query), self.norm(own.k_norm, key)
        query, key = self.turn(query), self.turn(key)
        key, value = (x.repeat_interleave(self.heads // self.groups, 1) for x in (key, value))
        scores = torch.einsum("qhe,khe->hqk", query, key) * scale
        cap = getattr(self.config, "attn_logit_softcapping", None)
        scores = cap * torch.tanh(scores / cap) if cap else scores
        n = len(query)
        distance = torch.arange(n)[:, None] - torch.arange(n)
        window = self.config.sliding_window if self.gemma and self.config.layer_types[layer] == "sliding_attention" else n
        pattern = scores.masked_fill((distance < 0) | (distance >= window), float("-inf")).softmax(-1)
        written = torch.einsum("hqk,khe,hed->hqd", pattern, value, out)
        bias = block.attn.c_proj.bias if self.gpt2 else 0.0
        if self.gemma:
            whole = written.sum(0)
            norm = block.post_attention_layernorm
            written = written * (whole.pow(2).mean(-1, keepdim=True) + norm.eps).rsqrt() * (norm.weight + 1)
        return written, bias

    def mlp(self, layer, stream):
        block = self.layers[layer]
        if self.gpt2:
            x = self.norm(block.ln_2, stream) @ block.mlp.c_fc.weight + block.mlp.c_fc.bias
            return GELU(x) @ block.mlp.c_proj.weight + block.mlp.c_proj.bias
        x = self.norm(block.pre_feedforward_layernorm if self.gemma else block.post_attention_layernorm, stream)
        act = GELU if self.gemma else torch.nn.functional.silu
        y = (act(x @ block.mlp.gate_proj.weight.T) * (x @ block.mlp.up_proj.weight.T)) @ block.mlp.down_proj.weight.T
        return self.norm(block.post_feedforward_layernorm, y) if self.gemma else y

    def answer(self, x):
        logits = self.norm(self.body.ln_f if self.gpt2 else self.body.norm, x)[-1] @ self.model.lm_head.weight.T
        cap = getattr(self.config, "final_logit_softcapping", None)
        logits = cap * torch.tanh(logits / cap) if cap else logits
        return logits[TARGET] - logits[CONTRAST]

    def run(self, x, read):
        """The answer, and what the sources wrote (source, position, hidden). `read(first, n, streams, writes)`."""
        writes = [x]
        for layer in range(self.n_layers):
            first, own = layer * self.per_layer, []
            for n in (self.heads, self.groups, self.groups):
                own.append(read(first, n, x[:, None].expand(-1, n, -1), writes))
                first += n
            heads, bias = self.attention(layer, own)
            writes += list(heads)
            x = x + heads.sum(0) + bias
            mlp = self.mlp(layer, read(first, 1, x[:, None], writes)[:, 0])
            writes.append(mlp)
            x = x + mlp
        return self.answer(read(self.readers - 1, 1, x[:, None], writes)[:, 0]), torch.stack(writes)

    def mask(self):
        """(source, reader), where there is an edge."""
        edges = torch.zeros(self.sources, self.readers, dtype=torch.bool)
        for layer in range(self.n_layers):
            first = layer * self.per_layer
            edges[: 1 + layer * (self.heads + 1), first : first + self.per_layer] = True
            edges[: 1 + layer * (self.heads + 1) + self.heads, first + self.per_layer - 1] = True
        edges[:, -1] = True
        return edges


PLAIN = lambda first, n, streams, writes: streams


def slopes(decoder, x):
    """Gradients at every reader's copy: (reader, position, hidden)."""
    nodes = []

    def read(first, n, streams, writes):
        node = streams.clone().requires_grad_(True) if not streams.requires_grad else streams.clone()
        nodes.append(node)
        return node

    answer, _ = decoder.run(x, read)
    return torch.cat([g.transpose(0, 1) for g in torch.autograd.grad(answer, nodes)])


def with_cuts(decoder, x, other, cut):
    """The answer where readers see `other`'s writes of the sources whose edges are cut."""

    def read(first, n, streams, writes):
        change = other[: len(writes)] - torch.stack(writes)
        return streams + torch.einsum("spd,sn->pnd", change, cut[: len(writes), first : first + n].double())

    return decoder.run(x, read)[0]


def prune(decoder, kept):
    group = decoder.heads // decoder.groups
    while True:
        before = kept.clone()
        useful = torch.zeros(decoder.readers, dtype=torch.bool)
        useful[-1] = True
        for layer in range(decoder.n_layers):
            first, source = layer * decoder.per_layer, 1 + layer * (decoder.heads + 1)
            for head in range(decoder.heads + 1):
                keys = first + decoder.heads + head // group
                own = [first + head, keys, keys + decoder.groups] if head < decoder.heads else [first + decoder.per_layer - 1]
                if not kept[:, own].any():
                    kept[source + head] = False
                if kept[source + head].any():
                    useful[own] = True
        kept[:, ~useful] = False
        if (before == kept).all():
            return kept


def main():
    told, tensors = {}, {}
    for name in MODELS:
        model = transformers.AutoModelForCausalLM.from_pretrained(FIXTURES / name, attn_implementation="eager", dtype=torch.float64)
        model.eval().requires_grad_(False)
        decoder = Decoder(model)
        clean, corrupted = decoder.embed(CLEAN), decoder.embed(CORRUPTED)
        (at_clean, of_clean), (at_corrupted, of_corrupted) = decoder.run(clean, PLAIN), decoder.run(corrupted, PLAIN)
        said = model(torch.tensor([CLEAN])).logits[0, -1]
        assert abs(said[TARGET] - said[CONTRAST] - at_clean) < 1e-5, (name, said[TARGET] - said[CONTRAST], at_clean)
        difference, mask = of_clean - of_corrupted, decoder.mask()
        score = lambda gradients, difference=difference, mask=mask: torch.einsum("spd,rpd->sr", difference, gradients) * mask
        middles = [(step + 0.5) / STEPS for step in range(STEPS)]
        found = {
            "eap": score(slopes(decoder, corrupted)),
            "eap_ig": score(sum(slopes(decoder, corrupted + a * (clean - corrupted)) for a in middles) / STEPS),
            "exact": torch.zeros(mask.shape, dtype=torch.float64),
        }
        for source, reader in mask.nonzero().tolist():
            cut = torch.zeros(mask.shape)
            cut[source, reader] = 1
            found["exact"][source, reader] = with_cuts(decoder, corrupted, of_clean, cut) - at_corrupted
        ranked = (found["eap_ig"].abs() * mask).flatten().argsort(descending=True, stable=True)
        circuits = []
        for size in SIZES:
            kept = torch.zeros(mask.numel(), dtype=torch.bool)
            kept[ranked[:size]] = True
            kept = prune(decoder, kept.view(mask.shape))
            share = lambda cut, known=(clean, of_corrupted, at_corrupted, at_clean), decoder=decoder: (
                (with_cuts(decoder, known[0], known[1], cut) - known[2]) / (known[3] - known[2])
            ).item()
            circuits.append({"n": size, "edges": kept.nonzero().tolist(), "faithfulness": share(mask & ~kept), "without": share(kept)})
        told[name] = {"clean": at_clean.item(), "corrupted": at_corrupted.item(), "circuits": circuits}
        tensors |= {f"{name}.{key}": np.ascontiguousarray(value.numpy().astype(np.float32)) for key, value in found.items()}
    constants = {"clean": CLEAN, "corrupted": CORRUPTED, "target": TARGET, "contrast": CONTRAST, "steps": STEPS}
    (FIXTURES / "edges.json").write_text(json.dumps(constants | {"models": told}) + "\n")
    save_file(tensors, FIXTURES / "edges.safetensors")


if __name__ == "__main__":
    main()
