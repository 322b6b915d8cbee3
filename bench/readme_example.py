"""The README's example, side by side: this kernel and the Python library `ecco`.

    python bench/readme_example.py PYTHON_WITH_ECCO [--repeats 5] [--threads 1]

Both run as Jupyter kernels and are driven alike through jupyter_client: ours by its kernelspec, the
library in an ipykernel of the environment that bench/requirements.txt makes. Every repeat starts fresh
processes, the two taking turns to go first. Results must agree before anything is written.
"""

import argparse
import ast
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil
from jupyter_client.manager import KernelManager

REPO = Path(__file__).resolve().parents[1]
MODEL = REPO / "build/distilgpt2-shaped"
TABLE = REPO / "bench/results/readme_example.md"
PROMPT = "The countries of the European Union are:\\n1. Austria\\n2. Belgium\\n3. Bulgaria\\n4."
TIMEOUT_S = 600

# The same steps in both languages. The library computes saliency while it generates.
OURS = {
    "load": f'let lm = ecco::from_pretrained("{MODEL}", #{{activations: true, device: "cpu"}});',
    "generate": f'let output = lm.generate("{PROMPT}", #{{generate: 20}});',
    "saliency": "output.saliency()",
}
THEIRS = {
    "import": "import ecco",
    "load": f"""lm = ecco.from_pretrained({str(MODEL)!r}, activations=True, gpu=False, model_config={{
        "embedding": "transformer.wte.weight", "type": "causal", "activations": ["mlp\\\\.c_proj"],
        "token_prefix": "Ġ", "partial_token_prefix": ""}})""",
    "generate": f"""output = lm.generate("{PROMPT}", generate=20, do_sample=False,
        attribution=["grad_x_input"])""",
    "saliency": 'output.primary_attributions(attr_method="grad_x_input")',
}
THEIR_RESULT = """__import__("json").dumps({"ids": output.token_ids[0].tolist(),
    "scores": [[float(x) for x in row] for row in output.attribution["grad_x_input"]]})"""


class Kernel:
    """A freshly started kernel, and how long it took to its first kernel_info reply."""

    def __init__(self, threads, command=None):
        self.manager = KernelManager(kernel_name="ecco" if command is None else "python3")
        if command:
            self.manager.kernel_spec.argv = command
        environment = os.environ | {
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        begin = time.perf_counter()
        self.manager.start_kernel(env=environment)
        self.client = self.manager.client()
        self.client.start_channels()
        self._first_kernel_info()
        self.start_s = time.perf_counter() - begin
        self.client.wait_for_ready(timeout=TIMEOUT_S)
        self.process = psutil.Process(self.manager.provisioner.pid)

    def _first_kernel_info(self):
        """Asked once: the socket delivers it as soon as the kernel has bound its port."""
        self.client.kernel_info()
        self.client.get_shell_msg(timeout=TIMEOUT_S)

    def cell(self, code):
        """Runs a cell; returns its wall time, CPU time and values."""
        values = []

        def collect(message):
            if message["msg_type"] == "execute_result":
                values.append(message["content"]["data"])

        before, begin = self.process.cpu_times(), time.perf_counter()
        reply = self.client.execute_interactive(code, timeout=TIMEOUT_S, output_hook=collect)
        wall, after = time.perf_counter() - begin, self.process.cpu_times()
        if reply["content"]["status"] != "ok":
            sys.exit("\n".join(reply["content"]["traceback"]))
        return wall, after.user + after.system - before.user - before.system, values

    def run(self, steps):
        """Times of the steps by name; the last step's value."""
        wall, cpu, values = {"start": self.start_s}, {}, []
        for name, code in steps.items():
            wall[name], cpu[name], values = self.cell(code)
        return wall, cpu, values

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def run_ours(threads):
    kernel = Kernel(threads)
    wall, cpu, values = kernel.run(OURS)
    (data,) = [v for k, v in values[0].items() if k.endswith("json")]
    kernel.close()
    ids = [token["id"] for token in data["tokens"]]
    return wall, cpu, {"ids": ids, "scores": data["scores"]}


def run_theirs(threads, python):
    kernel = Kernel(threads, [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"])
    wall, cpu, _ = kernel.run(THEIRS)
    _, _, values = kernel.cell(THEIR_RESULT)
    kernel.close()
    return wall, cpu, json.loads(ast.literal_eval(values[0]["text/plain"]))


def check(ours, theirs):
    """The same tokens, and the same saliency to three digits."""
    if ours["ids"] != theirs["ids"]:
        sys.exit(f"different tokens\nours   {ours['ids']}\ntheirs {theirs['ids']}")
    worst = max(
        abs(a - b) / b
        for row, expected in zip(ours["scores"], theirs["scores"], strict=True)
        for a, b in zip(row, expected, strict=True)
    )
    if worst > 1e-3:
        sys.exit(f"saliency differs by {worst:.1e} relative")
    return worst


def median(runs, *steps):
    return statistics.median(sum(run.get(step, 0.0) for step in steps) for run in runs)


def table(ours, theirs):
    """Rows of medians; `ours` and `theirs` are lists of (wall, cpu)."""
    example = ["load", "generate", "saliency"]
    rows = [
        ("start to first `kernel_info` reply", 0, ["start"]),
        ("import", 0, ["import"]),
        ("load", 0, ["load"]),
        ("generate 20 tokens and saliency for all", 0, ["generate", "saliency"]),
        ("**the example** (load, generate, saliency)", 0, example),
        ("the example with import", 0, ["import", *example]),
        ("the example with start and import", 0, ["start", "import", *example]),
        ("CPU time of the example", 1, example),
        ("CPU time of the example with import", 1, ["import", *example]),
    ]
    lines = ["| seconds, median | ecco-kernel | Python library | ratio |", "|---|--:|--:|--:|"]
    for label, kind, steps in rows:
        a, b = (median([run[kind] for run in runs], *steps) for runs in (ours, theirs))
        ratio = f"{b / a:.1f}" if a else "–"
        lines.append(f"| {label} | {a:.3f} | {b:.3f} | {ratio} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("python", metavar="PYTHON_WITH_ECCO")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if not MODEL.exists():
        subprocess.run([options.python, REPO / "bench/make_model.py", MODEL], check=True)
    ours, theirs, worst = [], [], 0.0
    for repeat in range(options.repeats):
        sides = [lambda: run_ours(options.threads), lambda: run_theirs(options.threads, options.python)]
        order = (0, 1) if repeat % 2 == 0 else (1, 0)
        done = {side: sides[side]() for side in order}
        ours.append(done[0][:2])
        theirs.append(done[1][:2])
        worst = max(worst, check(done[0][2], done[1][2]))
        print(f"repeat {repeat + 1}/{options.repeats} done", file=sys.stderr)
    text = (
        f"distilgpt2's shape, seeded weights, greedy, CPU, {options.threads} thread(s), "
        f"{options.repeats} interleaved repeats in fresh processes.\n"
        f"Same tokens; saliency equal to {worst:.0e} relative.\n\n{table(ours, theirs)}\n"
    )
    print(text)
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
