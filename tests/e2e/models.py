"""Seeded GPT-2 models on disk, in the layout of the Hugging Face hub, and damaged copies of them."""

import json
import shutil

import numpy as np
from safetensors.numpy import save_file

END_OF_TEXT = "<|endoftext|>"


def byte_characters():
    """GPT-2's printable stand-ins for the 256 bytes, in the order of the bytes."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table, extra = {}, 0
    for byte in range(256):
        if byte in printable:
            table[byte] = chr(byte)
        else:
            table[byte], extra = chr(256 + extra), extra + 1
    return [table[byte] for byte in range(256)]


def write_tokenizer(folder):
    """A byte-level BPE without merges: one token for each byte, and the end of text."""
    vocabulary = {character: i for i, character in enumerate(byte_characters())}
    vocabulary[END_OF_TEXT] = len(vocabulary)
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    special = {"id": 256, "content": END_OF_TEXT, "special": True}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [special | flags],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {"type": "BPE", "unk_token": None, "vocab": vocabulary, "merges": []},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    return len(vocabulary)


def weights(config, seed):
    """Canonical GPT-2 weights: normal with standard deviation 0.02, norms at one."""
    rng = np.random.default_rng(seed)
    hidden, inner = config["n_embd"], 4 * config["n_embd"]

    def normal(*shape):
        return rng.normal(0.0, 0.02, shape).astype(np.float32)

    tensors = {
        "wte.weight": normal(config["vocab_size"], hidden),
        "wpe.weight": normal(config["n_positions"], hidden),
    }
    norms = ["ln_f"]
    for layer in range(config["n_layer"]):
        block = f"h.{layer}"
        norms += [f"{block}.ln_1", f"{block}.ln_2"]
        shapes = {
            "attn.c_attn": (hidden, 3 * hidden),
            "attn.c_proj": (hidden, hidden),
            "mlp.c_fc": (hidden, inner),
            "mlp.c_proj": (inner, hidden),
        }
        for name, shape in shapes.items():
            tensors[f"{block}.{name}.weight"] = normal(*shape)
            tensors[f"{block}.{name}.bias"] = normal(shape[1])
    for norm in norms:
        tensors[f"{norm}.weight"] = np.ones(hidden, np.float32)
        tensors[f"{norm}.bias"] = np.zeros(hidden, np.float32)
    return tensors


def write_gpt2(folder, n_layer, n_embd, n_positions, n_head=4, seed=0):
    """Writes config.json, tokenizer.json and model.safetensors; returns the folder."""
    config = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "n_layer": n_layer,
        "n_embd": n_embd,
        "n_head": n_head,
        "n_positions": n_positions,
        "n_ctx": n_positions,
        "vocab_size": write_tokenizer(folder),
        "bos_token_id": 256,
        "eos_token_id": 256,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(weights(config, seed), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def copy_with(model, folder, change):
    """A copy of a model's folder after `change(folder)`."""
    shutil.copytree(model, folder, dirs_exist_ok=True)
    change(folder)
    return folder


def truncate_weights(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garble_header(folder):
    path = folder / "model.safetensors"
    path.write_bytes(b"\xff" * 64 + path.read_bytes()[64:])


def pickle_only(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"PK\x03\x04 a pickle in a zip archive")


def change_config(**changes):
    def change(folder):
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes), encoding="utf-8")

    return change
