"""Lints the scripts of the widgets, and those of the extension of JupyterLab.

    python scripts/lint_js.py

The widgets' are fragments: `element.js`, what several views share, and a view's own are put into one function, so what stands at
the top of one is known in the others. This collects those names for the linter, and finds those that nobody uses.

The linter is oxlint: one program of 15 MB in a wheel, configured as ESLint is, globals included. ESLint itself needs Node,
which nothing else here does; Biome's wheel had a single release when this was written; `deno lint` brings a runtime.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
TOP = re.compile(r"^(?:async )?(?:function|const|let|class) (\w+)", re.MULTILINE)
COMMENT = re.compile(r"^\s*//.*$|(?<=[;,{}] )// .*$", re.MULTILINE)


def main():
    folder = REPO / "widgets/src"
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.js"))}
    if not texts:
        sys.exit(f"no scripts in {folder}")
    names = {name: path for path, text in texts.items() for name in TOP.findall(text)}
    code = COMMENT.sub("", "\n".join(texts.values())).replace("...", " ")
    unused = [name for name in names if len(re.findall(rf"(?<![\w.]){name}\b", code)) < 2]
    for name in unused:
        print(f"{names[name].relative_to(REPO)}: nobody uses `{name}`")

    config = json.loads(COMMENT.sub("", (REPO / ".oxlintrc.json").read_text(encoding="utf-8")))
    config["globals"] = dict.fromkeys(names, "readonly")
    config["rules"]["no-unused-vars"] = ["error", {"varsIgnorePattern": f"^({'|'.join(names)})$"}]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(config, file)
        file.flush()
        command = ["oxlint", "--config", file.name, "--deny-warnings", *map(str, texts)]
        failed = subprocess.run(command, cwd=REPO).returncode
    sys.exit(1 if failed or unused or not extension_is_clean() else 0)


def extension_is_clean():
    """The extension of JupyterLab, which is made of modules."""
    config = json.loads(COMMENT.sub("", (REPO / ".oxlintrc.json").read_text(encoding="utf-8")))
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        # JupyterLab's own names.
        config["rules"]["no-underscore-dangle"] = ["error", {"allow": ["_JUPYTERLAB", "_notebook"]}]
        json.dump(config, file)
        file.flush()
        command = ["oxlint", "--config", file.name, "--deny-warnings", "labextension"]
        return not subprocess.run(command, cwd=REPO).returncode


if __name__ == "__main__":
    main()
