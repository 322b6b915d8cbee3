"""Writes tests/fixtures/parquet: files that pyarrow writes, and in values.json the rows that it finds in them.

    python tests/reference/make_parquet.py

`types.parquet` has a column of each type, with nulls, each packed by another codec; `pages.parquet` pages of the second version, several
row groups, and the encodings that are not the usual ones. Made with pyarrow 26.0, which nothing else here needs. Moments, days and
times are texts as ISO 8601 has them, decimals are floats.
"""

import datetime
import decimal
import json
import math
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

FOLDER = Path(__file__).resolve().parents[1] / "fixtures" / "parquet"
DAY = datetime.date(2024, 2, 29)
MOMENT = datetime.datetime(2024, 2, 29, 23, 59, 58, 250_000)


def types():
    chat = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    columns = {
        "text": (pa.string(), ["Paris", None, "", "größe 名", "Paris"], "snappy"),
        "label": (pa.dictionary(pa.int8(), pa.string()), ["a", "b", "a", None, "a"], "gzip"),
        "whole": (pa.int64(), [1, -(2**62), None, 0, 2**53 + 1], "zstd"),
        "small": (pa.int8(), [-128, 127, None, 0, 1], "lz4"),
        "unsigned": (pa.uint64(), [0, 2**64 - 2**12, None, 1, 2], "snappy"),
        "narrow": (pa.uint32(), [0, 2**32 - 1, None, 1, 2], "none"),
        "number": (pa.float64(), [0.1, -1e300, None, 0.0, 5e-324], "gzip"),
        "single": (pa.float32(), [0.5, -2.25, None, 0.0, 1.5], "zstd"),
        "half": (pa.float16(), [0.5, -2.25, None, 0.0, 6.0], "none"),
        "truth": (pa.bool_(), [True, False, None, True, True], "snappy"),
        "day": (pa.date32(), [DAY, None, datetime.date(1969, 12, 31), DAY, DAY], "snappy"),
        "moment": (pa.timestamp("us"), [MOMENT, None, MOMENT, MOMENT, datetime.datetime(1950, 1, 1)], "lz4"),
        "utc": (pa.timestamp("ms", tz="UTC"), [MOMENT, None, MOMENT, MOMENT, MOMENT], "snappy"),
        "time": (
            pa.time64("us"),
            [MOMENT.time(), None, MOMENT.time(), datetime.time(1), datetime.time(2)],
            "none",
        ),
        "price": (
            pa.decimal128(9, 2),
            [decimal.Decimal("12.50"), None, decimal.Decimal("-0.25"), 0, 1],
            "snappy",
        ),
        "id": (pa.uuid(), [uuid.UUID(int=7).bytes, None] + 3 * [uuid.UUID(int=2**127 + 1).bytes], "none"),
        "none": (pa.null(), [None] * 5, "snappy"),
        "list": (pa.list_(pa.int32()), [[1, 2], [], None, [None, 3], [4]], "zstd"),
        "nested": (
            pa.list_(pa.list_(pa.string())),
            [[["a"], []], None, [None, ["b", None]], [], [[]]],
            "snappy",
        ),
        "chat": (
            chat,
            [[{"role": "user", "content": "Hi"}, {"role": "model", "content": None}], [], None, [None], []],
            "gzip",
        ),
        "struct": (
            pa.struct([("x", pa.float64()), ("in", pa.struct([("y", pa.list_(pa.bool_()))]))]),
            [
                {"x": 1.5, "in": {"y": [True, None]}},
                None,
                {"x": None, "in": None},
                {"x": 2.5, "in": {"y": None}},
                None,
            ],
            "snappy",
        ),
        "map": (
            pa.map_(pa.string(), pa.int64()),
            [[("b", 1), ("a", None)], [], None, [("c", 3)], []],
            "snappy",
        ),
    }
    table = pa.table({name: pa.array(values, kind) for name, (kind, values, _) in columns.items()})
    codecs = {path: columns[path.split(".")[0]][2] for path in paths(table)}
    options = {"use_dictionary": ["text", "label"], "write_statistics": False, "store_schema": False}
    pq.write_table(table, FOLDER / "types.parquet", compression=codecs, **options)
    return table


def pages():
    n = 40
    table = pa.table(
        {
            "n": pa.array(range(n), pa.int64()),
            "delta": pa.array([i * i - 3 if i % 5 else None for i in range(n)], pa.int32()),
            "split": pa.array([i / 8 for i in range(n)], pa.float32()),
            "text": pa.array([f"row {i // 7}" if i % 3 else None for i in range(n)]),
            "list": pa.array(
                [[j for j in range(i % 4)] if i % 6 else None for i in range(n)], pa.list_(pa.int64())
            ),
        }
    )
    encodings = {"n": "DELTA_BINARY_PACKED", "delta": "DELTA_BINARY_PACKED", "split": "BYTE_STREAM_SPLIT"}
    options = {"data_page_version": "2.0", "row_group_size": 15, "data_page_size": 64, "write_batch_size": 4}
    more = {
        "use_dictionary": ["text"],
        "write_statistics": False,
        "store_schema": False,
        "compression": "zstd",
    }
    pq.write_table(table, FOLDER / "pages.parquet", column_encoding=encodings, **options, **more)
    return table


def paths(table):
    table = table.slice(0, 0)
    scratch = pa.BufferOutputStream()
    pq.write_table(table, scratch)
    schema = pq.ParquetFile(pa.BufferReader(scratch.getvalue())).schema
    return [schema.column(at).path for at in range(len(schema))]


def plain(value):
    if isinstance(value, datetime.datetime):
        text = value.replace(tzinfo=None).isoformat()
        text = text.removesuffix("000") if "." in text else text
        return text + ("Z" if value.tzinfo else "")
    if isinstance(value, datetime.time):
        text = value.isoformat()
        return text.removesuffix("000") if "." in text else text
    if isinstance(value, (datetime.date, uuid.UUID)):
        return str(value)
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, tuple):
        return value
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, int) and abs(value) >= 2**63:
        return float(value)
    assert not isinstance(value, float) or math.isfinite(value)
    return value


def rows(table):
    columns = {}
    for name in table.column_names:
        values = [plain(value) for value in table[name].to_pylist()]
        if pa.types.is_map(table[name].type):
            values = [None if value is None else dict(value) for value in values]
        columns[name] = values
    return columns


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    values = {"types.parquet": rows(types()), "pages.parquet": rows(pages())}
    (FOLDER / "values.json").write_text(json.dumps(values, ensure_ascii=False, separators=(",", ":")) + "\n")
