"""Fits the demo model's lens: `python demo/lens.py` writes `demo/lens.safetensors`, which the kernel has inside.

A tuned lens of all four layers, fitted by the kernel (`ecco-kernel` on the PATH) on 400 documents that the model was not
trained on (`corpus.py` with another seed), rounded to float16. Then it is compared with the logit lens on 100 others; the
table is in `docs/methods/fitted-lenses.md`. Some minutes on two cores. Processors and versions of torch round differently: another
machine gets a lens that differs in the last digits, and the committed one is the reference.
"""

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

import corpus

HERE = Path(__file__).resolve().parent
SEED = 21
N_FITTED, N_COMPARED = 400, 100

FIT = """
let lm = ecco::from_pretrained("demo", #{verbose: false});
lm.fit_lens("tuned", ecco::read("texts.json").fitted, #{steps: 500, step_tokens: 2048, seed: 0}).save("lens.safetensors");
"""
COMPARE = """
let lm = ecco::from_pretrained("demo", #{verbose: false});
lm.load_lens("rounded.safetensors").compare(ecco::read("texts.json").compared)
"""


def execute(script, folder):
    done = subprocess.run(["ecco-kernel", "exec", "-"], input=script, text=True, cwd=folder, check=True, stdout=subprocess.PIPE)
    return done.stdout


def main():
    texts, _ = corpus.documents(N_FITTED + N_COMPARED, SEED)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "texts.json").write_text(json.dumps({"fitted": texts[:N_FITTED], "compared": texts[N_FITTED:]}))
        execute(FIT, folder)
        tensors = load_file(folder / "lens.safetensors")
        rounded = {name: tensor.astype(np.float16) for name, tensor in tensors.items()}
        save_file(rounded, folder / "rounded.safetensors")
        save_file(rounded, HERE / "lens.safetensors")
        print(execute(COMPARE, folder))


if __name__ == "__main__":
    main()
