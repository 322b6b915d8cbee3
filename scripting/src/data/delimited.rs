//! `.csv` and `.tsv` as tables: RFC 4180, and what is usual beside it (quotes inside of a cell that does not begin with one,
//! lines that end in a line feed alone).
//!
//! A quote that is never closed is an error here: it says that the file was cut off.

use std::borrow::Cow;
use std::rc::Rc;

use rhai::Dynamic;

use super::ReadOptions;
use crate::errors::{ErrorKind, ScriptError};
use crate::table::{Column, Table, check_count};
use crate::tensor::work::Work;

fn damaged(message: impl Into<String>) -> ScriptError {
    ScriptError::new(ErrorKind::Value, message)
}

/// The table of a text whose cells are apart by `between`. The first row has the names of the columns, unless options say
/// that it has not.
///
/// # Errors
/// Rows of unequal length, two columns of one name, an open quote; no room, an interrupt.
pub(super) fn table(
    text: &str,
    between: u8,
    options: &ReadOptions,
    work: &Work,
) -> Result<Table, ScriptError> {
    let between = match &options.delimiter {
        None => between,
        Some(given) => delimiter(given)?,
    };
    let mut rows = Rows::new(text, between);
    let mut cells = Vec::new();
    if !rows.next(&mut cells)? {
        return Table::new(Vec::new());
    }
    let names: Vec<String> = match options.header {
        true => cells
            .iter()
            .enumerate()
            .map(|(at, name)| named(at, name))
            .collect(),
        false => (0..cells.len()).map(|at| named(at, "")).collect(),
    };
    let mut columns: Vec<Vec<Cow<str>>> = vec![Vec::new(); names.len()];
    let mut is_row = !options.header;
    loop {
        if is_row {
            for (column, cell) in columns.iter_mut().zip(cells.drain(..)) {
                work.value()?;
                column.push(cell);
            }
        }
        cells.clear();
        if !rows.next(&mut cells)? {
            break;
        }
        is_row = true;
        if cells.len() != names.len() {
            return Err(uneven(rows.line, cells.len(), names.len()));
        }
    }
    let n_rows = columns.first().map_or(0, Vec::len);
    let mut all = Vec::new();
    for (name, cells) in names.into_iter().zip(columns) {
        all.push(Column {
            name,
            values: Rc::new(values(&cells, options.text, work)?),
        });
    }
    Table::of(all, n_rows)
}

pub(super) fn uneven(line: usize, n: usize, expected: usize) -> ScriptError {
    let cells = |n: usize| {
        if n == 1 {
            "1 cell".to_owned()
        } else {
            format!("{n} cells")
        }
    };
    let error = damaged(format!(
        "line {line} has {}, and the first row {}",
        cells(n),
        cells(expected)
    ));
    match expected {
        1 => error.with_hint("what is between cells can be said: #{delimiter: \";\"}"),
        _ => {
            error.with_hint("the file was cut off, or a cell with what is between cells in it has no quotes")
        }
    }
}

/// Where a quote is open, in rows that come line by line.
#[derive(Default)]
pub(super) struct Quotes {
    is_open: bool,
    is_within: bool,
}

impl Quotes {
    /// Whether one is at the end of the next line.
    pub(super) fn are_open_after(&mut self, line: &str, between: u8) -> bool {
        for byte in line.bytes() {
            match byte {
                // Two in a cell close it and open it again.
                b'"' if self.is_open || !self.is_within => {
                    self.is_within = !self.is_open;
                    self.is_open = !self.is_open;
                }
                _ => self.is_within = self.is_open || (byte != between && !matches!(byte, b'\n' | b'\r')),
            }
        }
        self.is_open
    }
}

/// What is given the line in which a row begins, and its cells.
type OnRow<'a> = dyn FnMut(usize, &[Cow<str>]) -> Result<(), ScriptError> + 'a;

/// Gives each row of some, whose first line has this number.
///
/// # Errors
/// An open quote; what `on_row` says.
pub(super) fn each_row(text: &str, between: u8, line: usize, on_row: &mut OnRow) -> Result<(), ScriptError> {
    let mut rows = Rows::new(text, between);
    rows.next_line = line;
    let mut cells = Vec::new();
    while rows.next(&mut cells)? {
        on_row(rows.line, &cells)?;
        cells.clear();
    }
    Ok(())
}

/// A column without a name has its place for one.
fn named(at: usize, name: &str) -> String {
    match name {
        "" => format!("column_{at}"),
        name => name.to_owned(),
    }
}

fn delimiter(given: &str) -> Result<u8, ScriptError> {
    match given.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(*byte),
        _ => {
            let shown: String = given.chars().take(20).collect();
            let message = format!("{shown:?} cannot stand between cells");
            Err(ScriptError::new(ErrorKind::Option, message)
                .pointing_at("delimiter")
                .with_hint("one ASCII character: \",\", \";\", \"\\t\", \"|\""))
        }
    }
}

/// The rows of a text, one after the other. Lines without anything are passed over.
struct Rows<'a> {
    text: &'a str,
    at: usize,
    between: u8,
    /// The line, from 1 on, in which the last row began, and that of the next one.
    line: usize,
    next_line: usize,
}

impl<'a> Rows<'a> {
    fn new(text: &'a str, between: u8) -> Self {
        Self {
            text,
            at: 0,
            between,
            line: 0,
            next_line: 1,
        }
    }

    /// Puts the cells of the next row into `cells`, which is empty; false where there is none.
    fn next(&mut self, cells: &mut Vec<Cow<'a, str>>) -> Result<bool, ScriptError> {
        while let Some(end) = self.line_end() {
            self.at = end;
            self.next_line += 1;
        }
        self.line = self.next_line;
        if self.at >= self.text.len() {
            return Ok(false);
        }
        loop {
            cells.push(self.cell()?);
            check_count(cells.len())?;
            if self.text.as_bytes().get(self.at) == Some(&self.between) {
                self.at += 1;
                continue;
            }
            if let Some(end) = self.line_end() {
                self.at = end;
                self.next_line += 1;
            }
            return Ok(true);
        }
    }

    /// Where the line ends that ends here.
    fn line_end(&self) -> Option<usize> {
        match self.text.as_bytes().get(self.at..)? {
            [b'\r', b'\n', ..] => Some(self.at + 2),
            [b'\n' | b'\r', ..] => Some(self.at + 1),
            _ => None,
        }
    }

    fn cell(&mut self) -> Result<Cow<'a, str>, ScriptError> {
        let rest = &self.text[self.at..];
        match rest.strip_prefix('"') {
            Some(rest) => self.quoted(rest),
            None => {
                let ends = |byte: &u8| *byte == self.between || matches!(byte, b'\n' | b'\r');
                let end = rest.bytes().position(|byte| ends(&byte)).unwrap_or(rest.len());
                self.at += end;
                Ok(Cow::Borrowed(&rest[..end]))
            }
        }
    }

    /// The cell whose quote has just opened; two quotes in it are one.
    fn quoted(&mut self, rest: &'a str) -> Result<Cow<'a, str>, ScriptError> {
        let bytes = rest.as_bytes();
        let mut end = 0;
        loop {
            let Some(quote) = bytes[end..].iter().position(|byte| *byte == b'"') else {
                let message = format!(
                    "the quote that opens in the row of line {} is never closed",
                    self.line
                );
                return Err(
                    damaged(message).with_hint("the file was cut off, or a quote in a cell stands once")
                );
            };
            end += quote;
            if bytes.get(end + 1) != Some(&b'"') {
                break;
            }
            end += 2;
        }
        let cell = &rest[..end];
        self.next_line += cell.bytes().filter(|byte| *byte == b'\n').count();
        self.at += end + 2;
        let follows = self.text.as_bytes().get(self.at);
        if !follows.is_none_or(|byte| *byte == self.between || matches!(byte, b'\n' | b'\r')) {
            let message = format!(
                "in the row of line {} something follows a closing quote",
                self.line
            );
            return Err(damaged(message).with_hint("a quote in a cell with quotes is written twice: \"\""));
        }
        Ok(match cell.contains('"') {
            true => Cow::Owned(cell.replace("\"\"", "\"")),
            false => Cow::Borrowed(cell),
        })
    }
}

/// What the cells of a column are, so that nothing is lost: numbers, or `true` and `false`, where all of them are, as JSON
/// writes them; else texts. An empty cell among numbers is `()`.
fn values(cells: &[Cow<str>], are_texts: bool, work: &Work) -> Result<Vec<Dynamic>, ScriptError> {
    work.room(&[cells.len()], size_of::<Dynamic>())?;
    let kinds: [fn(&str) -> Option<Dynamic>; 3] = [whole, number, truth];
    let mut values = Vec::with_capacity(cells.len());
    for kind in kinds.into_iter().filter(|_| !are_texts) {
        let known = cells.iter().filter(|cell| !cell.is_empty());
        // A column of nothing but NaN, or of nothing, says nothing of numbers.
        if !known.clone().any(|cell| !is_no_number(cell)) {
            break;
        }
        work.step(cells.len())?;
        if !known.clone().all(|cell| kind(cell).is_some()) {
            continue;
        }
        values.extend(cells.iter().map(|cell| kind(cell).unwrap_or(Dynamic::UNIT)));
        return Ok(values);
    }
    for cell in cells {
        work.value()?;
        values.push(Dynamic::from(cell.to_string()));
    }
    Ok(values)
}

fn whole(cell: &str) -> Option<Dynamic> {
    is_json_number(cell).then(|| cell.parse().ok().map(Dynamic::from_int))?
}

fn number(cell: &str) -> Option<Dynamic> {
    if is_no_number(cell) {
        return cell.parse().ok().map(Dynamic::from_float);
    }
    // Digits that no whole number has room for are no quantity: an account, a hash.
    let is_long =
        cell.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') && cell.parse::<i64>().is_err();
    (is_json_number(cell) && !is_long).then(|| cell.parse().ok().map(Dynamic::from_float))?
}

fn truth(cell: &str) -> Option<Dynamic> {
    match cell {
        "true" | "True" | "TRUE" => Some(true.into()),
        "false" | "False" | "FALSE" => Some(false.into()),
        _ => None,
    }
}

fn is_no_number(cell: &str) -> bool {
    matches!(cell, "NaN" | "nan" | "inf" | "-inf" | "Infinity" | "-Infinity")
}

/// `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`: no leading zeros, which codes have, and no sign but a minus.
fn is_json_number(cell: &str) -> bool {
    let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let rest = cell.strip_prefix('-').unwrap_or(cell);
    let n = digits(rest);
    if n == 0 || (n > 1 && rest.starts_with('0')) {
        return false;
    }
    let mut rest = &rest[n..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let n = digits(fraction);
        if n == 0 {
            return false;
        }
        rest = &fraction[n..];
    }
    match rest.strip_prefix(['e', 'E']) {
        Some(exponent) => {
            let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            !exponent.is_empty() && digits(exponent) == exponent.len()
        }
        None => rest.is_empty(),
    }
}
