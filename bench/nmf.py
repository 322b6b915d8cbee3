"""Neuron factors against scikit-learn, in turns on the same matrices.

    cargo build --release -p ecco-explain --example nmf_bench
    python bench/nmf.py target/release/examples/nmf_bench [ROUNDS]

with a Python of the environment that bench/requirements.txt makes, whose libtorch the binary takes. For one
thread each: OMP_NUM_THREADS=1 taskset -c 0 python bench/nmf.py …

The matrices look like activations: a few shared patterns and noise, negatives clipped to 0.
"""

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np
from safetensors.numpy import save_file
from sklearn.decomposition import NMF

SHAPES = [(50, 18_432, 10), (250, 18_432, 10), (50, 3_072, 10)]  # positions, neurons, components
MAX_ITER = 100


def activations(positions: int, neurons: int) -> np.ndarray:
    random = np.random.RandomState(1)
    patterns = random.randn(positions, 8) @ random.randn(8, neurons) / 3
    return np.clip(patterns + random.randn(positions, neurons) - 1, 0, None).astype(np.float32)


def run_reference(x: np.ndarray, n_components: int) -> dict:
    model = NMF(n_components=n_components, init="random", random_state=0, max_iter=MAX_ITER)
    start = time.perf_counter()
    model.fit_transform(x)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "n_iter": model.n_iter_, "error": float(model.reconstruction_err_)}


def run_ours(binary: str, file: str, n_components: int) -> dict:
    command = [binary, file, str(n_components), str(MAX_ITER)]
    libtorch = importlib.util.find_spec("torch").submodule_search_locations[0] + "/lib"
    environment = os.environ | {"LD_LIBRARY_PATH": libtorch}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def main():
    binary, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5
    warnings.simplefilter("ignore")  # scikit-learn warns when max_iter ends it
    print("| positions × neurons, components | scikit-learn | ours | ratio | sweeps | error, ours / theirs |")
    print("|---|---|---|---|---|---|")
    for positions, neurons, n_components in SHAPES:
        x = activations(positions, neurons)
        with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
            save_file({"x": x}, file.name)
            runs = [
                (run_reference(x, n_components), run_ours(binary, file.name, n_components))
                for _ in range(rounds)
            ]
        theirs, ours = (statistics.median(run["seconds"] for run in side) for side in zip(*runs, strict=True))
        a, b = runs[0]
        case = f"{positions} × {neurons}, {n_components}"
        print(
            f"| {case} | {theirs:.3f} s | {ours:.3f} s | {theirs / ours:.1f} "
            f"| {a['n_iter']}, {b['n_iter']} | {b['error'] / a['error']:.6f} |"
        )


if __name__ == "__main__":
    main()
