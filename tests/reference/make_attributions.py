"""Writes tests/fixtures/attributions: what captum, and the frozen rule in transformers, say of the families' models.

    python tests/reference/make_attributions.py

In double precision, of the models that make_families.py has written, and of one BERT with ReLU. README.md beside this
file says what each stored value is.
"""

import json
import logging
import shutil
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
import transformers
from captum.attr import (
    Deconvolution,
    GradientShap,
    GuidedBackprop,
    InputXGradient,
    IntegratedGradients,
    NoiseTunnel,
    Saliency,
)
from safetensors.numpy import save_file
from transformers.utils.logging import disable_progress_bar

from make_families import BERT, seeded

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
OUT = FIXTURES / "attributions"
TEXT = [34, 101, 7, 250, 19, 66, 190, 3]
WRITTEN = [0, 45, 9, 200, 31]
OTHER = [12, 80, 300, 41]  # another text, in the place of the first tokens
NAMES = ["gpt2-tiny", "families/llama", "families/opt", "families/bert", "families/bert-labels", "families/t5",
         "families/bart", "attributions/bert-relu"]
KINDS = {"families/bert": "MaskedLM", "attributions/bert-relu": "MaskedLM", "families/bert-labels": "SequenceClassification",
         "families/t5": "Seq2SeqLM", "families/bart": "Seq2SeqLM"}


class Value(torch.nn.Module):
    """From embeddings of the sources to the value that is explained."""

    def __init__(self, name, quantity, contrast):
        super().__init__()
        self.name, self.quantity, self.contrast = name, quantity, contrast
        self.kind = KINDS.get(name, "CausalLM")
        auto = getattr(transformers, "AutoModelFor" + self.kind)
        self.model = auto.from_pretrained(FIXTURES / name, attn_implementation="eager").double().eval()
        self.token, self.other = (0, 2) if self.kind == "SequenceClassification" else (77, 140)
        self.written = [self.model.config.decoder_start_token_id, *WRITTEN[1:]] if self.kind == "Seq2SeqLM" else []
        self.position = {"CausalLM": 6, "Seq2SeqLM": 3, "MaskedLM": 4}.get(self.kind, 0)

    def ids(self):
        if self.kind == "CausalLM":
            return TEXT[: self.position]
        return [*TEXT, *self.written[1 : self.position]]

    def embed(self, ids):
        return self.model.get_input_embeddings()(torch.tensor([list(ids)])).detach()

    def forward(self, x):
        if self.kind == "Seq2SeqLM":
            start = self.embed(self.written[:1]).expand(len(x), -1, -1)
            logits = self.model(
                inputs_embeds=x[:, : len(TEXT)], decoder_inputs_embeds=torch.cat([start, x[:, len(TEXT) :]], dim=1)
            ).logits[:, -1]
        else:
            logits = self.model(inputs_embeds=x).logits
            logits = {"CausalLM": logits[:, -1:], "MaskedLM": logits[:, self.position : self.position + 1]}.get(
                self.kind, logits[:, None]
            )[:, 0]
        every = {
            "logit": lambda: logits,
            "probability": lambda: logits.softmax(-1),
            "log_probability": lambda: logits.log_softmax(-1),
            "entropy": lambda: -(logits.softmax(-1) * logits.log_softmax(-1)).sum(-1, keepdim=True),
        }[self.quantity]()
        if self.quantity == "entropy":
            return every[:, 0]
        return every[:, self.token] - (every[:, self.other] if self.contrast else 0.0)


def baseline(value, name, x):
    if name == "mean":
        n_tokens = value.model.config.vocab_size
        return value.embed(range(n_tokens)).mean(1, keepdim=True).expand_as(x).clone()
    if name == "text":
        ids = value.ids()
        return value.embed([*OTHER, *ids[len(OTHER) :]])
    return torch.zeros_like(x)


def draws(seed, n, x, noise):
    """As the kernel draws: for each sample a uniform number, then a normal one for each number of the embeddings."""
    random = np.random.RandomState(seed)
    alphas, deviations = [], []
    for _ in range(n):
        alphas.append(random.random_sample())
        deviations.append(random.randn(*x.shape[1:]))
    return np.array(alphas), torch.tensor(np.stack(deviations)) * noise * x.std()


def shap(value, x, x0):
    n = 7
    alphas, noise = draws(5, n, x, 0.1)
    with patch("numpy.random.uniform", lambda *_: alphas), patch("torch.normal", lambda *_, **__: noise):
        return GradientShap(value).attribute(x, x0, n_samples=n, stdevs=1.0)


def smooth(value, x, noise=None):
    """captum's SmoothGrad, with this noise in place of what it draws."""
    n = 400 if noise is None else len(noise)
    deviation = 0.15 * x.detach().std().item()
    tunnel = NoiseTunnel(Saliency(value))
    with patch("torch.normal", lambda *_: noise * deviation) if noise is not None else ExitStack():
        return tunnel.attribute(x, nt_type="smoothgrad", nt_samples=n, stdevs=deviation, abs=False)


def smooth_error(value, x):
    """By source: captum's mean of 400 samples, and its standard error from as many single ones."""
    torch.manual_seed(7)
    mean = smooth(value, x)[0].sum(-1)
    single = [
        Saliency(value).attribute(x + 0.15 * x.detach().std() * torch.randn(x.shape, dtype=x.dtype), abs=False)[0].sum(-1)
        for _ in range(400)
    ]
    return mean.detach().float().numpy(), (torch.stack(single).std(0) / 20).float().numpy()


def attribute(value, method, base):
    x = value.embed(value.ids()).requires_grad_()
    x0 = baseline(value, base, x.detach())
    found = {
        "gradient": lambda: Saliency(value).attribute(x, abs=False),
        "grad_x_input": lambda: InputXGradient(value).attribute(x),
        "integrated_gradients": lambda: IntegratedGradients(value).attribute(
            x, x0, n_steps=50, method="gausslegendre", internal_batch_size=10
        ),
        "gradient_shap": lambda: shap(value, x, x0),
        "smooth_grad": lambda: smooth(value, x, torch.tensor(np.random.RandomState(5).randn(7, *x.shape[1:]))),
        "guided_backprop": lambda: GuidedBackprop(value).attribute(x),
        "deconvolution": lambda: Deconvolution(value).attribute(x),
        "layerwise_relevance": lambda: frozen(value, x),
    }[method]()
    if isinstance(found, tuple):
        found, rest = found
    else:
        rest = 0.0
    return found.detach()[0], rest


def held_norm(x, norm, centred):
    c = x - x.mean(-1, keepdim=True) if centred else x
    epsilon = getattr(norm, "eps", None) or norm.variance_epsilon
    return norm.weight * (c / (c.pow(2).mean(-1, keepdim=True) + epsilon).sqrt().detach())


@contextmanager
def frozen_model(model):
    """Norms' statistics, attention patterns and gates are detached, and an activation is x (f(x) / x)."""
    softmax = torch.nn.functional.softmax
    with ExitStack() as stack:
        stack.enter_context(
            patch("torch.nn.functional.softmax", lambda *args, **kwargs: softmax(*args, **kwargs).detach())
        )
        for module in model.modules():
            kind = type(module).__name__
            if kind == "LayerNorm":
                forward = lambda x, norm=module: held_norm(x, norm, True) + norm.bias  # noqa: E731
            elif kind.endswith(("RMSNorm", "T5LayerNorm")):
                forward = lambda x, norm=module: held_norm(x, norm, False)  # noqa: E731
            elif kind in ("NewGELUActivation", "GELUActivation", "ReLU", "Tanh"):
                act = module.forward
                forward = lambda x, act=act: x * torch.where(x == 0, 0.5, act(x) / x).detach()  # noqa: E731
            elif kind.startswith("SiLU"):  # Llama's gate
                act = module.forward
                forward = lambda x, act=act: act(x).detach()  # noqa: E731
            else:
                continue
            stack.enter_context(patch.object(module, "forward", forward))
        yield


def frozen(value, x):
    """The contributions, and what biases, positions and segments give: each times its gradient."""
    model = value.model
    constants = {
        name: parameter
        for name, parameter in model.named_parameters()
        if name.endswith("bias") or "position" in name or "wpe" in name or "token_type" in name
    }
    plain = value(x)
    with frozen_model(model):
        logit = value(x)
    assert (logit - plain).abs().max() < 1e-5  # some norms and softmaxes are in single precision
    found = torch.autograd.grad(logit.sum(), [x, *constants.values()], allow_unused=True)
    rest = sum(
        (gradient * parameter).sum().item()
        for gradient, parameter in zip(found[1:], constants.values(), strict=True)
        if gradient is not None
    )
    contributions = found[0] * x
    if value.kind == "Seq2SeqLM":  # the start token's embedding is no input, but a constant
        rest = logit.item() - contributions.sum().item()
    assert abs(contributions.sum().item() + rest - logit.item()) < 1e-10, value.name
    return contributions, rest


def cases(name):
    methods = [
        ("gradient", "logit", False, "zero"),
        ("grad_x_input", "log_probability", False, "zero"),
        ("grad_x_input", "probability", True, "zero"),
        ("grad_x_input", "entropy", False, "zero"),
        ("integrated_gradients", "logit", True, "zero"),
        ("integrated_gradients", "probability", False, "mean"),
        ("integrated_gradients", "log_probability", False, "text"),
        ("gradient_shap", "probability", False, "zero"),
        ("gradient_shap", "logit", True, "mean"),
        ("smooth_grad", "probability", False, "zero"),
    ]
    if name in ("families/opt", "families/t5", "attributions/bert-relu"):  # captum's hook ReLU modules
        methods += [("guided_backprop", "probability", False, "zero"), ("deconvolution", "logit", True, "zero")]
    if name in ("gpt2-tiny", "families/llama", "families/bert", "families/bert-labels", "families/t5"):
        methods += [("layerwise_relevance", "logit", False, "zero"), ("layerwise_relevance", "logit", True, "zero")]
    return methods


def main():
    torch.set_num_threads(1)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    disable_progress_bar()
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    config = transformers.AutoConfig.for_model("bert", **BERT | dict(hidden_act="relu", num_hidden_layers=2))
    seeded(config, 8, "eager", transformers.AutoModelForMaskedLM).save_pretrained(OUT / "bert-relu")
    (OUT / "bert-relu" / "tokenizer.json").symlink_to("../../families/tokenizer.json")
    tensors, listed = {}, []
    for name in NAMES:
        for method, quantity, contrast, base in cases(name):
            value = Value(name, quantity, contrast)
            contributions, rest = attribute(value, method, base)
            key = f"{len(listed)}"
            tensors[f"{key}.signed"] = contributions.sum(-1).numpy().astype(np.float32)
            norms = contributions.norm(dim=-1)
            tensors[f"{key}.scores"] = (norms / norms.sum()).numpy().astype(np.float32)
            listed.append({
                "model": name, "ids": TEXT, "written": value.written, "position": value.position, "token": value.token,
                "contrast": value.other if contrast else None, "method": method, "quantity": quantity,
                "baseline": base, "other": OTHER, "rest": rest, "value": value(value.embed(value.ids())).item(),
            })
        if name in ("families/llama", "families/t5"):
            value = Value(name, "probability", False)
            found = smooth_error(value, value.embed(value.ids()).requires_grad_())
            tensors |= {f"{name}.smooth_mean": found[0], f"{name}.smooth_error": found[1]}
        print(name, flush=True)
    lines = ",\n".join(json.dumps(case) for case in listed)
    (FIXTURES / "attributions.json").write_text('{"texts": [\n' + lines + "\n]}\n")
    save_file(tensors, FIXTURES / "attributions.safetensors")


if __name__ == "__main__":
    main()
