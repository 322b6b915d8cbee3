"""The README's example, side by side: this kernel and the Python library `ecco`.

    .venv/bin/python bench/readme_example.py PYTHON_WITH_ECCO [--rounds 5] [--threads 1 2]

Both run as Jupyter kernels and are driven alike through jupyter_client: ours by its kernelspec, the
library in an ipykernel of the environment that bench/requirements.txt makes. Every run is a fresh
process; the two take turns to go first. Results must agree before anything is written.
"""

import argparse
import ast
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from sides import Kernel, processor

REPO = Path(__file__).resolve().parents[1]
# Made by the library's Python: it does not read what newer ones write.
MODEL = REPO / "build/readme-models/distilgpt2"
TABLE = REPO / "bench/results/readme_example.md"
PROMPT = "The countries of the European Union are:\\n1. Austria\\n2. Belgium\\n3. Bulgaria\\n4."
TOLERANCE = 1e-3

# The same steps in both languages. The library computes saliency while it generates.
OURS = {
    # libtorch is opened with the first model; Python's import loads it likewise.
    "import": 'ecco::from_pretrained("demo", #{device: "cpu"}).unload();',
    "load": f'let lm = ecco::from_pretrained("{MODEL}", #{{activations: true, device: "cpu"}});',
    "generate": f'let output = lm.generate("{PROMPT}", #{{generate: 20}});',
    "saliency": "output.saliency()",
    "rankings": "output.rankings(#{raw: true})",
}
THEIRS = {
    "import": "import ecco",
    "load": f"""lm = ecco.from_pretrained({str(MODEL)!r}, activations=True, gpu=False, model_config={{
        "embedding": "transformer.wte.weight", "type": "causal", "activations": ["mlp\\\\.c_proj"],
        "token_prefix": "Ġ", "partial_token_prefix": ""}})""",
    "generate": f"""output = lm.generate("{PROMPT}", generate=20, do_sample=False,
        attribution=["grad_x_input"])""",
    "saliency": 'output.primary_attributions(attr_method="grad_x_input")',
    # Not timed: newer transformers keep hidden states, which rankings are made of, only where this says so.
    "states": f"""lm.model.generation_config.output_hidden_states = True
ranked = lm.generate("{PROMPT}", generate=20, do_sample=False)""",
    "rankings": "ranks = ranked.rankings(printJson=True)",
}
OUR_RANKS = "print(#{ranks: output.rankings(#{raw: true}).ranks.to_array()}.to_json());"
THEIR_RESULT = """__import__("json").dumps({"ids": output.token_ids[0].tolist(),
    "scores": [[float(x) for x in row] for row in output.attribution["grad_x_input"]],
    "ranks": ranks["rankings"].tolist()})"""

EXAMPLE = ["load", "generate", "saliency"]
ROWS = [
    ("start to the first `kernel_info` reply", ["start"]),
    ("import", ["import"]),
    ("load", ["load"]),
    ("generate 20 tokens, saliency for all", ["generate", "saliency"]),
    ("rankings of the 20 tokens after each layer, drawn", ["rankings"]),
    ("**the example** (load, generate, saliency)", EXAMPLE),
    ("the example, with import", ["import", *EXAMPLE]),
    ("the example, with start and import", ["start", "import", *EXAMPLE]),
]
NOTE = """The README's example on a model of distilgpt2's shape with seeded weights: greedy, on the CPU, \
a fresh process for each run, this kernel and the Python library `ecco` 0.1.2 in turns. Seconds, medians \
of {rounds} rounds; a ratio is theirs / ours. "import" is done once in a notebook: Python's `import ecco`, and our \
opening of libtorch with the first model. Both made the same tokens and ranks, and saliency equal to \
{relative:.0e} relative ({absolute:.0e} absolute; our JSON has 4 significant digits).

{processor}, shared with other work while this ran: **the CPU columns are the ones to trust**, wall time \
includes waiting for a core. The load average was {load}."""


def run_ours(threads, _):
    kernel = Kernel(threads)
    times, values = kernel.run(OURS)
    (data,) = [v for k, v in values["saliency"][0].items() if k.endswith("json")]
    ranks = json.loads(kernel.printed(OUR_RANKS))["ranks"]
    kernel.close()
    ids = [token["id"] for token in data["tokens"]]
    return times, {"ids": ids, "scores": data["scores"], "ranks": ranks}


def run_theirs(threads, python):
    kernel = Kernel(threads, [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"])
    times, _ = kernel.run(THEIRS)
    _, values = kernel.cell(THEIR_RESULT)
    kernel.close()
    return times, json.loads(ast.literal_eval(values[0]["text/plain"]))


SIDES = {"ours": run_ours, "theirs": run_theirs}


def compare(ours, theirs):
    """The largest difference of saliency, (relative, absolute), between the same tokens."""
    for same in ("ids", "ranks"):
        if ours[same] != theirs[same]:
            sys.exit(f"different {same}\nours   {ours[same]}\ntheirs {theirs[same]}")
    pairs = [
        pair
        for rows in zip(ours["scores"], theirs["scores"], strict=True)
        for pair in zip(*rows, strict=True)
    ]
    relative = max(abs(a - b) / b for a, b in pairs)
    if not relative < TOLERANCE:
        sys.exit(f"saliency differs by {relative:.1e} relative")
    return relative, max(abs(a - b) for a, b in pairs)


def measure(all_threads, rounds, python):
    """Times by thread count and side, one entry a round, and the largest differences."""
    subprocess.run([python, REPO / "bench/make_models.py", MODEL.parent, MODEL.name], check=True)
    runs = {threads: {side: [] for side in SIDES} for threads in all_threads}
    differences = []
    for turn in range(rounds):
        for threads in all_threads:
            results = {}
            for side in sorted(SIDES, reverse=turn % 2 == 1):
                times, results[side] = SIDES[side](threads, python)
                runs[threads][side].append(times)
            differences.append(compare(**results))
        print(f"round {turn + 1}/{rounds} done", file=sys.stderr)
    return runs, [max(kind) for kind in zip(*differences, strict=True)]


def seconds(run, steps, kind):
    """Wall (kind 0) or CPU time (1) of some steps of one run; a step that a side does not have takes none."""
    return sum(run[step][kind] for step in steps if step in run)


def table(runs):
    """`runs`: by side, times of one round each."""
    lines = [
        "| | CPU, ours | CPU, theirs | ratio | wall, ours | wall, theirs | ratio |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for label, steps in ROWS:
        cells = []
        for kind in (1, 0):
            ours, theirs = (
                statistics.median(seconds(run, steps, kind) for run in runs[side]) for side in SIDES
            )
            ratio = f"{theirs / ours:.1f}" if ours else "–"
            cells += [f"{ours:.2f}" if ours else "–", f"{theirs:.2f}", ratio]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"The example's ratio in each round: {ratios(runs)}."])


def ratios(runs):
    def of(kind):
        rounds = zip(*(runs[side] for side in SIDES), strict=True)
        pairs = [[seconds(run, EXAMPLE, kind) for run in pair] for pair in rounds]
        return ", ".join(f"{theirs / ours:.1f}" for ours, theirs in pairs)

    return f"CPU {of(1)}; wall {of(0)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("python", metavar="PYTHON_WITH_ECCO")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    runs, (relative, absolute) = measure(options.threads, options.rounds, options.python)
    facts = {"rounds": options.rounds, "relative": relative, "absolute": absolute}
    parts = [NOTE.format(**facts, processor=processor(), load=f"{os.getloadavg()[2]:.1f}")]
    for threads in options.threads:
        parts += [f"## {threads} thread{'s' if threads > 1 else ''}", table(runs[threads])]
    text = "\n\n".join(["# The README's example", *parts]) + "\n"
    print(text)
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
