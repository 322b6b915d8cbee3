//! Rows of a file as JSON, and lines of JSON as a file: of inputs and results that no memory holds.

use std::fs::File;
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::rc::Rc;

use ecco_interpreter::Interrupt;
use rhai::{Dynamic, Map};

use super::kind::Kind;
use super::reading::{Reader, Rows};
use super::writing::Writer;
use crate::errors::ScriptError;
use crate::library::json;
use crate::session::State;
use crate::tensor::work::Work;

/// Rows that become a group together, at most.
const TOGETHER: usize = 1 << 12;

/// The rows of a file, one after another: an object each.
pub struct JsonRows {
    reader: Reader,
    work: Work,
    /// The group that is read next.
    group: usize,
    rows: Option<Rows>,
    /// Of the columns, what was read and not given yet; how many of it were given.
    read: Vec<Vec<Dynamic>>,
    given: usize,
}

impl JsonRows {
    /// # Errors
    /// What is no such file, or lies about itself.
    pub fn open(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(said)?;
        let len = file.metadata().map_err(said)?.len();
        let work = work();
        let reader = Reader::open(file, len, &work).map_err(message)?;
        let read = vec![Vec::new(); reader.names().len()];
        Ok(Self {
            reader,
            work,
            group: 0,
            rows: None,
            read,
            given: 0,
        })
    }

    /// How many there are, as the file says.
    pub fn len(&self) -> u64 {
        (0..self.reader.n_groups())
            .map(|group| self.reader.n_rows(group))
            .sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Passes over so many rows of a file of which none was read; groups of them are not read.
    ///
    /// # Errors
    /// As [`JsonRows::next`].
    pub fn skip(&mut self, mut n: u64) -> Result<(), String> {
        while self.group < self.reader.n_groups() && self.reader.n_rows(self.group) <= n {
            n -= self.reader.n_rows(self.group);
            self.group += 1;
        }
        for _ in 0..n {
            self.next()?;
        }
        Ok(())
    }

    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// A file that is damaged, what is not read here, no room.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<String>, String> {
        while self.given == self.read.first().map_or(0, Vec::len) {
            self.read.iter_mut().for_each(Vec::clear);
            self.given = 0;
            let rows = match &mut self.rows {
                Some(rows) => rows,
                None if self.group == self.reader.n_groups() => return Ok(None),
                None => {
                    self.group += 1;
                    self.rows
                        .insert(self.reader.rows(self.group - 1).map_err(message)?)
                }
            };
            if !rows.next(&mut self.read, &self.work).map_err(message)? {
                self.rows = None;
            }
        }
        let values = self.read.iter().map(|column| column[self.given].clone());
        let names = self.reader.names().iter().map(|name| name.as_str().into());
        let row: Map = names.zip(values).collect();
        self.given += 1;
        json::text(&self.work, &row.into()).map(Some).map_err(message)
    }
}

/// Makes a file of lines that are objects: a column for each field, missing where a line does not have it. `lines` is asked twice, for what
/// columns there are and for their values.
///
/// # Errors
/// Fields whose values are of several kinds, what has no form in such a file, and what cannot be read or written.
pub fn from_lines<R: BufRead>(lines: impl Fn() -> io::Result<R>, out: &mut dyn Write) -> io::Result<u64> {
    let work = work();
    let mut columns: Vec<(String, Kind)> = Vec::new();
    each(lines()?, |row| {
        for (name, value) in &row {
            let kind = Kind::of_column(name, std::slice::from_ref(value), &work).map_err(io::Error::other)?;
            match columns.iter_mut().find(|(known, _)| known == name.as_str()) {
                Some((_, known)) => known.join(name, kind).map_err(io::Error::other)?,
                None => columns.push((name.to_string(), kind)),
            }
        }
        Ok(())
    })?;
    let names: Vec<String> = columns.iter().map(|(name, _)| name.clone()).collect();
    let mut writer = Writer::new(columns).map_err(io::Error::other)?;
    let (mut waiting, mut n_rows) = (vec![Vec::new(); names.len()], 0);
    let mut write = |waiting: &mut Vec<Vec<Dynamic>>, most: usize, out: &mut dyn Write| {
        while waiting[0].len() > most {
            let columns: Vec<&[Dynamic]> = waiting.iter().map(Vec::as_slice).collect();
            let n = writer.group(&columns, out, &work)?;
            waiting.iter_mut().for_each(|column| drop(column.drain(..n)));
        }
        Ok::<_, io::Error>(())
    };
    each(lines()?, |mut row| {
        for (name, column) in names.iter().zip(&mut waiting) {
            column.push(row.remove(name.as_str()).unwrap_or(Dynamic::UNIT));
        }
        n_rows += 1;
        write(&mut waiting, TOGETHER - 1, out)
    })?;
    write(&mut waiting, 0, out)?;
    writer.finish(out)?;
    Ok(n_rows)
}

fn each(lines: impl BufRead, mut work: impl FnMut(Map) -> io::Result<()>) -> io::Result<()> {
    for line in lines.lines() {
        let value = json::parse(&mut || Ok(()), &line?).map_err(io::Error::other)?;
        let row = value.try_cast::<Map>();
        work(row.ok_or_else(|| io::Error::other("a line that is no object"))?)?;
    }
    Ok(())
}

/// Work that no session does.
fn work() -> Work {
    Work::new(Rc::new(State::new(Interrupt::default())))
}

fn said(error: io::Error) -> String {
    error.to_string()
}

fn message(error: ScriptError) -> String {
    error.message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_a_file_and_its_rows_the_lines_again() {
        let mut lines = String::new();
        for at in 0..10_000 {
            lines += &match at % 3 {
                0 => format!("{{\"row\":{at},\"x\":{at}.5,\"name\":\"n{at}\"}}\n"),
                1 => format!("{{\"row\":{at},\"x\":{at}}}\n"),
                _ => format!("{{\"row\":{at},\"list\":[1,{at}]}}\n"),
            };
        }
        let mut bytes = Vec::new();
        let n = from_lines(|| Ok(lines.as_bytes()), &mut bytes).expect("lines of one kind");
        assert_eq!(n, 10_000);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rows.parquet");
        std::fs::write(&path, bytes).expect("a file");
        let mut rows = JsonRows::open(&path).expect("a file of ours");
        assert_eq!(rows.len(), 10_000);
        rows.skip(6_001).expect("rows before");
        let first = rows.next().expect("readable");
        assert_eq!(
            first.as_deref(),
            Some("{\"list\":null,\"name\":null,\"row\":6001,\"x\":6001.0}")
        );
        let mut left = 0;
        while let Some(row) = rows.next().expect("readable") {
            left += 1;
            assert!(row.starts_with("{\"list\":"), "{row}");
        }
        assert_eq!(left, 3_998);
    }

    #[test]
    fn what_has_no_form_is_said() {
        let error = |lines: &'static str| {
            let made = from_lines(|| Ok(lines.as_bytes()), &mut io::sink());
            made.map_or_else(|error| error.to_string(), |n| panic!("{n} rows"))
        };
        assert!(error("{\"a\":1}\n{\"a\":\"x\"}\n").contains("several kinds"));
        assert!(error("[1]\n").contains("no object"));
        assert!(error("").contains("without columns"));
    }
}
