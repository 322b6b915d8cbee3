"""Texts a second of `ecco-kernel batch`, beside a loop of `exec` and transformers' batched forward pass with hooks.

    python bench/batch.py PYTHON_WITH_PEERS MODELS [--program target/release/ecco-kernel] [--rounds 3]

MODELS is a folder that bench/make_models.py has written. Of each text: its log probability, and the norm of the stream behind a
layer in the middle at its last token. Each side is a process that starts, loads the model, reads the texts and writes a line
for each; its time is the whole process's. Sides take turns; lines that differ end the run.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
PEER = Path(__file__).with_name("batch_peer.py")
PAGE = REPO / "bench/results/batch.md"
WORDS = "the of and to in a is that for it was on are as with his they at be this from have or by one had not but".split()
# The model, how many texts, and the layer; transformers counts the embeddings as 0.
STUDIES = [("demo", 4_000, 2), ("smollm2", 192, 15)]
SCRIPT = """let lm = ecco::from_pretrained("{model}");
// %% each batch
lm.run(rows.map(|row| row.text)).map(|run| #{{
    log_probability: ecco::tensor(run.log_probabilities).sum(0), norm: run.at("residual_before", {layer})[-1].norm(0)
}})"""
ONE = """let lm = ecco::from_pretrained("{model}");
let run = lm.run(ecco::read("one.jsonl")[0].text);
print(#{{
    log_probability: ecco::tensor(run.log_probabilities).sum(0), norm: run.at("residual_before", {layer})[-1].norm(0)
}}.to_json());"""


def texts(n):
    chance = random.Random(20)
    return [" ".join(chance.choices(WORDS, k=chance.randint(5, 60))) for _ in range(n)]


def timed(command, folder, environment):
    begin = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return time.perf_counter() - begin


def lines(path):
    return [json.loads(line) for line in path.open()]


def check(ours, theirs):
    """The largest difference, of the largest number."""
    worst = 0.0
    for name in ("log_probability", "norm"):
        largest = max(abs(line[name]) for line in theirs)
        worst = max(worst, *(abs(a[name] - b[name]) / largest for a, b in zip(ours, theirs, strict=True)))
    if worst > 1e-4:
        sys.exit(f"the results differ by {worst}")
    return worst


def study(name, n, layer, options, folder):
    model = {"demo": REPO / "demo/model"}.get(name, options.models / name).resolve()
    rows = [json.dumps({"text": text}) for text in texts(n)]
    (folder / "texts.jsonl").write_text("\n".join(rows) + "\n")
    (folder / "study.rhai").write_text(SCRIPT.format(model=model, layer=layer))
    (folder / "one.rhai").write_text(ONE.format(model=model, layer=layer))
    (folder / "one.jsonl").write_text(rows[0])
    program = str(options.program.resolve())

    def batch(workers, threads, output="ours"):
        shutil.rmtree(folder / output, ignore_errors=True)
        command = [program, "batch", "study.rhai", "--input", "texts.jsonl", "--output", output]
        return timed([*command, "--workers", str(workers), "--threads", str(threads)], folder, os.environ)

    def peer(threads):
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
        environment.pop("LD_LIBRARY_PATH", None)
        return timed(
            [options.peers, PEER, model, str(layer), "texts.jsonl", "theirs.jsonl"], folder, environment
        )

    sides = {
        "transformers, one thread": lambda: peer(1),
        "batch, one worker": lambda: batch(1, 1),
        "transformers, two threads": lambda: peer(2),
        "batch, two workers": lambda: batch(2, 1, "two"),
    }
    times = {side: [] for side in sides}
    for _ in range(options.rounds):
        for side, run in sides.items():
            times[side].append(run())
    off = check(lines(folder / "ours/results.jsonl"), lines(folder / "theirs.jsonl"))
    if (folder / "ours/results.jsonl").read_bytes() != (folder / "two/results.jsonl").read_bytes():
        sys.exit("two workers write other bytes than one")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    times["a loop of exec"] = [
        n * timed([program, "exec", "one.rhai"], folder, environment) for _ in range(3)
    ]
    return {side: n / statistics.median(seconds) for side, seconds in times.items()} | {"off": off}


def page(rows):
    text = "# Batches\n\nTexts a second of the whole process, its start and the loading of the model included: the log probability "
    text += "of each text\n(5 to 60 words), and the norm of the stream behind a layer in the middle. What `bench/batch.py` says: "
    text += (
        "medians of rounds in which\nthe sides take turns, of "
        + ", ".join(f"{n:,} texts ({name})" for name, n, _ in STUDIES)
        + ".\n\n"
    )
    names = [name for name in next(iter(rows.values())) if name != "off"]
    text += f"| model | {' | '.join(names)} | one thread: times transformers | two: times transformers | two workers: times one | off by |\n"
    text += f"|---|{'--:|' * (len(names) + 4)}\n"
    for model, rates in rows.items():
        one = rates["batch, one worker"] / rates["transformers, one thread"]
        two = rates["batch, two workers"] / rates["transformers, two threads"]
        more = rates["batch, two workers"] / rates["batch, one worker"]
        numbers = " | ".join(f"{rates[name]:.3g}" for name in names)
        text += f"| {model} | {numbers} | {one:.2f} | {two:.2f} | {more:.2f} | {rates['off']:.0e} |\n"
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peers", help="a Python with transformers")
    parser.add_argument("models", type=Path)
    parser.add_argument("--program", type=Path, default=REPO / "target/release/ecco-kernel")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=[name for name, *_ in STUDIES])
    options = parser.parse_args()
    rows = {}
    for name, n, layer in STUDIES:
        if options.only in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                rows[name] = study(name, n, layer, options, Path(folder))
            print(name, rows[name], flush=True)
    text = page(rows)
    print(text)
    if options.only is None:
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
