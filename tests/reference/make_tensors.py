"""What numpy says of tensors: writes tests/fixtures/tensors.json.

Each case is an expression of a script over the tensors `a`, `b`, `c`, and what numpy computes of the
same arrays. "tensors" are the cases that need no libtorch, "algebra" those that do.
"""

import json
import pathlib

import numpy as np

OUT = pathlib.Path(__file__).parents[1] / "fixtures" / "tensors.json"
random = np.random.default_rng(7)

NAMES = ["layer", "position", "hidden"]
CUBE = random.normal(size=(2, 3, 4)).round(3)
OTHER = random.normal(size=(2, 3, 4)).round(3)
MATRIX = random.normal(size=(3, 4)).round(3)
RIGHT = random.normal(size=(4, 5)).round(3)
SQUARE = random.normal(size=(4, 4)).round(3)
VECTOR = random.normal(size=4).round(3)
TIES = random.integers(-2, 3, size=(3, 6)).astype(float)



def softmax(x, axis):
    powers = np.exp(x - x.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


def log_softmax(x, axis):
    shifted = x - x.max(axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))


cases = {"tensors": [], "algebra": []}


def rounded(value):
    array = np.asarray(value, dtype=float)
    return {"shape": list(array.shape), "values": [float(f"{x:.17g}") for x in array.ravel()]}


def case(code, expected, room="tensors", axes=None, **arrays):
    of = {}
    for name, (array, names) in arrays.items():
        of[name] = {"values": array.tolist(), "axes": names}
    made = {"code": code, "tensors": of, "expected": rounded(expected)}
    if axes is not None:
        made["axes"] = axes
    cases[room].append(made)


def named(array, *names):
    return (array, list(names) or [""] * array.ndim)


cube, other = named(CUBE, *NAMES), named(OTHER, *NAMES)
matrix, right, square, vector, ties = map(named, (MATRIX, RIGHT, SQUARE, VECTOR, TIES))

REDUCTIONS = {"sum": np.sum, "mean": np.mean, "variance": np.var, "std": np.std, "min": np.min, "max": np.max,
              "norm": lambda x, axis=None: np.sqrt(np.sum(x * x, axis=axis))}
for name, f in REDUCTIONS.items():
    case(f"a.{name}()", f(CUBE), a=cube)
    for axis in range(3):
        case(f"a.{name}({axis})", f(CUBE, axis=axis), axes=[n for i, n in enumerate(NAMES) if i != axis], a=cube)
    case(f'a.{name}("position")', f(CUBE, axis=1), a=cube)
    case(f"a.{name}(-1)", f(CUBE, axis=-1), a=cube)
    case(f'a.{name}(["layer", -1])', f(CUBE, axis=(0, 2)), axes=["position"], a=cube)
    case(f"a.{name}([2, 0, 1])", f(CUBE), a=cube)
for name, f in {"argmin": np.argmin, "argmax": np.argmax}.items():
    case(f"a.{name}()", f(CUBE), a=cube)
    for axis in (0, 1, 2, -1):
        case(f"a.{name}({axis})", f(CUBE, axis=axis), a=cube)
    case(f"a.{name}(1)", f(TIES, axis=1), a=ties)

for name, f in {"softmax": softmax, "log_softmax": log_softmax}.items():
    for axis in (0, 1, 2):
        case(f"a.{name}({axis})", f(CUBE, axis=axis), axes=NAMES, a=cube)
    case(f"(a * 300).{name}(1)", f(MATRIX * 300, axis=1), a=matrix)
    case(f'(a - 64).{name}("hidden")', f(CUBE - 64, axis=2), a=cube)

for axis in (0, 1, -1):
    case(f"a.sort({axis})", np.sort(CUBE, axis=axis), axes=NAMES, a=cube)
    case(f"a.argsort({axis})", np.argsort(CUBE, axis=axis, kind="stable"), a=cube)
for axis in (0, 1):
    case(f"a.sort({axis})", np.sort(TIES, axis=axis), a=ties)
    case(f"a.argsort({axis})", np.argsort(TIES, axis=axis, kind="stable"), a=ties)
case("a.unique()", np.unique(TIES), a=ties)
case("a.unique()", np.unique(CUBE), a=cube)
for k in (0, 1, 3):
    case(f"a.topk({k}, 2).values", -np.sort(-CUBE, axis=2)[..., :k], a=cube)
    case(f"a.topk({k}, 2).indices", np.argsort(-CUBE, axis=2, kind="stable")[..., :k], a=cube)
case('a.topk(2, "layer").values', -np.sort(-CUBE, axis=0), a=cube)
case("a.topk(4, 1).indices", np.argsort(-TIES, axis=1, kind="stable")[:, :4], a=ties)

for name in ("sum", "max", "variance"):
    case(f"a.{name}(0)", REDUCTIONS[name](TIES, axis=0), a=ties)
    case(f"a.transpose().{name}(0)", REDUCTIONS[name](TIES, axis=1), a=ties)

POSITIVE = np.abs(CUBE) + 0.01
positive = named(POSITIVE, *NAMES)
for code, expected in [
    ("a.abs()", np.abs(CUBE)), ("a.exp()", np.exp(CUBE)), ("a.round()", np.round(CUBE)), ("-a", -CUBE),
    ("(a * 10).round()", np.round(CUBE * 10)), ("a.clip(-0.5, 1)", np.clip(CUBE, -0.5, 1)),
    ("a + 2", CUBE + 2), ("2.5 - a", 2.5 - CUBE), ("a * a", CUBE * CUBE), ("1 / a", 1 / CUBE), ("a ** 2", CUBE**2),
    ("a > 0", CUBE > 0), ("a >= 0.5", CUBE >= 0.5), ("0 < a", CUBE > 0), ("a <= -0.5", CUBE <= -0.5),
    ("(a > 0).where(a, 0)", np.where(CUBE > 0, CUBE, 0)), ("(a > 0).where(1, -1)", np.where(CUBE > 0, 1, -1)),
    ("(a > 0).where(a[0], 0.5)", np.where(CUBE > 0, CUBE[0], 0.5)),
]:
    case(code, expected, axes=NAMES, a=cube)
case("a.ln()", np.log(POSITIVE), a=positive)
case("a.log()", np.log(POSITIVE), a=positive)
case("a.sqrt()", np.sqrt(POSITIVE), a=positive)
case("a.equals(0)", TIES == 0, a=ties)
case("a.equals(b)", CUBE == OTHER, a=cube, b=other)
case("(ecco::arange(5, #{dtype: \"float64\"}) / 2).round()", np.round(np.arange(5) / 2))

# Broadcasting: by name where all axes have one, else from the last.
case("a + b", CUBE + OTHER, axes=NAMES, a=cube, b=other)
case("a > b", CUBE > OTHER, a=cube, b=other)
case("a * b", CUBE * VECTOR, axes=NAMES, a=cube, b=named(VECTOR, "hidden"))
case("a - b", CUBE - np.array([1.0, 2.0])[:, None, None], axes=NAMES, a=cube, b=named(np.array([1.0, 2.0]), "layer"))
case("b - a", np.array([1.0, 2.0, 4.0])[None, :, None] - CUBE, axes=NAMES, a=cube,
     b=named(np.array([1.0, 2.0, 4.0]), "position"))
case("a + b", CUBE + np.transpose(OTHER, (1, 0, 2)).transpose(1, 0, 2), axes=NAMES, a=cube,
     b=named(np.transpose(OTHER, (1, 0, 2)), "position", "layer", "hidden"))
case("a + b", SQUARE + SQUARE.T.T, a=named(SQUARE, "query", "key"), b=named(SQUARE.T, "key", "query"),
     axes=["query", "key"])
case("a / b", MATRIX / VECTOR, a=matrix, b=vector)
case("a - a.mean(1).reshape([3, 1])", MATRIX - MATRIX.mean(1, keepdims=True), a=matrix)
case('a - a.mean("position")', CUBE - CUBE.mean(1, keepdims=True), axes=NAMES, a=cube)
case('a / a.norm("hidden")', CUBE / np.linalg.norm(CUBE, axis=2, keepdims=True), axes=NAMES, a=cube)
case("a.reshape([3, 1]) + b.reshape([1, 4])", np.arange(3.0)[:, None] + VECTOR, a=named(np.arange(3.0)), b=vector)

# Shapes.
case("a.transpose()", CUBE.T, axes=NAMES[::-1], a=cube)
case('a.transpose(["hidden", "layer", 1])', CUBE.transpose(2, 0, 1), axes=["hidden", "layer", "position"], a=cube)
case("a.reshape([6, 4])", CUBE.reshape(6, 4), axes=["", ""], a=cube)
case("a.reshape([2, -1])", CUBE.reshape(2, -1), axes=["layer", ""], a=cube)
case("a.transpose().reshape([-1])", CUBE.T.reshape(-1), a=cube)
case("a.transpose()[1].reshape([3, 2]).sum(0)", CUBE.T[1].reshape(3, 2).sum(0), a=cube)
for axis in (0, 1, 2, -1):
    case(f"ecco::concat([a, b], {axis})", np.concatenate([CUBE, OTHER], axis=axis), axes=NAMES, a=cube, b=other)
case('ecco::concat([a, b, a], "position")', np.concatenate([CUBE, OTHER, CUBE], axis=1), axes=NAMES, a=cube, b=other)
for axis in (0, 2, 3, -1):
    case(f"ecco::stack([a, b], {axis})", np.stack([CUBE, OTHER], axis=axis), a=cube, b=other)
case('ecco::stack([a, b], "text")', np.stack([CUBE, OTHER]), axes=["text", *NAMES], a=cube, b=other)
case("a.pick([2, 0, -1], 1)", CUBE[:, [2, 0, -1]], axes=NAMES, a=cube)
case('a.pick(a.argsort(0), 0)', VECTOR[np.argsort(VECTOR)], a=vector)
case("a[-1][0..2]", CUBE[-1][0:2], a=cube)
case("a.slice([(), -2..3, -1])", CUBE[:, -2:3, -1], axes=["layer", "position"], a=cube)
case("ecco::zeros([2, 3])", np.zeros((2, 3)))
case("ecco::ones([2, 3]) * 7", np.full((2, 3), 7))
case("ecco::eye(3)", np.eye(3))
case("ecco::arange(5)", np.arange(5))
case('ecco::arange(0.0, 1.0, 0.1, #{dtype: "float64"})', np.arange(0, 1, 0.1))
case("ecco::arange(5, -3, -2)", np.arange(5, -3, -2))
case("ecco::arange(3, 1, 1)", np.arange(3, 1, 1))

# Products.
case("a.matmul(b)", MATRIX @ RIGHT, a=named(MATRIX, "position", "hidden"), b=named(RIGHT, "hidden", "out"),
     axes=["position", "out"])
case("a.matmul(b)", CUBE @ RIGHT, a=cube, b=right)
case("a.matmul(b)", CUBE @ VECTOR, a=cube, b=vector)
case("b.matmul(a.transpose())", VECTOR @ MATRIX.T, a=matrix, b=vector)
case("a.matmul(a)", VECTOR @ VECTOR, a=vector)
case("a.matmul(b)", CUBE @ OTHER.transpose(0, 2, 1), a=cube, b=named(OTHER.transpose(0, 2, 1)))
case("a.matmul(b)", CUBE[:, None] @ np.stack([RIGHT] * 3), a=named(CUBE[:, None]), b=named(np.stack([RIGHT] * 3)))
case("a.dot(b)", VECTOR.dot(VECTOR), a=vector, b=vector)
case("a.dot(b)", MATRIX.dot(RIGHT), a=matrix, b=right)
case("a.dot(b)", CUBE.dot(RIGHT), a=cube, b=right)
case("a.dot(b)", CUBE.dot(OTHER.transpose(0, 2, 1)), a=cube, b=named(OTHER.transpose(0, 2, 1)))
case("a.dot(b)", VECTOR.dot(OTHER.transpose(0, 2, 1)), a=vector, b=named(OTHER.transpose(0, 2, 1)))
case("a.outer(b)", np.outer(VECTOR, MATRIX[0]), a=vector, b=named(MATRIX[0]))
case("a.outer(b)", np.outer(MATRIX, VECTOR), a=matrix, b=vector)


def cosine(x, y, axis=None):
    return (x * y).sum(axis) / (np.sqrt((x * x).sum(axis)) * np.sqrt((y * y).sum(axis)))


case("a.cosine(b)", cosine(VECTOR, MATRIX[1]), a=vector, b=named(MATRIX[1]))
case("a.cosine(b)", cosine(CUBE, OTHER), a=cube, b=other)
case('a.cosine(b, "hidden")', cosine(CUBE, OTHER, 2), axes=["layer", "position"], a=cube, b=other)
case('a.cosine(b, "hidden")', cosine(CUBE, VECTOR[None, None], 2), a=cube, b=named(VECTOR, "hidden"))
case('a.cosine(b, ["layer", "hidden"])', cosine(CUBE, OTHER, (0, 2)), a=cube, b=other)

for pattern, arrays in [
    ("ij,jk->ik", [MATRIX, RIGHT]), ("ij,jk->ki", [MATRIX, RIGHT]), ("lph,lqh->lpq", [CUBE, OTHER]),
    ("lph,lqh->pq", [CUBE, OTHER]), ("lph,ho->lpo", [CUBE, RIGHT]), ("ii->i", [SQUARE]), ("ii->", [SQUARE]),
    ("ij->ji", [MATRIX]), ("ij->", [MATRIX]), ("i,j->ij", [VECTOR, MATRIX[0]]), ("i,i->", [VECTOR, MATRIX[0]]),
    ("lph,lph->p", [CUBE, OTHER]), ("ij,jk,k->i", [MATRIX, RIGHT, RIGHT[0]]), ("lph->h", [CUBE]),
    ("ij,kj,lj->ikl", [MATRIX, SQUARE, SQUARE]), ("ij,kl->ik", [MATRIX, RIGHT]), ("iij->ij", [np.stack([RIGHT] * 4)]),
]:
    tensors = {name: named(array) for name, array in zip("abc", arrays, strict=False)}
    case(f'ecco::einsum("{pattern}", [{", ".join(tensors)}])', np.einsum(pattern, *arrays), **tensors)
case('ecco::einsum("layer position hidden, hidden out -> position layer out", [a, b])',
     np.einsum("lph,ho->plo", CUBE, RIGHT), axes=["position", "layer", "out"], a=cube, b=right)
case('ecco::einsum("query key, key dim -> query dim", [a, b])', SQUARE @ RIGHT, axes=["query", "dim"], a=square, b=right)

# What LAPACK does.
SYMMETRIC = SQUARE @ SQUARE.T
symmetric = named(SYMMETRIC)
TALL = random.normal(size=(6, 3)).round(3)
RANK_1 = np.outer(TALL[:, 0], TALL[:3, 1])
algebra = {"room": "algebra"}
for array in [TALL, MATRIX, SQUARE, RANK_1]:
    case("a.svd().s", np.linalg.svd(array, compute_uv=False), a=named(array), **algebra)
    case("let f = a.svd(); (f.u * f.s).matmul(f.vt)", array, a=named(array), **algebra)
    case("let f = a.svd(); f.u.transpose().matmul(f.u)", np.eye(min(array.shape)), a=named(array), **algebra)
for array in (SYMMETRIC, SQUARE + SQUARE.T, np.diag([3.0, 1.0, 1.0])):
    case("a.eigh().values", np.linalg.eigvalsh(array), a=named(array), **algebra)
    case("let f = a.eigh(); a.matmul(f.vectors) - f.vectors * f.values", np.zeros_like(array), a=named(array), **algebra)
case("a.solve(b)", np.linalg.solve(SQUARE, VECTOR), a=square, b=vector, **algebra)
case("a.solve(b)", np.linalg.solve(SQUARE, SQUARE.T), a=square, b=named(SQUARE.T), **algebra)
for array in (TALL, RANK_1):
    for of in (TALL[:, 0], TALL):
        case("a.lstsq(b)", np.linalg.lstsq(array, of, rcond=None)[0], a=named(array), b=named(of), **algebra)
case("a.lstsq(b)", np.linalg.lstsq(MATRIX, VECTOR[:3], rcond=None)[0], a=matrix, b=named(VECTOR[:3]), **algebra)
for seed in (0, 7, 2**32 - 1):
    state = np.random.RandomState(seed)
    case(f'ecco::randn([2, 3], #{{seed: {seed}, dtype: "float64"}})', state.randn(2, 3), **algebra)
    state = np.random.RandomState(seed)
    case(f'ecco::rand([2, 3], #{{seed: {seed}, dtype: "float64"}})', state.rand(2, 3), **algebra)

OUT.write_text(json.dumps(cases, separators=(",", ":")) + "\n")
print({room: len(all) for room, all in cases.items()}, OUT.stat().st_size)
