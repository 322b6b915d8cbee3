"""Writes tests/fixtures/runs: tiny seeded models that name masked tokens and labels, and what transformers says with them.

    python tests/reference/make_runs.py

Texts of unequal length go through transformers as one padded batch with its attention mask.
"""

import json
import shutil
import string

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from make_families import seeded
from make_fixtures import FIXTURES
from make_tokenizers import MISTRAL

OUT = FIXTURES / "runs"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = "paris is the capital of france a city in europe and it was good bad not at all".split()
TEXTS = ["Paris is the [MASK] of France.", "[MASK]", "It was not at all [MASK], and Paris is a [MASK] city in Europe."]
TOP_K = 3


def word_pieces() -> Tokenizer:
    letters = string.ascii_lowercase
    pieces = [*SPECIAL, *".,!?", *letters, *(f"##{letter}" for letter in letters), *WORDS]
    pieces = list(dict.fromkeys(pieces))
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")]
    )
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def make(name: str, auto, values: dict, tokenizer: Tokenizer, say) -> None:
    config = transformers.AutoConfig.for_model(
        "bert", vocab_size=tokenizer.get_vocab_size(), hidden_size=16, intermediate_size=20, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=30, pad_token_id=0, **values,
    )
    model = seeded(config, 7, "eager", auto)
    with torch.no_grad():  # scales around 1, so that what a token is reaches the head
        for module in model.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.weight.add_(1.0)
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    encoded = [tokenizer.encode(text).ids for text in TEXTS]
    longest = max(map(len, encoded))
    padded = torch.tensor([ids + [0] * (longest - len(ids)) for ids in encoded])
    mask = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids in encoded])
    with torch.no_grad():
        logits = model(padded, attention_mask=mask).logits
    expected = [{"text": text, "ids": ids, "said": say(row, ids)} for text, ids, row in zip(TEXTS, encoded, logits, strict=True)]
    (OUT / f"{name}.json").write_text(json.dumps(expected, indent=1) + "\n")


CONVERSATION = [{"role": "user", "content": "She said it."}]


def chat() -> None:
    """A model that was trained on conversations, as far as its files say: what it answers to one."""
    folder = OUT / "chat"
    shutil.rmtree(folder, ignore_errors=True)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(FIXTURES / "tokenizers/byte_fallback")
    config = transformers.AutoConfig.for_model(
        "llama", vocab_size=len(tokenizer), hidden_size=8, intermediate_size=12, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=True, max_position_embeddings=80, bos_token_id=1, eos_token_id=2,
        pad_token_id=0,
    )
    model = seeded(config, 7, "eager", transformers.AutoModelForCausalLM)
    model.save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(FIXTURES / "tokenizers/byte_fallback" / file, folder / file)
    (folder / "chat_template.jinja").write_text(MISTRAL)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    text = tokenizer.apply_chat_template(CONVERSATION, tokenize=False, add_generation_prompt=True)
    ids = tokenizer.apply_chat_template(CONVERSATION, return_dict=False, add_generation_prompt=True)
    assert tokenizer(text).input_ids != ids, "the text alone would get its first token twice"
    with torch.no_grad():
        out = model.generate(torch.tensor([ids]), max_new_tokens=8, do_sample=False)
        logits = model(out).logits[0, len(ids) - 1 : -1].topk(2, dim=-1).values
    assert (logits[:, 0] - logits[:, 1]).min() > 1e-3
    expected = {"messages": CONVERSATION, "text": text, "ids": ids, "generated": out[0, len(ids):].tolist()}
    (OUT / "chat.json").write_text(json.dumps(expected, indent=1) + "\n")


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    tokenizer = word_pieces()
    mask_id = tokenizer.token_to_id("[MASK]")

    def masked(logits, ids):
        places = [position for position, token in enumerate(ids) if token == mask_id]
        best = logits[places].softmax(-1).topk(TOP_K)
        return [
            {"position": position, "ids": row.tolist(), "probabilities": p.tolist()}
            for position, row, p in zip(places, best.indices, best.values, strict=True)
        ]

    labels = dict(id2label={0: "negative", 1: "neutral", 2: "positive"})
    classifier = transformers.AutoModelForSequenceClassification
    make("masked", transformers.AutoModelForMaskedLM, {}, tokenizer, masked)
    make("one-label", classifier, labels, tokenizer, lambda logits, _: logits.softmax(-1).tolist())
    many = labels | dict(problem_type="multi_label_classification")
    make("many-labels", classifier, many, tokenizer, lambda logits, _: logits.sigmoid().tolist())
    chat()


if __name__ == "__main__":
    main()
