//! How a table is shown.

use ecco_widgets::{Explorable, TableCell};
use rhai::Dynamic;

use super::Table;
use crate::errors::ScriptError;
use crate::result::numbers::short;
use crate::result::{Show, show};

/// Rows, columns and bytes that a page has at most.
const MOST_ROWS: usize = 100_000;
const MOST_COLUMNS: usize = 100;
const MOST_BYTES: usize = 16 << 20;
/// Characters of a cell.
const LONGEST: usize = 10_000;
/// A browser's numbers hold whole ones up to here.
const LARGEST_WHOLE: u64 = 1 << 53;

impl Table {
    /// As far as it goes into a page.
    pub fn shown(&self) -> ecco_widgets::Table {
        let columns = &self.columns()[..self.columns().len().min(MOST_COLUMNS)];
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for at in 0..self.n_rows().min(MOST_ROWS) {
            let row: Vec<TableCell> = columns.iter().map(|column| cell(&column.values[at])).collect();
            bytes += row.iter().map(size).sum::<usize>();
            if bytes > MOST_BYTES && at > 0 {
                break;
            }
            rows.push(row);
        }
        ecco_widgets::Table {
            columns: columns.iter().map(|column| column.name.clone()).collect(),
            n_columns: self.columns().len(),
            n_rows: self.n_rows(),
            rows,
        }
    }
}

fn size(cell: &TableCell) -> usize {
    match cell {
        TableCell::Text(text) => text.len() + 3,
        _ => 8,
    }
}

/// A value as a cell of a page.
pub fn cell(value: &Dynamic) -> TableCell {
    if value.is_unit() {
        return TableCell::Nothing(());
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        return TableCell::Text(cut(&text));
    }
    if let Ok(whole) = value.as_int() {
        return match whole.unsigned_abs() <= LARGEST_WHOLE {
            true => TableCell::Whole(whole),
            false => TableCell::Text(whole.to_string()),
        };
    }
    if let Ok(float) = value.as_float() {
        return match float.is_finite() {
            true => TableCell::Number(float),
            false => TableCell::Text(short(float)),
        };
    }
    match value.as_bool() {
        Ok(truth) => TableCell::Truth(truth),
        Err(_) => TableCell::Text(cut(&show::printed(value))),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl Show for Table {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(Box::new(self.shown()))
    }

    fn line(&self) -> String {
        let names = super::listed(self.columns().iter().map(|column| column.name.as_str()));
        let (n_rows, n_columns) = (self.n_rows(), self.columns().len());
        match n_columns {
            0 => format!("table of {n_rows} rows"),
            _ => format!("table of {n_rows} rows and {n_columns} columns: {names}"),
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![
            ("rows", self.n_rows().to_string()),
            ("columns", self.columns().len().to_string()),
        ]
    }
}
