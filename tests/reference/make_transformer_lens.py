"""Writes tests/fixtures/families/transformer_lens*: tiny seeded HookedTransformers, and what TransformerLens computes on them.

    python tests/reference/make_transformer_lens.py    # in an environment with TransformerLens 2, the last to have them

One has the configuration that checkpoints on the hub have (older keys, SoLU), one that of a `HookedTransformerConfig` (attention
alone). README.md beside this file says what each stored value is.
"""

import os
import shutil

import numpy as np
import torch
from safetensors.torch import save_file
from transformer_lens import HookedTransformer, HookedTransformerConfig

from make_families import CONTEXT, N_GENERATED, OUT, TEXTS, shortened, store
from make_fixtures import VOCAB_SIZE, train_tokenizer, write_json

SIZES = dict(n_layers=2, d_model=12, n_heads=2, d_head=5, n_ctx=CONTEXT, d_vocab=VOCAB_SIZE)
# name: (what a HookedTransformerConfig says, whether config.json has the keys of checkpoints on the hub)
CASES = {
    "transformer_lens": (SIZES | dict(d_mlp=20, act_fn="solu_ln", normalization_type="LN"), True),
    "transformer_lens-attention": (SIZES | dict(attn_only=True, normalization_type="LNPre"), False),
}
# The first with other settings, as tests/folders/hooked.rs has them, and those of its weights that are left.
VARIANTS = {
    "gelu": dict(act_fn="gelu"),
    "rms": dict(act_fn="gelu_new", normalization_type="RMS"),
    "solu": dict(act_fn="solu", normalization_type="LNPre"),
    "without_norms": dict(normalization_type=None),
    "scaled": dict(attn_scale=1.7, scale_attn_by_inverse_layer_idx=True),
    "unscaled": dict(use_attn_scale=False, normalization_type="LNPre"),
    "shortformer": dict(positional_embedding_type="shortformer"),
    "rotary": dict(positional_embedding_type="rotary", rotary_dim=4, rotary_base=50),
    "rotary_neighbours": dict(positional_embedding_type="rotary", rotary_dim=2, rotary_adjacent_pairs=True),
}


def published(config):
    """What config.json of NeelNanda's checkpoints has."""
    same = ("n_layers", "d_model", "d_mlp", "d_head", "n_heads", "n_ctx", "d_vocab", "act_fn", "attn_only", "final_rms")
    said = {key: getattr(config, key) for key in same}
    return said | dict(normalization=config.normalization_type, shortformer_pos=False, tokenizer_name=None, seed=3)


def dumped(config):
    """All that a configuration holds."""
    return {key: value if not isinstance(value, torch.dtype) else str(value) for key, value in config.to_dict().items()}


def seeded(config, seed: int):
    model = HookedTransformer(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("mlp.ln.w"):  # what it norms is small where no neuron stands out
                parameter.copy_(0.3 + 0.1 * noise)
                continue
            width = {"embed.W_E": 1.0}.get(name, 0.5 if name.endswith("W_in") else 0.3)
            parameter.copy_(width * noise + (1.0 if name.endswith(".w") else 0.0))
    return model


def forward(model, ids):
    with torch.no_grad():
        logits, cache = model.run_with_cache(torch.tensor([ids]))
    layers = range(model.cfg.n_layers)
    of_all = {"hidden_states": "hook_resid_pre", "attention": "attn.hook_pattern"}
    if not model.cfg.attn_only:
        of_all["activations"] = "mlp.hook_post"
    stored = {what: torch.stack([cache[f"blocks.{layer}.{hook}"][0] for layer in layers]) for what, hook in of_all.items()}
    if "activations" in stored:
        stored["activations"] = stored["activations"].transpose(1, 2)
    return {name: np.ascontiguousarray(value.numpy()) for name, value in (stored | {"logits": logits[0]}).items()}


def generate(model, ids):
    """Greedy tokens, each of a whole pass, and the least margin of a choice."""
    seen, margins = list(ids), []
    for _ in range(N_GENERATED):
        with torch.no_grad():
            best = model(torch.tensor([seen]))[0, -1].topk(2)
        margins.append((best.values[0] - best.values[1]).item())
        seen.append(best.indices[0].item())
    return seen[len(ids):], min(margins)


def of_variant(values, state, ids):
    model = HookedTransformer(HookedTransformerConfig(**values, device="cpu")).eval()
    # Sines of turns are not among the first one's.
    model.load_state_dict({name: state.get(name, value) for name, value in model.state_dict().items()})
    return forward(model, ids)["logits"][-1:]


def folded(model):
    """Weights of the last layer with norms and biases folded in; this changes the model."""
    model.process_weights_()
    last, stored = model.blocks[-1], {}
    for part in ("W_Q", "b_Q", "W_V", "W_O", "b_O"):
        stored[part] = getattr(last.attn, part)
    for part in ("W_in", "b_in", "W_out", "b_out"):
        stored[part] = getattr(last.mlp, part)
    return {f"folded.{part}": np.ascontiguousarray(value.detach().numpy()) for part, value in stored.items()}


def make(name: str, tokenizer):
    values, is_published = CASES[name]
    config = HookedTransformerConfig(**values, device="cpu")
    ids = {key: tokenizer.encode(text).ids for key, text in TEXTS.items()}
    for seed in range(60):
        model = seeded(config, seed)
        runs = {key: generate(model, text) for key, text in ids.items()}
        if all(len(set(made)) > 2 and margin > 1e-2 for made, margin in runs.values()):
            break
    else:
        raise SystemExit(f"{name}: no seed gives greedy tokens that do not hang on rounding")
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    write_json(folder / "config.json", published(config) if is_published else dumped(config))
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(state, folder / "model.safetensors")
    os.symlink("../tokenizer.json", folder / "tokenizer.json")
    tensors, texts = {}, {}
    for key, text in TEXTS.items():
        texts[key] = {"text": text, "ids": ids[key], "generated": runs[key][0]}
        tensors |= shortened(key, forward(model, ids[key]))
    long = torch.randint(1, VOCAB_SIZE, (CONTEXT,), generator=torch.Generator().manual_seed(3)).tolist()
    texts["long"] = {"ids": long}
    tensors["long.last_logits"] = forward(model, long)["logits"][-1:]
    if is_published:
        tensors |= {f"{variant}.last_logits": of_variant(values | other, state, long) for variant, other in VARIANTS.items()}
        tensors |= folded(model)
    store(name, texts, tensors)
    print(name, seed, {key: tokenizer.decode(made) for key, (made, _) in runs.items()}, flush=True)


def main():
    torch.set_num_threads(1)
    tokenizer = train_tokenizer()
    for name in CASES:
        make(name, tokenizer)


if __name__ == "__main__":
    main()
