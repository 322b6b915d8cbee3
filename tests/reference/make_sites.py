"""Writes tests/fixtures/sites: what passes by inside models of several families, as hooks in transformers see it.

    python tests/reference/make_sites.py

Models are those of make_families.py and make_fixtures.py. Tensors are named as `lm.sites()` names them and have the axes
(layer, position, width), with heads side by side; those of an encoder beside a decoder begin with `encoder_`.
"""

import importlib
import json
import logging
import sys
from collections import defaultdict

import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM
from transformers.utils.logging import disable_progress_bar

from make_fixtures import FIXTURES

OUT = FIXTURES / "sites"
N_TOKENS = 3

# site: (module of a layer, its input or output). "" is the layer itself. A number picks one of several equal parts. Layers
# without the module do not have the site; of names with | between them they have one.
LLAMA = {
    "residual_before": ("", "in"), "attention_input": ("input_layernorm", "out"), "values": ("self_attn.v_proj", "out"),
    "head_outputs": ("self_attn.o_proj", "in"), "attention_output": ("self_attn", "out"),
    "residual_mid": ("post_attention_layernorm", "in"), "mlp_input": ("post_attention_layernorm", "out"),
    "mlp_pre": ("mlp.gate_proj", "out"), "mlp_up": ("mlp.up_proj", "out"), "mlp_inner": ("mlp.down_proj", "in"),
    "mlp_output": ("mlp", "out"), "residual_after": ("", "out"),
}
GEMMA2 = LLAMA | {
    "attention_output": ("post_attention_layernorm", "out"), "residual_mid": ("pre_feedforward_layernorm", "in"),
    "mlp_input": ("pre_feedforward_layernorm", "out"), "mlp_output": ("post_feedforward_layernorm", "out"),
}
NEOX = {
    "residual_before": ("", "in"), "attention_input": ("input_layernorm", "out"), "head_outputs": ("attention.dense", "in"),
    "attention_output": ("attention", "out"), "mlp_input": ("post_attention_layernorm", "out"),
    "mlp_pre": ("mlp.dense_h_to_4h", "out"), "mlp_inner": ("mlp.dense_4h_to_h", "in"), "mlp_output": ("mlp", "out"),
    "residual_after": ("", "out"),
}
GPT2 = {
    "residual_before": ("", "in"), "attention_input": ("ln_1", "out"), "queries": ("attn.c_attn", "out", 0),
    "keys": ("attn.c_attn", "out", 1), "values": ("attn.c_attn", "out", 2), "head_outputs": ("attn.c_proj", "in"),
    "attention_output": ("attn", "out"), "residual_mid": ("ln_2", "in"), "mlp_input": ("ln_2", "out"),
    "mlp_pre": ("mlp.c_fc", "out"), "mlp_inner": ("mlp.c_proj", "in"), "mlp_output": ("mlp", "out"),
    "residual_after": ("", "out"),
}
BERT = {
    "residual_before": ("", "in"), "attention_input": ("attention.self.query", "in"),
    "queries": ("attention.self.query", "out"), "keys": ("attention.self.key", "out"),
    "values": ("attention.self.value", "out"), "head_outputs": ("attention.output.dense", "in"),
    "attention_output": ("attention.output.dense", "out"), "residual_mid": ("attention.output.LayerNorm", "out"),
    "mlp_input": ("intermediate.dense", "in"), "mlp_pre": ("intermediate.dense", "out"),
    "mlp_inner": ("output.dense", "in"), "mlp_output": ("output.dense", "out"), "residual_after": ("", "out"),
}
T5 = {
    "residual_before": ("", "in"), "attention_input": ("layer.0.layer_norm", "out"),
    "queries": ("layer.0.SelfAttention.q", "out"), "keys": ("layer.0.SelfAttention.k", "out"),
    "values": ("layer.0.SelfAttention.v", "out"), "head_outputs": ("layer.0.SelfAttention.o", "in"),
    "attention_output": ("layer.0.SelfAttention.o", "out"), "residual_mid": ("layer.0", "out"),
    "mlp_input": ("layer.{last}.layer_norm", "out"), "mlp_pre": ("layer.{last}.DenseReluDense.wi", "out"),
    "mlp_inner": ("layer.{last}.DenseReluDense.wo", "in"), "mlp_output": ("layer.{last}.DenseReluDense.wo", "out"),
    "residual_after": ("", "out"),
}
LFM2 = {
    "residual_before": ("", "in"), "attention_input": ("operator_norm", "out"), "values": ("self_attn.v_proj", "out"),
    "head_outputs": ("self_attn.out_proj", "in"), "attention_output": ("self_attn|conv", "out"),
    "residual_mid": ("ffn_norm", "in"), "mlp_input": ("ffn_norm", "out"), "mlp_pre": ("feed_forward.w1", "out"),
    "mlp_up": ("feed_forward.w3", "out"), "mlp_inner": ("feed_forward.w2", "in"), "mlp_output": ("feed_forward", "out"),
    "residual_after": ("", "out"),
}
QWEN3_5 = LLAMA | {"attention_output": ("self_attn|linear_attn", "out")}
CROSS = {"cross_output": ("layer.1.EncDecAttention.o", "out")}
# folder: stacks, each a prefix of names, the layers' module, the last norm's, sites
CASES = {
    "gpt2-tiny": [("", "transformer.h", "transformer.ln_f", GPT2)],
    "families/llama-biases": [("", "model.layers", "model.norm", LLAMA)],
    "families/qwen3": [("", "model.layers", "model.norm", LLAMA)],
    "families/gemma2": [("", "model.layers", "model.norm", GEMMA2)],
    "families/gpt_neox": [("", "gpt_neox.layers", "gpt_neox.final_layer_norm", NEOX)],
    "families/lfm2": [("", "model.layers", "model.embedding_norm", LFM2)],
    "families/qwen3_5_text": [("", "model.layers", "model.norm", QWEN3_5)],
    "families/bert": [("", "bert.encoder.layer", None, BERT)],
    "families/deberta-v2-convolution": [("", "deberta.encoder.layer", None, {
        name: (module.replace("self.query", "self.query_proj").replace("self.key", "self.key_proj")
               .replace("self.value", "self.value_proj"), *rest)
        for name, (module, *rest) in BERT.items() if name != "residual_after"  # the convolution comes after the layer
    })],
    "families/t5": [
        ("encoder_", "encoder.block", "encoder.final_layer_norm", T5),
        ("", "decoder.block", "decoder.final_layer_norm", T5 | CROSS),
    ],
}


def first(value):
    return value[0] if isinstance(value, tuple) else value


def watch(model, stacks, found):
    """Hooks that write into `found`: by site, a tensor for each layer."""

    def hook(module, site, side, part=None):
        def see(_, args, kwargs, output):
            value = first(output) if side == "out" else args[0] if args else kwargs["hidden_states"]
            value = value[0].reshape(value.shape[1], -1)
            # DeBERTa projects the vectors of distances by the same layers.
            if value.shape[0] == N_TOKENS:
                found[site].append(value if part is None else value.chunk(3, dim=-1)[part])

        module.register_forward_hook(see, with_kwargs=True)

    for prefix, layers, norm, sites in stacks:
        for layer in model.get_submodule(layers):
            for site, (names, side, *part) in sites.items():
                names = names.format(last=len(getattr(layer, "layer", [])) - 1).split("|")
                there = [name for name in names if not name or hasattr(layer, name.split(".")[0])]
                if there:
                    hook(layer.get_submodule(there[0]), prefix + site, side, *part)
        if norm:
            hook(model.get_submodule(norm), f"{prefix}final_norm", "out")


def watch_turns(model_type, found):
    """Queries and keys after they are turned, where a family does that by a function of its own."""
    module = importlib.import_module(f"transformers.models.{model_type}.modeling_{model_type}")
    turn = getattr(module, "apply_rotary_pos_emb", None)
    if turn is None:
        return lambda: None

    def seen(*args, **kwargs):
        turned = turn(*args, **kwargs)
        for site, value in zip(("queries", "keys"), turned, strict=True):
            found[site].append(value[0].transpose(0, 1).flatten(1))
        return turned

    module.apply_rotary_pos_emb = seen
    return lambda: setattr(module, "apply_rotary_pos_emb", turn)


def watch_convolutions(model_type, found):
    """What short convolutions are of, and what they come to, where a family does that by a function of its own."""
    module = importlib.import_module(f"transformers.models.{model_type}.modeling_{model_type}")
    convolve = getattr(module, "causal_conv1d_fn", None)
    if convolve is None:
        return lambda: None

    def seen(inputs, *args, **kwargs):
        output = convolve(inputs, *args, **kwargs)
        # Where the function goes on to an activation, the site is before it.
        plain = convolve(inputs, *args, **kwargs | {"activation": None}) if kwargs.get("activation") else output
        for site, value in (("convolution_input", inputs), ("convolution_output", plain)):
            found[site].append(value[0, :, -N_TOKENS:].T)
        return output

    module.causal_conv1d_fn = seen
    return lambda: setattr(module, "causal_conv1d_fn", convolve)


def watch_states(model_type, found):
    """The state that each position reads, and what it reads of it: the last of a text that ends there."""
    module = importlib.import_module(f"transformers.models.{model_type}.modeling_{model_type}")
    scan = getattr(module, "torch_chunk_gated_delta_rule", None)
    if scan is None:
        return lambda: None

    def seen(query, key, value, g, beta, **kwargs):
        output, state = scan(query, key, value, g=g, beta=beta, **kwargs)
        ends = range(1, query.shape[1] + 1)
        parts = [
            scan(*(x[:, :end] for x in (query, key, value)), g=g[:, :end], beta=beta[:, :end],
                 **kwargs | {"output_final_state": True})[1]
            for end in ends
        ]
        found["recurrent_state"].append(torch.stack([part[0].flatten() for part in parts])[-N_TOKENS:])
        found["recurrent_output"].append(output[0, -N_TOKENS:].flatten(1))
        return output, state

    module.torch_chunk_gated_delta_rule = seen
    return lambda: setattr(module, "torch_chunk_gated_delta_rule", scan)


def make(case, stacks):
    folder = FIXTURES / case
    config = AutoConfig.from_pretrained(folder)
    is_both = config.is_encoder_decoder
    is_masked = "MaskedLM" in config.architectures[0]
    auto = AutoModelForSeq2SeqLM if is_both else AutoModelForMaskedLM if is_masked else AutoModelForCausalLM
    model = auto.from_pretrained(folder, attn_implementation="eager").eval()
    text = json.loads((FIXTURES / f"{case}.json").read_text())["texts"]["ascii"]
    ids, target = text["ids"][:N_TOKENS], text.get("target", [])[:N_TOKENS]
    found = defaultdict(list)
    watch(model, stacks, found)
    model_type = config.model_type.replace("-", "_")
    watches = [] if is_both or is_masked else [watch_turns, watch_convolutions, watch_states]
    model_type = model_type.removesuffix("_text")
    restore = [each(model_type, found) for each in watches]
    with torch.no_grad():
        if is_both:
            model(torch.tensor([ids]), decoder_input_ids=torch.tensor([target]), use_cache=False)
        else:
            model(torch.tensor([ids]))
    for undo in restore:
        undo()
    tensors = {site: torch.stack(values).float().numpy() for site, values in found.items()}
    name = case.replace("families/", "")
    tensors |= {"ids": np.array(ids, dtype=np.float32), "target": np.array(target, dtype=np.float32)}
    save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, OUT / f"{name}.safetensors")
    print(name, {site: value.shape for site, value in tensors.items()}, flush=True)


def main():
    torch.set_num_threads(1)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    disable_progress_bar()
    OUT.mkdir(parents=True, exist_ok=True)
    for case, stacks in CASES.items():
        if not sys.argv[1:] or case in sys.argv[1:]:
            make(case, stacks)
    print(sum(path.stat().st_size for path in OUT.iterdir()) // 1000, "kB")


if __name__ == "__main__":
    main()
