"""Tables as csv, and what pandas makes of them: writes tests/fixtures/tables/.

`cells.json` says of each file which cells Python's csv module finds in it, `frames.json` what pandas (3) computes of
`left.csv` and `right.csv`: expressions of scripts, and their rows.
"""

import csv
import json
import math
import pathlib
import random

import pandas

OUT = pathlib.Path(__file__).parents[1] / "fixtures" / "tables"
OUT.mkdir(exist_ok=True)


def plain(value):
    """Numbers and texts of Python; nothing where pandas has none."""
    value = value.item() if hasattr(value, "item") else value
    return None if value is None or isinstance(value, float) and math.isnan(value) else value


def rows(frame):
    return [{name: plain(value) for name, value in row.items()} for row in frame.to_dict("records")]


# Files in the ways in which programs write them.
HARD = [
    ["id", "text", "a,b", ""],
    ["1", 'say "no"', "x;y", " padded "],
    ["007", "two\nlines\r\nthree", "\t", "ünï 🏘"],
    ["", "=1+1", "'", '"'],
]
cells = {}
for name, options in {
    "usual.csv": {},
    "unix.csv": {"lineterminator": "\n"},
    "all_quoted.csv": {"quoting": csv.QUOTE_ALL},
    "tabs.tsv": {"delimiter": "\t"},
    "semicolons.csv": {"delimiter": ";"},
}.items():
    with open(OUT / name, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, **options).writerows(HARD)
for name, text in {
    "no_end.csv": "a,b\n1,2",
    "blank_lines.csv": "\na,b\n\n1,2\r\n\r\n",
    "inner_quote.csv": 'size,n\n5" pipe,1\n6"",2\n',
}.items():
    (OUT / name).write_bytes(text.encode())
for path in sorted(path for path in OUT.glob("*.?sv") if path.name not in ("left.csv", "right.csv")):
    delimiter = {"tabs.tsv": "\t", "semicolons.csv": ";"}.get(path.name, ",")
    with open(path, encoding="utf-8", newline="") as file:
        cells[path.name] = [row for row in csv.reader(file, delimiter=delimiter) if row]
(OUT / "cells.json").write_text(json.dumps(cells, separators=(",", ":"), ensure_ascii=False) + "\n", encoding="utf-8")

# Two tables to compute with: numbers of halves and quarters, so that sums have no rounding.
draw = random.Random(7)
left = pandas.DataFrame(
    {
        "id": [draw.randrange(20) for _ in range(40)],
        "label": [draw.choice(["city", "keys", "Ärger"]) for _ in range(40)],
        "fold": [draw.randrange(3) for _ in range(40)],
        "loss": [draw.randrange(-80, 80) / 4 if draw.random() > 0.1 else None for _ in range(40)],
    }
)
right = pandas.DataFrame({"id": [3, 5, 5, 8, 30], "label": ["a", "b", "c", "d", "e"], "weight": [0.5, 1.5, 2.0, -1.0, 4.0]})
left.to_csv(OUT / "left.csv", index=False)
right.to_csv(OUT / "right.csv", index=False)


def grouped(by):
    groups = left.groupby(by, sort=False)
    columns = {"n": groups.size()}
    statistics = {"mean": "mean", "std": lambda losses: losses.std(ddof=0), "min": "min", "max": "max", "sum": "sum"}
    for name, statistic in statistics.items():
        columns[f"{name}_loss"] = groups["loss"].agg(statistic)
    return pandas.DataFrame(columns).reset_index()


STATISTICS = '#{mean: "loss", min: "loss", max: "loss", sum: "loss", std: "loss"}'
frames = {
    "left": left,
    "left.head(3)": left.head(3),
    'left.select(["loss", "id"])': left[["loss", "id"]],
    'left.sort("loss")': left.sort_values("loss", kind="stable"),
    'left.sort("loss", #{descending: true})': left.sort_values("loss", kind="stable", ascending=False),
    'left.sort(["label", "fold", "id"])': left.sort_values(["label", "fold", "id"], kind="stable"),
    'left.filter(|row| row.fold == 1 && row.label != "city")': left[(left["fold"] == 1) & (left["label"] != "city")],
    f'left.group("label", {STATISTICS})': grouped(["label"]),
    f'left.group(["fold", "label"], {STATISTICS})': grouped(["fold", "label"]),
    'left.join(right, "id")': left.merge(right, on="id", suffixes=("", "_2")),
    'left.join(right, "id", #{how: "left"})': left.merge(right, on="id", how="left", suffixes=("", "_2")),
    'left.with_column("twice", |row| row.id * 2)': left.assign(twice=left["id"] * 2),
}
of_frames = {code: rows(frame) for code, frame in frames.items()}
(OUT / "frames.json").write_text(json.dumps(of_frames, separators=(",", ":"), ensure_ascii=False) + "\n", encoding="utf-8")
