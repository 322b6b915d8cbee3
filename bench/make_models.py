"""Writes models with seeded weights, those that are not there yet: python bench/make_models.py FOLDER [NAME …]

`distilgpt2` and `smollm2` have the shapes of distilgpt2 and SmolLM2-135M, `smollm2-bf16` is the second in bfloat16, `tiny` is
so small that all of a token's time is overhead; `layers-24` and `width-384` are GPT-2s with few words. The tokenizer is a byte-level BPE trained on the example's prompt alone, so that
the prompt has about as many tokens as with the real one, and filled up to the real one's size.
"""

import json
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

PROMPT = "The countries of the European Union are:\n1. Austria\n2. Belgium\n3. Bulgaria\n4."
END_OF_TEXT = "<|endoftext|>"


def tokenizer(vocab_size):
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator([PROMPT], trainer)
    state = json.loads(made.to_str())
    vocabulary = state["model"]["vocab"]
    for i in range(len(vocabulary), vocab_size - 1):
        vocabulary[f"Word{i}"] = i
    made = Tokenizer.from_str(json.dumps(state))
    made.add_special_tokens([END_OF_TEXT])
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token=END_OF_TEXT, eos_token=END_OF_TEXT)


def smollm2():
    config = LlamaConfig(
        vocab_size=49_152,
        hidden_size=576,
        intermediate_size=1_536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
        max_position_embeddings=8_192,
    )
    return LlamaForCausalLM(config)


MODELS = {
    "distilgpt2": lambda: GPT2LMHeadModel(GPT2Config(n_layer=6)),
    "tiny": lambda: GPT2LMHeadModel(
        GPT2Config(n_layer=2, n_embd=32, n_head=2, vocab_size=600, bos_token_id=599, eos_token_id=599)
    ),
    "smollm2": smollm2,
    "smollm2-bf16": lambda: smollm2().to(torch.bfloat16),
}


def made(name):
    """A model by its name."""
    if name in MODELS:
        return MODELS[name]()
    of, size = name.split("-")
    shape = {"n_layer": 4, "n_embd": 768} | {{"layers": "n_layer", "width": "n_embd"}[of]: int(size)}
    config = GPT2Config(
        **shape, n_head=shape["n_embd"] // 64, vocab_size=600, bos_token_id=599, eos_token_id=599
    )
    return GPT2LMHeadModel(config)


def main(folder, *names):
    for name in names or MODELS:
        if (Path(folder) / name / "tokenizer.json").exists():
            continue
        torch.manual_seed(0)
        model = made(name)
        model.save_pretrained(Path(folder) / name, safe_serialization=True)
        tokenizer(model.config.vocab_size).save_pretrained(Path(folder) / name)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
