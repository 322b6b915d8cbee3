"""What the repository says of itself is so."""

import re
import subprocess
import sys

import pytest


def test_the_notices_are_fresh(repo):
    """Every package that is linked into the binary, in the version that Cargo.lock has, with its texts."""
    command = [sys.executable, "scripts/third_party.py", "--check"]
    done = subprocess.run(command, cwd=repo, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# What a folder's package must not have among its dependencies, however indirect, tests included: so it is built and
# tested in seconds, where there is no libtorch.
APART = {
    "ecco-interpreter": {"rhai", "torch-sys", "tokio", "maud"},
    "ecco-protocol": {"rhai", "torch-sys", "maud"},
    "ecco-scripting": {"torch-sys", "tokio"},
    "ecco-widgets": {"rhai", "torch-sys", "tokio"},
}


@pytest.mark.parametrize("package", APART)
def test_rooms_are_apart(repo, package):
    command = ["cargo", "tree", "--locked", "--package", package, "--edges", "all", "--prefix", "none"]
    tree = subprocess.run(command, cwd=repo, check=True, capture_output=True, text=True).stdout
    linked = {line.split()[0] for line in tree.splitlines() if line.strip()}
    assert "serde_json" in linked
    assert not linked & APART[package]


def test_the_wheel_asks_for_the_versions_of_torch_that_the_program_serves(repo):
    """The text of the page too, and that of what it is built against."""
    source = (repo / "models/src/libtorch.rs").read_text(encoding="utf-8")
    (served,) = re.findall(r"pub const SERVED: \[&str; \d\] = \[(.*?)\];", source)
    first, last = re.findall(r'"2\.(\d+)"', served)
    (built,) = re.findall(r'pub const BUILT_FOR: &str = "(2\.\d+\.\d+)";', source)
    project = (repo / "pyproject.toml").read_text(encoding="utf-8")
    assert f'dependencies = ["torch>=2.{first},<2.{int(last) + 1}"]' in project
    assert f'"torch=={built}"' in project and built.startswith(f"2.{last}.")
    assert f"torch=={built}" in (repo / "scripts/requirements.txt").read_text()
    assert f"| torch | 2.{first} and 2.{last}," in (repo / "docs/hosts.md").read_text(encoding="utf-8")


def test_promises_have_their_tests(repo):
    page = (repo / "docs/kernel.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"## Nothing kills a session\n(.*?)\n## ", page, re.DOTALL)
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    named = [re.findall(r"`([\w/.]+)::(\w+)`", row) for row in rows]
    assert all(named), "a promise without a test"
    for file, name in sum(named, []):
        text = (repo / file).read_text(encoding="utf-8")
        is_test = rf"#\[test\]\n(#\[.*\]\n)*\s*fn {name}\(" if file.endswith(".rs") else rf"^def {name}\("
        assert re.search(is_test, text, re.MULTILINE), f"{file} has no test {name}"
