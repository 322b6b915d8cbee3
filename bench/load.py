"""What loading a large model takes: peak host memory and time, this kernel and transformers, in turns.

    .venv/bin/python bench/load.py PYTHON_WITH_TRANSFORMERS [--kernel PROGRAM] [--megabytes 1500] [--rounds 3]

Writes a folder of seeded bfloat16 weights in shards (Llama's shape), loads it in fresh processes, reads it once,
and looks at the most that was resident (VmHWM; pages of a mapped file count). On the CPU. Writes
bench/results/load.md.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

REPO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPO / "tests/e2e")]

from models import write_tokenizer  # noqa: E402

TABLE = REPO / "bench/results/load.md"
MB = 1_000_000
HIDDEN, INNER, VOCABULARY, N_SHARDS = 2048, 5632, 32_000, 4
TEXT = "The countries of the European Union are:"
LIMIT = 1.10

THEIRS = """
import json, re, sys, time
def peak():
    return int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]) * 1024
def now():
    return int(re.search(r"VmRSS:\\s*(\\d+)", open("/proc/self/status").read())[1]) * 1024
import torch, transformers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
torch.set_num_threads(1)
folder, dtype, text = sys.argv[1:4]
tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
found = {"base": now()}
begin = time.perf_counter()
model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto" if dtype == "kept" else getattr(torch, dtype))
found |= {"load_s": time.perf_counter() - begin, "load": peak()}
begin = time.perf_counter()
with torch.no_grad():
    logits = model(**tokenizer(text, return_tensors="pt")).logits[0, -1]
found |= {"read_s": time.perf_counter() - begin, "read": peak(), "best": logits.argmax().item()}
found["dtype"] = str(model.dtype).split(".")[1]
print(json.dumps(found))
"""


def normal(rng, count):
    """Numbers of standard deviation 0.02 as bfloat16: the upper half of float32."""
    numbers = rng.standard_normal(count, dtype=np.float32) * np.float32(0.02)
    return (numbers.view(np.uint32) >> 16).astype(np.uint16)


def shapes(n_layers):
    yield "model.embed_tokens.weight", (VOCABULARY, HIDDEN)
    for layer in range(n_layers):
        block = f"model.layers.{layer}"
        for part in "qkvo":
            yield f"{block}.self_attn.{part}_proj.weight", (HIDDEN, HIDDEN)
        yield f"{block}.mlp.gate_proj.weight", (INNER, HIDDEN)
        yield f"{block}.mlp.up_proj.weight", (INNER, HIDDEN)
        yield f"{block}.mlp.down_proj.weight", (HIDDEN, INNER)
        yield f"{block}.input_layernorm.weight", (HIDDEN,)
        yield f"{block}.post_attention_layernorm.weight", (HIDDEN,)
    yield "model.norm.weight", (HIDDEN,)
    yield "lm_head.weight", (VOCABULARY, HIDDEN)


def write_shard(path, tensors, rng):
    """A safetensors file, one tensor after the other, so that this needs little memory itself."""
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in tensors:
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, shape in tensors:
            is_norm = len(shape) == 1
            # 1.0 in bfloat16 is 0x3F80.
            numbers = np.full(shape, 0x3F80, np.uint16) if is_norm else normal(rng, int(np.prod(shape)))
            file.write(numbers.tobytes())


def write_model(folder, megabytes):
    per_layer = 2 * (4 * HIDDEN * HIDDEN + 3 * HIDDEN * INNER)
    n_layers = max(1, round((megabytes * MB - 4 * VOCABULARY * HIDDEN) / per_layer))
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": n_layers,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
        "hidden_act": "silu",
        "dtype": "bfloat16",
        "bos_token_id": 256,
        "eos_token_id": 256,
        "tie_word_embeddings": False,
    }
    write_tokenizer(folder)
    (folder / "config.json").write_text(json.dumps(config))
    tensors = list(shapes(n_layers))
    rng, index = np.random.default_rng(0), {}
    per_shard = -(-len(tensors) // N_SHARDS)
    for shard in range(N_SHARDS):
        name = f"model-{shard + 1:05}-of-{N_SHARDS:05}.safetensors"
        part = tensors[shard * per_shard : (shard + 1) * per_shard]
        write_shard(folder / name, part, rng)
        index |= {tensor: name for tensor, _ in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def ours(command, environment, folder, dtype):
    from thin_client import Kernel, read_kb

    kernel = Kernel(command, environment)
    pid = kernel.process.pid
    option = "" if dtype == "kept" else f', dtype: "{dtype}"'
    # libtorch is opened with the first model; Python's import loads it likewise.
    kernel.run('ecco::from_pretrained("demo", #{device: "cpu", verbose: false}).unload();')
    found = {"base": read_kb(f"/proc/{pid}/status", "VmRSS") * 1024}
    begin = time.perf_counter()
    kernel.run(f'let lm = ecco::from_pretrained("{folder}", #{{device: "cpu", verbose: false{option}}});')
    found |= {"load_s": time.perf_counter() - begin, "load": kernel.peak()}
    begin = time.perf_counter()
    text = kernel.run(f'print(lm.run("{TEXT}").predictions[0].token_id);')
    found |= {"read_s": time.perf_counter() - begin, "read": kernel.peak(), "best": int(text)}
    found["dtype"] = kernel.run("print(lm.dtype);").strip()
    kernel.close()
    return found


def theirs(python, folder, dtype):
    run = subprocess.run(
        [python, "-c", THEIRS, folder, dtype, TEXT],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    if run.returncode:
        sys.exit(run.stderr)
    return json.loads(run.stdout.splitlines()[-1])


def line(what, runs, size):
    median = {
        key: statistics.median(run[key] for run in runs)
        for key in ("load", "read", "base", "load_s", "read_s")
    }
    net = (max(run["read"] for run in runs) - median["base"]) / size
    cells = [
        f"{median['base'] / MB:.0f} MB",
        f"{median['load'] / MB:.0f} MB",
        f"{median['read'] / MB:.0f} MB",
        f"{net:.2f}",
        f"{median['load_s']:.2f} s",
        f"{median['read_s']:.2f} s",
    ]
    return f"| {what} | {' | '.join(cells)} |"


NOTE = """A folder of {size:.0f} MB of seeded bfloat16 weights in {n} shards (Llama's shape, {layers} layers), loaded in fresh \
processes on the CPU, one thread, in turns; medians of {rounds} rounds. Peaks are VmHWM, in which the pages of a mapped file \
count. "Before" is what is resident before the model is loaded (with libtorch open, and Python's imports done). \
"Peak / files" is the highest peak of all rounds, after a text was read, less what was there before, as a multiple of the \
files' size: asked for are at most {limit:.2f} where the type is kept. Both name the same next token. Files were in the page \
cache. transformers {version}."""

HEAD = """| | before | peak, loaded | peak, a text read | peak / files | load | first text |
|---|--:|--:|--:|--:|--:|--:|"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("python", help="a Python with torch and transformers")
    parser.add_argument("--kernel", help="the kernel's program; by default the installed kernel")
    parser.add_argument("--megabytes", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="nothing is written")
    options = parser.parse_args()
    if options.kernel:
        command, environment = [options.kernel, "run", "-f", "{connection_file}"], {}
    else:
        from kernel import commands

        command, environment = commands(None)["ecco"]
    environment = environment | {"OMP_NUM_THREADS": "1"}
    version = subprocess.check_output(
        [options.python, "-c", "import transformers; print(transformers.__version__)"], text=True
    )
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        size = write_model(Path(folder), options.megabytes)
        layers = json.loads((Path(folder) / "config.json").read_text())["num_hidden_layers"]
        for turn in range(options.rounds):
            for dtype in ("kept", "float32"):
                sides = [
                    ("ecco", lambda: ours(command, environment, folder, dtype)),
                    ("transformers", lambda: theirs(options.python, folder, dtype)),
                ]
                for name, run in sides[:: 1 if turn % 2 else -1]:
                    found = run()
                    results.setdefault((name, dtype), []).append(found)
                    print(name, dtype, found, file=sys.stderr, flush=True)
    for dtype in ("kept", "float32"):
        best = {run["best"] for name in ("ecco", "transformers") for run in results[name, dtype]}
        if len(best) > 1:
            sys.exit(f"different next tokens: {best}")
    rows = [
        line(f"{name}, {'bfloat16 as stored' if dtype == 'kept' else 'as ' + dtype}", runs, size)
        for (name, dtype), runs in sorted(results.items(), key=lambda item: item[0][1] != "kept")
    ]
    note = NOTE.format(
        size=size / MB, n=N_SHARDS, layers=layers, rounds=options.rounds, limit=LIMIT, version=version.strip()
    )
    text = "\n\n".join(["# Loading a large model", note, "\n".join([HEAD, *rows])]) + "\n"
    print(text)
    highest = max(run["read"] - run["base"] for run in results["ecco", "kept"])
    if not options.quick:
        TABLE.write_text(text, encoding="utf-8")
    if highest > LIMIT * size:
        sys.exit(f"the peak is {highest / size:.2f} times the files")


if __name__ == "__main__":
    main()
