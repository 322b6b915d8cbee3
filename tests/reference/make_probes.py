"""Writes tests/fixtures/probes.json and probes.safetensors: linear probes by scikit-learn, and where neurons fire, by
transformers in float64.

    python tests/reference/make_probes.py

`planes`: fitted to random values (text, feature) of a seed, `RandomState(seed).randn(n, width)` with an offset and a scale
of its own for each feature, more texts than features and fewer; the labels are a noisy plane's. `folded`: what
`StandardScaler` and the classifier say of texts left out, in folds that are dealt out as the tests do it. `chosen`: the same with
the penalty that `GridSearchCV` finds for each fold in three parts of the texts that are learned from, and for all texts.

`classes`: the same with three labels, by which of three noisy sums of features is largest. A plane for each label; means are
against those of the other texts, areas the mean over each label against the others, calibration is of the label that is told.

`texts`, `labels`: texts of random letters, read by gpt2-tiny. Tensors `<kind>.<at>` (layer, hidden + 1) are coefficients and
the intercept of probes of its stream after each layer, at the last token or the mean over all.

`neurons`: of some neurons of each layer the activations over all tokens: the largest of each text, the five texts where these
are largest, share above 0, mean, deviation, a histogram of 16 bins between its ends.
"""

import json
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file
from scipy.special import softmax
from sklearn.calibration import calibration_curve
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
CASES = {"many": (60, 7, 3), "wide": (24, 40, 4)}
KINDS = ["logistic", "ridge", "lda", "mean_difference", "pca"]
SEVERAL = ["logistic", "ridge", "lda", "mean_difference"]
FOLDS, SEED, SHUFFLES, L2 = 4, 5, 2, 0.5
PENALTIES = [1e4, 1e3, 100.0, 10.0, 1.0, 0.1, 0.01, 1e-3]
N_TEXTS, NEURONS = 72, range(0, 192, 16)


def halfway(x, y, direction):
    ends = x[y].mean(0) + x[~y].mean(0)
    return direction, -ends @ direction / 2


def plane(kind, x, y, l2=1.0):
    """Coefficients and intercept for scaled values."""
    signs = np.where(y, 1.0, -1.0)
    if kind == "logistic":
        found = LogisticRegression(C=1 / l2, tol=1e-12, max_iter=100000).fit(x, y)
        return found.coef_[0], found.intercept_[0]
    if kind == "ridge":
        found = Ridge(alpha=l2).fit(x, signs)
        return found.coef_, found.intercept_
    if kind == "lda":
        found = LinearDiscriminantAnalysis().fit(x, y)
        return found.coef_[0], found.intercept_[0]
    apart = x[y].mean(0) - x[~y].mean(0)
    if kind == "mean_difference":
        return halfway(x, y, apart)
    first = PCA(n_components=1, svd_solver="full").fit(x).components_[0]
    return halfway(x, y, first * np.sign(apart @ first))


def scaled(kind, x, others):
    if kind == "mean_difference":
        return x, others
    scaler = StandardScaler().fit(x)
    return scaler.transform(x), scaler.transform(others)


def shuffled(random, n):
    order = list(range(n))
    for last in range(n - 1, 0, -1):
        other = int(random.random_sample() * (last + 1))
        order[last], order[other] = order[other], order[last]
    return order


def dealt(y, n_folds):
    random, folds, n = np.random.RandomState(SEED), np.zeros(len(y), int), 0
    for label in [False, True]:
        texts = np.flatnonzero(y == label)
        for at in shuffled(random, len(texts)):
            folds[texts[at]] = n % n_folds
            n += 1
    return folds


def chosen(kind, x, y):
    """The penalty for texts that are learned from."""
    parts = dealt(y, 3)
    splits = [(np.flatnonzero(parts != part), np.flatnonzero(parts == part)) for part in range(3)]
    if kind == "logistic":
        probe = LogisticRegression(tol=1e-12, max_iter=100000)
        grid = {"logisticregression__C": [1 / l2 for l2 in PENALTIES]}
    else:
        probe, grid = RidgeClassifier(), {"ridgeclassifier__alpha": PENALTIES}
    search = GridSearchCV(make_pipeline(StandardScaler(), probe), grid, cv=splits, scoring="accuracy")
    shares = search.fit(x, y).cv_results_["mean_test_score"]
    # Equal ones may differ in their last digit.
    return PENALTIES[int(np.argmax(shares > shares.max() - 1e-9))]


def folded(kind, x, y, choose=None):
    folds = dealt(y, FOLDS)
    controls = [y[shuffled(np.random.RandomState(SEED + 1 + at), len(y))] for at in range(SHUFFLES)]
    right, areas, chance, told = [], [], [], np.zeros(len(y))
    for fold in range(FOLDS):
        kept, left = folds != fold, folds == fold
        learned, unseen = scaled(kind, x[kept], x[left])
        l2 = choose(kind, x[kept], y[kept]) if choose else L2
        weights, intercept = plane(kind, learned, y[kept], l2)
        told[left] = unseen @ weights + intercept
        right.append(np.mean((told[left] > 0) == y[left]))
        areas.append(roc_auc_score(y[left], told[left]))
        for labels in controls:
            weights, intercept = plane(kind, learned, labels[kept], l2)
            chance.append(np.mean((unseen @ weights + intercept > 0) == labels[left]))
    result = {
        "accuracy": np.mean(right),
        "spread": np.std(right),
        "auc": np.mean(areas),
        "control": np.mean(chance),
    }
    if kind in ("logistic", "lda"):
        probabilities = 1 / (1 + np.exp(-told))
        share, mean = calibration_curve(y, probabilities, n_bins=10, strategy="uniform")
        counts, _ = np.histogram(probabilities, np.linspace(0, 1, 11))
        result["calibration_error"] = np.sum(counts[counts > 0] * np.abs(share - mean)) / len(y)
    return {name: float(value) for name, value in result.items()}


def values(n, width, seed):
    x = np.random.RandomState(seed).randn(n, width)
    features = np.arange(width)
    noise = np.random.RandomState(seed + 100).randn(n)
    y = x[:, : min(width, 5)].sum(1) + noise > 0.3
    return (x * (0.5 + features) + features - 3).astype(np.float32).astype(np.float64), y


def planes(kind, x, y, l2=L2):
    """Coefficients (class, feature) and intercepts for scaled values."""
    if kind == "mean_difference":
        of = [halfway(x, y == label, x[y == label].mean(0) - x[y != label].mean(0)) for label in range(3)]
        return np.stack([weights for weights, _ in of]), np.array([intercept for _, intercept in of])
    found = {
        "logistic": LogisticRegression(C=1 / l2, tol=1e-12, max_iter=100000),
        "ridge": RidgeClassifier(alpha=l2),
        "lda": LinearDiscriminantAnalysis(),
    }[kind].fit(x, y)
    return found.coef_, found.intercept_


def folded_classes(kind, x, y):
    random, folds, n = np.random.RandomState(SEED), np.zeros(len(y), int), 0
    for label in range(3):
        members = np.flatnonzero(y == label)
        for at in shuffled(random, len(members)):
            folds[members[at]] = n % FOLDS
            n += 1
    controls = [y[shuffled(np.random.RandomState(SEED + 1 + at), len(y))] for at in range(SHUFFLES)]
    right, areas, chance, told = [], [], [], np.zeros((len(y), 3))
    for fold in range(FOLDS):
        kept, left = folds != fold, folds == fold
        learned, unseen = scaled(kind, x[kept], x[left])
        weights, intercepts = planes(kind, learned, y[kept])
        told[left] = unseen @ weights.T + intercepts
        right.append(np.mean(told[left].argmax(1) == y[left]))
        if kind in ("logistic", "lda"):
            areas.append(roc_auc_score(y[left], softmax(told[left], 1), multi_class="ovr"))
        else:
            areas.append(
                np.mean([roc_auc_score(y[left] == label, told[left][:, label]) for label in range(3)])
            )
        for labels in controls:
            weights, intercepts = planes(kind, learned, labels[kept])
            chance.append(np.mean((unseen @ weights.T + intercepts).argmax(1) == labels[left]))
    result = {
        "accuracy": np.mean(right),
        "spread": np.std(right),
        "auc": np.mean(areas),
        "control": np.mean(chance),
    }
    if kind in ("logistic", "lda"):
        sure = softmax(told, 1).max(1)
        is_right = told.argmax(1) == y
        share, mean = calibration_curve(is_right, sure, n_bins=10, strategy="uniform")
        counts, _ = np.histogram(sure, np.linspace(0, 1, 11))
        result["calibration_error"] = np.sum(counts[counts > 0] * np.abs(share - mean)) / len(y)
    return {name: float(value) for name, value in result.items()}


def classes(n, width, seed):
    x, _ = values(n, width, seed)
    noise = np.random.RandomState(seed + 200).randn(n, 3)
    raw = (x + 3 - np.arange(width)) / (0.5 + np.arange(width))
    return x, (np.stack([raw[:, 0] + raw[:, 3], raw[:, 1], raw[:, 2]], 1) * 1.5 + noise).argmax(1)


def texts():
    random = np.random.RandomState(8)
    letters = "abcdefghijklmnopqrstuvwxyz"
    all_texts = [
        " ".join(letters[random.randint(26)] for _ in range(random.randint(3, 12))) for _ in range(N_TEXTS)
    ]
    return all_texts, [
        sum(letter < "n" for letter in text[::2]) * 2 > (len(text) + 1) // 2 for text in all_texts
    ]


def states(all_texts):
    """Of each text the stream after each layer (layer, position, hidden) and the neurons (layer, position, neuron)."""
    folder = FIXTURES / "gpt2-tiny"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    found = []
    for text in all_texts:
        stream, neurons = [], []
        hooks = [
            block.register_forward_hook(
                lambda _, __, out: stream.append(out[0] if isinstance(out, tuple) else out)
            )
            for block in model.transformer.h
        ]
        hooks += [
            block.mlp.c_proj.register_forward_pre_hook(lambda _, given: neurons.append(given[0]))
            for block in model.transformer.h
        ]
        with torch.no_grad():
            model(torch.tensor([tokenizer(text)["input_ids"]]))
        for hook in hooks:
            hook.remove()
        found.append(
            (
                torch.stack([x.reshape(-1, x.shape[-1]) for x in stream]).numpy(),
                torch.stack([x[0] for x in neurons]).numpy(),
            )
        )
    return found


def neuron(layer, index, activations):
    of_texts = [x[layer, :, index] for x in activations]
    everything = np.concatenate(of_texts)
    best = sorted(range(len(of_texts)), key=lambda text: -of_texts[text].max())[:5]
    counts, edges = np.histogram(everything, 16)
    return {
        "layer": layer,
        "neuron": index,
        "top": [[text, int(of_texts[text].argmax()), float(of_texts[text].max())] for text in best],
        "active": float((everything > 0).mean()),
        "mean": float(everything.mean()),
        "deviation": float(everything.std()),
        "counts": counts.tolist(),
        "edges": [float(edges[0]), float(edges[-1])],
    }


def main():
    tensors, told = {}, {"folds": FOLDS, "seed": SEED, "shuffles": SHUFFLES, "l2": L2, "planes": {}}
    for name, (n, width, seed) in CASES.items():
        x, y = values(n, width, seed)
        told["planes"][name] = {
            "n": n,
            "width": width,
            "seed": seed,
            "labels": y.tolist(),
            "folded": {kind: folded(kind, x, y) for kind in KINDS},
            "chosen": {
                kind: {"l2": chosen(kind, x, y), "folded": folded(kind, x, y, chosen)}
                for kind in ["logistic", "ridge"]
            },
        }
        for kind in KINDS:
            weights, intercept = plane(kind, scaled(kind, x, x)[0], y, L2)
            tensors[f"{name}.{kind}"] = np.append(weights, intercept)
    told["classes"] = {}
    for name, (n, width, seed) in CASES.items():
        x, y = classes(n, width, seed)
        figures = {kind: folded_classes(kind, x, y) for kind in SEVERAL}
        told["classes"][name] = {
            "n": n,
            "width": width,
            "seed": seed,
            "labels": y.tolist(),
            "folded": figures,
        }
        for kind in SEVERAL:
            weights, intercepts = planes(kind, scaled(kind, x, x)[0], y)
            tensors[f"classes.{name}.{kind}"] = np.column_stack([weights, intercepts])
    told["texts"], told["labels"] = texts()
    found, y = states(told["texts"]), np.array(told["labels"])
    for at in ["last", "mean"]:
        for kind in KINDS:
            rows = []
            for layer in range(3):
                x = np.stack(
                    [stream[layer, -1] if at == "last" else stream[layer].mean(0) for stream, _ in found]
                )
                weights, intercept = plane(kind, scaled(kind, x, x)[0], y)
                rows.append(np.append(weights, intercept))
            tensors[f"{kind}.{at}"] = np.stack(rows)
    activations = [neurons for _, neurons in found]
    told["neurons"] = [neuron(layer, index, activations) for layer in range(3) for index in NEURONS]
    save_file(
        {name: np.ascontiguousarray(x, np.float32) for name, x in tensors.items()},
        FIXTURES / "probes.safetensors",
    )
    rounded = json.loads(json.dumps(told), parse_float=lambda number: round(float(number), 7))
    (FIXTURES / "probes.json").write_text(json.dumps(rounded, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
