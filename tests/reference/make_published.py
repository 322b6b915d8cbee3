"""Completes tests/fixtures/published.jsonl: what transformers computes of published configurations.

    python tests/reference/make_published.py            # all rows
    python tests/reference/make_published.py NAME …     # only these

A row has the name of a checkpoint and its `config.json`, with every key that was published. This writes beside it what
stands in the place of its sizes (`sizes`, by the rule of `shrunk`) where that is not what the first line says for all of
them, and some numbers that come out of a model whose weights are a function of their names (`weight`).
"""

import json
import logging
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.numpy import load_file, save_file
from transformers.utils.logging import disable_progress_bar

from make_fixtures import FIXTURES

TABLE = FIXTURES / "published.jsonl"
IDS = [5, 17, 9, 30, 22, 41, 8, 13, 36, 11, 27, 19]
TARGET = [2, 33, 6, 21, 14]
N_STORED = 4

# What stands in the place of a size, wherever its key is: the first line of the table.
SIZES = dict(
    hidden_size=32, n_embd=32, n_embed=32, d_model=32, dim=32, vocab_size=48, intermediate_size=24, n_inner=24, ffn_dim=24, ffn_hidden_size=24, d_ff=24, hidden_dim=24,
    encoder_ffn_dim=20, decoder_ffn_dim=24, moe_intermediate_size=12, d_kv=6,
    num_hidden_layers=4, n_layer=4, n_layers=4, num_layers=4, num_decoder_layers=3, encoder_layers=4, decoder_layers=3,
    num_attention_heads=4, n_head=4, n_heads=4, num_heads=4, encoder_attention_heads=4, decoder_attention_heads=2,
    num_local_experts=4, num_experts=4, n_routed_experts=8, num_experts_per_tok=2, experts_per_token=2, n_group=4,
    topk_group=2, first_k_dense_replace=1, kv_lora_rank=8, q_lora_rank=10, qk_nope_head_dim=6, qk_rope_head_dim=4,
    v_head_dim=5, rotary_dim=4, dim_model_base=8,
    max_position_embeddings=40, n_positions=40, n_ctx=40, max_seq_len=40, seq_length=40, max_sequence_length=40,
    sliding_window=3, window_size=3, local_attention=4, initial_context_length=8, original_max_position_embeddings=8,
    pooler_hidden_size=32, num_key_value_heads=2, num_kv_heads=2,
)  # fmt: skip
WIDTHS = ("hidden_size", "n_embd", "n_embed", "d_model", "dim")
VISION = dict(
    hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, image_size=8, patch_size=4
)
# What names begin with, by the model's type; `model.` in most.
PREFIXES = (
    {
        "opt": "model.decoder.",
        "gpt_neox": "gpt_neox.",
        "gemma3": "language_model.model.",
        "xlm-roberta": "roberta.",
    }
    | dict.fromkeys(
        ("gpt2", "gpt_neo", "gptj", "codegen", "gpt_bigcode", "bloom", "falcon", "mpt", "exaone"),
        "transformer.",
    )
    | {own: f"{own}." for own in ("bert", "roberta", "distilbert", "albert", "electra", "deberta")}
    | {"deberta-v2": "deberta."}
)
# Of weights that have several names in files of one family, the one that stands first in the kernel's table.
NAMES = {
    "xlm-roberta": (
        ("lm_head.dense", "cls.predictions.transform.dense"), ("lm_head.bias", "cls.predictions.bias"),
        ("lm_head.layer_norm", "cls.predictions.transform.LayerNorm"), ("classifier.dense", "pooler.dense"),
        ("classifier.out_proj", "classifier"),
    ),
    "falcon": (("ln_attn", "input_layernorm"),),
    "deepseek_v2": (("q_proj", "q_b_proj"),),
    "t5": (("wi_1", "wi"),),
    "internlm2": (
        ("embed_tokens", "tok_embeddings"), ("input_layernorm", "attention_norm"), ("post_attention_layernorm", "ffn_norm"),
        ("self_attn.o_proj", "attention.wo"), ("mlp.gate_proj", "feed_forward.w1"), ("mlp.up_proj", "feed_forward.w3"),
        ("mlp.down_proj", "feed_forward.w2"), ("lm_head", "output"),
    ),
}  # fmt: skip
NAMES["roberta"] = NAMES["xlm-roberta"]


def number(config, *keys):
    return next((config[key] for key in keys if type(config.get(key)) is int), None)


def shrunk(config: dict) -> dict:
    """The rest of the rule: what other sizes become. Of ratios those stay that a model is made by: whether heads share their
    keys, whether a width is another's, how far a context was stretched, which layers have windows."""
    sizes = {}
    width, n_heads = (
        number(config, *WIDTHS),
        number(config, "num_attention_heads", "n_head", "n_heads", "num_heads"),
    )
    # An even number of each head's dimensions turns.
    head_dim = 10 if config.get("partial_rotary_factor") == 0.4 else 8
    if head_dim != 8:
        sizes["hidden_size"] = 4 * head_dim
    for key in ("embedding_size", "word_embed_proj_dim"):
        if number(config, key) is not None:
            sizes[key] = 4 * head_dim if config[key] == width else 12
    for key in ("head_dim", "attention_head_dim"):
        if number(config, key) is not None:
            sizes[key] = head_dim if n_heads and config[key] * n_heads == width else 12
    for key in ("num_key_value_heads", "num_kv_heads"):
        if number(config, key) is not None and config[key] in (1, n_heads):
            sizes[key] = 1 if config[key] == 1 else 4
    # Learned positions may begin behind the padding.
    if config.get("max_position_embeddings") == 514:
        sizes["max_position_embeddings"] = 42
    scaling = config.get("rope_scaling") or {}
    original = config.get("original_max_position_embeddings") or scaling.get(
        "original_max_position_embeddings"
    )
    if original and "max_position_embeddings" in config:
        sizes["max_position_embeddings"] = 8 * config["max_position_embeddings"] // original
    turned = SIZES["qk_rope_head_dim"] if "qk_rope_head_dim" in config else sizes.get("head_dim", head_dim)
    factors = {
        key: scaling[key][:: max(1, 2 * len(scaling[key]) // turned)][: turned // 2]
        for key in ("short_factor", "long_factor")
        if key in scaling
    }
    if factors:
        sizes["rope_scaling"] = factors
    n_layers = number(config, "num_hidden_layers", "num_layers", "n_layer", "n_layers")
    if number(config, "max_window_layers") is not None:
        sizes["max_window_layers"] = 4 * config["max_window_layers"] // n_layers
    for key in ("layer_types", "attention_layers"):
        if key in config:
            sizes[key] = config[key][:4]
    if "attention_types" in config:
        sizes["attention_types"] = [[kinds, 4 // len(kinds)] for kinds, _ in config["attention_types"]]
    for key, value in config.items():
        if key.endswith("token_id") and value is not None:
            ids = [min(one, 47 - i) for i, one in enumerate(value if isinstance(value, list) else [value])]
            ids = ids if isinstance(value, list) else ids[0]
            sizes |= {key: ids} if ids != value else {}
    if "text_config" in config:
        # Its class has a vocabulary where the file has none.
        sizes["text_config"] = shrunk(config["text_config"]) | {"vocab_size": 48}
    if "vision_config" in config:
        sizes["vision_config"] = VISION
    return sizes


def overlaid(config: dict, sizes: dict) -> dict:
    """A configuration with other sizes, key by key."""
    usual = {key: size for key, size in SIZES.items() if number(config, key) is not None}
    inner = {
        key: overlaid(value, sizes.get(key, {})) for key, value in config.items() if isinstance(value, dict)
    }
    return config | usual | sizes | inner


def bare(name: str, model_type: str) -> str:
    """A weight's name without what the model is called in its class."""
    name = name.removeprefix(PREFIXES.get(model_type, "model."))
    for theirs, own in NAMES.get(model_type, ()):
        name = name.replace(theirs, own)
    return name


def weight(name: str, shape) -> np.ndarray:
    """Numbers that look like noise: a hash of the name and the index (FNV-1a, MurmurHash3's last step). Vectors called
    weights are about 1, as norms are."""
    seed = 0x811C9DC5
    for byte in name.encode():
        seed = (seed ^ byte) * 0x01000193 % 2**32
    x = (seed + np.arange(np.prod(shape, dtype=int), dtype=np.uint64) * 0x9E3779B9).astype(np.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    noise = ((x ^ (x >> np.uint32(16))) / 2.0**31 - 1.0).reshape(shape)
    if len(shape) > 1:
        return (noise * 2.0 / np.sqrt(shape[-1])).astype(np.float32)
    return (noise / 4.0 + (1.0 if name.endswith("weight") else 0.0)).astype(np.float32)


def made(config: dict, shapes: dict) -> dict:
    """The weights of a checkpoint, by the names that transformers has for them."""
    model_type = config["model_type"]
    weights = {name: weight(bare(name, model_type), shape) for name, shape in shapes.items()}
    # Fixed sines are of no file, and a bias of zeros is of few.
    if model_type in ("marian", "pegasus"):
        weights = {name: value for name, value in weights.items() if "embed_positions" not in name}
    if "final_logits_bias" in weights:
        weights["final_logits_bias"][:] = 0.0
    if model_type == "internlm2":
        weights |= split(config, shapes)
    return weights


def split(config: dict, shapes: dict) -> dict:
    """Queries, keys and values of the one matrix that InternLM2 has for them: for each head of keys its queries, the key, the
    value."""
    parts = {}
    n_groups, size = config["num_key_value_heads"], config["hidden_size"]
    head_dim = size // config["num_attention_heads"]
    for name in [name for name in shapes if name.endswith("q_proj.weight")]:
        layer = name.removesuffix("self_attn.q_proj.weight")
        n_rows = sum(shapes[f"{layer}self_attn.{part}_proj.weight"][0] for part in "qkv")
        joined = weight(bare(layer, "internlm2") + "attention.wqkv.weight", (n_rows, size))
        joined = joined.reshape(n_groups, -1, head_dim, size)
        for part, rows in (("q", joined[:, :-2]), ("k", joined[:, -2:-1]), ("v", joined[:, -1:])):
            parts[f"{layer}self_attn.{part}_proj.weight"] = np.ascontiguousarray(rows).reshape(-1, size)
    return parts


def readable(config: dict) -> dict:
    """A configuration that transformers reads by itself: of numbers where it is of quantized weights, of Llama where it is
    of InternLM2, whose code is elsewhere."""
    config = {key: value for key, value in config.items() if key != "quantization_config"}
    if config["model_type"] != "internlm2":
        return config
    del config["auto_map"]
    return config | dict(
        model_type="llama", architectures=["LlamaForCausalLM"], attention_bias=config["bias"]
    )


def auto(config: dict):
    """The class that reads a checkpoint of this configuration."""
    architecture = (config.get("architectures") or [""])[0]
    endings = {
        "ForCausalLM": "CausalLM", "LMHeadModel": "CausalLM", "ForMaskedLM": "MaskedLM", "ForPreTraining": "PreTraining",
        "MTModel": "Seq2SeqLM", "ForConditionalGeneration": "ImageTextToText" if "vision_config" in config else "Seq2SeqLM",
    }  # fmt: skip
    for ending in ("SequenceClassification", "TokenClassification", "QuestionAnswering"):
        endings["For" + ending] = ending
    task = next((task for ending, task in endings.items() if architecture.endswith(ending)), None)
    return getattr(transformers, f"AutoModelFor{task}") if task else transformers.AutoModel


def said(model):
    """Some numbers of what a model says of the last position, or of the text."""
    with torch.no_grad():
        target = {"decoder_input_ids": torch.tensor([TARGET])} if model.config.is_encoder_decoder else {}
        run = model(torch.tensor([IDS]), use_cache=False, **target)
    if "start_logits" in run:
        logits = torch.stack([run.start_logits[0], run.end_logits[0]], dim=-1)
    else:
        logits = (run.logits if "logits" in run else run.last_hidden_state)[0]
    of_text = model.config.architectures[0].endswith("SequenceClassification")
    last = logits if of_text else logits[-1]
    return last.reshape(-1)[:N_STORED].double().tolist()


def compute(row: dict) -> dict:
    sizes = shrunk(row["config"])
    config = overlaid(row["config"], sizes)
    read = readable(config)
    reader = auto(read)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file, weights = folder / "config.json", folder / "model.safetensors"
        file.write_text(json.dumps(read))
        reader.from_config(
            transformers.AutoConfig.from_pretrained(folder), dtype=torch.float32
        ).save_pretrained(folder)
        shapes = {key: value.shape for key, value in load_file(weights).items()}
        save_file(made(config, shapes), weights, metadata={"format": "pt"})
        file.write_text(json.dumps(read))
        model, info = reader.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
        )
        assert not info["unexpected_keys"] and not info["mismatched_keys"], info
        assert all("embed_positions" in key for key in info["missing_keys"]), info
        values = said(model.eval())
    assert np.isfinite(values).all()
    return {"sizes": sizes, "logits": [float(f"{value:.6g}") for value in values]}


def main():
    torch.set_num_threads(1)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    disable_progress_bar()
    rows = [json.loads(line) for line in TABLE.read_text().splitlines()][1:]
    for row in rows:
        if not sys.argv[1:] or row["name"] in sys.argv[1:]:
            row |= compute(row)
            print(row["name"], row["logits"][:3], flush=True)
    lines = (
        json.dumps(row, separators=(",", ":"), ensure_ascii=False) + "\n" for row in [{"sizes": SIZES}, *rows]
    )
    TABLE.write_text("".join(lines))
    print(f"{TABLE}: {TABLE.stat().st_size / 1e3:.1f} kB")


if __name__ == "__main__":
    main()
