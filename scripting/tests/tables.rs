//! Tables: what pandas computes of the same, csv as others write it, files that lie, many rows.

#[allow(dead_code)]
mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::Notebook;
use ecco_scripting::{Registry, STACK_BYTES};
use serde_json::Value;

fn register(_: &mut Registry) {}

const TABLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/tables");

fn fixture(name: &str) -> Value {
    let text = std::fs::read_to_string(format!("{TABLES}/{name}")).expect("the fixture is there");
    serde_json::from_str(&text).expect("JSON")
}

/// Runs `test` with a notebook in a folder of its own, on a thread like a session's.
fn in_folder(test: impl FnOnce(&mut Notebook, &Path) + Send) {
    let folder = tempfile::tempdir().expect("a folder");
    on_stack(|| test(&mut Notebook::in_folder(folder.path()), folder.path()));
}

fn on_stack(work: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let thread = thread.spawn_scoped(scope, work).expect("a thread");
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// The value of an expression, by way of a file.
fn value(notebook: &mut Notebook, folder: &Path, table: &str) -> Vec<Value> {
    notebook.text(&format!("({table}).save(\"value.jsonl\")"));
    let text = std::fs::read_to_string(folder.join("value.jsonl")).expect("it was saved");
    let row = |line: &str| serde_json::from_str(line).expect("an object a line");
    text.lines().map(row).collect()
}

/// Whether two values are the same, numbers to the last digits.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            // Maps have no order in scripts, but files have the one of the columns.
            one.keys().eq(other.keys()) && one.values().zip(other.values()).all(|(a, b)| is_same(a, b))
        }
        _ => match (one.as_f64(), other.as_f64()) {
            (Some(one), Some(other)) => (one - other).abs() <= 1e-12 * one.abs().max(1.0),
            _ => one == other,
        },
    }
}

#[test]
fn tables_are_those_of_pandas() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["left.csv", "right.csv"] {
        std::fs::copy(format!("{TABLES}/{name}"), folder.path().join(name)).expect("copied");
    }
    let frames = fixture("frames.json");
    on_stack(|| {
        let mut notebook = Notebook::in_folder(folder.path());
        notebook.text("let left = ecco::read(\"left.csv\"); let right = ecco::read(\"right.csv\");");
        for (code, expected) in frames.as_object().expect("expressions") {
            let found = value(&mut notebook, folder.path(), code);
            let expected = expected.as_array().expect("rows");
            assert_eq!(found.len(), expected.len(), "{code}");
            for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
                assert!(
                    is_same(found, expected),
                    "{code}, row {at}: {found} and not {expected}"
                );
            }
        }
        assert!(frames.as_object().is_some_and(|frames| frames.len() >= 12));
    });
}

#[test]
fn cells_are_those_of_pythons_csv() {
    let cells = fixture("cells.json");
    in_folder(|notebook, folder| {
        for (name, rows) in cells.as_object().expect("files") {
            std::fs::copy(format!("{TABLES}/{name}"), folder.join(name)).expect("copied");
            let delimiter = if name == "semicolons.csv" {
                ", delimiter: \";\""
            } else {
                ""
            };
            let code = format!("ecco::read({name:?}, #{{text: true, header: false{delimiter}}})");
            let found = value(notebook, folder, &code).into_iter();
            let cells = found.map(|row| row.as_object().expect("an object").values().cloned().collect());
            assert_eq!(cells.collect::<Vec<Vec<Value>>>(), as_rows(rows), "{name}");
        }
        let names = "[\"id\", \"text\", \"a,b\", \"column_3\"]";
        assert_eq!(notebook.text("ecco::read(\"usual.csv\").columns"), names);
    });
}

fn as_rows(value: &Value) -> Vec<Vec<Value>> {
    let rows = value.as_array().expect("rows").iter();
    rows.map(|row| row.as_array().expect("cells").clone()).collect()
}

#[test]
fn a_column_is_numbers_only_where_nothing_is_lost() {
    let columns = [
        ("1,-2,,30", "[1, -2, (), 30]"),
        ("1,2.5,1e3", "[1.0, 2.5, 1000.0]"),
        ("NaN,1,inf,-inf", "[NaN, 1.0, inf, -inf]"),
        ("true,,False", "[true, (), false]"),
        // A code, a sign, a gap, a hash of many digits, words.
        ("007,1", "[\"007\", \"1\"]"),
        ("+1,2", "[\"+1\", \"2\"]"),
        ("1 ,2", "[\"1 \", \"2\"]"),
        ("12345678901234567890,1", "[\"12345678901234567890\", \"1\"]"),
        ("9223372036854775807,1", "[9223372036854775807, 1]"),
        ("1,x", "[\"1\", \"x\"]"),
        ("nan,inf", "[\"nan\", \"inf\"]"),
        ("1.,.5", "[\"1.\", \".5\"]"),
        ("1e,2", "[\"1e\", \"2\"]"),
        ("0x1,1", "[\"0x1\", \"1\"]"),
        ("-,1", "[\"-\", \"1\"]"),
    ];
    in_folder(|notebook, folder| {
        for (cells, expected) in columns {
            let text = format!("x,y\n{},0\n", cells.replace(',', ",0\n"));
            std::fs::write(folder.join("x.csv"), text).expect("a file");
            assert_eq!(notebook.text("ecco::read(\"x.csv\").x"), expected, "{cells}");
        }
    });
}

#[test]
fn files_that_lie_say_where() {
    let wide = vec!["a"; 5000].join(",");
    let files: [(&str, &[u8], &str); 11] = [
        (
            "cut.csv",
            b"a,b\n1,2\n3",
            "line 3 has 1 cell, and the first row 2 cells",
        ),
        ("long.csv", b"a,b\n\"x\ny\",2\n1,2,3", "line 4 has 3 cells"),
        (
            "open.csv",
            b"a,b\n1,\"2\n3,4\n",
            "the quote that opens in the row of line 2 is never closed",
        ),
        (
            "behind.csv",
            b"a,b\n\"1\"x,2\n",
            "in the row of line 2 something follows a closing quote",
        ),
        ("twice.csv", b"a,a\n1,2\n", "two columns are called \"a\""),
        ("markup.csv", b"<b>,<b>\n1,2\n", "two columns are called \"<b>\""),
        ("latin.csv", b"a,b\ncaf\xe9,1\n", "0xe9 at byte 7"),
        ("half.tsv", b"\xff\xfea\0\t", "the file's end at byte 5"),
        ("wide.csv", wide.as_bytes(), "at most 4096 columns"),
        (
            "semicolons.csv",
            b"a;b\n1;2,5\n",
            "line 2 has 2 cells, and the first row 1 cell",
        ),
        ("quote.csv", b"\"", "never closed"),
    ];
    in_folder(|notebook, folder| {
        for (name, bytes, said) in files {
            std::fs::write(folder.join(name), bytes).expect("a file");
            let error = notebook.error(&format!("ecco::read({name:?})"));
            assert_eq!(error.name, "ValueError", "{name}: {error:?}");
            assert!(error.value.contains(said), "{name}: {}", error.value);
        }
        std::fs::write(folder.join("none.csv"), b"").expect("a file");
        assert_eq!(notebook.text("ecco::read(\"none.csv\").len()"), "0");
        std::fs::write(folder.join("head.csv"), b"\xef\xbb\xbfa,b\r\n").expect("a file");
        assert_eq!(
            notebook.text("ecco::read(\"head.csv\")"),
            "table of 0 rows, 2 columns\n  a  b"
        );
        let error = notebook.error("ecco::read(\"cut.csv\", #{delimiter: \"ab\"})");
        assert!(
            error.value.contains("cannot stand between cells"),
            "{}",
            error.value
        );
    });
}

#[test]
fn what_is_saved_is_read_again_and_runs_nothing() {
    in_folder(|notebook, folder| {
        let table = "let t = ecco::table([#{n: 1, x: 2.0, s: \"a,\\\"b\\\"\\nc\", f: true}, #{n: -3, x: (), s: \"\", f: false}]);";
        notebook.text(table);
        for name in ["t.csv", "t.tsv"] {
            notebook.text(&format!("t.save({name:?})"));
            let again = format!("ecco::read({name:?}).to_array() == t.to_array()");
            assert_eq!(notebook.text(&again), "true", "{name}");
        }
        notebook.text("t.save(\"t.jsonl\")");
        assert_eq!(
            notebook.text("ecco::table(ecco::read(\"t.jsonl\")).to_array() == t.to_array()"),
            "true"
        );
        notebook
            .text("ecco::table(#{\"=name\": [\"=1+1\", \"@x\", \"-5\", \"\\t\", -5, 1e21]}).save(\"f.csv\")");
        let text = std::fs::read_to_string(folder.join("f.csv")).expect("saved");
        assert_eq!(
            text,
            "\"'=name\"\r\n\"'=1+1\"\r\n\"'@x\"\r\n\"'-5\"\r\n\"'\t\"\r\n-5\r\n1e21\r\n"
        );
        // A row of nothing is a row all the same.
        notebook.text("ecco::table(#{x: [(), 1, ()]}).save(\"one.csv\")");
        assert_eq!(notebook.text("ecco::read(\"one.csv\").x"), "[(), 1, ()]");
        notebook.text("ecco::table([#{a: [1, #{b: \"<i>\"}], c: |x| x}]).save(\"odd.csv\")");
        let text = std::fs::read_to_string(folder.join("odd.csv")).expect("saved");
        assert_eq!(
            text,
            "\"a\",\"c\"\r\n\"[1,{\"\"b\"\":\"\"<i>\"\"}]\",\"closure\"\r\n"
        );
        let error = notebook.error("ecco::table([#{c: |x| x}]).save(\"odd.jsonl\")");
        assert_eq!(error.name, "TypeError", "{error:?}");
        assert!(!folder.join("odd.jsonl").exists(), "half a file");
        notebook.text("t.save(\"t.html\")");
        let page = std::fs::read_to_string(folder.join("t.html")).expect("saved");
        assert!(page.contains("<title>table of 2 rows and 4 columns") && page.contains("ecco-table"));
        assert!(
            notebook
                .error("t.save(\"t.xlsx\")")
                .value
                .contains("does not say how to save")
        );
        assert!(notebook.error("t.save(\"../t.csv\")").value.contains("outside"));
    });
}

/// 100,000 rows: what is done with them takes some seconds of a machine that does something else, too, and no more than the
/// values need.
#[test]
fn a_hundred_thousand_rows_are_usable() {
    in_folder(|notebook, folder| {
        let mut text = String::from("id,label,loss\n");
        for at in 0..100_000_u64 {
            let noise = at * 7919 % 100_003;
            text.push_str(&format!("{at},label {},{}\n", noise % 17, noise as f64 / 64.0));
        }
        std::fs::write(folder.join("t.csv"), text).expect("a file");
        let start = Instant::now();
        notebook.text("let t = ecco::read(\"t.csv\");");
        assert_eq!(notebook.text("t.len()"), "100000");
        assert_eq!(notebook.text("t.sort(\"loss\")[-1].id * 7919 % 100003"), "100002");
        assert_eq!(notebook.text("t.group(\"label\", #{mean: \"loss\"}).len()"), "17");
        assert_eq!(
            notebook.text("t.filter(|row| row.loss < 1.0).len() < 100"),
            "true"
        );
        assert_eq!(notebook.text("t.join(t, \"id\").len()"), "100000");
        notebook.text("t.save(\"again.csv\")");
        let bundle = notebook.run("t").result.expect("shown").expect("a value");
        let page = bundle.data["text/html"].as_str().expect("a page");
        assert!(page.len() < 12 << 20, "{} bytes", page.len());
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
        // A million partners for each row do not fit anywhere.
        let same = "let one = t.with_column(\"id\", |row| 1); one.join(one, \"id\")";
        assert_eq!(notebook.error(same).name, "MemoryError");
    });
}

#[test]
fn work_on_rows_can_be_interrupted() {
    in_folder(|notebook, folder| {
        let text: String = (0..400_000_u64)
            .map(|at| format!("{}\n", at * 7919 % 400_009))
            .collect();
        std::fs::write(folder.join("t.csv"), format!("x\n{text}")).expect("a file");
        notebook.text("let t = ecco::read(\"t.csv\");");
        for code in [
            "loop { ecco::read(\"t.csv\"); }",
            "loop { t.sort(\"x\"); }",
            "loop { t.group(\"x\", #{sum: \"x\"}); }",
            "loop { t.join(t, \"x\"); }",
            "loop { t.filter(|row| row.x > 5); }",
            "loop { t.save(\"u.csv\"); }",
            "loop { t.to_array(); }",
        ] {
            let interrupt = notebook.interrupt.clone();
            let timer = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(60));
                interrupt.request();
                Instant::now()
            });
            let ended = notebook.run(code).result;
            let at = Instant::now();
            let asked = timer.join().expect("it waits");
            notebook.interrupt.clear();
            assert_eq!(
                ended.expect_err("interrupted").name,
                "KeyboardInterrupt",
                "{code}"
            );
            assert!(at - asked < Duration::from_secs(3), "{code}: {:?}", at - asked);
        }
    });
}
