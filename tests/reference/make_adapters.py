"""Writes tests/fixtures/adapters: small LoRA adapters as PEFT saves them, and what PEFT says with each.

    python tests/reference/make_adapters.py

Besides what README.md names it needs peft. Each folder is an adapter for a model of `families/`, whose tensors are noise
wide enough to change every logit. `adapters.json` has by name: `base`, `ids`; by scale the
`last_logits` (the first of them), at 1 those of PEFT's own layers, which compute beside the weights, else of weights between the model's own
and the merged ones (which the script holds against PEFT's scaling where that says the same); and `gradient`, captum's
InputXGradient (signed, summed along the embeddings) of the probability of `target` behind the last token.
"""

import json
import shutil

import peft
import torch
import transformers
from captum.attr import InputXGradient
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM, AutoTokenizer

from make_fixtures import FIXTURES, VOCAB_SIZE, write_json

OUT = FIXTURES / "adapters"
FAMILIES = FIXTURES / "families"
ATTENTION = ["q_proj", "v_proj", "o_proj"]
IDS = [5, 40, 301, 7, 77, 200, 33, 19]

# name: (base, settings, tokens that are added)
CASES = {
    "llama": ("llama", dict(r=4, lora_alpha=6, target_modules=[*ATTENTION, "k_proj", "gate_proj", "up_proj", "down_proj"]), 0),
    "llama-patterns": ("llama", dict(
        r=2, lora_alpha=3, target_modules=[*ATTENTION, "down_proj"], use_rslora=True,
        rank_pattern={"o_proj": 3, r"layers\.1\.mlp\.down_proj": 1}, alpha_pattern={"v_proj": 5.5},
    ), 0),
    "llama-dora": ("llama", dict(r=2, lora_alpha=4, target_modules=[*ATTENTION, "up_proj"], use_dora=True), 0),
    "llama-tokens": ("llama", dict(r=2, lora_alpha=4, target_modules=ATTENTION), 3),
    "llama-rows": ("llama", dict(
        r=2, lora_alpha=4, target_modules=ATTENTION, trainable_token_indices={"embed_tokens": [5, 77]},
    ), 0),
    "gpt2": ("../gpt2-tiny", dict(
        r=3, lora_alpha=5, target_modules=["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True, lora_bias=True,
    ), 0),
    "gpt2-dora": ("../gpt2-tiny", dict(
        r=2, lora_alpha=4, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True, use_dora=True,
    ), 0),
    "gpt2-embeddings": ("../gpt2-tiny", dict(
        r=2, lora_alpha=4, target_modules=["wte", "lm_head", "c_attn"], fan_in_fan_out=True,
    ), 0),
    "gpt2-whole": ("../gpt2-tiny", dict(
        r=2, lora_alpha=4, target_modules=["c_attn"], fan_in_fan_out=True, modules_to_save=["ln_f", "wte"], bias="lora_only",
    ), 0),
    "gpt_neox": ("gpt_neox", dict(r=2, lora_alpha=4, target_modules=["query_key_value", "dense_4h_to_h"]), 0),
    "bert": ("bert", dict(r=2, lora_alpha=4, target_modules=["query", "value"]), 0),
    "t5": ("t5", dict(r=2, lora_alpha=4, target_modules=["q", "v", "wo"]), 0),
}
# What has LoRA and nothing else: PEFT's own scaling is the share of the way.
PLAIN = ["llama", "llama-patterns", "gpt2", "gpt_neox", "bert", "t5"]
# PEFT merges two adapters into one matrix here, which is not what its layers compute.
TIED = ["gpt2-embeddings"]
TARGET = 11
N_LOGITS = 64
AUTO = {"bert": AutoModelForMaskedLM, "t5": AutoModelForSeq2SeqLM}


def base_model(base: str, added: int):
    torch.manual_seed(3)
    auto = AUTO.get(base, AutoModelForCausalLM)
    model = auto.from_pretrained(FAMILIES / base, attn_implementation="eager", dtype=torch.float32).eval()
    if added:
        model.resize_token_embeddings(model.config.vocab_size + added, mean_resizing=False)
    return model


def make(name: str):
    base, settings, added = CASES[name]
    model = base_model(base, added)
    resized = {key: value.clone() for key, value in model.state_dict().items()}
    tuned = get_peft_model(model, LoraConfig(task_type=None, **settings))
    torch.manual_seed(len(name))
    with torch.no_grad():
        for key, parameter in tuned.named_parameters():
            if parameter.requires_grad and "magnitude" in key:
                parameter.mul_(1 + 0.3 * torch.rand_like(parameter))
            elif parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    tuned.save_pretrained(folder, save_embedding_layers=bool(added) or "auto")
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = f"../../families/{base}" if not base.startswith("..") else f"../{base}"
    write_json(folder / "adapter_config.json", {key: value for key, value in config.items() if value is not None})
    if added:
        tokenizer = AutoTokenizer.from_pretrained(FAMILIES / base)
        tokenizer.add_tokens([f"<new{i}>" for i in range(added)])
        tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    # Loaded again, as everybody would.
    own = base_model(base, added)
    own.load_state_dict(resized)
    return explain(PeftModel.from_pretrained(own, folder).eval(), base, added, name)


def explain(tuned, base: str, added: int, name: str):
    ids = [*IDS, VOCAB_SIZE + added - 1] if added else IDS
    inputs = dict(input_ids=torch.tensor([ids]))
    if base == "t5":
        inputs["decoder_input_ids"] = torch.tensor([[0, 9, 301]])

    def logits(model):
        with torch.no_grad():
            return model(**inputs).logits[0, -1, :N_LOGITS]

    def rounded(values, digits=6):
        return [round(x, digits) for x in values.tolist()]

    said = {"base": base, "ids": ids, "scales": {"1": rounded(logits(tuned))}}
    if base not in ["bert", "t5"]:
        embeddings = tuned.get_input_embeddings()(torch.tensor([ids])).detach()

        def probability(embeddings):
            return tuned(inputs_embeds=embeddings).logits[:, -1].softmax(-1)[:, TARGET]

        signed = InputXGradient(probability).attribute(embeddings.requires_grad_())
        said |= {"target": TARGET, "gradient": rounded(signed[0].sum(-1), 9)}
    scaled = None
    if name in PLAIN:
        for layer in tuned.modules():
            if hasattr(layer, "scale_layer"):
                layer.scale_layer(0.5)
        scaled = logits(tuned)
        for layer in tuned.modules():
            if hasattr(layer, "unscale_layer"):
                layer.unscale_layer()
    if name in TIED:
        return said
    # Shares of the way, by the weights themselves.
    merged = tuned.merge_and_unload().eval()
    torch.testing.assert_close(logits(merged), torch.tensor(said["scales"]["1"]), rtol=1e-4, atol=1e-4)
    whole = {key: value.clone() for key, value in merged.state_dict().items()}
    plain = base_model(base, added).state_dict()
    for share in ([0.5] if added else [0.5, 0]):
        rows = VOCAB_SIZE if added else None
        between = {key: plain[key] + share * (value - plain[key]) for key, value in whole.items()}
        if added:
            for key in between:
                if between[key].shape[0] == VOCAB_SIZE + added:
                    between[key][rows:] = whole[key][rows:]
        merged.load_state_dict(between)
        said["scales"][str(share)] = rounded(logits(merged))
    if scaled is not None:
        torch.testing.assert_close(scaled, torch.tensor(said["scales"]["0.5"]), rtol=1e-4, atol=1e-4)
    return said


def main():
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}")
    OUT.mkdir(exist_ok=True)
    said = {}
    for name in CASES:
        said[name] = make(name)
        print(name, sorted(load_file(OUT / name / "adapter_model.safetensors"))[:6])
    write_json(OUT / "adapters.json", said)


if __name__ == "__main__":
    main()
