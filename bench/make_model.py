"""Writes a model of distilgpt2's shape with seeded weights: python bench/make_model.py FOLDER

The tokenizer is a byte-level BPE trained on the example's prompt alone, so that the prompt has about as
many tokens as with the real one, and filled up to the real one's size.
"""

import json
import sys

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

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


def main(folder):
    torch.manual_seed(0)
    config = GPT2Config(n_layer=6)
    GPT2LMHeadModel(config).save_pretrained(folder, safe_serialization=True)
    tokenizer(config.vocab_size).save_pretrained(folder)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
