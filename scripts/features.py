"""Whether what is tested without libtorch is compiled once: python scripts/features.py

cargo compiles a crate anew for each set of features that it is asked with. The packages that are tested by themselves and the
program ask for different ones; `interpreter/Cargo.toml` names those that are missing, and this finds what it does not name.
"""

import subprocess
import sys
from collections import defaultdict

LIGHT = ["ecco-interpreter", "ecco-protocol", "ecco-scripting", "ecco-widgets"]


def features(packages, edges):
    """The sets of features of each crate by its name and version."""
    command = ["cargo", "tree", "--locked", "--prefix=none", f"--edges={edges}", "--format={p}|{f}"]
    command += [f"--package={name}" for name in packages]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    found = defaultdict(set)
    for line in filter(None, lines):
        crate, _, asked = line.removesuffix(" (*)").partition("|")
        found[crate].add(asked)
    return found


def main():
    tested, program = features(LIGHT, "normal,build,dev"), features(["ecco-kernel"], "normal,build")
    apart = {
        crate: (asked, program[crate])
        for crate, asked in tested.items()
        if crate in program and not asked <= program[crate]
    }
    for crate, (asked, by_program) in apart.items():
        print(
            f"{crate} is compiled twice: tests ask for {sorted(asked)}, the program for {sorted(by_program)}"
        )
    if apart:
        sys.exit("name what is missing among the dev-dependencies of interpreter/Cargo.toml")
    print("what is tested without libtorch is compiled once")


if __name__ == "__main__":
    main()
