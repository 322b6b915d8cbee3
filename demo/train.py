"""Trains the demo model: `python demo/train.py` writes `demo/model/`.

The steps: the text (`corpus.py`), a byte-level BPE trained on it, a GPT-2 (transformers' GPT2LMHeadModel,
tied head) trained on rows of 256 tokens, the weights rounded to f16. Everything is seeded. It takes about 25
minutes on two cores (6.8 million tokens at 5,000 per second), more where others use them too. Processors and
torch versions (2.9 or newer, for Muon) round differently, so another training gives another model that should
behave alike; the committed weights are the reference.
"""

import argparse
import ctypes
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GPT2Config, GPT2LMHeadModel

import corpus

HERE = Path(__file__).resolve().parent
VOCAB_SIZE = 2048
CONTEXT = 256
ROWS = 12
STEPS, WARMUP, DECAY = 2200, 100, 400
LEARNING_RATE = 3e-3
SHAPE = dict(n_layer=4, n_embd=192, n_head=6)


def train_tokenizer(texts):
    """Byte-level BPE with GPT-2's splitting. It sees no emoji, so that those stay split over several tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(vocab_size=VOCAB_SIZE, special_tokens=[corpus.END], show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator((t for t in texts if max(map(ord, t)) < 0x2000), trainer)
    return tokenizer


def encode(tokenizer, texts):
    """All documents as one array of ids, each followed by the end token; and where each begins."""
    parts = [e.ids + [0] for e in tokenizer.encode_batch_fast(texts)]
    starts = np.cumsum([0] + [len(p) for p in parts[:-1]])
    return np.concatenate([np.asarray(p, dtype=np.int64) for p in parts]), starts


def prepare(folder):
    """Tokenizer, ids and document starts; kept in `folder`, if there is one, for a training that is taken up again."""
    kept, vocabulary = folder and folder / "text.npz", folder and folder / "tokenizer.json"
    if folder and kept.exists() and vocabulary.exists():
        arrays = np.load(kept)
        return Tokenizer.from_file(str(vocabulary)), arrays["ids"], arrays["starts"]
    texts, dropped = corpus.documents()
    corpus.check(texts)
    tokenizer = train_tokenizer(texts)
    ids, starts = encode(tokenizer, texts)
    print(f"{len(texts)} documents ({dropped} left out), {len(ids)} tokens", flush=True)
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer.save(str(vocabulary))
        np.savez(kept, ids=ids, starts=starts)
    return tokenizer, ids, starts


def batch(ids, starts, step, seed):
    """Rows for one step; two thirds begin where a document begins, as a prompt does, the others anywhere."""
    rng = np.random.default_rng([seed, step])
    last = len(ids) - CONTEXT - 1
    at_start = starts[rng.integers(0, len(starts), ROWS)]
    anywhere = rng.integers(0, last, ROWS)
    first = np.minimum(np.where(rng.random(ROWS) < 0.67, at_start, anywhere), last)
    return torch.from_numpy(ids[first[:, None] + np.arange(CONTEXT + 1)])


def new_model(seed):
    torch.manual_seed(seed)
    # gelu_new and gelu_pytorch_tanh are the same function; the second is one fused operation, 12 times as fast.
    return GPT2LMHeadModel(GPT2Config(
        vocab_size=VOCAB_SIZE, n_positions=CONTEXT, **SHAPE, activation_function="gelu_pytorch_tanh",
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0, use_cache=False))


def optimizers(model):
    """Muon for the matrices of the blocks, AdamW for embeddings, biases and norms."""
    matrix = lambda name, p: p.ndim == 2 and ".h." in name
    inner = [p for name, p in model.named_parameters() if matrix(name, p)]
    outer = [p for name, p in model.named_parameters() if not matrix(name, p)]
    return [torch.optim.Muon(inner, lr=LEARNING_RATE, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(outer, lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.01)]


def schedule(step, steps):
    """Linear warm-up, constant, cosine to zero over the last steps."""
    if step < WARMUP:
        return (step + 1) / WARMUP
    into = (step - (steps - DECAY)) / DECAY
    return 1.0 if into <= 0 else 0.5 * (1 + math.cos(math.pi * into))


def train(model, ids, starts, tokenizer, args):
    rules = optimizers(model)
    first = 0
    if args.resume:
        state = torch.load(args.resume)
        model.load_state_dict(state["model"])
        [rule.load_state_dict(kept) for rule, kept in zip(rules, state["rules"], strict=True)]
        first = state["step"]
    begun, mean = time.time(), None
    for step in range(first, args.steps):
        for rule in rules:
            rule.param_groups[0]["lr"] = LEARNING_RATE * schedule(step, args.steps)
        rows = batch(ids, starts, step, args.seed)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(rows[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), rows[:, 1:].flatten())
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for rule in rules:
            rule.step()
        mean = loss.item() if mean is None else 0.97 * mean + 0.03 * loss.item()
        if (step + 1) % 50 == 0:
            speed = (step + 1 - first) * ROWS * CONTEXT / (time.time() - begun)
            print(f"step {step + 1}/{args.steps}  loss {mean:.3f}  {speed:.0f} tokens/s", flush=True)
        if args.checkpoints and (step + 1) % 200 == 0:
            torch.save({"model": model.state_dict(), "rules": [rule.state_dict() for rule in rules], "step": step + 1},
                       args.checkpoints / "last.pt")
            save(model, tokenizer, args.checkpoints / "model")


def save(model, tokenizer, folder):
    """What transformers reads: weights in f16 without the tied head, configuration, tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    weights = {name: p.detach().to(torch.float16).contiguous() for name, p in model.named_parameters()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "activation_function": "gelu_new",
        "vocab_size": VOCAB_SIZE, "n_positions": CONTEXT, "n_ctx": CONTEXT, **SHAPE, "n_inner": None,
        "layer_norm_epsilon": 1e-5, "initializer_range": 0.02, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0,
        "scale_attn_weights": True, "tie_word_embeddings": True, "bos_token_id": 0, "eos_token_id": 0, "dtype": "float16",
    }
    write(folder / "config.json", config)
    # Plain sampling: the text has little entropy beyond the choice among right items, so nothing needs cutting but
    # the tail that top_k leaves out (50 is also what transformers assumes).
    write(folder / "generation_config.json",
          {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0, "temperature": 1.0, "top_k": 50})
    write(folder / "tokenizer_config.json",
          {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": corpus.END, "eos_token": corpus.END,
           "unk_token": corpus.END, "add_prefix_space": False, "clean_up_tokenization_spaces": False,
           "model_max_length": CONTEXT})


def keep_memory():
    """Large tensors come and go every step: glibc shall keep their memory instead of faulting it in anew each time."""
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(mmap_threshold, 1 << 30)
        mallopt(trim_threshold, 2**31 - 1)


def write(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE / "model")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--checkpoints", type=Path, help="folder for a checkpoint every 200 steps")
    parser.add_argument("--resume", type=Path, help="checkpoint to go on from")
    args = parser.parse_args()
    keep_memory()
    torch.set_num_threads(args.threads)

    tokenizer, ids, starts = prepare(args.checkpoints)
    model = new_model(args.seed)
    print(f"{sum(p.numel() for p in model.parameters())} parameters", flush=True)
    train(model, ids, starts, tokenizer, args)
    save(model, tokenizer, args.out)


if __name__ == "__main__":
    main()
