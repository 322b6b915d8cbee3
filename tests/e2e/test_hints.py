"""Hints that are commands: they are run as they stand, and the model loads."""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

KERNEL = Path(sys.executable).with_name("ecco-kernel")


def pickled(folder, value):
    (folder / "model.safetensors").unlink()
    torch.save(value, folder / "pytorch_model.bin")


def one_level_down(folder):
    optimizer = {"state": {}, "param_groups": [{"lr": 0.1}]}
    weights = load_file(folder / "model.safetensors")
    pickled(folder, {"args": argparse.Namespace(a=1), "optimizer": optimizer, "model": weights})


def beside_others(folder):
    pickled(folder, load_file(folder / "model.safetensors") | {"args": argparse.Namespace(a=1)})


def one_too_many(folder):
    weights = load_file(folder / "model.safetensors") | {"foo.bar": torch.ones(3)}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def run(folder):
    script = folder / "cell.rhai"
    script.write_text(f'ecco::from_pretrained("{folder}").run("She said").logits.slice([0, 0..5])')
    return subprocess.run([KERNEL, "exec", script], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("damage", [one_level_down, beside_others, one_too_many])
def test_a_hint_runs(repo, tmp_path, damage):
    folder = tmp_path / "it's a model"
    shutil.copytree(repo / "tests/fixtures/families/llama", folder)
    expected = run(folder)
    assert expected.returncode == 0, expected.stderr
    damage(folder)
    refused = run(folder)
    assert refused.returncode == 1, refused.stdout
    command = re.search(r'python -c ".*"', refused.stderr)[0].replace("python", sys.executable, 1)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    subprocess.run(command, shell=True, check=True, cwd=elsewhere, timeout=120)
    assert run(folder).stdout == expected.stdout


def test_a_file_without_tensors_stays(repo, tmp_path):
    shutil.copytree(repo / "tests/fixtures/families/llama", tmp_path / "model")
    pickled(tmp_path / "model", {"args": argparse.Namespace(a=1)})
    before = (tmp_path / "model/pytorch_model.bin").read_bytes()
    command = re.search(r'python -c ".*"', run(tmp_path / "model").stderr)[0]
    tried = subprocess.run(
        command.replace("python", sys.executable, 1), shell=True, capture_output=True, text=True, timeout=120
    )
    assert "no tensors in it" in tried.stderr
    assert (tmp_path / "model/pytorch_model.bin").read_bytes() == before
