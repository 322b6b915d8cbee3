"""Measures the demo model: `python demo/evaluate.py [FOLDER]`; exits with 1 when a threshold is missed.

Four questions: does the README's prompt go on as it should, do lists that it never saw keep their form and
kind, does the saliency of a country point at the countries before it, and do the neuron factors part the
tokens as a person would. Weights are read as transformers reads them, computation is in f32.
"""

import argparse
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning
from tokenizers import Tokenizer
from transformers import GPT2LMHeadModel

import corpus
from words import BY_NAME, EU

PROSE = ("On 12 March 1998, Clara went to the market in Vienna with her brother. She bought three apples, and he bought "
         "a red hat. \"I am very happy,\" said Clara. He gave her the hat, and she thanked him. Then she sat down in the "
         "garden and read a book. Peter called her and asked, \"Do you want to play tennis?\" She said yes and took her "
         "coat. They played until it was dark. In the evening he told them about it, and she laughed. \"Where is my "
         "coat?\" he asked. She did not know, but she helped him. It was in the kitchen. He thanked her, and they went "
         "home. Then he wrote a letter to his sister. He told her that he was happy, and that he liked it in Vienna. "
         "She read it and smiled.")
LINE = {"numbered": r"(\d+)\. (.+)", "paren": r"(\d+)\) (.+)", "dash": r"- (.+)", "star": r"\* (.+)"}
PRONOUNS = "she he her him his it they I them".split()


class Demo:
    """The model with its tokenizer."""

    def __init__(self, folder):
        self.model = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()
        self.model.requires_grad_(False)
        self.tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))

    def ids(self, text):
        return self.tokenizer.encode(text).ids

    def words(self, ids):
        return [self.tokenizer.decode([i], skip_special_tokens=False) for i in ids]

    def generate(self, prompts, n, samples=0):
        """Prompt and continuation as ids, for each prompt; greedy, or `samples` drawn as generation_config says."""
        torch.manual_seed(0)
        rows = [self.ids(prompt) for prompt in prompts]
        width = max(map(len, rows))
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        padded = torch.tensor([[0] * (width - len(row)) + row for row in rows])
        how = dict(do_sample=True, num_return_sequences=samples) if samples else dict(do_sample=False, temperature=None, top_k=None)
        out = self.model.generate(padded, attention_mask=mask, max_new_tokens=n, **how)
        return [row[width - len(rows[at // (samples or 1)]):].tolist() for at, row in enumerate(out)]

    def text(self, ids):
        return self.tokenizer.decode(ids, skip_special_tokens=False)


def listed(entry, text):
    """All items of the list in `text` (prompt and continuation), or None where its form is broken.

    What follows the list (a blank line, the end, a new sentence) and an item cut off by the length do not count.
    """
    ended = corpus.END in text
    text = text.split(corpus.END)[0]
    if entry["form"] == "comma":
        line = text.split("\n")[0]
        ended = ended or "." in line or "\n" in text
        items = re.split(r",? and |, ", line.split(".")[0])
        return items if ended else items[:-1]
    ended = ended or "\n\n" in text
    rows = text.split("\n\n")[0].split("\n")[1:]
    items = []
    for at, row in enumerate(rows if ended else rows[:-1]):
        match = re.fullmatch(LINE[entry["form"]], row)
        if not match or (match.lastindex == 2 and int(match[1]) != at + 1):
            return None
        items.append(match[match.lastindex])
    return items


def judge(entry, text):
    """(form kept, kind kept, no item twice) for a continuation; at least two new items are asked for."""
    given = entry["prompt"].count("," if entry["form"] == "comma" else "\n")
    given -= entry["form"] != "comma"
    items = listed(entry, text)
    if items is None or len(items) < given + 2:
        return False, False, False
    kind = {item.lower() for item in BY_NAME[entry["kind"]].items}
    # The first item of a comma list still has the heading before it.
    lower = [item.lower() for item in items]
    lower[0] = max((k for k in kind if lower[0].endswith(k)), key=len, default=lower[0])
    return True, all(item in kind for item in lower[given:]), len(set(lower)) == len(lower)


def lists(demo, entries, rows):
    """Held-out lists, greedy; prints what went wrong."""
    kept = unused = 0
    for entry, ids in zip(entries, demo.generate([e["prompt"] for e in entries], 24), strict=True):
        text = demo.text(ids)
        form, kind, once = judge(entry, text)
        kept += form and kind
        unused += form and kind and once
        if not (form and kind and once):
            print(f"  form {form}, kind {kind}, unused {once}: {text!r}")
    rows.append(("held-out lists that keep form and kind (greedy)", kept / len(entries), 0.9))
    rows.append(("… and use no item twice in 24 tokens", unused / len(entries), None))


def readme(demo, entry, rows):
    """The README's prompt: greedy, and sampled 20 times."""
    for n in (20, 40):
        text = demo.text(demo.generate([entry["prompt"]], n)[0])
        rows.append((f"README prompt, greedy, {n} tokens: right list", float(all(judge(entry, text))), 1.0))
    print(text)
    sampled = [demo.text(ids) for ids in demo.generate([entry["prompt"]], 20, samples=20)]
    verdicts = [judge(entry, text) for text in sampled]
    for text, verdict in zip(sampled, verdicts, strict=True):
        if not all(verdict):
            print(f"  sampled: {text[len(entry['prompt']):]!r}")
    rows.append(("README prompt, 20 samples: form and kind", sum(f and k for f, k, _ in verdicts) / 20, 0.9))
    rows.append(("README prompt, 20 samples: right list, none twice", sum(map(all, verdicts)) / 20, 0.75))


def saliency(demo, ids, position):
    """Shares of the tokens before `position` in the choice of the token there: L2 of gradient × input, summing to 1."""
    table = demo.model.transformer.wte.weight.detach()
    inputs = table[torch.tensor(ids[:position])][None].requires_grad_()
    logits = demo.model(inputs_embeds=inputs).logits[0, -1]
    logits.softmax(-1)[ids[position]].backward()
    norm = (inputs.grad * inputs.detach())[0].norm(dim=-1)
    return (norm / norm.sum()).numpy()


def salient_items(demo, entries, rows):
    """How much more than an average token the earlier countries weigh for a generated country."""
    ratios = []
    for entry in entries:
        ids = demo.generate([entry["prompt"]], 20)[0]
        words, n_input = [w.strip() for w in demo.words(ids)], len(demo.ids(entry["prompt"]))
        for position in (p for p in range(n_input, len(ids)) if words[p] in EU):
            shares = saliency(demo, ids, position)
            items = [p for p in range(position) if words[p] in EU]
            ratios.append(shares[items].mean() * position)
        if entry is entries[0]:
            rows.append(("README saliency: share of a listed country / average token", float(np.mean(ratios)), 1.0))
    rows.append(("EU prompts' saliency: the same ratio", float(np.mean(ratios)), 1.0))


def activations(demo, ids):
    """(position, layer × neuron): the MLPs' inner values after the non-linearity, negatives clipped to 0."""
    caught = []
    hooks = [block.mlp.act.register_forward_hook(lambda _m, _i, out: caught.append(out[0])) for block in demo.model.transformer.h]
    with torch.no_grad():
        demo.model(torch.tensor([ids]))
    [hook.remove() for hook in hooks]
    return torch.cat(caught, dim=-1).clamp(min=0).numpy()


def token_class(word):
    word = word.strip(" ")
    if "\n" in word:
        return "newline"
    if word.isdigit():
        return "number"
    if word in EU:
        return "country name"
    if word in PRONOUNS or word.lower() in PRONOUNS or word in BY_NAME["names"].items:
        return "pronoun or name"
    return "punctuation" if re.fullmatch(r"[.,:\"]+", word) else "other"


def factors(demo, prompt, rows):
    """NMF of the activations on the README's output and on a prose text: has each class a factor named after it?

    Measured as a person names a factor, by the tokens on which it is strongest, here the first 8; the worst of
    three seeds counts, the factors of seed 0 are printed.
    """
    texts = {"the README's output": demo.generate([prompt], 40)[0], "prose": demo.ids(PROSE)}
    asked = {"newline": "the README's output", "number": "the README's output",
             "country name": "the README's output", "pronoun or name": "prose"}
    for name, title in asked.items():
        worst = min(max(share.get(name, 0) for share, _ in tops(demo, texts[title], seed)) for seed in range(3))
        rows.append((f"top 8 tokens of the purest factor: {name}", worst, 0.75))
    for title, ids in texts.items():
        print(f"factors of {title}:")
        for number, (share, words) in enumerate(tops(demo, ids, 0)):
            best = max(share, key=share.get)
            print(f"  {number}: {best} {share[best]:.0%}: " + " ".join(map(repr, words)))


def tops(demo, ids, seed):
    """For each of 10 factors: the classes' shares of its 8 top tokens, and these tokens."""
    words = demo.words(ids)
    classes = np.array([token_class(w) for w in words])
    parts = NMF(10, init="random", random_state=seed, max_iter=500).fit_transform(activations(demo, ids))
    for part in parts.T:
        top = np.argsort(-part)[:8]
        yield {c: float(np.mean(classes[top] == c)) for c in sorted(set(classes))}, [words[p] for p in top]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", default=str(corpus.HERE / "model"))
    parser.add_argument("--no-text-check", action="store_true", help="do not write the training text again to check it")
    args = parser.parse_args()
    torch.set_num_threads(2)
    warnings.simplefilter("ignore", ConvergenceWarning)  # 500 iterations are what the kernel does by default
    if not args.no_text_check:
        corpus.check(corpus.documents()[0])
    demo, entries, rows = Demo(args.folder), corpus.heldout(), []
    readme(demo, entries[0], rows)
    lists(demo, entries, rows)
    salient_items(demo, [e for e in entries if e["kind"] == "eu countries" and e["form"] != "comma"], rows)
    factors(demo, entries[0]["prompt"], rows)
    missed = [name for name, value, least in rows if least is not None and value < least]
    print(f"\n{'measure':62} {'value':>6} {'at least':>8}")
    for name, value, least in rows:
        print(f"{name:62} {value:6.2f} {'—' if least is None else format(least, '.2f'):>8}{'   MISSED' if name in missed else ''}")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
