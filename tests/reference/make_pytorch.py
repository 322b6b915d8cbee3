"""Writes tests/fixtures/pytorch: files as torch.save writes them, and the same weights as safetensors.

python tests/reference/make_pytorch.py
"""

import argparse
import json
import shutil
from collections import OrderedDict

import torch
from safetensors.torch import load_file, save_file

from make_fixtures import FIXTURES

OUT = FIXTURES / "pytorch"


def odd_tensors():
    """Views of all kinds, every type of numbers."""
    generator = torch.Generator().manual_seed(12)

    def noise(*shape, dtype=torch.float32):
        return torch.randn(*shape, generator=generator).to(dtype)

    shared = noise(6, 8)
    return {
        "plain": noise(3, 5),
        "transposed": noise(4, 7).t(),
        "every.second": noise(10, 6)[::2, 1::2],
        "permuted": noise(2, 3, 4).permute(2, 0, 1),
        "shared.whole": shared,
        "shared.again": shared,
        "shared.rows": shared[2:5],
        "shared.column": shared[:, 3],
        "repeated": noise(1, 5).expand(4, 5),
        "scalar": noise(()),
        "empty": noise(0, 3),
        "row": noise(1, 9),
        "parameter": torch.nn.Parameter(noise(2, 2)),
        "half": noise(3, 3, dtype=torch.float16),
        "brain": noise(3, 3, dtype=torch.bfloat16),
        "double": noise(3, 3, dtype=torch.float64),
        "long": torch.arange(5),
        "mask": torch.ones(3, 3, dtype=torch.bool).tril(),
        "bytes": torch.arange(4, dtype=torch.uint8),
    }


class Asks:
    def __reduce__(self):
        return print, ("run",)


def family(name, change=lambda tensors: tensors):
    """A family's weights as PyTorch's file, with `_metadata` as modules have it."""
    tensors = OrderedDict(change(load_file(FIXTURES / "families" / name / "model.safetensors")))
    tensors._metadata = OrderedDict({"": {"version": 1}})
    return tensors


def t5_names(tensors):
    shared = tensors["shared.weight"]
    return tensors | {"encoder.embed_tokens.weight": shared, "decoder.embed_tokens.weight": shared}


def with_masks(tensors):
    """As TransformerLens' state_dict has them: what attention masks with stands beside the weights."""
    n_ctx = len(tensors["pos_embed.W_pos"])
    layers = {name.split(".")[1] for name in tensors if name.startswith("blocks.")}
    mask = {f"blocks.{layer}.attn.mask": torch.ones(n_ctx, n_ctx, dtype=torch.bool).tril() for layer in layers}
    return tensors | mask | {f"blocks.{layer}.attn.IGNORE": torch.tensor(-torch.inf) for layer in layers}


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    tensors = odd_tensors()
    torch.save(tensors, OUT / "tensors.bin")
    torch.save(tensors, OUT / "tensors-4.bin", pickle_protocol=4)
    torch.save({"epoch": 3, "optimizer": {0: torch.ones(2)}, "state_dict": tensors}, OUT / "nested.ckpt")
    save_file(
        {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()},
        OUT / "tensors.safetensors",
    )
    torch.save({"args": argparse.Namespace(lr=1.0), "w": torch.ones(2)}, OUT / "namespace.pt")
    torch.save({"w": Asks()}, OUT / "print.pt")
    torch.save({"w": torch.ones(2)}, OUT / "old.bin", _use_new_zipfile_serialization=False)
    torch.save(family("bert"), OUT / "bert.bin")
    torch.save(family("t5", t5_names), OUT / "t5.bin")
    transposed = family(
        "llama",
        lambda tensors: {
            name: tensor.t().contiguous().t() if tensor.dim() == 2 else tensor
            for name, tensor in tensors.items()
        },
    )
    torch.save(transposed, OUT / "llama.bin")
    torch.save(family("transformer_lens-attention", with_masks), OUT / "hooked.pth")
    # Two shards, as transformers wrote them before its version 5.
    llama = list(family("llama").items())
    parts = {
        "pytorch_model-00001-of-00002.bin": dict(llama[:7]),
        "pytorch_model-00002-of-00002.bin": dict(llama[7:]),
    }
    (OUT / "sharded").mkdir()
    for name, part in parts.items():
        torch.save({key: tensor.clone() for key, tensor in part.items()}, OUT / "sharded" / name)
    index = {"metadata": {}, "weight_map": {key: name for name, part in parts.items() for key in part}}
    (OUT / "sharded" / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=1) + "\n")


main()
