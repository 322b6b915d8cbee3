"""Writes tests/fixtures/sentencepiece: a tiny SentencePiece model of every class that is read, and what transformers'
AutoTokenizer makes of 500 texts with it.

    python tests/reference/make_sentencepiece.py

Needs sentencepiece and protobuf. The models' own maps of characters are small: that of NFKC has 240 kB.
"""

import json
import os
import random
import shutil
from pathlib import Path

import sentencepiece
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES

from make_tokenizers import CORPUS, TEXTS

OUT = Path(__file__).resolve().parent.parent / "fixtures" / "sentencepiece"
MAP = {"ﬁ": "fi", "Ｆ": "F", "Ｕ": "U", "Ｌ": "L", "①": "1", "\u00a0": " ", "\t": " ", "\u200b": " ", "e\u0301": "é"}
UNIGRAM = dict(model_type="unigram", vocab_size=200)
KINDS = {
    "t5": ("spiece.model", UNIGRAM | dict(pad_id=0, eos_id=1, unk_id=2, bos_id=-1), {}),
    "albert": (
        "spiece.model",
        UNIGRAM | dict(pad_id=0, unk_id=1, bos_id=-1, eos_id=-1, control_symbols="[CLS],[SEP],[MASK]"), {},
    ),
    "albert-cased": (
        "spiece.model",
        UNIGRAM | dict(pad_id=0, unk_id=1, bos_id=-1, eos_id=-1, control_symbols="[CLS],[SEP],[MASK]"),
        dict(do_lower_case=False, keep_accents=True),
    ),
    "xlm-roberta": ("sentencepiece.bpe.model", UNIGRAM | dict(unk_id=0, bos_id=1, eos_id=2, pad_id=-1), {}),
    "llama": (
        "tokenizer.model",
        dict(
            model_type="bpe", vocab_size=420, unk_id=0, bos_id=1, eos_id=2, pad_id=-1, byte_fallback=True,
            remove_extra_whitespaces=False, user_defined_symbols="▁▁▁,<tool>",
        ),
        dict(add_bos_token=True, add_eos_token=False, legacy=False),
    ),
    "llama-legacy": (
        "tokenizer.model",
        dict(
            model_type="bpe", vocab_size=420, unk_id=0, bos_id=1, eos_id=2, pad_id=-1, byte_fallback=True,
            remove_extra_whitespaces=False,
        ),
        dict(legacy=True),
    ),
}
DEBERTA = UNIGRAM | dict(
    pad_id=0, bos_id=1, eos_id=2, unk_id=3, pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]", unk_piece="[UNK]",
)
KINDS |= {
    "deberta": ("spm.model", DEBERTA, {}),
    "deberta-lower": ("spm.model", DEBERTA, dict(do_lower_case=True, split_by_punct=True)),
}
FAIRSEQ = UNIGRAM | dict(unk_id=0, bos_id=1, eos_id=2, pad_id=-1)
GEMMA = dict(
    model_type="bpe", vocab_size=420, pad_id=0, eos_id=1, bos_id=2, unk_id=3, bos_piece="<bos>", eos_piece="<eos>",
    byte_fallback=True, remove_extra_whitespaces=False, add_dummy_prefix=False,
    user_defined_symbols="<start_of_turn>,<end_of_turn>",
)
KINDS |= {
    "mbart": ("sentencepiece.bpe.model", FAIRSEQ, dict(src_lang="ro_RO")),
    "mbart-50": ("sentencepiece.bpe.model", FAIRSEQ, {}),
    "pegasus": ("spiece.model", UNIGRAM | dict(pad_id=0, eos_id=1, unk_id=2, bos_id=-1), {}),
    "gemma": ("tokenizer.model", GEMMA, dict(add_bos_token=True)),
    "m2m_100": ("sentencepiece.bpe.model", FAIRSEQ | dict(model_type="bpe"), dict(src_lang="fr")),
    "m2m_100-unigram": ("sentencepiece.bpe.model", FAIRSEQ, {}),
    "marian": ("source.spm", UNIGRAM | dict(unk_id=2, bos_id=-1, eos_id=0, pad_id=-1), {}),
}
# Beside the texts of all.
MORE = {
    "marian": [">>fra<< She said", ">>deu<<the garden", " >>fra<< x", ">>fra<<", ">>fra", "a >>fra<< b", ">>fra<< <unk> >>fra<< a"],
    "m2m_100": ["__de__ She said", "a __fr__b"],
    "mbart": ["ro_RO the garden", "the en_XX"],
    "mbart-50": ["ro_RO the garden", "the sl_SI"],
    "pegasus": ["<mask_1> the <mask_2> garden", "<unk_7>the"],
    "gemma": ["<start_of_turn>user\nthe garden<end_of_turn>"],
}
CLASSES = {"mbart-50": "MBart50", "mbart": "MBart", "pegasus": "Pegasus", "gemma": "Gemma", "m2m": "M2M100", "marian": "Marian"}
CLASSES |= {"deberta": "DebertaV2", "t5": "T5", "albert": "Albert", "xlm": "XLMRoberta", "llama": "Llama"}


def texts():
    """Those of the other tokenizers, and words, signs and special tokens in any order."""
    words = sorted({word for line in CORPUS for word in line.split()})
    odd = ["<s>", "</s>", "[MASK]", "<extra_id_3>", "<unk>", "<tool>", "😀", "猫", "e\u0301", "ﬁn", "ＦＵＬＬ", "``", "''", "▁", "\n",
           "\t", "  ", "   ", "", "<0x41>", "é", "ÀÉ", "0", "\u00a0"]
    rng = random.Random(11)
    made = list(TEXTS)
    while len(made) < 500:
        parts = [rng.choice(words if rng.random() < 0.7 else odd) for _ in range(rng.randrange(1, 9))]
        made.append(rng.choice(["", " "]).join(parts) if rng.random() < 0.3 else " ".join(parts))
    return made


def train(path, corpus, **training):
    os.chdir(path.parent)  # a model file has the paths that it was made with
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus), model_prefix="m", hard_vocab_limit=False, minloglevel=2, **training
    )
    os.rename(path.parent / "m.model", path)
    os.remove(path.parent / "m.vocab")


def number(folder, name, training):
    """The vocab.json of Marian, over two languages' pieces, or of M2M-100: in another order than the pieces'."""
    files = [folder / "source.spm", folder / "target.spm"] if name == "marian" else [folder / "sentencepiece.bpe.model"]
    if name == "marian":
        train(files[1], [line[::-1] for line in CORPUS] * 3, **training)
    models = [sentencepiece.SentencePieceProcessor(str(file)) for file in files]
    pieces = sorted({model.id_to_piece(i) for model in models for i in range(len(model))} - {"<unk>", "</s>", "<s>"})
    pieces = pieces[:7] + pieces[8:]  # one that is found and has no number
    first, last = (["</s>", "<unk>"], [">>fra<<", ">>deu<<", "<pad>"]) if name == "marian" else (["<s>", "<pad>", "</s>", "<unk>"], [])
    ids = {piece: i for i, piece in enumerate([*first, *pieces, *last])}
    (folder / "vocab.json").write_text(json.dumps(ids, ensure_ascii=False, separators=(",", ":")) + "\n")


def translate(name, languages):
    """Greedy answers of the families' tiny models with these tokenizers, as transformers' pipeline asks for them."""
    folder, made = OUT / name, []
    model = AutoModelForSeq2SeqLM.from_pretrained(OUT.parent / "families" / name.split("-")[0])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    own = tokenizer.src_lang
    for text in ("The garden", "She said"):
        for source, target in languages:
            tokenizer.src_lang = source or own
            asked = dict(forced_bos_token_id=tokenizer.convert_tokens_to_ids(target[1])) if target else {}
            ids = tokenizer(text, return_tensors="pt").input_ids
            answer = model.generate(ids, max_new_tokens=6, do_sample=False, num_beams=1, **asked)[0].tolist()
            made.append(dict(
                tokenizer=name, text=text, src_lang=source, tgt_lang=target and target[0], input=ids[0].tolist(),
                answer=answer[1:],
            ))
    return made


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    map_file = OUT / "map.tsv"
    # As SentencePiece wants it: code points in hexadecimal.
    points = lambda text: " ".join(f"{ord(char):X}" for char in text)  # noqa: E731
    map_file.write_text("".join(f"{points(one)}\t{points(other)}\n" for one, other in MAP.items()))
    all_texts, found = texts(), {}
    for name, (file, training, settings) in KINDS.items():
        folder = OUT / name
        folder.mkdir()
        is_identity = name.startswith(("llama", "gemma"))
        rule = dict(normalization_rule_name="identity") if is_identity else dict(normalization_rule_tsv=f"../{map_file.name}")
        train(folder / file, CORPUS * 3, **training, **rule)
        if name.startswith(("marian", "m2m")):
            number(folder, name, training | rule)
            if name.startswith("m2m"):
                codes = FAIRSEQ_LANGUAGE_CODES["m2m100"]
                settings = settings | dict(additional_special_tokens=[f"__{code}__" for code in codes])
        cls = next(cls for start, cls in CLASSES.items() if name.startswith(start))
        (folder / "tokenizer_config.json").write_text(json.dumps(dict(tokenizer_class=f"{cls}Tokenizer") | settings) + "\n")
        tokenizer = AutoTokenizer.from_pretrained(folder)
        ids = [tokenizer(text)["input_ids"] for text in all_texts]
        more = [dict(text=text, ids=tokenizer(text)["input_ids"]) for text in MORE.get(name, [])]
        is_plain = name.startswith(("marian", "m2m"))  # their special tokens are set apart by spaces
        decoded = [tokenizer.decode(of, clean_up_tokenization_spaces=False, skip_special_tokens=is_plain) for of in ids[:60]]
        found[name] = dict(ids=ids, decoded=decoded) | (dict(more=more) if more else {})
        print(name, len(tokenizer), sum(map(len, ids)))
    os.remove(map_file)
    translations = [
        *translate("m2m_100", [(None, None), ("de", ("en", "__en__")), ("en", ("ceb", "__ceb__"))]),
        *translate("mbart", [(None, None), ("en_XX", ("de_DE", "de_DE"))]),
        *translate("mbart-50", [("sl_SI", ("fr_XX", "fr_XX"))]),
    ]
    text = json.dumps(dict(texts=all_texts, kinds=found, translations=translations), ensure_ascii=False, separators=(",", ":"))
    (OUT.parent / "sentencepiece.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
