"""Writes tests/fixtures/lenses: Jacobian lenses, by autograd through transformers in float64, and files in the formats that
jlens and tuned-lens publish.

    python tests/reference/make_lenses.py

Of PUBLISHED `jacobian_lens.pt`, in float16, and `tuned_lens/params.pt`, of random translators. In expected.safetensors, `<model>.`
before them:

    jacobian         (layer, hidden, hidden)     mean over TEXTS of the mean over sources of the sum over targets
    jacobian_logits  (layer, V)                  of PUBLISHED, what the head says of J h behind READ, at every layer but the last
    tuned_logits     (layer, V)                  the same of h + W h + b, h before each layer
"""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import AutoModelForCausalLM

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"

OUT = FIXTURES / "lenses"
MODELS = ["families/llama", "families/gemma2", "families/qwen3"]
PUBLISHED = "families/gemma2"
SKIP, MAX_LENGTH = 2, 10
TEXTS = [[40, 100, 277, 68, 79, 310, 52], [301, 17, 99, 140, 230, 41, 7, 88, 190, 33, 12, 5], [8, 9, 10]]
READ = [40, 101, 277, 80]


def streams(model, ids):
    """The stream before each layer and after the last, each a part of one graph."""
    seen = []
    hooks = [
        layer.register_forward_pre_hook(lambda _, args: seen.append(args[0])) for layer in model.model.layers
    ]
    hooks.append(model.model.norm.register_forward_pre_hook(lambda _, args: seen.append(args[0])))
    embeddings = model.get_input_embeddings()(torch.tensor([ids])).detach().requires_grad_(True)
    model(inputs_embeds=embeddings)
    for hook in hooks:
        hook.remove()
    return seen


def jacobian(model):
    width, n_layers = model.config.hidden_size, model.config.num_hidden_layers
    total, n_texts = torch.zeros(n_layers - 1, width, width, dtype=torch.float64), 0
    for ids in TEXTS:
        ids = ids[:MAX_LENGTH]
        if len(ids) <= SKIP + 1:
            continue
        seen, places = streams(model, ids), slice(SKIP, len(ids) - 1)
        for row in range(width):
            answer = seen[-1][0, places, row].sum()
            gradients = torch.autograd.grad(answer, seen[1:-1], retain_graph=True)
            for layer, gradient in enumerate(gradients):
                total[layer, row] += gradient[0, places].mean(0)
        n_texts += 1
    return total / n_texts, n_texts


def say(model, states):
    logits = model.lm_head(model.model.norm(states))
    cap = getattr(model.config, "final_logit_softcapping", None)
    return cap * torch.tanh(logits / cap) if cap else logits


def publish(matrices, n_texts):
    """Writes both formats; returns the tuned lens's translators."""
    n, width = len(matrices), matrices.shape[-1]
    (OUT / "tuned_lens").mkdir(parents=True, exist_ok=True)
    jacobians = {layer: matrix.to(torch.float16) for layer, matrix in enumerate(matrices)}
    published = {"J": jacobians, "n_prompts": n_texts, "source_layers": list(range(n)), "d_model": width}
    torch.save(published, OUT / "jacobian_lens.pt")
    random, params = np.random.RandomState(3), {}
    draw = lambda *shape: torch.from_numpy(random.randn(*shape) * 0.05).float()
    for layer in range(n + 1):
        params |= {f"{layer}.weight": draw(width, width), f"{layer}.bias": draw(width)}
    torch.save(params, OUT / "tuned_lens" / "params.pt")
    return params


def logits(model, matrices, params):
    with torch.no_grad():
        seen = [states[0, -1] for states in streams(model, READ)]
        translated = [
            states + states @ params[f"{layer}.weight"].double().T + params[f"{layer}.bias"].double()
            for layer, states in enumerate(seen[:-1])
        ]
        return {
            "jacobian_logits": torch.stack(
                [say(model, x @ matrix.T) for x, matrix in zip(seen[1:-1], matrices, strict=True)]
            ),
            "tuned_logits": torch.stack([say(model, states) for states in translated]),
        }


def main():
    tensors, told = {}, {}
    for name in MODELS:
        model = AutoModelForCausalLM.from_pretrained(
            FIXTURES / name, dtype=torch.float64, attn_implementation="eager"
        ).eval()
        matrices, n_texts = jacobian(model)
        short = name.split("/")[-1]
        tensors[f"{short}.jacobian"] = matrices.float().numpy()
        told[short] = {"n_texts": n_texts}
        if name == PUBLISHED:
            params = publish(matrices, n_texts)
            tensors |= {
                f"{short}.{key}": value.float().numpy()
                for key, value in logits(model, matrices, params).items()
            }
    constants = {"skip": SKIP, "max_length": MAX_LENGTH, "texts": TEXTS, "read": READ, "models": told}
    (OUT / "expected.json").write_text(json.dumps(constants) + "\n")
    save_file(tensors, OUT / "expected.safetensors")


if __name__ == "__main__":
    main()
