"""What keeps the rooms small: circles of imports and lengths of files, of every crate.

A circle is a set of modules each of which reaches all others over `use` lines. What a module only hands on (`pub use`)
counts as its source's. Tests are left out.
"""

import re
import sys
from pathlib import Path

LARGEST_CIRCLE = 4
LONGEST_FILE = 450
ROOMS = ["interpreter", "kernel", "scripting", "primitives", "explain", "models", "widgets", "cli"]


def paths_of(use):
    """The paths of a tree such as `a::{b, c::d as e}`."""
    use = use.strip()
    if "{" not in use:
        return [re.sub(r"\s+as\s+\w+$", "", use)]
    head, rest = use.split("{", 1)
    items, depth, start = [], 0, 0
    for at, char in enumerate(rest := rest[: rest.rindex("}")] + ","):
        depth += (char == "{") - (char == "}")
        if char == "," and depth == 0:
            items.append(rest[start:at])
            start = at + 1
    return [head.strip() + path for item in items if item.strip() for path in paths_of(item)]


class Crate:
    def __init__(self, root):
        files = (path for path in root.rglob("*.rs") if "tests" not in path.parts and path.stem != "tests")
        self.sources = {self.name(path.relative_to(root)): path.read_text() for path in files}
        for name, source in self.sources.items():
            self.sources[name] = re.sub(r"//[^\n]*", "", source).split("#[cfg(test)]\nmod tests {")[0]
        self.handed_on = {}
        for name in self.sources:
            for path in self.uses(name, r"pub(?:\([^)]*\))?\s+"):
                source = self.target(name, path)
                if source not in (None, name):
                    self.handed_on[name, path.split("::")[-1]] = source
        self.imports = {}
        for name in self.sources:
            targets = {self.target(name, path) for path in self.uses(name, "")}
            self.imports[name] = targets - {None, name}

    @staticmethod
    def name(path):
        parts = path.with_suffix("").parts
        return parts[:-1] if parts[-1] in ("mod", "lib", "main") else parts

    def uses(self, name, before):
        trees = re.findall(rf"^\s*{before}use\s+([^;]+);", self.sources[name], re.M)
        return [path.replace(" ", "") for tree in trees for path in paths_of(tree)]

    def target(self, here, path):
        """The module that a path names, or in which it names something."""
        parts = path.split("::")
        if parts[0] == "crate":
            at, parts = (), parts[1:]
        elif parts[0] in ("self", "super"):
            at = here
            while parts and parts[0] in ("self", "super"):
                at = at[:-1] if parts.pop(0) == "super" else at
        elif (*here, parts[0]) in self.sources:
            at = here
        else:
            return None
        for part in parts:
            if (*at, part) not in self.sources:
                at = self.handed_on.get((at, part), at)
                break
            at = (*at, part)
        return at if at in self.sources else None

    def reached(self, start):
        seen, left = set(), [start]
        while left:
            for target in self.imports[left.pop()] - seen:
                seen.add(target)
                left.append(target)
        return seen

    def circles(self):
        reached = {name: self.reached(name) for name in self.sources}
        return {frozenset(other for other in reached[name] if name in reached[other]) for name in reached}


def main():
    problems = []
    for room in ROOMS:
        crate = Crate(Path(room) / "src")
        for circle in crate.circles():
            if len(circle) > LARGEST_CIRCLE:
                names = ", ".join(sorted("::".join(name) or "lib" for name in circle))
                problems.append(f"{room}: a circle of {len(circle)} modules: {names}")
        for path in (Path(room) / "src").rglob("*.rs"):
            n_lines = len(path.read_text().splitlines())
            if n_lines > LONGEST_FILE and "tests" not in path.parts and path.stem != "tests":
                problems.append(f"{path}: {n_lines} lines")
    print("\n".join(problems) or "no circle of modules and no file is too large")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
