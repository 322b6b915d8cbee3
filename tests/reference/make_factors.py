"""Writes tests/fixtures/factors.safetensors and .json: factorizations and similarities to compare with.

    python tests/reference/make_factors.py

Factorizations are scikit-learn's. The similarities are written out here in numpy, from the published formulas: those of
the SVCCA code (covariances scaled by their largest entry, 1e-10 on the diagonal, mean of the first correlations that make
up 98%), of projection-weighted CCA, and of centred kernel alignment, biased and not.
"""

import json

import numpy as np
from safetensors.numpy import save_file
from sklearn.decomposition import NMF, PCA, FastICA

from make_fixtures import FIXTURES

EPSILON = 1e-10


def single(x):
    """As float32 has it: activations are of that type."""
    return x.astype(np.float32).astype(np.float64)


def nmf(rng) -> dict:
    rows, other = rng.random((20, 5)), rng.random((12, 5)) ** 3
    h = rng.random((5, 70)) ** 2
    x, y = single(rows @ h + 0.1 * rng.random((20, 70))), single(other @ h + 0.1 * rng.random((12, 70)))
    model = NMF(n_components=4, init="random", random_state=0, max_iter=500).fit(x)
    return {"x": x, "y": y, "neurons": model.components_, "of_x": model.transform(x).T, "of_y": model.transform(y).T}


def pca(x, k: int) -> dict:
    x = single(x)
    model = PCA(n_components=k, svd_solver="full")
    scores = model.fit_transform(x)
    return {
        "x": x,
        "components": scores.T,
        "neurons": model.components_,
        "variance": model.explained_variance_,
        "ratio": model.explained_variance_ratio_,
        "of_half": model.transform(x[: len(x) // 2] * 0.5).T,
    }


def ica(x, k: int, seed: int) -> tuple[dict, int]:
    x = single(x)
    model = FastICA(n_components=k, whiten="unit-variance", random_state=seed, max_iter=400)
    sources = model.fit_transform(x)
    found = {"x": x, "components": sources.T, "neurons": model.mixing_.T, "unmixing": model.components_}
    return found, model.n_iter_


def inverse_root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return vectors @ np.diag(values**-0.5) @ vectors.T


def correlations(x, y):
    """Canonical correlations of (neuron, position) matrices with the directions in both, and the neurons that count."""
    n = x.shape[1]
    xc, yc = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    sxx, syy, sxy = xc @ xc.T / (n - 1), yc @ yc.T / (n - 1), xc @ yc.T / (n - 1)
    xmax, ymax = abs(sxx).max(), abs(syy).max()
    sxx, syy, sxy = sxx / xmax, syy / ymax, sxy / np.sqrt(xmax * ymax)
    keep_x, keep_y = abs(sxx.diagonal()) >= EPSILON, abs(syy.diagonal()) >= EPSILON
    sxx, syy, sxy = sxx[keep_x][:, keep_x], syy[keep_y][:, keep_y], sxy[keep_x][:, keep_y]
    root_x = inverse_root(sxx + EPSILON * np.eye(len(sxx)))
    root_y = inverse_root(syy + EPSILON * np.eye(len(syy)))
    u, s, vt = np.linalg.svd(root_x @ sxy @ root_y)
    return u, s, vt, root_x, root_y, keep_x, keep_y


def cca(x, y) -> float:
    s = correlations(x, y)[1]
    reached = [i for i in range(len(s)) if s[:i].sum() / s.sum() >= 0.98]
    return s[: reached[0] if reached else None].mean()


def svcca(x, y, dims: int) -> float:
    def strongest(m):
        _, s, vt = np.linalg.svd(m - m.mean(1, keepdims=True), full_matrices=False)
        return s[:dims, None] * vt[:dims]

    return correlations(strongest(x), strongest(y))[1].mean()


def pwcca(x, y, canonical: bool) -> float:
    """Of the capture with fewer neurons (the first of equals) come the weights."""
    u, s, vt, root_x, root_y, keep_x, keep_y = correlations(x, y)
    if keep_x.sum() <= keep_y.sum():
        directions, of, root = u.T, x[keep_x], root_x
    else:
        directions, of, root = vt, y[keep_y], root_y
    mean = of.mean(1, keepdims=True)
    if canonical:
        shown = (directions @ root @ (of - mean)).T
        basis = shown / np.linalg.norm(shown, axis=0)
    else:
        basis, _ = np.linalg.qr((directions @ (of - mean) + mean).T)
    weights = abs(basis.T @ of.T).sum(1)
    return (weights / weights.sum() * s).sum()


def linear(x):
    return x.T @ x


def rbf(x, bandwidth: float = 1.0):
    products = x.T @ x
    squares = np.diag(products)
    distances = squares[:, None] + squares[None, :] - 2 * products
    return np.exp(-distances / (2 * bandwidth**2 * np.median(distances)))


def cka(k, m) -> float:
    h = np.eye(len(k)) - 1 / len(k)
    hsic = lambda a, b: np.trace(h @ a @ h @ b)
    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


def unbiased_cka(k, m) -> float:
    n, one = len(k), np.ones(len(k))
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))

    def hsic(a, b):
        square = (one @ a @ one) * (one @ b @ one) / ((n - 1) * (n - 2))
        return (np.trace(a @ b) + square - 2 / (n - 2) * one @ a @ b @ one) / (n * (n - 3))

    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


def similarities(x, y) -> dict:
    return {
        "cca": cca(x, y),
        "svcca": svcca(x, y, 5),
        "pwcca": pwcca(x, y, False),
        "pwcca_canonical": pwcca(x, y, True),
        "cka": cka(linear(x), linear(y)),
        "cka_unbiased": unbiased_cka(linear(x), linear(y)),
        "cka_rbf": cka(rbf(x), rbf(y)),
        "cka_rbf_half": cka(rbf(x, 0.5), rbf(y, 0.5)),
        "cka_rbf_unbiased": unbiased_cka(rbf(x), rbf(y)),
        "correlations": correlations(x, y)[1].tolist(),
    }


def pairs(rng):
    shared = rng.normal(size=(4, 50))
    mix = lambda n: rng.normal(size=(n, 4)) @ shared + 0.7 * rng.normal(size=(n, 50)) + rng.normal(size=(n, 1))
    narrow, wide = mix(8), mix(11)
    yield "related", narrow, wide
    yield "turned_round", wide, narrow
    still = np.vstack([wide[:5], np.full((1, 50), 3.0), wide[5:]])
    yield "a_neuron_that_never_changes", still, wide[:10] ** 3
    yield "unrelated", rng.normal(size=(6, 50)), rng.normal(size=(7, 50)) + 2


def main() -> None:
    rng = np.random.default_rng(11)
    groups = {"nmf": nmf(rng)}
    groups["pca_wide"] = pca(rng.normal(size=(18, 3)) @ rng.normal(size=(3, 60)) + rng.normal(size=(18, 60)), 7)
    groups["pca_tall"] = pca(rng.normal(size=(40, 9)) * np.arange(1, 10) + 5, 9)
    facts = {}
    sources = np.stack([np.sign(np.sin(np.arange(60) / 3)), rng.laplace(size=60), rng.random(60), np.arange(60) % 7])
    mixed = sources.T @ rng.normal(size=(4, 15)) + 0.05 * rng.normal(size=(60, 15)) + 1
    groups["ica_sources"], facts["ica_sources"] = ica(mixed, 4, 0)
    groups["ica_wide"], facts["ica_wide"] = ica(rng.laplace(size=(30, 80)), 5, 7)
    facts["similarity"] = {}
    for name, x, y in pairs(rng):
        groups[f"similarity.{name}"] = {"x": x, "y": y}
        facts["similarity"][name] = similarities(x, y)
    arrays = {f"{group}.{name}": value for group, values in groups.items() for name, value in values.items()}
    arrays = {name: np.ascontiguousarray(value, dtype=np.float64) for name, value in arrays.items()}
    save_file(arrays, FIXTURES / "factors.safetensors")
    (FIXTURES / "factors.json").write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
