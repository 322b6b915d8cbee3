//! A table as a file of the notebook's folder.

use std::io::{self, Write};

use rhai::Dynamic;
use serde_json::Value;

use super::Table;
use crate::data::parquet;
use crate::errors::{ErrorKind, ScriptError};
use crate::result::folder::check_length;
use crate::result::saving::{Writer, cell, extension, page, unknown_ending, write_file};
use crate::result::{Show, json, known, show};
use crate::tensor::work::Work;
use ecco_widgets::Explorable;

/// Writes all rows.
///
/// # Errors
/// A path that leads elsewhere or has another ending; a value that JSON has no form for; what the system says; an interrupt.
pub(super) fn save(table: &Table, path: &str, work: &Work) -> Result<(), ScriptError> {
    check_length(path)?;
    let folder = work.state().folder.borrow().clone();
    let write: Writer = match extension(path) {
        Some("csv") => Box::new(|out| delimited(table, b",", out)),
        Some("tsv") => Box::new(|out| delimited(table, b"\t", out)),
        Some("jsonl") => Box::new(|out| objects(table, out)),
        Some("parquet") => Box::new(|out| parquet::write(table, out, work)),
        Some("html") => {
            let widget = table.shown().html().unwrap_or_default();
            Box::new(move |out| page(&table.line(), &widget, out))
        }
        _ => {
            let endings = ["csv", "tsv", "jsonl", "parquet", "html"];
            return Err(unknown_ending(path, &endings, "table.save(\"table.csv\")"));
        }
    };
    write_file(&folder, path, &*write, &|| work.check())
}

/// The names, then a line for each row, as RFC 4180 has it. Numbers are as JSON writes them, floats with a point.
fn delimited(table: &Table, between: &[u8], out: &mut dyn Write) -> io::Result<()> {
    let mut line = |cells: &mut dyn Iterator<Item = String>| {
        for (at, cell) in cells.enumerate() {
            out.write_all(if at > 0 { between } else { b"" })?;
            out.write_all(cell.as_bytes())?;
        }
        out.write_all(b"\r\n")
    };
    line(&mut table.columns().iter().map(|column| cell(&column.name)))?;
    (0..table.n_rows()).try_for_each(|at| {
        let columns = table.columns().iter();
        // A line without anything would be no row.
        let alone = table.columns().len() == 1;
        let quoted = |cell: String| {
            if alone && cell.is_empty() {
                "\"\"".to_owned()
            } else {
                cell
            }
        };
        line(&mut columns.map(|column| quoted(written(&column.values[at]))))
    })
}

/// A value as a cell. Nothing is an empty one.
fn written(value: &Dynamic) -> String {
    if value.is_unit() {
        return String::new();
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        return cell(&text);
    }
    let whole = value.as_int().map(|number| number.to_string());
    let float = || value.as_float().map(|number| format!("{number:?}"));
    let truth = || value.as_bool().map(|truth| truth.to_string());
    let plain = whole.or_else(|_| float()).or_else(|_| truth());
    plain.unwrap_or_else(|_| match json::json(value) {
        Some(Value::String(letter)) => cell(&letter),
        Some(value) => cell(&value.to_string()),
        None => cell(&show::printed(value)),
    })
}

/// An object a row, its names in the order of the columns.
fn objects(table: &Table, out: &mut dyn Write) -> io::Result<()> {
    for at in 0..table.n_rows() {
        for (index, column) in table.columns().iter().enumerate() {
            out.write_all(if index > 0 { b"," } else { b"{" })?;
            serde_json::to_writer(&mut *out, &column.name)?;
            out.write_all(b":")?;
            let value = document(&column.values[at]).map_err(io::Error::other)?;
            serde_json::to_writer(&mut *out, &value)?;
        }
        out.write_all(if table.columns().is_empty() {
            b"{}\n"
        } else {
            b"}\n"
        })?;
    }
    Ok(())
}

fn document(value: &Dynamic) -> Result<Value, ScriptError> {
    let known = || {
        known::json(value)
            .and_then(|document| document.transpose())
            .transpose()
    };
    match json::json(value) {
        Some(value) => Ok(value),
        None => known()?.ok_or_else(|| {
            let message = format!("{} has no form in JSON", show::brief(value));
            ScriptError::new(ErrorKind::Type, message).with_hint("leave its column out with `select`")
        }),
    }
}
