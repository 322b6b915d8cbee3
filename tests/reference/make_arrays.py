"""Files of numpy's and safetensors' that a notebook may have: writes tests/fixtures/arrays/.

`values.json` says what each holds.
"""

import json
import pathlib

import numpy as np
import torch
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).parents[1] / "fixtures" / "arrays"
OUT.mkdir(exist_ok=True)
values = {}

CUBE = np.array([[[0, -1.5], [2, 3]], [[100, 0.25], [-7, 60]]])
for dtype in ("<f8", ">f8", "<f4", ">f4", "<f2", ">f2"):
    name = f"cube_{dtype[1:]}{'_big' if dtype[0] == '>' else ''}.npy"
    np.save(OUT / name, CUBE.astype(dtype))
    values[name] = CUBE.tolist()
np.save(OUT / "by_column.npy", np.asfortranarray(CUBE))
values["by_column.npy"] = CUBE.tolist()
WHOLE = np.array([[1, 2, 3], [100, 0, 5]])
for dtype in ("<i8", ">i4", "<i2", "i1", "<u8", "<u4", ">u2", "u1"):
    name = f"whole_{dtype.strip('<>')}.npy"
    np.save(OUT / name, WHOLE.astype(dtype))
    values[name] = WHOLE.tolist()
np.save(OUT / "negative.npy", np.array([-1, -128, 127], dtype="i1"))
values["negative.npy"] = [-1, -128, 127]
np.save(OUT / "truth.npy", np.array([True, False]))
values["truth.npy"] = [1, 0]
np.save(OUT / "number.npy", np.array(2.5))
values["number.npy"] = 2.5
np.save(OUT / "empty.npy", np.zeros((0, 3)))
values["empty.npy"] = []
np.save(OUT / "names.npy", np.array(["a", "b"]))

# Names that need an escape somewhere; the second is deflated.
for save, name in ((np.savez, "stored.npz"), (np.savez_compressed, "packed.npz")):
    arrays = {"cube": CUBE, "whole/1": WHOLE, "<b>&": np.array([2.5, np.pi]), "zeros": np.zeros(500)}
    save(OUT / name, **arrays)
    values[name] = {key: array.tolist() for key, array in arrays.items()}

cube = torch.tensor(CUBE)
tensors = {"f64": cube, "f32": cube.float(), "f16": cube.half(), "bf16": cube.bfloat16()}
tensors |= {str(kind)[6:]: torch.tensor(WHOLE).to(kind) for kind in (torch.int64, torch.int32, torch.uint8)}
tensors["bool"] = torch.tensor([True, False])
save_file(tensors, OUT / "all.safetensors")
values["all.safetensors"] = {name: tensor.double().tolist() for name, tensor in tensors.items()}

(OUT / "values.json").write_text(json.dumps(values, separators=(",", ":")) + "\n")
