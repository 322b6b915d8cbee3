"""Writes tests/fixtures/generation.json and generation/: what transformers generates with the tiny models of all
families, in every deterministic way, and what it leaves to draw among.

    python tests/reference/make_generation.py            # writes all
    python tests/reference/make_generation.py NAME …     # only what these models generate, and what is drawn

Models are those of make_families.py. `generation/` holds folders whose generation_config.json says more; the rest of
them are links. A run is stored only where its tokens do not hang on rounding: the same with noise on
the scores.
"""

import json
import logging
import math
import os
import shutil
import sys

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    MinPLogitsWarper,
    PreTrainedTokenizerFast,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.utils.logging import disable_progress_bar

from make_families import CASES, ENCODER_DECODERS, TEXTS
from make_families import OUT as FAMILIES
from make_fixtures import FIXTURES, train_tokenizer, write_json

OUT = FIXTURES / "generation"
N_GENERATED = 10
MORE_TEXTS = TEXTS | {"list": "Are:\n1. Austria\n2.", "short": "I"}

# As in `lm.generate`; `generate` is max_new_tokens.
BOTH = [
    {"beam_size": 3},
    {"repetition_penalty": 1.3},
    {"no_repeat_ngram_size": 2},
    {"beam_size": 4, "repetition_penalty": 1.2, "no_repeat_ngram_size": 2, "length_penalty": 2.0},
]
RULES = [{"generate": N_GENERATED}, {"generate": N_GENERATED, "beam_size": 3}]
GUIDED = [{"generate": N_GENERATED}, {"generate": N_GENERATED, "repetition_penalty": 1.3, "no_repeat_ngram_size": 2}]
# name: (whose weights, what its generation_config.json says, options)
ENDING = [
    {"beam_size": beam_size} | penalty | early
    for beam_size in (1, 2, 5)
    for penalty in ({}, {"length_penalty": -1.0}, {"length_penalty": 0.0}, {"length_penalty": 3.0})
    for early in ({}, {"early_stopping": True})
    if beam_size > 1 or not (penalty or early)
]
SPECIAL = {
    "ends": ("llama", {}, ENDING),
    "ends-never": ("llama", {"early_stopping": "never"}, ENDING),
    "ends-both": ("flan-t5", {"early_stopping": True, "length_penalty": 0.6}, ENDING),
    "ends-bart": ("bart", {}, ENDING),
    # What published summarizers say.
    "summarizer": (
        "bart",
        {
            "forced_bos_token_id": 3, "forced_eos_token_id": 2, "min_length": 6, "no_repeat_ngram_size": 3,
            "length_penalty": 2.0, "early_stopping": True, "num_beams": 4, "max_length": 12,
        },
        [{}, {"beam_size": 4}, {"beam_size": 2, "generate": 7}, {"max_length": 9}],
    ),
    "forbids": (
        "gpt_neox",
        {"repetition_penalty": 1.1, "max_new_tokens": 9, "min_new_tokens": 3, "forced_eos_token_id": 5},
        [{}, {"beam_size": 3}, {"no_repeat_ngram_size": 1, "generate": 12}, {"repetition_penalty": 0.8}],
    ),
    # The border behind which longrope's frequencies change is at 25 tokens.
    "crosses": ("phi3-longrope", {}, [{"generate": 24} | beams for beams in ({}, {"beam_size": 3}, {"beam_size": 2})]),
    "ends-sooner": ("llama", {"exponential_decay_length_penalty": [2, 1.6]}, ENDING[:4]),
    "ends-sooner-bart": ("bart", {"exponential_decay_length_penalty": [1, 3.0]}, ENDING[:4]),
    "biased": ("llama", {}, RULES),
    "repeats-input": ("llama", {"encoder_repetition_penalty": 2.5}, RULES),
    "repeats-input-bart": ("bart", {"encoder_repetition_penalty": 1.8}, RULES),
    "quotes-nothing": ("gpt_neox", {"encoder_no_repeat_ngram_size": 1}, RULES),
    "quotes-nothing-bart": ("bart", {"encoder_no_repeat_ngram_size": 1, "repetition_penalty": 1.2}, RULES),
    "stops": ("llama", {}, RULES),
    # Its processor does not follow beams where these go on from one another.
    "guided": ("llama", {"guidance_scale": 1.8}, GUIDED),
    "guided-little": ("opt", {"guidance_scale": 0.5}, GUIDED),
}
WARPED = [
    {"temperature": 0.7, "top_k": 0},
    {"top_k": 5},
    {"top_k": 0, "top_p": 0.6},
    {"top_k": 0, "min_p": 0.3},
    {"temperature": 1.8, "top_k": 20, "top_p": 0.8, "min_p": 0.4},
]
DRAWN_BEAMS = [
    {"top_k": 0, "top_p": 1.0},
    {"top_k": 12, "temperature": 1.7},
    {"top_k": 1, "top_p": 1.0},
    {"top_k": 0, "top_p": 0.7, "temperature": 0.6},
    {"top_k": 30, "top_p": 0.9, "min_p": 0.1, "repetition_penalty": 1.2, "length_penalty": 2.0},
    {"top_k": 8, "early_stopping": True, "length_penalty": -1.0},
    {"top_k": 8, "early_stopping": "never", "length_penalty": 1.5},
]
WORDS = PreTrainedTokenizerFast(tokenizer_object=train_tokenizer())
NAMES = {"beam_size": "num_beams", "generate": "max_new_tokens"}


class Noise(LogitsProcessor):
    """Moves each score by far more than rounding does."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, ids, scores):
        return scores + 3e-4 * torch.randn(scores.shape, generator=self.generator).to(scores.dtype)


def load(folder):
    is_both = AutoConfig.from_pretrained(folder).is_encoder_decoder
    auto = AutoModelForSeq2SeqLM if is_both else AutoModelForCausalLM
    # The last ALiBi of falcon is counted twice by eager attention.
    kind = "sdpa" if folder.name == "falcon-rw" else "eager"
    model = auto.from_pretrained(folder, attn_implementation=kind).eval()
    # Whether to follow beams is the caller's choice here, never the model's.
    model.generation_config.num_beams = 1
    model.generation_config.pad_token_id = 0
    return model


class Race:
    """torch.multinomial without replacement, by the numbers of a generator that is easily written down: place i arrives
    after -ln(1 - u) / p; the first to arrive are drawn. Two numbers make one u."""

    def __init__(self):
        self.state = 12345

    def number(self):
        self.state = (1664525 * self.state + 1013904223) % 2**32
        return (self.state >> 8) / 2**24

    def __call__(self, probabilities, num_samples):
        arrivals = []
        for place, p in enumerate(probabilities[0].tolist()):
            if p > 0:
                u = self.number() + self.number() / 2**24
                arrivals.append((-math.log(1 - u) / p, place))
        drawn = [place for _, place in sorted(arrivals)[:num_samples]]
        assert len(drawn) == num_samples, "fewer than are drawn is up to torch's implementation"
        return torch.tensor([drawn])


def drawn_beams(tokenizer):
    """Beams whose ways to go on are drawn, with Race for what draws."""
    found = []
    folders = [FAMILIES / "llama", FAMILIES / "flan-t5", OUT / "ends", OUT / "ends-bart"]
    multinomial = torch.multinomial
    for folder in folders:
        model = load(folder)
        for option in DRAWN_BEAMS:
            for beam_size in (2, 4):
                for text in MORE_TEXTS.values():
                    options = {"generate": N_GENERATED, "beam_size": beam_size} | option
                    ids = tokenizer.encode(text).ids

                    def draw(noise):
                        torch.multinomial = Race()
                        return generate(model, ids, options, noise, do_sample=True)

                    try:
                        first, *others = [draw(noise) for noise in (None, 0, 1, 2)]
                    except AssertionError:
                        continue
                    finally:
                        torch.multinomial = multinomial
                    if all(other == first for other in others):
                        model_name = f"{folder.parent.name}/{folder.name}"
                        found.append({"text": text, "model": model_name, "options": options, "generated": first})
    print("drawn beams", len(found), flush=True)
    return found


def generate(model, ids, options, noise=None, do_sample=False):
    said = {NAMES.get(name, name): value for name, value in options.items()}
    with torch.no_grad():
        out = model.generate(
            torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), do_sample=do_sample,
            logits_processor=LogitsProcessorList([] if noise is None else [Noise(noise)]),
            # transformers' cache has as many layers as the encoder, which has fewer here.
            use_cache=not model.config.is_encoder_decoder, **said,
            **({"tokenizer": WORDS} if model.generation_config.stop_strings else {}),
        )
    return out[0, 1 if model.config.is_encoder_decoder else len(ids):].tolist()


def run(model, ids, options):
    """The tokens, or None where they hang on rounding."""
    found = generate(model, ids, options)
    others = [generate(model, ids, options, noise) for noise in range(5)]
    return found if all(other == found for other in others) else None


def runs(folder, options, tokenizer, at_least):
    model = load(folder)
    found = []
    for option in options:
        stored = []
        for text in MORE_TEXTS.values():
            generated = run(model, tokenizer.encode(text).ids, option)
            if generated is not None:
                stored.append({"text": text, "options": option, "generated": generated})
        if len(stored) < at_least:
            print(f"  {folder.name} {option}: only {len(stored)} texts do not hang on rounding")
        found += stored
    print(folder.name, len(found), flush=True)
    return found


def ending_ids(folder, tokenizer):
    """Some ids that beam search meets: with them as ends of text, beams end at different lengths."""
    model = load(folder)
    model.generation_config.eos_token_id = None
    met = {}
    for text in MORE_TEXTS.values():
        ids = tokenizer.encode(text).ids
        for beam_size in (1, 4):
            for place, token in enumerate(generate(model, ids, {"beam_size": beam_size, "generate": 8})):
                met.setdefault(token, set()).add(place)
    late = [token for token, places in met.items() if min(places) >= 2]
    return late[:3]


def special(name, tokenizer):
    family, values, options = SPECIAL[name]
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for file in ("config.json", "model.safetensors", "tokenizer.json"):
        os.symlink(f"../../families/{family}/{file}", folder / file)
    of_family = GenerationConfig.from_model_config(AutoConfig.from_pretrained(FAMILIES / family)).to_diff_dict()
    if (stored := FAMILIES / family / "generation_config.json").exists():
        of_family = json.loads(stored.read_text())
    values = dict(values)
    if name.startswith("ends"):
        values["eos_token_id"] = ending_ids(FAMILIES / family, tokenizer)
        options = [{"generate": N_GENERATED} | option for option in options]
    if name == "biased":
        model = load(FAMILIES / family)
        one, two, three, *_ = generate(model, tokenizer.encode(TEXTS["ascii"]).ids, {"generate": 5})
        values["sequence_bias"] = [[[one], -3.0], [[two, three], -20.0], [[7], 1.5], [[5, 9], 2.0]]
    if name == "stops":
        model = load(FAMILIES / family)
        made = [generate(model, tokenizer.encode(text).ids, {"generate": 6}) for text in MORE_TEXTS.values()]
        values["stop_strings"] = [text for text in (tokenizer.decode(ids[2:4]) for ids in made) if "\ufffd" not in text]
        assert values["stop_strings"]
    if name == "forbids":
        # What it would say, it must not.
        model = load(FAMILIES / family)
        first, *_ = generate(model, tokenizer.encode(TEXTS["ascii"]).ids, {"generate": 1})
        values["begin_suppress_tokens"] = [first]
        more = generate(model, tokenizer.encode(TEXTS["unicode"]).ids, {"generate": 5})
        values["bad_words_ids"] = [more[1:3], [more[3]]]
        values["suppress_tokens"] = [more[0]]
    write_json(folder / "generation_config.json", of_family | values)
    return runs(folder, options, tokenizer, 1)


def warped(tokenizer):
    """What is left to draw among, by probability, of stored scores."""
    model = load(FAMILIES / "llama")
    with torch.no_grad():
        scores = model(torch.tensor([tokenizer.encode(TEXTS["ascii"]).ids])).logits[:, -1]
    found = []
    for option in WARPED:
        left = scores
        if "temperature" in option:
            left = TemperatureLogitsWarper(option["temperature"])(None, left)
        if option.get("top_k"):
            left = TopKLogitsWarper(option["top_k"])(None, left)
        if "top_p" in option:
            left = TopPLogitsWarper(option["top_p"])(None, left)
        if "min_p" in option:
            left = MinPLogitsWarper(option["min_p"])(None, left)
        probabilities = left.softmax(-1)[0]
        kept = probabilities.sort(descending=True)
        n = int((probabilities > 0).sum())
        found.append({"options": option, "ids": kept.indices[:n].tolist(), "probabilities": kept.values[:n].tolist()})
    return {"scores": scores[0].tolist(), "cases": found}


def of_model(name, tokenizer):
    plain = [{"generate": N_GENERATED} | option for option in BOTH]
    if name in SPECIAL:
        return special(name, tokenizer)
    if name in ENCODER_DECODERS:
        plain = [{"generate": N_GENERATED}, {"max_length": 6}, *plain]
    return runs(FAMILIES / name, plain, tokenizer, 1)


def main():
    torch.set_num_threads(1)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    disable_progress_bar()
    tokenizer = train_tokenizer()
    file = FIXTURES / "generation.json"
    stored = json.loads(file.read_text())["runs"] if sys.argv[1:] and file.exists() else {}
    for name in sys.argv[1:] or [*CASES, *ENCODER_DECODERS, *SPECIAL]:
        folder = OUT if name in SPECIAL else FAMILIES
        stored[f"{folder.name}/{name}"] = of_model(name, tokenizer)
    stored = {"runs": dict(sorted(stored.items())), "drawn": warped(tokenizer), "drawn_beams": drawn_beams(tokenizer)}
    text = json.dumps(stored, ensure_ascii=False)
    # One run a line: a diff says which.
    file.write_text(text.replace('{"text"', '\n{"text"').replace('{"options"', '\n{"options"') + "\n")


if __name__ == "__main__":
    main()
