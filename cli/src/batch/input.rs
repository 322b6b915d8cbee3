//! The rows of an input, one after another: no more of it is in memory than the next.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use ecco_scripting::data::parquet::JsonRows;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use sha2::{Digest, Sha256};

/// A longer line is no row: 16 MB of text are some million tokens.
const LONGEST: u64 = 16 << 20;
/// So many bytes at both ends of a file tell it from others.
const END: u64 = 64 << 10;
const MARK: &[u8] = "\u{feff}".as_bytes();

/// How far an input was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Bytes, of lines; rows, of a table.
    pub offset: u64,
    /// The number of the next row.
    pub row: u64,
    /// Lines before it.
    pub line: u64,
}

/// A row, or why one is none.
pub(super) struct Item {
    pub row: u64,
    /// Its line, from 1, where the input has lines.
    pub line: Option<u64>,
    pub value: Result<Box<RawValue>, String>,
}

/// What an input is, to know it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fingerprint {
    pub path: PathBuf,
    /// `None` for a stream.
    pub bytes: Option<u64>,
    /// SHA-256 of the first and the last 64 kB.
    pub sha256_of_ends: Option<String>,
}

pub(super) struct Input {
    rows: Rows,
    position: Position,
    /// The offset of its end, where that is known.
    pub length: Option<u64>,
    pub fingerprint: Fingerprint,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Documents,
    Texts,
    Parquet,
}

enum Rows {
    /// A JSON value a line, or a text.
    Lines {
        from: Box<dyn BufRead>,
        are_texts: bool,
    },
    Parquet(Box<JsonRows>),
}

impl Input {
    /// Opens a file by its ending, or standard input for `-`, whose lines are JSON.
    ///
    /// # Errors
    /// What cannot be read, and endings that nothing here reads.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::of_lines(
                Box::new(BufReader::new(std::io::stdin())),
                false,
                Fingerprint {
                    path: path.to_owned(),
                    bytes: None,
                    sha256_of_ends: None,
                },
            ));
        }
        let ending = path.extension().and_then(|ending| ending.to_str());
        let form = match ending {
            Some("jsonl" | "ndjson") => Form::Documents,
            Some("txt") => Form::Texts,
            Some("parquet") => Form::Parquet,
            _ => bail!(
                "{} is no input: expected .jsonl (a JSON value a line), .txt (a text a line), .parquet, or - for JSON lines on \
                 standard input. In a cell `ecco::read(\"x.csv\").save(\"x.jsonl\")` makes one of a table",
                path.display()
            ),
        };
        let mut file = File::open(path).with_context(|| format!("could not open {}", path.display()))?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            bail!("{} is a folder", path.display());
        }
        let is_stream = !metadata.is_file();
        let fingerprint = Fingerprint {
            path: path.to_owned(),
            bytes: (!is_stream).then_some(metadata.len()),
            sha256_of_ends: match is_stream {
                true => None,
                false => Some(of_ends(&mut file, metadata.len())?),
            },
        };
        if form == Form::Parquet {
            let rows = JsonRows::open(path).map_err(|why| anyhow!("{}: {why}", path.display()))?;
            return Ok(Self {
                length: Some(rows.len()),
                rows: Rows::Parquet(Box::new(rows)),
                position: Position::default(),
                fingerprint,
            });
        }
        let from = Box::new(BufReader::with_capacity(1 << 18, file));
        Ok(Self::of_lines(from, form == Form::Texts, fingerprint))
    }

    fn of_lines(from: Box<dyn BufRead>, are_texts: bool, fingerprint: Fingerprint) -> Self {
        Self {
            length: fingerprint.bytes,
            rows: Rows::Lines { from, are_texts },
            position: Position::default(),
            fingerprint,
        }
    }

    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// Passes over all that was read before; what is skipped is read, since a stream cannot be placed anew.
    ///
    /// # Errors
    /// An input that ends before.
    pub(super) fn skip_to(&mut self, position: Position) -> anyhow::Result<()> {
        match &mut self.rows {
            Rows::Lines { from, .. } => {
                let skipped = std::io::copy(&mut from.take(position.offset), &mut std::io::sink())?;
                if skipped < position.offset {
                    bail!(
                        "the input ends after {skipped} bytes, and {} of it were done",
                        position.offset
                    );
                }
            }
            Rows::Parquet(rows) => rows.skip(position.offset).map_err(anyhow::Error::msg)?,
        }
        self.position = position;
        Ok(())
    }

    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// What cannot be read.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Item>> {
        let (from, are_texts) = match &mut self.rows {
            Rows::Lines { from, are_texts } => (from, are_texts),
            Rows::Parquet(rows) => {
                let row = self.position.row;
                let next = rows
                    .next()
                    .map_err(|why| anyhow!("row {row} of the input: {why}"))?;
                self.position.row += u64::from(next.is_some());
                self.position.offset = self.position.row;
                let item = |text: String| {
                    Ok(Item {
                        row,
                        line: None,
                        value: Ok(RawValue::from_string(text)?),
                    })
                };
                return next.map(item).transpose();
            }
        };
        loop {
            let Some(line) = line(from)? else {
                return Ok(None);
            };
            let is_first = self.position.offset == 0;
            self.position.offset += line.length;
            self.position.line += 1;
            let mut bytes = &line.bytes[..];
            if is_first {
                bytes = bytes.strip_prefix(MARK).unwrap_or(bytes);
            }
            if !line.is_too_long && bytes.trim_ascii().is_empty() {
                continue;
            }
            let value = match (line.is_too_long, *are_texts) {
                (true, _) => Err(format!(
                    "the line has {} bytes, and a row at most {LONGEST}",
                    line.length
                )),
                (false, true) => text(bytes),
                (false, false) => document(bytes),
            };
            let row = self.position.row;
            self.position.row += 1;
            return Ok(Some(Item {
                row,
                line: Some(self.position.line),
                value,
            }));
        }
    }
}

struct Line {
    /// Without its end; cut where it is too long.
    bytes: Vec<u8>,
    /// Bytes that it takes, with its end.
    length: u64,
    is_too_long: bool,
}

fn line(from: &mut dyn BufRead) -> std::io::Result<Option<Line>> {
    let mut bytes = Vec::new();
    let mut length = from.take(LONGEST + 1).read_until(b'\n', &mut bytes)? as u64;
    if length == 0 {
        return Ok(None);
    }
    let is_too_long = length > LONGEST && bytes.last() != Some(&b'\n');
    if is_too_long {
        bytes = Vec::new();
        length += from.skip_until(b'\n')? as u64;
    }
    while bytes.last().is_some_and(|byte| b"\r\n".contains(byte)) {
        bytes.pop();
    }
    Ok(Some(Line {
        bytes,
        length,
        is_too_long,
    }))
}

fn document(bytes: &[u8]) -> Result<Box<RawValue>, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("this is no JSON: {error}"))
}

fn text(bytes: &[u8]) -> Result<Box<RawValue>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("this is no UTF-8: {error}"))?;
    to_raw_value(&json!({"text": text})).map_err(|error| error.to_string())
}

/// Leaves the file at its beginning.
fn of_ends(file: &mut File, length: u64) -> std::io::Result<String> {
    let mut sha = Sha256::new();
    for start in [0, length.saturating_sub(END)] {
        file.seek(SeekFrom::Start(start))?;
        std::io::copy(&mut file.by_ref().take(END), &mut sha)?;
    }
    file.rewind()?;
    Ok(super::hexadecimal(&sha.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, bytes: &[u8]) -> (Vec<String>, Position) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        let mut input = Input::open(&path).expect("an input");
        let mut said = Vec::new();
        while let Some(item) = input.next().expect("a readable file") {
            let value = item.value.map_or_else(|why| why, |value| value.get().to_owned());
            said.push(format!("{} {} {value}", item.row, item.line.unwrap_or(0)));
        }
        (said, input.position())
    }

    #[test]
    fn rows_are_numbered_and_lines_too() {
        let (said, position) = read("a.jsonl", "\u{feff}{\"a\": 1}\r\n\n[2]\n{\n\"\u{e9}\"".as_bytes());
        assert_eq!(said[..2], ["0 1 {\"a\": 1}", "1 3 [2]"]);
        assert!(said[2].starts_with("2 4 this is no JSON: EOF"), "{}", said[2]);
        assert_eq!(said[3], "3 5 \"\u{e9}\"");
        assert_eq!((position.row, position.line), (4, 5));
        assert_eq!(read("a.txt", b"one\n\ntwo\xff\n").0[0], "0 1 {\"text\":\"one\"}");
        assert!(read("a.txt", b"one\n\ntwo\xff\n").0[1].starts_with("1 3 this is no UTF-8"));
    }

    #[test]
    fn a_line_that_is_too_long_takes_no_memory_and_the_next_is_read() {
        let mut bytes = vec![b'1'; (LONGEST + 5) as usize];
        bytes.extend(b"\n7\n");
        let (said, position) = read("a.jsonl", &bytes);
        assert!(
            said[0].starts_with("0 1 the line has 16777222 bytes"),
            "{}",
            said[0]
        );
        assert_eq!(said[1], "1 2 7");
        assert_eq!(position.offset, bytes.len() as u64);
    }

    #[test]
    fn what_was_done_is_passed_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.jsonl");
        std::fs::write(&path, "1\n2\n3\n").expect("a file");
        let mut input = Input::open(&path).expect("an input");
        input.next().expect("a row");
        let position = input.position();
        let mut again = Input::open(&path).expect("an input");
        again.skip_to(position).expect("a place in it");
        let item = again.next().expect("readable").expect("a second row");
        assert_eq!(
            (item.row, item.value.map(|value| value.get().to_owned())),
            (1, Ok("2".into()))
        );
        let beyond = Position {
            offset: 99,
            ..position
        };
        assert!(Input::open(&path).expect("an input").skip_to(beyond).is_err());
    }
}
