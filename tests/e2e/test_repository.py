"""What the repository says of itself is so."""

import subprocess
import sys


def test_the_notices_are_fresh(repo):
    """Every package that is linked into the binary, in the version that Cargo.lock has, with its texts."""
    command = [sys.executable, "scripts/third_party.py", "--check"]
    done = subprocess.run(command, cwd=repo, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
