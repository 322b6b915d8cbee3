"""How values go into a session and come out: short ones in the code, all others by files in a folder of the session's.

Scripts reach files only in their working folder, so that is where the folder is, and it is gone afterwards.
"""

import json
import sys

from ecco_kernel import rhai

# A longer literal goes as a file: the time that a script takes to be read grows with its literals' square.
LONGEST_LITERAL = 4096
LONGEST_CODE = 1 << 16
# Floats of 64 bits hold all whole numbers up to here.
LARGEST_EXACT = 2**53

# Writes what a value is into `note.jsonl`; a tensor's numbers into `value.npy`. A list or dict with tensors or tables in it
# says its length or its keys, and they are asked for one by one.
TAKE = """{
    let value = EXPRESSION;
    let kind = type_of(value);
    let note = #{kind: kind};
    let kinds = [];
    let held = if kind == "array" || kind == "map" { [value] } else { [] };
    while held.len() > 0 {
        let next = held.pop();
        let kind = type_of(next);
        if kind == "map" { held.append(next.values()); }
        else if kind == "array" { held.append(next); }
        else if kind == "Tensor" || kind == "Table" { kinds.push(kind); break; }
    }
    if kind == "Tensor" { note.axes = value.axes; value.save("FOLDER/value.npy"); }
    else if kind == "Table" { note.columns = value.columns; note.rows = value.to_array(); }
    else if kind == "f64" { note.value = value.to_string(); }
    else if kinds.len() == 0 { note.value = value; }
    else if kind == "map" { note.keys = value.keys(); }
    else { note.len = value.len(); }
    ecco::table([#{note: note.to_json()}]).save("FOLDER/note.jsonl");
}"""


class Sender:
    """Makes Rhai's expressions for Python values; where files are needed, `make_folder` makes the folder for them."""

    def __init__(self, make_folder):
        self.make_folder, self.folder = make_folder, None
        self.n_files = 0

    def expression(self, value):
        """Raises TypeError or ValueError for what cannot be passed."""
        known = self.foreign(value)
        if known is not None:
            return known
        code = rhai.literal(value, self.expression)
        if len(code) > LONGEST_LITERAL:
            # JSON has no NaN and nothing of numpy's; what holds such stays in the code, up to what is bearable.
            try:
                return self.json(value)
            except TypeError:
                return code
            except ValueError as error:
                if len(code) > LONGEST_CODE:
                    raise ValueError(f"{error}; pass many numbers as a numpy array") from None
        return code

    def foreign(self, value):
        """Of values that are not Python's own; None for others."""
        numpy, pandas, torch = map(sys.modules.get, ("numpy", "pandas", "torch"))
        if torch and isinstance(value, torch.Tensor):
            value = value.detach().cpu()
            value = value.float().numpy() if value.dtype is torch.bfloat16 else value.numpy()
        if pandas and isinstance(value, pandas.DataFrame):
            return self.table(value)
        if pandas and isinstance(value, pandas.Series):
            return self.expression(column(value))
        if numpy and isinstance(value, numpy.generic):
            return self.expression(value.item())
        if numpy and isinstance(value, numpy.ndarray):
            return self.array(value, numpy)
        return None

    def array(self, value, numpy):
        if value.dtype.kind not in "fiub" or value.dtype.itemsize > 8:
            hint = "; pass array.tolist()" if value.dtype.kind in "OUT" else ""
            raise TypeError(f"an array of {value.dtype} has no form in Rhai, where tensors hold floats{hint}")
        if numpy.ma.isMaskedArray(value):
            raise TypeError("a tensor has no mask; pass array.filled(numpy.nan)")
        if value.ndim == 0:
            return self.expression(value.item())
        if value.dtype.kind in "iu" and value.size:
            largest = max(int(value.max()), -int(value.min()))
            if largest > LARGEST_EXACT:
                raise ValueError(f"the array holds {largest}: tensors hold whole numbers up to 2**53")
        path = self.path("npy")
        numpy.save(path, numpy.asarray(value), allow_pickle=False)
        axes = list(getattr(value, "axes", ()))
        return self.read(path) + (f".with_axes({rhai.literal(axes)})" if axes else "")

    def table(self, frame):
        names = [str(name) for name in frame.columns]
        if len(set(names)) < len(names):
            raise ValueError("the DataFrame has two columns of one name; a table's names differ")
        columns = {}
        for at, name in enumerate(names):
            columns[name] = column(frame.iloc[:, at])
            try:
                json.dumps(columns[name], allow_nan=False)
            except (TypeError, ValueError) as error:
                raise type(error)(f"the DataFrame's column {name!r} cannot be passed: {error}") from None
        return f"ecco::table({self.json(columns)}).select({rhai.literal(names)})"

    def json(self, value):
        path = self.path("json")
        path.write_text(json.dumps(value, allow_nan=False, ensure_ascii=False), encoding="utf-8")
        return self.read(path)

    def path(self, ending):
        self.folder = self.folder or self.make_folder()
        self.n_files += 1
        return self.folder / f"{self.n_files}.{ending}"

    def read(self, path):
        return f"ecco::read({rhai.text(f'{self.folder.name}/{path.name}')})"


def column(series):
    """A column's values; None where one is missing, texts for moments in time."""
    moments = series.dtype.kind in "mM"
    values = series.astype(str).tolist() if moments else series.tolist()
    return [None if missing else value for value, missing in zip(values, series.isna(), strict=True)]


def take(expression, folder, run):
    """The value of a Rhai expression; `run` runs code. Tensors come as arrays, tables as pandas has them or as a list of
    dicts, results as their JSON documents."""
    run(TAKE.replace("FOLDER", folder.name).replace("EXPRESSION", expression))
    note = json.loads(json.loads((folder / "note.jsonl").read_text(encoding="utf-8"))["note"])
    if note["kind"] == "Tensor":
        return array_at(folder / "value.npy", note["axes"])
    if note["kind"] == "Table":
        return table_of(note["rows"], note["columns"])
    if note["kind"] == "f64":
        return float(note["value"])
    if "keys" in note:
        return {key: take(f"{expression}[{rhai.text(key)}]", folder, run) for key in note["keys"]}
    if "len" in note:
        return [take(f"{expression}[{at}]", folder, run) for at in range(note["len"])]
    return note["value"]


def array_at(path, axes):
    try:
        from ecco_kernel import arrays
    except ModuleNotFoundError:
        raise ModuleNotFoundError("a tensor comes as a numpy array: pip install numpy") from None
    return arrays.load(path, axes)


def table_of(rows, columns):
    try:
        import pandas
    except ModuleNotFoundError:
        return [{name: row[name] for name in columns} for row in rows]
    return pandas.DataFrame(rows, columns=columns)
