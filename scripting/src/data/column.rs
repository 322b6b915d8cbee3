//! The texts of a file, one after another: no more of it is in memory than some rows.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use rhai::{Dynamic, Map};

use super::parquet::{self, Rows};
use super::{delimited, file, text};
use crate::errors::{ErrorKind, ScriptError};
use crate::library::json;
use crate::tensor::work::Work;

/// Bytes of a row of text at most: some million tokens.
pub(super) const LONGEST: usize = 16 << 20;
/// The column that has texts, where none is named.
const USUAL: &str = "text";

/// Is given a text, and its number.
pub type OnText<'a> = dyn FnMut(usize, &str) -> Result<(), ScriptError> + 'a;

/// Gives the texts of a file of the notebook's folder, or below: of `.csv`, `.tsv`, `.jsonl` and `.parquet` those of a column, `"text"`
/// where none is named (a line of `.jsonl` may be a text itself), of `.txt` and `.md` each line that is not empty. The file is read
/// part by part.
///
/// # Errors
/// Another ending; a column that is not there, or has something else than texts; what is no such file; what `on_text` says; an interrupt.
pub fn each_text(
    path: &str,
    column: Option<&str>,
    work: &Work,
    on_text: &mut OnText,
) -> Result<(), ScriptError> {
    let ending = Path::new(path).extension().and_then(|ending| ending.to_str());
    let ending = ending.unwrap_or_default().to_lowercase();
    let (mut n, name) = (0, column.unwrap_or(USUAL));
    let mut give = |text: &str| {
        work.step(text.len())?;
        n += 1;
        on_text(n - 1, text)
    };
    let named = |error: ScriptError| match (error.kind, &error.at) {
        (ErrorKind::Value, None) => ScriptError {
            message: format!("cannot read \"{path}\": {}", error.message),
            ..error
        },
        _ => error,
    };
    let (opened, len) = match ending.as_str() {
        "txt" | "md" if column.is_some() => {
            let message = format!("option `column` is {name:?}: \"{path}\" has lines, and no columns");
            return Err(ScriptError::new(ErrorKind::Option, message).pointing_at("column"));
        }
        "txt" | "md" | "csv" | "tsv" | "jsonl" | "parquet" => file::open(path, work)?,
        _ => {
            let message = format!("\"{path}\" does not say how to read texts from it");
            return Err(ScriptError::new(ErrorKind::Value, message).with_hint(
                "texts are read from .csv, .tsv, .jsonl and .parquet, line by line from .txt and .md",
            ));
        }
    };
    let read = match ending.as_str() {
        "parquet" => of_parquet(opened, len, name, work, &mut give),
        "csv" | "tsv" => {
            let between = if ending == "csv" { b',' } else { b'\t' };
            of_cells(&mut Lines::new(opened)?, between, name, work, &mut give)
        }
        "jsonl" => of_documents(&mut Lines::new(opened)?, name, work, &mut give),
        _ => of_lines(&mut Lines::new(opened)?, &mut give),
    };
    read.map_err(named)
}

type Give<'a> = dyn FnMut(&str) -> Result<(), ScriptError> + 'a;

fn damaged(message: impl Into<String>) -> ScriptError {
    ScriptError::new(ErrorKind::Value, message)
}

/// # Errors
/// What is no text.
fn text_of(value: &Dynamic, place: impl FnOnce() -> String) -> Result<String, ScriptError> {
    value
        .as_immutable_string_ref()
        .map(|text| text.to_string())
        .map_err(|_| {
            let message = format!(
                "{} is {}, and no text",
                place(),
                crate::result::show::brief(value)
            );
            damaged(message).with_hint("#{column: \"text\"} names the column that has texts")
        })
}

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> ScriptError {
    let message = format!("there is no column {name:?}");
    let error = ScriptError::new(ErrorKind::Index, message).pointing_at("column");
    let shown: Vec<String> = known.clone().take(20).map(|name| format!("{name:?}")).collect();
    let error = error.with_nearest(name, known);
    match error.hint {
        Some(_) => error,
        None => error.with_hint(format!("its columns are {}", shown.join(", "))),
    }
}

fn of_lines(lines: &mut Lines, give: &mut Give) -> Result<(), ScriptError> {
    while let Some(line) = lines.next()? {
        if !line.trim().is_empty() {
            give(&line)?;
        }
    }
    Ok(())
}

fn of_documents(lines: &mut Lines, name: &str, work: &Work, give: &mut Give) -> Result<(), ScriptError> {
    while let Some(line) = lines.next()? {
        if line.trim().is_empty() {
            continue;
        }
        let at = lines.line;
        let value = json::parse(&mut || work.step(1), &line).map_err(|error| match error.kind {
            ErrorKind::Value => damaged(format!("line {at}: {}", error.message)),
            _ => error,
        })?;
        let field = match value.read_lock::<Map>() {
            None => text_of(&value, || format!("line {at}"))?,
            Some(row) => match row.get(name) {
                Some(field) => text_of(field, || format!("{name} in line {at}"))?,
                None => return Err(unknown(name, row.keys().map(|key| key.as_str()))),
            },
        };
        give(&field)?;
    }
    Ok(())
}

fn of_cells(
    lines: &mut Lines,
    between: u8,
    name: &str,
    work: &Work,
    give: &mut Give,
) -> Result<(), ScriptError> {
    let mut names: Option<(usize, usize)> = None;
    let (mut rows, mut start, mut quotes) = (String::new(), 1, delimited::Quotes::default());
    loop {
        let line = lines.next_whole()?;
        if rows.is_empty() {
            start = lines.line;
        }
        let is_last = line.is_none();
        let line = line.unwrap_or_default();
        rows.push_str(&line);
        // Within quotes a line's end is a text's.
        if !is_last && quotes.are_open_after(&line, between) {
            if rows.len() > LONGEST {
                return Err(too_long(start));
            }
            continue;
        }
        delimited::each_row(&rows, between, start, &mut |line, cells| {
            work.step(cells.len())?;
            match names {
                None => {
                    let at = cells.iter().position(|cell| cell == name);
                    let at = at.ok_or_else(|| unknown(name, cells.iter().map(|cell| &**cell)))?;
                    names = Some((at, cells.len()));
                    Ok(())
                }
                Some((_, n)) if cells.len() != n => Err(delimited::uneven(line, cells.len(), n)),
                Some((at, _)) => give(&cells[at]),
            }
        })?;
        rows.clear();
        if is_last {
            return Ok(());
        }
    }
}

fn of_parquet(file: File, len: u64, name: &str, work: &Work, give: &mut Give) -> Result<(), ScriptError> {
    let reader = parquet::Reader::open(file, len, work)?;
    let known = || reader.names().iter().map(String::as_str);
    let at = known()
        .position(|known| known == name)
        .ok_or_else(|| unknown(name, known()))?;
    let mut columns: Vec<Vec<Dynamic>> = vec![Vec::new(); reader.names().len()];
    let mut row = 0;
    for group in 0..reader.n_groups() {
        let mut rows: Rows = reader.rows(group)?;
        while rows.next(&mut columns, work)? {
            for value in &columns[at] {
                give(&text_of(value, || format!("{name} of row {row}"))?)?;
                row += 1;
            }
            columns.iter_mut().for_each(Vec::clear);
        }
    }
    Ok(())
}

fn too_long(line: usize) -> ScriptError {
    damaged(format!(
        "the row in line {line} has more than {} MB",
        LONGEST >> 20
    ))
}

/// A file's lines, as text.
struct Lines {
    from: BufReader<File>,
    /// The number of the last one.
    line: usize,
    /// Where the next one begins in the file.
    at: usize,
}

impl Lines {
    fn new(file: File) -> Result<Self, ScriptError> {
        let mut from = BufReader::with_capacity(1 << 18, file);
        let start = from.fill_buf().map_err(unreadable)?;
        if start.starts_with(b"\xff\xfe")
            || start.starts_with(b"\xfe\xff")
            || start.starts_with(b"\0\0\xfe\xff")
        {
            return Err(
                damaged("it is in UTF-16 or UTF-32, and a file is read in parts as UTF-8")
                    .with_hint("read it whole, ecco::read(path), or save it as UTF-8"),
            );
        }
        let mark = if start.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        from.consume(mark);
        Ok(Self {
            from,
            line: 0,
            at: mark,
        })
    }

    /// The next one with its end.
    fn next_whole(&mut self) -> Result<Option<String>, ScriptError> {
        let mut bytes = Vec::new();
        let limit = LONGEST as u64 + 1;
        let n = self
            .from
            .by_ref()
            .take(limit)
            .read_until(b'\n', &mut bytes)
            .map_err(unreadable)?;
        if n == 0 {
            return Ok(None);
        }
        self.line += 1;
        if n > LONGEST {
            return Err(too_long(self.line));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let place = error.utf8_error().valid_up_to();
            text::no_text("UTF-8", self.at + place, error.as_bytes().get(place).copied())
        })?;
        self.at += n;
        Ok(Some(text))
    }

    /// The next one without its end.
    fn next(&mut self) -> Result<Option<String>, ScriptError> {
        let line = self.next_whole()?;
        Ok(line.map(|mut line| {
            line.truncate(line.trim_end_matches(['\r', '\n']).len());
            line
        }))
    }
}

fn unreadable(error: std::io::Error) -> ScriptError {
    ScriptError::new(ErrorKind::Os, format!("cannot read it: {error}"))
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use ecco_interpreter::Interrupt;

    use super::*;
    use crate::session::State;

    /// The texts of a file, each behind its number; or what is wrong with it.
    fn texts(name: &str, bytes: &[u8], column: Option<&str>) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(name), bytes).expect("a file");
        let state = State::new(Interrupt::default());
        *state.folder.borrow_mut() = folder.path().to_owned();
        let mut all = Vec::new();
        let read = each_text(name, column, &Work::new(Rc::new(state)), &mut |at, text| {
            all.push(format!("{at} {text}"));
            Ok(())
        });
        read.map(|()| all).map_err(|error| error.message)
    }

    #[test]
    fn rows_have_their_texts_in_every_form() {
        let expected = ["0 one, and", "1 \"two\"\nlines", "2 é"];
        let csv = "\u{feff}n,text\r\n1,\"one, and\"\n\n2,\"\"\"two\"\"\nlines\"\r\n3,é";
        assert_eq!(texts("a.csv", csv.as_bytes(), None).unwrap(), expected);
        let tsv = "said\tn\none, and\t1\n\"\"\"two\"\"\nlines\"\t2\né\t3\n";
        assert_eq!(texts("a.tsv", tsv.as_bytes(), Some("said")).unwrap(), expected);
        let jsonl = "{\"text\": \"one, and\", \"n\": 1}\n\n\"\\\"two\\\"\\nlines\"\r\n{\"text\":\"\u{e9}\"}";
        assert_eq!(texts("a.jsonl", jsonl.as_bytes(), None).unwrap(), expected);
        assert_eq!(
            texts("a.txt", b"one\r\n\n two\n", None).unwrap(),
            ["0 one", "1  two"]
        );
        assert_eq!(texts("a.md", b"", None).unwrap(), [""; 0]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let error = |name: &str, bytes: &[u8], column| texts(name, bytes, column).unwrap_err();
        assert_eq!(error("a.csv", b"n,m\n1,2\n", None), "there is no column \"text\"");
        assert_eq!(
            error("a.csv", b"text,n\n\"a\nb\",1\nc\n", None),
            "cannot read \"a.csv\": line 4 has 1 cell, and the first row 2 cells"
        );
        assert!(error("a.csv", b"text\nx\n\"a\n", None).contains("in the row of line 3 is never closed"));
        assert!(error("a.txt", b"ab\nc\xff\n", None).contains("0xff at byte 4"));
        assert!(error("a.txt", b"\xff\xfea\0", None).contains("UTF-16"));
        assert!(error("a.txt", b"a", Some("text")).contains("has lines, and no columns"));
        assert_eq!(
            error("a.jsonl", b"{\"text\": 5}\n", None),
            "cannot read \"a.jsonl\": text in line 1 is 5 (int), and no text"
        );
        assert!(error("a.jsonl", b"\"a\"\n{\n", None).contains("line 2: "));
        assert!(error("a.npy", b"", None).contains("does not say how to read texts"));
        let mut long = b"text\n\"".to_vec();
        long.resize(LONGEST + 100, b'a');
        assert!(error("a.csv", &long, None).contains("line 2 has more than 16 MB"));
        let mut long = b"text\n\"".to_vec();
        (0..LONGEST / 1000 + 2).for_each(|_| long.extend([b"a".repeat(1023), b"\n".to_vec()].concat()));
        assert!(error("a.csv", &long, None).contains("more than 16 MB"));
    }
}
