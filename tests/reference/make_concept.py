"""Writes tests/fixtures/concept.json: a concept's scores (TCAV) at each layer of gpt2-tiny, in float64 by transformers' autograd,
scikit-learn's logistic regression and scipy's test.

    python tests/reference/make_concept.py

`concept` and `others` are texts of random letters, of different parts of the alphabet in their last half; `texts` those whose answer, the
logit of `target` behind them, is explained. `last` and `mean`: by layer the scores of `splits` draws, those of others against
others, the probability of the test, the accuracy on texts left out and the mean derivative of each text.
"""

import json
from pathlib import Path

import numpy as np
import torch
import transformers
from scipy.stats import ttest_ind
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from make_probes import shuffled

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
SPLITS, SEED, L2, TARGET = 6, 3, 1.0, 77


def texts(n, seed, end):
    random = np.random.RandomState(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    return [
        " ".join(
            [
                *(letters[random.randint(26)] for _ in range(random.randint(2, 5))),
                *(end[random.randint(len(end))] for _ in range(3)),
            ]
        )
        for _ in range(n)
    ]


def streams(model, tokenizer, text, with_gradient):
    """The stream after each layer (layer, position, hidden), and its gradient."""
    kept = []

    def keep(_, __, out):
        stream = out[0] if isinstance(out, tuple) else out
        if with_gradient:
            stream.retain_grad()
        kept.append(stream)

    hooks = [block.register_forward_hook(keep) for block in model.transformer.h]
    logits = model(torch.tensor([tokenizer(text)["input_ids"]])).logits
    for hook in hooks:
        hook.remove()
    gradients = None
    if with_gradient:
        logits[0, -1, TARGET].backward()
        gradients = torch.stack([stream.grad.reshape(-1, stream.shape[-1]) for stream in kept]).numpy()
    return torch.stack([stream.detach().reshape(-1, stream.shape[-1]) for stream in kept]).numpy(), gradients


def direction(to, other):
    x, y = np.concatenate([to, other]), np.arange(len(to) + len(other)) < len(to)
    scaler = StandardScaler().fit(x)
    found = LogisticRegression(C=1 / L2, tol=1e-12, max_iter=100000).fit(scaler.transform(x), y)
    normal = found.coef_[0] / scaler.scale_
    return normal / np.linalg.norm(normal), lambda values: found.decision_function(scaler.transform(values))


def scores(states, n_concept, slopes):
    random, n_others = np.random.RandomState(SEED), len(states) - n_concept
    n = min(n_concept, n_others // 2)
    learned = min(-(-n * 2 // 3), n - 1)
    found, chance, right, derivatives = [], [], [], []
    for _ in range(SPLITS):
        own = np.array(shuffled(random, n_concept))
        others = np.array(shuffled(random, n_others)) + n_concept
        normal, decide = direction(states[own[:learned]], states[others[:learned]])
        told = [decide(states[own[learned:n]]) > 0, decide(states[others[learned:n]]) <= 0]
        right.append(np.mean(np.concatenate(told)))
        found.append(np.mean(slopes @ normal > 0))
        derivatives.append(slopes @ normal)
        normal, _ = direction(states[others[:learned]], states[others[n : n + learned]])
        chance.append(np.mean(slopes @ normal > 0))
    return {
        "scores": found,
        "random": chance,
        "p": float(ttest_ind(found, chance).pvalue),
        "accuracy": float(np.mean(right)),
        "derivatives": np.mean(derivatives, 0).tolist(),
    }


def main():
    folder = FIXTURES / "gpt2-tiny"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    told = {
        "concept": texts(9, 1, "abc"),
        "others": texts(20, 2, "mnopqrstuv"),
        "texts": texts(10, 4, "xyzab"),
    }
    states = [streams(model, tokenizer, text, False)[0] for text in told["concept"] + told["others"]]
    slopes = [streams(model, tokenizer, text, True)[1] for text in told["texts"]]
    for at in ["last", "mean"]:
        told[at] = []
        for layer in range(3):
            x = np.stack([of[layer, -1] if at == "last" else of[layer].mean(0) for of in states])
            s = np.stack([of[layer, -1] if at == "last" else of[layer].sum(0) for of in slopes])
            told[at].append(scores(x, len(told["concept"]), s))
    told |= {"splits": SPLITS, "seed": SEED, "l2": L2, "target": TARGET}
    rounded = json.loads(json.dumps(told), parse_float=lambda number: float(f"{float(number):.7g}"))
    (FIXTURES / "concept.json").write_text(json.dumps(rounded, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
