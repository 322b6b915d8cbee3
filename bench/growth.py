"""How the time of a job grows with its size: the exponent of a power law through four sizes.

    .venv/bin/python bench/growth.py PYTHON_WITH_TRANSFORMERS [--only saliency] [--kernel PROGRAM]

CPU time of this kernel alone on one thread, of one run; models with seeded weights, which PYTHON makes first. Writes
bench/results/growth.md.
"""

import argparse
import math
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from jobs import MODELS, TEXT
from sides import Kernel, processor

REPO = Path(__file__).resolve().parents[1]
PAGE = REPO / "bench/results/growth.md"
# Tokens of the text, once.
N_TOKENS = 23
NOTE = """CPU seconds of this kernel on one thread at four sizes, and the exponent of the power law through them (least squares of the \
logarithms). The models have seeded weights: {models}. `expected` is what the algorithm's operations grow by; where the time grows \
less, a part of it does not depend on the size.

{processor}; load average {load:.1f}."""


@dataclass
class Growth:
    """A job at four sizes: what is not timed, and what is. SIZE stands for the size, TEXT for a text, SIZE times."""

    name: str
    of: str
    model: str
    sizes: list
    before: str
    timed: str
    expected: str
    # By which the size is multiplied where it is shown.
    unit: int = 1


GENERATED = "let output = lm.generate(start, #{generate: SIZE});"
ONE = "let output = lm.generate(text, #{generate: 1});"
IN_TOKENS = "1 to 2: products with weights grow with the text, attention with its square"
JOBS = [
    Growth(
        "score",
        "tokens",
        "smollm2",
        [2, 9, 30, 87],
        "",
        "lm.score(text).score().to_json();",
        IN_TOKENS,
        N_TOKENS,
    ),
    Growth(
        "generate",
        "tokens written",
        "distilgpt2",
        [25, 50, 100, 200],
        "",
        GENERATED,
        "1: each reads all weights once",
    ),
    Growth(
        "saliency of one target",
        "tokens",
        "smollm2",
        [2, 9, 30, 87],
        ONE,
        "output.saliency().scores;",
        IN_TOKENS,
        N_TOKENS,
    ),
    Growth(
        "saliency behind 23 tokens",
        "targets",
        "distilgpt2",
        [1, 10, 50, 200],
        GENERATED,
        "output.saliency().scores;",
        "1 to 2: each target's gradient goes over all tokens before it, and with the targets there are more of these",
    ),
    Growth(
        "integrated gradients, 10 steps, behind 23 tokens",
        "targets",
        "distilgpt2",
        [1, 5, 20, 60],
        GENERATED,
        'output.saliency(#{method: "ig", n_steps: 10}).scores;',
        "1 to 2: as saliency",
    ),
    Growth(
        "occlusion of one target",
        "tokens",
        "distilgpt2",
        [2, 4, 9, 18],
        ONE,
        'output.saliency(#{method: "occlusion"}).scores;',
        "2: a pass for each token, over what stands behind it",
        N_TOKENS,
    ),
    Growth(
        "lens, all layers",
        "positions",
        "distilgpt2",
        [2, 9, 20, 40],
        "let run = lm.run(text);",
        "run.lens().ranks;",
        "1: the head's product for each",
        N_TOKENS,
    ),
    Growth(
        "neuron factors, 10, 100 sweeps",
        "positions",
        "distilgpt2",
        [2, 9, 20, 40],
        ONE + " output.activations;",
        "output.run_nmf(#{n_components: 10, max_iter: 100}).error;",
        "1: each sweep multiplies with the activations twice",
        N_TOKENS,
    ),
    Growth(
        "activation patching",
        "positions",
        "distilgpt2",
        [1, 2, 3, 6],
        'let other = text; other.replace("Austria", "Bulgaria"); other.replace("Belgium", "Austria");',
        "lm.patch_map(text, other).answers;",
        "2: a pass for each, over all that stand behind it",
        N_TOKENS,
    ),
    *(
        Growth(job, of, f"{of}-SIZE", sizes, before, timed, expected)
        for of, sizes, expected in (
            ("layers", [3, 6, 12, 24], "1"),
            ("width", [192, 384, 768, 1152], "2: as many weights has a layer"),
        )
        for job, before, timed in (
            ("generate 20", "", "lm.generate(start, #{generate: 20});"),
            (
                "saliency, 23 + 20",
                "let output = lm.generate(start, #{generate: 20});",
                "output.saliency().scores;",
            ),
        )
    ),
]


def seconds(kernel, job, size):
    """CPU time of the job at a size."""
    path = MODELS / job.model.replace("SIZE", str(size))
    start = f"""
        let lm = ecco::from_pretrained("{path}", #{{device: "cpu", verbose: false}});
        let start = "{TEXT}"; let text = ""; for time in 0..{size if job.unit > 1 else 1} {{ text += start; }}
    """
    kernel.cell(start + job.before.replace("SIZE", str(size)))
    timed = job.timed.replace("SIZE", str(size))
    found = kernel.cell(timed)[0][1]
    kernel.cell("lm.unload();")
    return max(found, 0.001)


def exponent(sizes, times):
    """Of the power law through these: the slope of the logarithms."""
    x, y = [math.log(size) for size in sizes], [math.log(time) for time in times]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    of_x = sum((a - mean_x) ** 2 for a in x)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / of_x


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("python", metavar="PYTHON_WITH_TRANSFORMERS")
    parser.add_argument("--only", nargs="+", help="words of jobs' names; writes no page")
    parser.add_argument("--kernel", help="the program, where it is not the installed kernelspec's")
    options = parser.parse_args()
    jobs = [job for job in JOBS if not options.only or any(word in job.name for word in options.only)]
    names = {job.model.replace("SIZE", str(size)) for job in jobs for size in job.sizes}
    subprocess.run([options.python, REPO / "bench/make_models.py", MODELS, *sorted(names)], check=True)
    command = [options.kernel, "run", "-f", "{connection_file}"] if options.kernel else None
    lines = ["| job | by | sizes | seconds | exponent | expected |", "|---|---|---|---|--:|---|"]
    for job in jobs:
        kernel = Kernel(1, command)
        times = [seconds(kernel, job, size) for size in job.sizes]
        kernel.close()
        sizes = [size * job.unit for size in job.sizes]
        lines.append(
            f"| {job.name} | {job.of} | {', '.join(map(str, sizes))} | {', '.join(f'{time:.2f}' for time in times)} "
            f"| {exponent(sizes, times):.1f} | {job.expected} |"
        )
        print(lines[-1], flush=True)
    if not options.only:
        models = "distilgpt2's shape and SmolLM2-135M's, and GPT-2s of so many layers (768 wide) and so wide (4 layers)"
        note = NOTE.format(models=models, processor=processor(), load=os.getloadavg()[2])
        PAGE.write_text("\n\n".join(["# Growth", note, "\n".join(lines)]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
