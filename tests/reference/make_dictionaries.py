"""Writes tests/fixtures/dictionaries: one set of weights, what each published format makes of it, and files that only Python
writes.

    python tests/reference/make_dictionaries.py

All is of layer 1 of gpt2-tiny, in float64. Weights are float16 numbers, so that every file holds the same. The rules are those
of the libraries (SAELens, OpenAI's sparse_autoencoder, sparsify, dictionary_learning, circuit-tracer), written out.
"""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
OUT = FIXTURES / "dictionaries"
TEXT = "The dog sat on"
LAYER, N, K = 1, 40, 7
FACTOR = 17.3  # Llama Scope's average length


def weights(d: int, spread: float) -> dict[str, torch.Tensor]:
    rng = np.random.RandomState(5)

    def random(*shape: int, scale: float) -> torch.Tensor:
        return torch.from_numpy(rng.randn(*shape) * scale).half()

    return {
        "W_enc": random(d, N, scale=d**-0.5 / spread),
        "b_enc": random(N, scale=0.3) - 0.1,
        "W_dec": random(N, d, scale=0.15),
        "b_dec": random(d, scale=0.1 * spread),
        "threshold": torch.from_numpy(rng.rand(N) * 0.8).half(),
        "b_gate": random(N, scale=0.3),
        "b_mag": random(N, scale=0.3),
        "r_mag": random(N, scale=0.2),
        "W_skip": random(d, d, scale=0.1),
    }


def top(z: torch.Tensor, k: int) -> torch.Tensor:
    index = z.topk(k, -1).indices
    return torch.zeros_like(z).scatter(-1, index, z.gather(-1, index))


def cases(
    w: dict[str, torch.Tensor], at: dict[str, torch.Tensor]
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Activations and reconstruction by format."""
    x, d = at["residual_after"], at["residual_after"].shape[-1]
    enc, b, dec, b_dec = w["W_enc"], w["b_enc"], w["W_dec"], w["b_dec"]
    mean, deviation = x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
    length = x.norm(dim=-1, keepdim=True) / d**0.5
    norms = dec.norm(dim=-1)
    scale = d**0.5 / FACTOR
    normed = (x - mean) / (deviation + 1e-5)

    def jump(z: torch.Tensor, threshold: torch.Tensor | float) -> torch.Tensor:
        return z.relu() * (z > threshold)

    def less(x: torch.Tensor) -> torch.Tensor:
        return (x - b_dec) @ enc + b

    found = {
        "standard": less(x).relu(),
        "topk": top(less(x), K).relu(),
        "jumprelu": jump(x @ enc + b, w["threshold"]),
        "gated": (((x - b_dec) @ enc + w["b_gate"]) > 0)
        * (((x - b_dec) @ enc) * w["r_mag"].exp() + w["b_mag"]).relu(),
        "batchtopk": jump(less(x), 0.40625),
        "plain_topk": top(x @ enc + b, K).relu(),
        "head_outputs": less(at["head_outputs"]).relu(),
    }
    results = {name: (a, a @ dec + b_dec) for name, a in found.items()}
    a = (less(normed)).relu()
    results["layer_norm"] = a, (a @ dec + b_dec) * deviation + mean
    a = top(less(normed), K).relu()
    results["layer_norm_topk"] = a, (a @ dec + b_dec) * deviation + mean
    a = (x / length @ enc + b).relu()
    results["constant_norm"] = a, (a @ dec + b_dec) * length
    a = top(less(x) * norms, K).relu()
    results["topk_rescaled"] = a, (a / norms) @ dec + b_dec
    z = (x * scale) @ enc + b
    a = jump(z, 0.5 * scale)
    results["llama_scope"] = a, (a @ dec + b_dec) / scale
    for name, read, activate, skips in (
        ("unit_jumprelu", at["unit"], lambda z: jump(z, w["threshold"]), False),
        ("unit_jumprelu_skip_in_out", at["unit"], lambda z: jump(z, w["threshold"]), True),
        ("mid_relu_skip", at["residual_mid"], torch.relu, True), ("input_relu", at["mlp_input"], torch.relu, False),
        ("input_topk_skip", at["mlp_input"], lambda z: top(z.relu(), K), True),
    ):  # fmt: skip
        a = activate(read @ enc + b)
        skip = w["W_skip"] if name.endswith("in_out") else w["W_skip"].T
        results[name] = a, a @ dec + b_dec + (read @ skip if skips else 0)
    return results


def values(model: torch.nn.Module, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    layer, seen = model.transformer.h[LAYER], {}

    def keep(name: str, value: torch.Tensor | tuple) -> None:
        seen[name] = (value[0] if isinstance(value, tuple) else value)[0].detach()

    hooks = [
        layer.register_forward_hook(lambda m, i, o: keep("residual_after", o)),
        layer.ln_2.register_forward_hook(
            lambda m, i, o: (keep("residual_mid", i), keep("mlp_input", o)) and None
        ),
        layer.mlp.register_forward_hook(lambda m, i, o: keep("mlp_output", o)),
        layer.attn.c_proj.register_forward_hook(lambda m, i, o: keep("head_outputs", i)),
    ]
    with torch.no_grad():
        model(ids)
    for hook in hooks:
        hook.remove()
    centred = seen["residual_mid"] - seen["residual_mid"].mean(-1, keepdim=True)
    seen["unit"] = centred * (centred.pow(2).mean(-1, keepdim=True) + layer.ln_2.eps).rsqrt()
    return seen


def answer(
    model: torch.nn.Module, ids: torch.Tensor, tokens: tuple[int, int], change: object
) -> torch.Tensor:
    """Logit of the first token less that of the other behind the text, with the layer's output changed."""

    def hook(module: torch.nn.Module, inputs: tuple, output: torch.Tensor | tuple) -> torch.Tensor | tuple:
        return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)

    handle = model.transformer.h[LAYER].register_forward_hook(hook)
    logits = model(ids).logits[0, -1]
    handle.remove()
    return logits[tokens[0]] - logits[tokens[1]]


def effects(model: torch.nn.Module, ids: torch.Tensor, w: dict[str, torch.Tensor]) -> dict:
    """Of the standard dictionary: attribution, and features taken out and added at all positions, the error kept."""
    tokens = (int(model(ids).logits[0, -1].argmax()), 11)
    x = values(model, ids)["residual_after"]
    a = ((x - w["b_dec"]) @ w["W_enc"] + w["b_enc"]).relu()
    made = a @ w["W_dec"] + w["b_dec"]
    leaf = x.clone().requires_grad_()
    plain = answer(model, ids, tokens, lambda value: leaf[None])
    plain.backward()
    owed = (a * (leaf.grad @ w["W_dec"].T)).sum(0)
    features = []
    with torch.no_grad():
        for feature in owed.abs().argsort(descending=True)[:10].tolist():
            written = a[:, feature, None] * w["W_dec"][feature]
            features.append({
                "feature": feature, "attribution": owed[feature].item(),
                "removed": answer(model, ids, tokens, lambda value: value - written).item(),
                "added": answer(model, ids, tokens, lambda value: value + 2 * w["W_dec"][feature]).item(),
                "removed_late": answer(
                    model, ids, tokens, lambda value: value - written * (torch.arange(len(x)) >= 2)[:, None]
                ).item(),
            })  # fmt: skip
        reconstructed = answer(model, ids, tokens, lambda value: made[None])
        logits = []
        for change in (lambda value: value, lambda value: made[None], torch.zeros_like):
            handle = model.transformer.h[LAYER].register_forward_hook(
                lambda module, inputs, output: (
                    (change(output[0]), *output[1:])  # noqa: B023
                    if isinstance(output, tuple)
                    else change(output)
                )  # noqa: B023
            )
            logits.append(torch.nn.functional.cross_entropy(model(ids).logits[0, :-1], ids[0, 1:]).item())
            handle.remove()
    return {
        "target": tokens[0], "contrast": tokens[1], "answer": plain.item(), "features": features,
        "error": ((x - made) * leaf.grad).sum().item(), "bias": (w["b_dec"] * leaf.grad).sum().item(),
        "reconstructed": reconstructed.item(), "losses": logits,
        "explained": (1 - (x - made).pow(2).sum() / (x - x.mean(0)).pow(2).sum()).item(),
        "l0": (a > 0).sum(-1).double().mean().item(),
    }  # fmt: skip


def python_files(w: dict[str, torch.Tensor]) -> None:
    """What `torch.save` and `np.savez` write."""
    openai = {
        "pre_bias": w["b_dec"], "encoder.weight": w["W_enc"].T.contiguous(), "latent_bias": w["b_enc"],
        "decoder.weight": w["W_dec"].T.contiguous(), "stats_last_nonzero": torch.zeros(N, dtype=torch.long),
    }  # fmt: skip
    torch.save(openai | {"activation": "ReLU", "activation_state_dict": {}}, OUT / "openai_relu.pt")
    state = {"k": K, "postact_fn": "ReLU"}
    torch.save(openai | {"activation": "TopK", "activation_state_dict": state}, OUT / "openai_topk.pt")
    linear = {"encoder.weight": w["W_enc"].T.contiguous(), "decoder.weight": w["W_dec"].T.contiguous()}
    torch.save(linear | {"encoder.bias": w["b_enc"], "bias": w["b_dec"]}, OUT / "dictionary_learning.pt")
    qwen = {"W_enc": w["W_enc"].T.contiguous(), "W_dec": w["W_dec"].T.contiguous()}
    torch.save(qwen | {"b_enc": w["b_enc"], "b_dec": w["b_dec"]}, OUT / "qwen_scope.pt")
    arrays = {name: w[name].numpy() for name in ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")}
    np.savez(OUT / "gemma_scope.npz", **arrays)


def cross_layer(d: int, n_layers: int, n: int = 8) -> None:
    """A cross-layer transcoder as circuit-tracer has it, small."""
    folder = OUT / "cross_layer"
    folder.mkdir(exist_ok=True)
    hooks = "feature_input_hook: hook_resid_mid\nfeature_output_hook: hook_mlp_out\n"
    (folder / "config.yaml").write_text(f"model_kind: cross_layer_transcoder\n{hooks}")
    rng = np.random.RandomState(6)

    def random(*shape: int, scale: float) -> torch.Tensor:
        return torch.from_numpy(rng.randn(*shape) * scale).half()

    for i in range(n_layers):
        encoder = {
            f"W_enc_{i}": random(n, d, scale=d**-0.5), f"b_enc_{i}": random(n, scale=0.3),
            f"b_dec_{i}": random(d, scale=0.1), f"threshold_{i}": torch.from_numpy(rng.rand(n) * 0.1).half(),
        }  # fmt: skip
        save_file(encoder, folder / f"W_enc_{i}.safetensors")
        save_file(
            {f"W_dec_{i}": random(n, n_layers - i, d, scale=0.2)}, folder / f"W_dec_{i}.safetensors"
        )


def main() -> None:
    OUT.mkdir(exist_ok=True)
    folder = FIXTURES / "gpt2-tiny"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    ids = torch.tensor([AutoTokenizer.from_pretrained(folder)(TEXT).input_ids])
    at = values(model, ids)
    stored = weights(at["residual_after"].shape[-1], at["residual_after"].std().item())
    wide = {name: tensor.double() for name, tensor in stored.items()}
    python_files(stored)
    cross_layer(at["residual_after"].shape[-1], model.config.n_layer)
    save_file({name: tensor.contiguous() for name, tensor in stored.items()}, OUT / "weights.safetensors")
    expected = {}
    for name, (activations, made) in cases(wide, at).items():
        expected[f"{name}.activations"] = activations.float().contiguous()
        expected[f"{name}.reconstruction"] = made.float().contiguous()
        print(f"{name:26} {(activations > 0).sum(-1).double().mean().item():.1f} active")
    save_file(expected, OUT / "expected.safetensors")
    facts = {"text": TEXT, "ids": ids[0].tolist(), "layer": LAYER, "k": K, "factor": FACTOR} | effects(
        model, ids, wide
    )
    (OUT / "expected.json").write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
