"""Folders to load: the fixtures' models of every family, and seeded ones of well-known shapes."""

import json
import math
import shutil
import struct
import sys
from functools import cache
from pathlib import Path

import torch
import transformers
from safetensors import safe_open

from .run import REPO

sys.path[:0] = [str(REPO / "bench")]

from make_models import tokenizer as trained_tokenizer  # noqa: E402

FIXTURES = REPO / "tests/fixtures"
FAMILIES = FIXTURES / "families"

LLAMA = dict(
    vocab_size=128_256, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32,
    num_key_value_heads=8, head_dim=64, max_position_embeddings=131_072, rms_norm_eps=1e-5, tie_word_embeddings=True,
    rope_parameters={"rope_type": "default", "rope_theta": 500_000.0},
)  # fmt: skip
SMOLLM2 = dict(
    vocab_size=49_152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
    num_key_value_heads=3, max_position_embeddings=8192, rms_norm_eps=1e-5, tie_word_embeddings=True,
    rope_parameters={"rope_type": "default", "rope_theta": 100_000.0},
)  # fmt: skip
# name: (model_type, what its configuration says, type of its weights). No end of text: all write as many tokens as asked.
SHAPES = {
    "distilgpt2": ("gpt2", dict(n_layer=6), torch.float32),
    "smollm2-135m": ("llama", SMOLLM2, torch.float32),
    "llama-1.2b": ("llama", LLAMA, torch.bfloat16),
}
TEXT = "The countries of the European Union are:\n1. Austria\n2. Belgium\n3. Bulgaria\n4.\n"


def families() -> list[tuple[Path, dict]]:
    """The tiny models, and what the fixtures say of one text: `text`, `ids`, for an encoder–decoder `target`."""
    found = []
    for file in sorted(FAMILIES.glob("*/config.json")):
        with safe_open(FAMILIES / f"{file.parent.name}.safetensors", "pt") as case:
            texts = json.loads(case.metadata()["texts"])
        found.append((file.parent, texts["ascii"]))
    return found


def others(scratch: Path) -> list[tuple[str, Path]]:
    """What is stored in other ways, by kind: weights of few bits, beside a tokenizer; GGUF files; adapters."""
    found = []
    for file in sorted((FIXTURES / "quantized").glob("*/config.json")):
        folder = scratch / file.parent.name
        shutil.copytree(file.parent, folder)
        shutil.copy(FIXTURES / "gpt2-tiny/tokenizer.json", folder)
        found.append(("quantized", folder))
    found += [("gguf", file) for file in sorted((FIXTURES / "gguf").glob("*.gguf"))]
    adapters = sorted((FIXTURES / "adapters").glob("*/adapter_config.json"))
    return found + [("adapter", file.parent) for file in adapters]


def made(name: str, folder: Path, device: str) -> Path:
    """A model of one of the SHAPES with seeded weights, in `folder`; made on the device, where that is quicker."""
    path = folder / name
    if (path / "config.json").exists():
        return path
    model_type, values, dtype = SHAPES[name]
    ends = dict(bos_token_id=None, eos_token_id=None)
    config = transformers.AutoConfig.for_model(model_type, **values | ends)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype)
    fill(model.to_empty(device=device))
    model.tie_weights()
    model.save_pretrained(path)
    tokenizer(config.vocab_size).save_pretrained(path)
    del model
    return path


@torch.no_grad()
def fill(model):
    """Norms at one, biases at zero, everything else noise; the same few million numbers again and again, which is quick."""
    # Of an odd length, so that no two rows of a matrix are the same: tokens would be equally probable.
    noise = torch.randn(4_194_301, generator=torch.Generator().manual_seed(0)) * 0.02
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2:
            parameter.fill_(1.0 if name.endswith("weight") else 0.0)
        else:
            times = math.ceil(parameter.numel() / len(noise))
            values = noise.to(parameter.device, parameter.dtype).repeat(times)[: parameter.numel()]
            parameter.copy_(values.view_as(parameter))


@cache
def tokenizer(vocab_size: int):
    return trained_tokenizer(vocab_size)


def text_of(path: Path, n_tokens: int) -> str:
    """A text of just so many tokens, by the folder's tokenizer."""
    reads = transformers.PreTrainedTokenizerFast.from_pretrained(path)
    ids = reads(TEXT * math.ceil(n_tokens / 8))["input_ids"][:n_tokens]
    text = reads.decode(ids)
    assert reads(text)["input_ids"] == ids and len(ids) == n_tokens
    return text


def giant(folder: Path, n_bytes: int) -> Path:
    """A model of more bytes than there are: the weights' file is a hole, which takes no room on the disk."""
    path = folder / "giant"
    path.mkdir()
    hidden, inner, vocabulary = 8192, 28_672, 512
    shapes = {"model.embed_tokens.weight": (vocabulary, hidden), "model.norm.weight": (hidden,)}
    shapes["lm_head.weight"] = (vocabulary, hidden)
    of_layer = {f"self_attn.{part}_proj.weight": (hidden, hidden) for part in "qkvo"}
    of_layer |= {f"mlp.{part}_proj.weight": (inner, hidden) for part in ("gate", "up")}
    of_layer |= {"mlp.down_proj.weight": (hidden, inner)}
    of_layer |= {f"{part}_layernorm.weight": (hidden,) for part in ("input", "post_attention")}
    n_layers = math.ceil(n_bytes / sum(2 * math.prod(shape) for shape in of_layer.values()))
    for layer in range(n_layers):
        shapes |= {f"model.layers.{layer}.{name}": shape for name, shape in of_layer.items()}
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with (path / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(file.tell() + end)
    config = dict(
        hidden_size=hidden, intermediate_size=inner, num_hidden_layers=n_layers, num_attention_heads=64,
        vocab_size=vocabulary, tie_word_embeddings=False, dtype="bfloat16",
    )  # fmt: skip
    transformers.LlamaConfig(**config, architectures=["LlamaForCausalLM"]).save_pretrained(path)
    tokenizer(vocabulary).save_pretrained(path)
    return path
