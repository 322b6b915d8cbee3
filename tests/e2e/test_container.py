"""The Containerfile, without an engine: it names what is here, and what it installs is what is tested."""

import re
import shlex
import subprocess

import pytest


@pytest.fixture(scope="module")
def steps(repo):
    """The instructions, each with its stage: `(stage, instruction, rest)`."""
    text = (repo / "Containerfile").read_text()
    stage, found = None, []
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if not line or line.startswith("#"):
            continue
        instruction, rest = line.split(maxsplit=1)
        if instruction == "FROM":
            rest, stage = re.fullmatch(r"(\S+) AS (\w+)", rest).groups()
        found.append((stage, instruction, rest))
    return found


def commands(steps, stage):
    """What a stage and those it stands on run, as lists of words."""
    from_ = {name: rest for name, instruction, rest in steps if instruction == "FROM"}
    before = commands(steps, from_[stage]) if from_[stage] in from_ else []
    runs = [rest for name, instruction, rest in steps if (name, instruction) == (stage, "RUN")]
    lines = [re.sub(r"^(--\w+=\S+ )*", "", run) for run in runs]
    return before + [shlex.split(part) for line in lines for part in line.split(" && ")]


def test_each_step_is_a_command_of_a_shell(steps):
    runs = [re.sub(r"^(--\w+=\S+ )*", "", rest) for _, instruction, rest in steps if instruction == "RUN"]
    assert len(runs) >= 8
    for run in runs:
        checked = subprocess.run(["sh", "-n"], input=run, text=True, capture_output=True)
        assert checked.returncode == 0, (run, checked.stderr)


def test_stages_stand_on_earlier_ones_and_take_from_them(steps):
    stages = []
    for stage, instruction, rest in steps:
        if instruction == "FROM":
            assert "/" in rest or rest in stages
            stages.append(stage)
        for source in re.findall(r"from=(\w+)", rest):
            assert source in stages
    assert stages[-2:] == ["cpu", "cuda"]


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_an_image_has_jupyterlab_and_the_wheel_and_runs_as_a_user(steps, target):
    run = commands(steps, target)
    installed = [word for words in run if words[0].endswith("/pip") for word in words]
    assert any(word.startswith("jupyterlab==") for word in installed)
    assert "/dist/ecco_kernel-*.whl" in installed
    # pip would bring CUDA's libraries along, if torch were not there before.
    assert ("https://download.pytorch.org/whl/cpu" in installed) == (target == "cpu")
    (user,) = [rest for stage, instruction, rest in steps if (stage, instruction) == (target, "USER")]
    assert any(words[0] == "useradd" and words[-1] == user for words in run)


def test_versions_are_those_of_the_tests(steps, repo):
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)", (repo / "scripts/requirements.txt").read_text(), re.M))
    named = re.findall(r"([\w-]+)==(\S+)", "\n".join(rest for _, _, rest in steps))
    assert {name for name, _ in named} == {"torch", "maturin", "jupyterlab"}
    assert all(pinned[name] == version for name, version in named)
    (compiler,) = re.findall(r'channel = "(\d+\.\d+)', (repo / "rust-toolchain.toml").read_text())
    assert steps[0][2] == f"docker.io/library/rust:{compiler}-bookworm"


def test_what_pip_brings_is_not_sent_to_the_build(repo):
    ignored = (repo / ".dockerignore").read_text().split()
    assert {"/target", "/.venv", "/build"} <= set(ignored)
