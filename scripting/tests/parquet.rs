//! `.parquet`: what pyarrow wrote, what is written and read again, and files that lie about themselves.

#[allow(dead_code)]
mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::Notebook;
use ecco_scripting::{Registry, STACK_BYTES};
use serde_json::Value;

fn register(_: &mut Registry) {}

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/parquet");

/// Runs `test` on a session's stack, with a notebook in a folder with the fixtures.
fn in_folder(test: impl FnOnce(&mut Notebook, &Path) + Send) {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["types.parquet", "pages.parquet"] {
        std::fs::copy(format!("{FIXTURES}/{name}"), folder.path().join(name)).expect("the fixture is there");
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let work = || test(&mut Notebook::in_folder(folder.path()), folder.path());
        if let Err(panic) = thread.spawn_scoped(scope, work).expect("a thread").join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// The error of reading a file, with its kind; none where it can be read.
fn refusal(notebook: &mut Notebook, name: &str) -> Option<String> {
    let read = notebook.run(&format!("let x = ecco::read({name:?});")).result;
    read.err().map(|error| format!("{}: {}", error.name, error.value))
}

#[test]
fn what_pyarrow_wrote_is_what_pyarrow_reads() {
    let values = std::fs::read_to_string(format!("{FIXTURES}/values.json")).expect("the fixture is there");
    let values: Value = serde_json::from_str(&values).expect("JSON");
    in_folder(|notebook, _| {
        for (name, columns) in values.as_object().expect("files") {
            let columns = columns.as_object().expect("columns");
            notebook
                .run(&format!("let table = ecco::read({name:?});"))
                .result
                .expect(name);
            let names: Vec<&String> = columns.keys().collect();
            assert_eq!(
                notebook.text(&format!("table.columns == {names:?}")),
                "true",
                "{name}"
            );
            for (column, wanted) in columns {
                let found = notebook.text(&format!("table[{column:?}] == parse_json(`{wanted}`)"));
                assert_eq!(
                    found,
                    "true",
                    "{name} {column}: {}",
                    notebook.text(&format!("table[{column:?}]"))
                );
            }
        }
    });
}

#[test]
fn what_is_written_is_read_again() {
    in_folder(|notebook, _| {
        for name in ["types.parquet", "pages.parquet"] {
            notebook.run(&format!("let table = ecco::read({name:?}); table.save(\"again.parquet\"); let again = ecco::read(\"again.parquet\");")).result.expect(name);
            assert_eq!(notebook.text("again.columns == table.columns"), "true");
            for column in [
                "text", "list", "n", "moment", "nested", "chat", "struct", "whole", "number", "truth",
            ] {
                let is_there = notebook.text(&format!("table.columns.contains({column:?})"));
                let same = notebook.text(&format!(
                    "!table.columns.contains({column:?}) || again[{column:?}] == table[{column:?}]"
                ));
                assert_eq!(same, "true", "{name} {column} {is_there}");
            }
        }
        // Several row groups, and numbers of both kinds, which are floats then.
        let many = "let n = []; let x = []; for i in 0..150000 { n.push(`row ${i % 7}`); x.push(if i % 2 == 0 { i } else { i + 0.5 }); }\n\
                    ecco::table(#{n: n, x: x}).save(\"many.parquet\"); let again = ecco::read(\"many.parquet\");\n\
                    let y = again[\"x\"]; [again.len(), again[\"n\"] == n, y[149999] == 149999.5, y[2] == 2.0, type_of(y[2])] == [150000, true, true, true, \"f64\"]";
        assert_eq!(notebook.text(many), "true");
        let none =
            "ecco::table(#{n: []}).save(\"none.parquet\"); ecco::read(\"none.parquet\").columns == [\"n\"]";
        assert_eq!(notebook.text(none), "true");
    });
}

#[test]
fn values_without_a_form_name_their_column() {
    in_folder(|notebook, folder| {
        for (table, said) in [
            (
                "#{a: [1, 2], x: [1, \"b\"]}",
                "column \"x\" has values of several kinds: \"b\"",
            ),
            ("#{x: [#{}]}", "column \"x\" has maps of nothing"),
            ("#{x: [[1, \"a\"]]}", "column \"x\" has"),
            ("#{x: [ecco::zeros([2])]}", "column \"x\" has"),
            ("#{}", "a table without columns"),
        ] {
            let error = notebook
                .run(&format!("ecco::table({table}).save(\"t.parquet\")"))
                .result;
            let error = error.expect_err(table);
            assert!(error.value.contains(said), "{table}: {error:?}");
        }
        assert!(!folder.join("t.parquet").exists());
    });
}

/// Every beginning of a good file, and every byte of it exchanged: an error or a table, and the session lives.
#[test]
fn damaged_files_are_errors() {
    in_folder(|notebook, folder| {
        for name in ["types.parquet", "pages.parquet"] {
            let whole = std::fs::read(folder.join(name)).expect("there");
            let mut check = |bytes: &[u8], must_fail: bool, what: &str| {
                std::fs::write(folder.join("x.parquet"), bytes).expect("a file");
                let error = refusal(notebook, "x.parquet");
                assert!(error.is_some() || !must_fail, "{name} {what} was read");
                let is_said =
                    |error: &String| error.starts_with("ValueError") || error.starts_with("MemoryError");
                assert!(error.as_ref().is_none_or(is_said), "{name} {what}: {error:?}");
            };
            for len in (0..whole.len()).step_by(11) {
                check(&whole[..len], true, &format!("cut at {len}"));
            }
            for at in (0..whole.len()).step_by(2) {
                let mut other = whole.clone();
                let change = [0x01, 0x80, 0xff][at / 2 % 3];
                other[at] ^= change;
                check(&other, false, &format!("{change:#x} at {at}"));
            }
        }
        assert_eq!(notebook.text("1 + 1"), "2");
    });
}

/// A structure of thrift's compact protocol.
#[derive(Default)]
struct Thrift {
    bytes: Vec<u8>,
    last: u8,
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn zigzag(number: i64) -> Vec<u8> {
    varint((number << 1 ^ number >> 63) as u64)
}

impl Thrift {
    fn field(mut self, id: u8, kind: u8, bytes: &[u8]) -> Self {
        self.bytes.push((id - self.last) << 4 | kind);
        self.bytes.extend(bytes);
        self.last = id;
        self
    }

    fn number(self, id: u8, number: i64) -> Self {
        self.field(id, 5, &zigzag(number))
    }

    fn long(self, id: u8, number: i64) -> Self {
        self.field(id, 6, &zigzag(number))
    }

    fn text(self, id: u8, text: &str) -> Self {
        self.field(id, 8, &[varint(text.len() as u64), text.into()].concat())
    }

    fn list(self, id: u8, kind: u8, items: &[Vec<u8>]) -> Self {
        self.field(
            id,
            9,
            &[vec![0xf0 | kind], varint(items.len() as u64), items.concat()].concat(),
        )
    }

    fn end(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }
}

/// A page: its kind, codec's bytes, what it claims to unpack to, its values and encoding.
fn page(kind: i64, body: &[u8], size: i64, n_values: i64, encoding: i64) -> Vec<u8> {
    let inner = Thrift::default().number(1, n_values).number(2, encoding);
    let (id, inner) = match kind {
        2 => (7, inner),
        _ => (5, inner.number(3, 3).number(4, 3)),
    };
    let head = Thrift::default()
        .number(1, kind)
        .number(2, size)
        .number(3, body.len() as i64);
    [head.field(id, 12, &inner.end()).end(), body.to_vec()].concat()
}

/// A file with one column of texts that are all there.
fn file(
    pages: &[u8],
    has_dictionary: bool,
    codec: i64,
    n_rows: i64,
    schema: Option<Vec<Vec<u8>>>,
) -> Vec<u8> {
    let root = Thrift::default().text(4, "root").number(5, 1).end();
    let text = Thrift::default().number(1, 6).number(3, 0).text(4, "x").end();
    let column = Thrift::default().number(1, 6).list(2, 5, &[zigzag(0)]).list(
        3,
        8,
        &[[varint(1), b"x".to_vec()].concat()],
    );
    let column = column
        .number(4, codec)
        .long(5, n_rows)
        .long(6, pages.len() as i64)
        .long(7, pages.len() as i64);
    let column = column.long(9, 4);
    let column = if has_dictionary {
        column.long(11, 4)
    } else {
        column
    };
    let chunk = Thrift::default().long(2, 4).field(3, 12, &column.end()).end();
    let group = Thrift::default()
        .list(1, 12, &[chunk])
        .long(2, pages.len() as i64)
        .long(3, n_rows)
        .end();
    let schema = schema.unwrap_or_else(|| vec![root, text]);
    let footer = Thrift::default()
        .number(1, 1)
        .list(2, 12, &schema)
        .long(3, n_rows)
        .list(4, 12, &[group])
        .end();
    let size = (footer.len() as u32).to_le_bytes();
    [b"PAR1", pages, &footer, &size, b"PAR1"].concat()
}

const PLAIN: i64 = 0;
const BY_DICTIONARY: i64 = 8;
const GZIP: i64 = 2;
const ZSTD: i64 = 6;

#[test]
fn what_a_file_claims_is_refused_before_it_is_taken() {
    let text = |text: &str| [&(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat();
    let dictionary = page(2, &text("ab"), 6, 1, PLAIN);
    // Three times the one text of the dictionary.
    let few = [dictionary.clone(), page(0, &[1, 6, 0], 3, 3, BY_DICTIONARY)].concat();
    let most = i64::from(i32::MAX);
    let run = [vec![1], varint(most as u64 * 2), vec![0]].concat();
    let endless = [dictionary, page(0, &run, run.len() as i64, most, BY_DICTIONARY)].concat();
    let large_dictionary = page(2, &text("ab"), 6, most, PLAIN);
    let packed = page(0, b"abc", 100, 1, PLAIN);
    let groups = |n: usize, children: i64| {
        let group = Thrift::default()
            .number(3, 0)
            .text(4, "g")
            .number(5, children)
            .end();
        Some(vec![group; n])
    };
    let snappy = page(0, &[varint(u64::from(u32::MAX)), vec![0]].concat(), 100, 1, PLAIN);
    let wide = page(0, &text("ab"), 6, 1, 7);
    in_folder(|notebook, folder| {
        std::fs::write(folder.join("few.parquet"), file(&few, true, 0, 3, None)).expect("a file");
        assert_eq!(
            notebook.text("ecco::read(\"few.parquet\")[\"x\"]"),
            "[\"ab\", \"ab\", \"ab\"]"
        );
        for (what, bytes, kind, said) in [
            (
                "rows",
                file(&few, true, 0, most, None),
                "ValueError",
                "fewer rows than it says",
            ),
            ("no rows", file(&few, true, 0, -1, None), "ValueError", ""),
            (
                "endless",
                file(&endless, true, 0, most, None),
                "MemoryError",
                "this would take",
            ),
            ("dictionary", file(&large_dictionary, true, 0, 3, None), "", ""),
            (
                "gzip",
                file(&packed, false, GZIP, 1, None),
                "ValueError",
                "packed to is damaged",
            ),
            (
                "zstd",
                file(&packed, false, ZSTD, 1, None),
                "ValueError",
                "packed to is damaged",
            ),
            ("snappy", file(&snappy, false, 1, 1, None), "", ""),
            (
                "brotli",
                file(&packed, false, 4, 1, None),
                "ValueError",
                "packed by BROTLI, which is not read here",
            ),
            (
                "delta",
                file(&wide, false, 0, 1, None),
                "ValueError",
                "DELTA_BYTE_ARRAY, which is not read here",
            ),
            (
                "deep",
                file(&few, true, 0, 3, groups(100_000, 1)),
                "ValueError",
                "nested more than 32 levels deep",
            ),
            (
                "children",
                file(&few, true, 0, 3, groups(3, most)),
                "ValueError",
                "names more columns than it has",
            ),
        ] {
            std::fs::write(folder.join("x.parquet"), &bytes).expect("a file");
            let start = Instant::now();
            let error = refusal(notebook, "x.parquet").expect(what);
            let is_said = error.starts_with("ValueError") || error.starts_with("MemoryError");
            assert!(
                is_said && error.starts_with(kind) && error.contains(said),
                "{what}: {error}"
            );
            assert!(
                start.elapsed() < Duration::from_secs(120),
                "{what}: {:?}",
                start.elapsed()
            );
        }
        assert_eq!(notebook.text("1 + 1"), "2");
    });
}
