"""Writes tests/fixtures: tiny seeded GPT-2 models and what reference implementations compute on them.

    python tests/reference/make_fixtures.py            # writes tests/fixtures
    python tests/reference/make_fixtures.py --check    # regenerates elsewhere and compares

Models and their runs come from transformers, saliency from captum, factorizations from scikit-learn;
README.md beside this file says what each stored value is.
"""

import argparse
import json
import logging
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from captum.attr import InputXGradient, IntegratedGradients, Saliency
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_torch
from sklearn.decomposition import NMF
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel
from transformers.utils.logging import disable_progress_bar

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"

END_OF_TEXT = "<|endoftext|>"
VOCAB_SIZE = 384  # 256 bytes, the end of text, 127 merges
CONTEXT = 64
N_GENERATED = 20
METHODS = ["grad_x_input", "gradient", "integrated_gradients"]

CORPUS = """The countries of the European Union are:
1. Austria
2. Belgium
3. Bulgaria
4. Croatia
Où est la bibliothèque ? Il était une fois, à l'été, une forêt. Größe, Straße, naïve café.
She said that they were reading the book in the garden, and he wasn't sure what it was about.
In 1984 there were 365 days; in 1985, again: Monday, Tuesday, Wednesday.
"""

# Whatever the model: enough to see prefixes, merges, bytes of split characters, newlines, a full context.
TEXTS = {
    "ascii": "She said that the garden was there, in 1984.",
    "unicode": "Où ? l'été\n\n🎉👍🏽 日",
    "list": "Are:\n1. Austria\n2. Belgium\n3.",
}
INSIDE_STORED = ["ascii", "unicode"]  # attention and activations, which take space
LONG = "The countries of the European Union are the garden, and " * 4


def train_tokenizer() -> Tokenizer:
    """A byte-level BPE with the same pipeline as GPT-2's tokenizer.json."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS.splitlines(keepends=True) * 3, trainer)
    assert tokenizer.get_vocab_size() == VOCAB_SIZE
    return tokenizer


def seeded_model(config: GPT2Config, seed: int) -> GPT2LMHeadModel:
    """Weights wide enough that a wrong detail (a bias, a scale, an activation) is seen in every result."""
    model = GPT2LMHeadModel(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            is_norm_scale = ".ln_" in name and name.endswith("weight")
            parameter.copy_(1.0 + 0.3 * noise if is_norm_scale else 0.3 * noise)
            if "c_attn.weight" in name:
                parameter.mul_(0.6)  # so that attention is not one-hot
    model.tie_weights()
    return model


def base_config(**changes) -> GPT2Config:
    values = dict(
        vocab_size=VOCAB_SIZE, n_positions=CONTEXT, n_embd=48, n_layer=3, n_head=4,
        activation_function="gelu_new", bos_token_id=0, eos_token_id=0, resid_pdrop=0.0, embd_pdrop=0.0,
        attn_pdrop=0.0, architectures=["GPT2LMHeadModel"],
    )
    return GPT2Config(**(values | changes))


def save_folder(folder: Path, model, tokenizer: Tokenizer, shards: list[dict], eos, dtype: str):
    """config.json, generation_config.json, tokenizer.json and one or several safetensors files."""
    folder.mkdir(parents=True)
    model.config.dtype = dtype
    model.config.save_pretrained(folder)
    GenerationConfig(bos_token_id=0, eos_token_id=eos, pad_token_id=0).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    metadata = {"format": "pt"}
    if len(shards) == 1:
        save_torch(shards[0], folder / "model.safetensors", metadata=metadata)
        return
    weight_map, total = {}, 0
    for i, shard in enumerate(shards, start=1):
        name = f"model-{i:05}-of-{len(shards):05}.safetensors"
        save_torch(shard, folder / name, metadata=metadata)
        weight_map |= {key: name for key in shard}
        total += sum(t.numel() * t.element_size() for t in shard.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def tied_tensors(model: GPT2LMHeadModel, dtype: torch.dtype) -> dict:
    """Names with the `transformer.` prefix; the tied head is not in the file."""
    return {k: v.to(dtype).contiguous() for k, v in model.state_dict().items() if k != "lm_head.weight"}


def old_untied_shards(model: GPT2LMHeadModel) -> list[dict]:
    """Names without the prefix, plus the causal masks and mask values that old files carry; two shards."""
    tensors = {k.removeprefix("transformer."): v.contiguous() for k, v in model.state_dict().items()}
    mask = torch.tril(torch.ones(CONTEXT, CONTEXT)).view(1, 1, CONTEXT, CONTEXT)
    for layer in range(model.config.n_layer):
        tensors[f"h.{layer}.attn.bias"] = mask.to(torch.bool if layer % 2 == 0 else torch.uint8)
        tensors[f"h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    first = {k: v for k, v in tensors.items() if k.startswith(("wte", "wpe", "h.0"))}
    return [first, {k: v for k, v in tensors.items() if k not in first}]


def make_models(out: Path) -> dict[str, list[str]]:
    """Writes the model folders; answers which texts are run through each."""
    tokenizer = train_tokenizer()
    tiny = seeded_model(base_config(), seed=11)
    save_folder(out / "gpt2-tiny", tiny, tokenizer, [tied_tensors(tiny, torch.float32)], 0, "float32")
    half = seeded_model(base_config(n_layer=1), seed=11)
    save_folder(out / "gpt2-tiny-bf16", half, tokenizer, [tied_tensors(half, torch.bfloat16)], 0, "bfloat16")
    untied = seeded_model(
        base_config(
            n_embd=40, n_head=5, n_inner=72, activation_function="gelu", tie_word_embeddings=False,
            scale_attn_by_inverse_layer_idx=True, layer_norm_epsilon=1e-3,
        ),
        seed=37,  # most others repeat one token
    )
    # Two ids end a generation: the end of text, and one that this model's greedy "list" text runs into.
    eos = [0, stop_token(untied, tokenizer)]
    save_folder(out / "gpt2-untied", untied, tokenizer, old_untied_shards(untied), eos, "float32")
    every = [*TEXTS, "long"]
    return {"gpt2-tiny": every, "gpt2-untied": every, "gpt2-tiny-bf16": ["ascii", "unicode"]}


def stop_token(model: GPT2LMHeadModel, tokenizer: Tokenizer) -> int:
    """The first id, from the sixth generated one on, that comes neither before nor in the other texts."""
    runs = {key: generate(model, tokenizer.encode(text).ids, eos=[0]) for key, text in TEXTS.items()}
    generated = runs.pop("list")
    others = {token for run in runs.values() for token in run}
    return next(t for i, t in enumerate(generated) if i >= 5 and t not in generated[:i] and t not in others)


def generate(model: GPT2LMHeadModel, ids: list[int], eos=None) -> list[int]:
    options = {} if eos is None else {"eos_token_id": eos, "pad_token_id": 0}
    with torch.no_grad():
        sequence = model.generate(
            torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            max_new_tokens=N_GENERATED, do_sample=False, **options,
        )
    return sequence[0, len(ids):].tolist()


def run_forward(model: GPT2LMHeadModel, ids: list[int]) -> dict[str, np.ndarray]:
    """One forward pass over the ids: what comes out and what is inside."""
    inner, residual, handles = [], [], []
    for block in model.transformer.h:
        handles.append(block.mlp.c_proj.register_forward_pre_hook(lambda _, args: inner.append(args[0][0])))
    final_norm = model.transformer.ln_f
    handles.append(final_norm.register_forward_pre_hook(lambda _, args: residual.append(args[0][0])))
    with torch.no_grad():
        run = model(torch.tensor([ids]), output_hidden_states=True, output_attentions=True, use_cache=False)
    for handle in handles:
        handle.remove()
    return {
        "logits": run.logits[0].numpy(),  # [position, vocab]
        "hidden_states": torch.stack(run.hidden_states)[:, 0].numpy(),  # [layer + 1, position, hidden]
        "residual_final": residual[0].numpy(),  # [position, hidden]
        "attention": torch.stack(run.attentions)[:, 0].numpy(),  # [layer, head, query, key]
        "activations": torch.stack(inner).transpose(1, 2).numpy(),  # [layer, neuron, position]
    }


def saliency(model: GPT2LMHeadModel, ids: list[int], generated: list[int]) -> dict[str, np.ndarray]:
    """captum on the probability of each generated token: one row each, padded with zeros on the right."""

    def probability(embeddings):
        return torch.softmax(model(inputs_embeds=embeddings, use_cache=False).logits[:, -1, :], dim=-1)

    def attributed(method, embeddings, target):
        if method == "grad_x_input":
            return InputXGradient(probability).attribute(embeddings, target=target)
        if method == "gradient":
            return Saliency(probability).attribute(embeddings, target=target, abs=False)
        explained = IntegratedGradients(probability)
        return explained.attribute(embeddings, target=target, n_steps=50, method="gausslegendre")

    sequence = ids + generated
    rows = {method: np.zeros((len(generated), len(sequence) - 1)) for method in METHODS}
    for k, target in enumerate(generated):
        seen = torch.tensor([sequence[: len(ids) + k]])
        embeddings = model.transformer.wte(seen).detach().requires_grad_()
        for method in METHODS:
            scores = attributed(method, embeddings, target).detach()[0].norm(dim=-1)
            rows[method][k, : seen.shape[1]] = (scores / scores.sum()).numpy()
    return {method: values.astype(np.float32) for method, values in rows.items()}


def check_margins(model: GPT2LMHeadModel, ids: list[int], generated: list[int]):
    """Greedy tokens must not hang on rounding: the best logit leads by more than float32 noise."""
    logits = model(torch.tensor([ids + generated[:-1]]), use_cache=False).logits[0, len(ids) - 1 :]
    best = logits.topk(2, dim=-1).values
    margin = (best[:, 0] - best[:, 1]).min().item()
    assert margin > 1e-3, f"a greedy choice leads by {margin} only: take another seed"


def run_model(out: Path, name: str, text_names: list[str]) -> dict[str, np.ndarray]:
    """Everything about one model, read back from its folder in float32."""
    model, model_f64 = (
        GPT2LMHeadModel.from_pretrained(out / name, dtype=dtype, attn_implementation="eager").eval()
        for dtype in (torch.float32, torch.float64)
    )
    tokenizer = Tokenizer.from_file(str(out / name / "tokenizer.json"))
    tensors, texts = {}, {}
    for key in text_names:
        text = long_text(tokenizer) if key == "long" else TEXTS[key]
        encoding = tokenizer.encode(text)
        generated = generate(model, encoding.ids)
        check_margins(model, encoding.ids, generated)
        texts[key] = {
            "text": text,
            "ids": encoding.ids,
            "tokens": [tokenizer.decode([i]) for i in encoding.ids],
            "offsets": encoding.offsets,
            "generated": generated,
            "generated_text": tokenizer.decode(generated),
        }
        if key == "long":
            run = run_forward(model, encoding.ids + generated)
            tensors["long.last_hidden"] = run["hidden_states"][-1]
            tensors["long.last_logits"] = run["logits"][-1]
        else:
            run = run_forward(model, encoding.ids)
            stores_inside = key in INSIDE_STORED and name != "gpt2-tiny-bf16"
            kept = run if stores_inside else {k: run[k] for k in ("logits", "hidden_states")}
            tensors |= {f"{key}.{k}": v for k, v in kept.items()}
        rows = saliency(model, encoding.ids, generated)
        tensors |= {f"{key}.{k}": v for k, v in rows.items()}
        for method, exact in saliency(model_f64, encoding.ids, generated).items():
            rounding = np.allclose(rows[method], exact, rtol=1e-5, atol=1e-7)
            assert rounding, f"{name} {key} {method}: float32 is not enough"
    write_json(out / f"{name}.json", {"texts": texts})
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, out / f"{name}.safetensors")
    return tensors


def long_text(tokenizer: Tokenizer) -> str:
    """A text that fills the context together with what is generated after it."""
    encoding = tokenizer.encode(LONG)
    n_input = CONTEXT - N_GENERATED
    assert len(encoding.ids) >= n_input
    text = LONG[: encoding.offsets[n_input - 1][1]]
    assert len(tokenizer.encode(text).ids) == n_input
    return text


def make_factorizations(out: Path, activations: np.ndarray):
    """scikit-learn's NMF on matrices (position, neuron), float32 as they come from a model."""
    random = np.random.RandomState(5)
    low_rank = random.rand(20, 4) @ random.rand(4, 70) + 0.05 * random.rand(20, 70)
    zeros = random.rand(9, 40) * (random.rand(9, 40) < 0.6)
    zeros[:, ::3] = 0.0
    neurons = activations.reshape(-1, activations.shape[-1])  # [layer · neuron, position]
    cases = {
        "low_rank": (low_rank, 4),
        "activations": (np.clip(neurons, 0, None).T, 6),
        "one_row": (random.rand(1, 30), 5),
        "zero_columns": (zeros, 3),
        # More neurons than a cache-sized block of columns holds.
        "wide": (np.clip(random.randn(10, 600), 0, None), 5),
    }
    tensors, facts = {}, {}
    for name, (x, n_components) in cases.items():
        x = np.ascontiguousarray(x, dtype=np.float32)
        n_components = min(n_components, x.shape[0])
        model = NMF(n_components=n_components, init="random", random_state=0, max_iter=500)
        w = model.fit_transform(x)
        tensors |= {f"{name}.x": x, f"{name}.w": w, f"{name}.h": model.components_}
        facts[name] = {
            "n_components": n_components,
            "reconstruction_err": float(model.reconstruction_err_),
            "n_iter": int(model.n_iter_),
        }
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, out / "nmf.safetensors")
    write_json(out / "nmf.json", facts)


def write_json(path: Path, value):
    text = json.dumps(value, indent=1, ensure_ascii=False)
    if len(text) > 30_000:  # nobody reads these: spaces would be a tenth of them and more
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    path.write_text(text + "\n", encoding="utf-8")


def make_all(out: Path):
    torch.set_num_threads(1)
    logging.getLogger("transformers").setLevel(logging.ERROR)  # it reports the old files' extra tensors
    disable_progress_bar()
    runs = {name: run_model(out, name, texts) for name, texts in make_models(out).items()}
    make_factorizations(out, runs["gpt2-tiny"]["ascii.activations"])


def compare(stored: Path, fresh: Path) -> list[str]:
    """Differences: files byte by byte but for results, which may differ by rounding between machines."""
    names = {p.relative_to(root) for root in (stored, fresh) for p in root.rglob("*") if p.is_file()}
    problems = []
    for name in sorted(names):
        a, b = stored / name, fresh / name
        if not (a.exists() and b.exists()):
            problems.append(f"{name}: only in {'the repository' if a.exists() else 'the fresh run'}")
        elif name.suffix == ".safetensors" and len(name.parts) == 1:
            problems += compare_tensors(name, load_file(a), load_file(b))
        elif str(name) == "nmf.json":
            continue  # numbers of the same run as nmf.safetensors
        elif a.read_bytes() != b.read_bytes():
            problems.append(f"{name}: differs")
    return problems


def compare_tensors(name: Path, a: dict, b: dict) -> list[str]:
    if a.keys() != b.keys():
        return [f"{name}: other tensors: {sorted(a.keys() ^ b.keys())}"]
    differs = lambda k: a[k].shape != b[k].shape or not np.allclose(a[k], b[k], rtol=1e-3, atol=1e-4)
    return [f"{name}: {key} differs" for key in a if differs(key)]


def main():
    parser = argparse.ArgumentParser(description="Writes tests/fixtures from reference implementations.")
    parser.add_argument("--check", action="store_true", help="regenerate in a temporary folder and compare")
    if parser.parse_args().check:
        with tempfile.TemporaryDirectory() as fresh:
            make_all(Path(fresh))
            problems = compare(FIXTURES, Path(fresh))
        print("\n".join(problems) or "the stored fixtures are what this script makes")
        sys.exit(1 if problems else 0)
    shutil.rmtree(FIXTURES, ignore_errors=True)
    make_all(FIXTURES)
    size = sum(p.stat().st_size for p in FIXTURES.rglob("*") if p.is_file())
    print(f"{FIXTURES}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
