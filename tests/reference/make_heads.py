"""Writes tests/fixtures/heads: what people train on encoders, and what transformers says with it.

    python tests/reference/make_heads.py

The bodies are those of families/<family>-labels: `heads.safetensors` has what else each head needs, as `<family>.<head>/<name>`,
and beside it what transformers computes of three texts (two alone, one as a pair with token types, where the family knows
any): `logits`, the last `states`, and of one target captum's (here plain autograd's) `grad_x_input` and `integrated_gradients`
in float64, L2 norms divided by their sum. `heads.json` has the texts' ids and token types.

`tokens`, `answers`, `choices`, `value`, `values` are whole small models with a WordPiece tokenizer that knows pairs, for what is
said in words: `said` in heads.json. Answers are found as the pipeline of transformers 4 finds them (`decode_spans` and what
masks its input, without widening to words): transformers 5 has it no more. `pairs` are what AutoTokenizer makes of two texts.
"""

import json
import shutil

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from make_families import seeded
from make_fixtures import FIXTURES
from make_runs import word_pieces

OUT = FIXTURES / "heads"
FAMILIES = ["bert", "distilbert", "roberta", "albert", "electra", "deberta-v2", "modernbert"]
HEADS = {
    "tokens": (transformers.AutoModelForTokenClassification, {}),
    "answers": (transformers.AutoModelForQuestionAnswering, {"num_labels": 2}),
    "choices": (transformers.AutoModelForMultipleChoice, {}),
}
IDS = [[55, 290, 12, 301, 77, 180, 9], [200, 31, 8], [7, 99, 140, 23, 311, 60, 5, 18, 250]]
N_FIRST = 4  # of the last text, which is a pair
TOP_K = 4
# Tokenizers without a tokenizer.json.
SLOW = ["albert", "deberta", "t5", "xlm-roberta"]
SLOW_WORDS = ["slow-bert", "slow-gpt2", "slow-roberta"]
LONGEST = 15


def segments(config) -> list[int] | None:
    if getattr(config, "type_vocab_size", 0) < 2:
        return None
    return [0] * N_FIRST + [1] * (len(IDS[2]) - N_FIRST)


def said(model, head, types, value):
    """What the head says of embeddings, as the target's probability; a choice's is its value."""

    def of(embeddings):
        if head == "choices":
            extra = {} if types is None else {"token_type_ids": types[None]}
            mask = torch.ones(1, *embeddings.shape[:2], dtype=torch.long)
            return model(inputs_embeds=embeddings[:, None], attention_mask=mask, **extra).logits[:, 0]
        extra = {} if types is None else {"token_type_ids": types.expand(len(embeddings), -1)}
        out = model(inputs_embeds=embeddings, **extra)
        return value(out)

    return of


def shares(signed):
    norms = signed.norm(dim=-1)[0]
    return (norms / norms.sum()).float()


def attributions(model, head, ids, types):
    model = model.double()
    targets = {
        "tokens": lambda out: out.logits[:, 3].softmax(-1)[:, 1],
        "answers": lambda out: out.start_logits.softmax(-1)[:, 2],
        "choices": None,
    }
    value = said(model, head, types, targets[head])
    x = model.get_input_embeddings()(torch.tensor([ids])).detach()

    def gradient(at):
        at = at.clone().requires_grad_()
        return torch.autograd.grad(value(at).sum(), at)[0]

    nodes, weights = np.polynomial.legendre.leggauss(50)
    path = sum(w / 2 * gradient(x * (1 + node) / 2) for node, w in zip(nodes, weights, strict=True))
    found = {"grad_x_input": shares(gradient(x) * x), "integrated_gradients": shares(path * x)}
    model.float()
    return found


def of_family(family: str, tensors: dict, told: dict) -> None:
    folder = FIXTURES / "families" / f"{family}-labels"
    body = load_file(folder / "model.safetensors")
    for at, (head, (auto, options)) in enumerate(HEADS.items()):
        model, info = auto.from_pretrained(
            folder, attn_implementation="eager", ignore_mismatched_sizes=True, output_loading_info=True, **options
        )
        model.eval()
        generator = torch.Generator().manual_seed(11 + at)
        own = {}
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in body and body[name].shape == parameter.shape:
                    continue
                parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
                own[name] = parameter.clone()
        case = f"{family}.{head}"
        assert own or head == "tokens", case
        tensors |= {f"{case}/{name}": parameter for name, parameter in own.items()}
        types = segments(model.config)
        for text, ids in enumerate(IDS):
            kinds = torch.tensor(types) if types and text == 2 else None
            read = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids), dtype=torch.long)}
            read |= ({} if kinds is None else {"token_type_ids": kinds[None]})
            if head == "choices":
                read = {key: value[:, None] for key, value in read.items()}
            with torch.no_grad():
                out = model(**read, output_hidden_states=True)
            if head == "answers":
                logits = torch.stack([out.start_logits, out.end_logits], -1)[0]
            else:
                logits = out.logits[0]
            tensors[f"{case}/{text}.logits"] = logits.clone()
            if text == 2 and head == "tokens":
                tensors[f"{case}/{text}.states"] = out.hidden_states[-2][0].clone()
            if text == 2:
                tensors |= {f"{case}/{text}.{k}": v for k, v in attributions(model, head, ids, kinds).items()}
        told["families"].setdefault(family, {"segments": types, "heads": {}})
        told["families"][family]["heads"][head] = type(model).__name__


def pair_tokenizer():
    tokenizer = word_pieces()
    ids = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ids
    )
    return tokenizer


TEXTS = ["Paris is in France.", "It was good at all, and Paris is the capital!"]
PAIRS = [("Is Paris in France?", "Paris is the capital of France, a city in Europe."), ("a", "It was not at all bad.")]
CHOICES = ["France is a city.", "in Europe", "It was good and not bad."]
ENTITIES = {0: "O", 1: "B-PER", 2: "I-PER", 3: "B-LOC", 4: "I-LOC"}


def spans(start, end, second, ids):
    """`select_starts_ends` and `decode_spans` of transformers 4.57's question answering, with `top_k` and its defaults."""
    undesired = np.array([not inside for inside in second])
    undesired[0] = False  # [CLS]
    start, end = np.where(undesired, -10000.0, start), np.where(undesired, -10000.0, end)
    start, end = np.exp(start - start.max()), np.exp(end - end.max())
    start, end = start / start.sum(), end / end.sum()
    start[0] = end[0] = 0.0
    scores = np.tril(np.triu(np.outer(start, end)), LONGEST - 1)
    best = np.argsort(-scores.flatten())[:TOP_K]
    return [
        {"start": int(at // len(ids)), "end": int(at % len(ids)), "score": float(scores.flatten()[at])} for at in best
    ]


def whole(name: str, auto, values: dict, tokenizer, say) -> dict:
    config = transformers.AutoConfig.for_model(
        "bert", vocab_size=tokenizer.get_vocab_size(), hidden_size=8, intermediate_size=12, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=40, pad_token_id=0, **values,
    )
    model = seeded(config, 7, "eager", auto)
    with torch.no_grad():  # scales around 1 and a head that is sure of itself, so that tokens differ
        for module in model.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.weight.add_(1.0)
        (model.qa_outputs if name == "answers" else model.classifier).weight.mul_(4.0)
        if name == "tokens":  # and no label is the rule
            ids = torch.tensor([tokenizer.encode(TEXTS[1]).ids])
            model.classifier.bias.sub_(model(ids).logits[0].mean(0))
    folder = OUT / name
    model.save_pretrained(folder)
    if name == "tokens":
        tokenizer.save(str(folder / "tokenizer.json"))
    else:
        (folder / "tokenizer.json").symlink_to("../tokens/tokenizer.json")
    read = []
    for text in [*TEXTS, *PAIRS]:
        encoded = tokenizer.encode(*text) if isinstance(text, tuple) else tokenizer.encode(text)
        inputs = {"input_ids": torch.tensor([encoded.ids]), "token_type_ids": torch.tensor([encoded.type_ids])}
        with torch.no_grad():
            read.append({"text": text, "ids": encoded.ids, "said": say(model, inputs, encoded)})
    return {name: read}


def wholes(told: dict) -> None:
    tokenizer = pair_tokenizer()

    def labels(model, inputs, _):
        return model(**inputs).logits[0].softmax(-1).tolist()

    def answers(model, inputs, encoded):
        out = model(**inputs)
        second = [sequence == 1 for sequence in encoded.sequence_ids]
        return spans(out.start_logits[0].numpy(), out.end_logits[0].numpy(), second, encoded.ids) if any(second) else None

    def values(model, inputs, _):
        return model(**inputs).logits[0].tolist()

    def choices(model, _, encoded):
        rows = [tokenizer.encode(PAIRS[0][0], choice) for choice in CHOICES]
        longest = max(len(row.ids) for row in rows)
        pad = lambda key, fill=0: torch.tensor([[*getattr(r, key), *[fill] * (longest - len(r.ids))] for r in rows])[None]
        out = model(input_ids=pad("ids"), token_type_ids=pad("type_ids"), attention_mask=pad("attention_mask"))
        return {"logits": out.logits[0].tolist(), "probabilities": out.logits[0].softmax(-1).tolist()}

    classifier = transformers.AutoModelForSequenceClassification
    told["said"] = (
        whole("tokens", transformers.AutoModelForTokenClassification, {"id2label": ENTITIES}, tokenizer, labels)
        | whole("answers", transformers.AutoModelForQuestionAnswering, {}, tokenizer, answers)
        | whole("choices", transformers.AutoModelForMultipleChoice, {}, tokenizer, choices)
        | whole("value", classifier, {"num_labels": 1}, tokenizer, values)
        | whole("values", classifier, {"id2label": {0: "joy", 1: "fear"}, "problem_type": "regression"}, tokenizer, values)
    )
    told["choices"] = {"question": PAIRS[0][0], "choices": CHOICES}


def pairs(told: dict) -> None:
    """What tokenizers of several kinds make of two texts."""
    folders = sorted(p.parent for p in (FIXTURES / "tokenizers").glob("*/tokenizer.json"))
    slow = [FIXTURES / "sentencepiece" / name for name in SLOW] + [FIXTURES / "tokenizers" / name for name in SLOW_WORDS]
    for folder in [*folders, *slow, OUT / "tokens"]:
        file = folder / "tokenizer.json"
        is_fast = file.exists()
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(file)) if is_fast else AutoTokenizer.from_pretrained(folder)
        rows = []
        for first, second in [("She said it.", "Où ? l'été"), ("a", "b c")]:
            encoded = tokenizer(first, second)
            ids = encoded.sequence_ids()
            own = [at for at, sequence in enumerate(ids) if sequence == 1]
            rows.append({
                "texts": [first, second], "ids": encoded.input_ids, "types": encoded.encodings[0].type_ids,
                "second": [own[0], own[-1] + 1] if own else None,
            })
        told["pairs"][str(folder.relative_to(FIXTURES))] = rows


def main() -> None:
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    tensors, told = {}, {"ids": IDS, "families": {}, "pairs": {}}
    for family in FAMILIES:
        of_family(family, tensors, told)
    wholes(told)
    pairs(told)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, OUT / "heads.safetensors")
    (OUT / "heads.json").write_text(json.dumps(told, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
