"""Writes the training text of the demo model: `python demo/corpus.py --out corpus.txt`.

Layout of the folder: `words.py` has the vocabulary, `lists.py` and `prose.py` write one document each,
this file mixes them and leaves out everything that the evaluation asks for; `train.py` trains on the
result, `evaluate.py` measures the model against `heldout.json`.
"""

import argparse
import json
import random
import re
from pathlib import Path

import lists
import prose
from words import BY_NAME, KINDS

HERE = Path(__file__).resolve().parent
END = "<|endoftext|>"
SEED = 20
N_DOCUMENTS = 130_000

# What the text is made of: writer, share.
MIX = [
    (lists.enumeration, 46), (lambda rng: lists.enumeration(rng, BY_NAME["eu countries"]), 8), (lists.two_lists, 5),
    (lists.pairs, 3), (lists.sequence, 6), (lists.pictures, 2), (prose.story, 16), (prose.facts, 7), (prose.shopping, 3),
    (prose.letter, 2), (prose.dialogue, 2), (prose.diary, 2), (prose.summary, 3),
]


def heldout():
    """The evaluation's prompts: dicts with `prompt`, `form` and `kind`; the first one is the README's."""
    return json.loads((HERE / "heldout.json").read_text(encoding="utf-8"))


def body(prompt):
    """The prompt's enumeration without its heading and without the open last line ("4.")."""
    if "\n" not in prompt:
        # A comma list: from the second item on, so that no heading is part of it.
        return prompt.split(",", 1)[1].strip().rstrip(",")
    rows = [row for row in prompt.split("\n") if row]
    return "\n".join(rows[1:-1] if re.fullmatch(r"(\d+[.):]|[-*])", rows[-1].strip()) else rows[1:])


def forbidden():
    """Strings that no document may contain: every held-out prompt, and its list under whatever heading.

    Months, days and planets that stand in their natural order are only held out with their heading: there is
    but one January, February, March, and the model is to learn it.
    """
    entries = heldout()
    natural = lambda entry: BY_NAME[entry["kind"]].ordered
    return [e["prompt"] for e in entries] + [body(e["prompt"]) for e in entries if not natural(e)]


def documents(n=N_DOCUMENTS, seed=SEED):
    """`n` documents, and how many were thrown away because they contained something held out."""
    rng = random.Random(seed)
    writers, shares = zip(*MIX, strict=True)
    held = forbidden()
    kept, dropped = [], 0
    while len(kept) < n:
        text = rng.choices(writers, shares)[0](rng)
        if any(part in text for part in held):
            dropped += 1
            continue
        kept.append(text)
    return kept, dropped


def check(texts):
    """Fails when a held-out prompt, or its list, is in the training text."""
    whole = END.join(texts)
    for part in forbidden():
        if part in whole:
            raise SystemExit(f"held-out text {part!r} is in the training text")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("corpus.txt"))
    parser.add_argument("--documents", type=int, default=N_DOCUMENTS)
    args = parser.parse_args()
    texts, dropped = documents(args.documents)
    check(texts)
    args.out.write_text(END.join(texts), encoding="utf-8")
    print(f"{len(texts)} documents of {len(KINDS)} kinds of list, {dropped} left out, in {args.out}")


if __name__ == "__main__":
    main()
