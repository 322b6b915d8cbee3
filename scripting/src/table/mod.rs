//! A table as scripts see it: columns by name, rows by number. Its columns are shared, so that a part of it costs little.
//!
//! - `making`: of maps, of columns; `rows`: parts of it, a column more; `keys`: what sorting, grouping and joining compare
//! - `grouping`, `joining`: what several rows, or two tables, have together; `student`: how far a mean may be off
//! - `members`: what scripts call; `view`: how one is shown; `files`: csv, jsonl and parquet

mod files;
mod grouping;
mod joining;
mod keys;
mod making;
mod members;
mod rows;
mod student;
mod view;

use std::collections::HashSet;
use std::rc::Rc;

use rhai::{Dynamic, Map};

use crate::errors::{ErrorKind, ScriptError};

pub(crate) use self::members::register;
pub use self::student::student;
pub use self::view::cell;

/// More columns than this are no table.
const MOST_COLUMNS: usize = 4096;
/// Bytes of a column's name.
const LONGEST_NAME: usize = 1 << 10;

/// Rows of values, with a name for each column. Clones share everything.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Rc<[Column]>,
    n_rows: usize,
}

/// One column: its name, and a value for each row, `()` where there is none.
#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub values: Rc<Vec<Dynamic>>,
}

impl Table {
    /// Of columns with a name each.
    ///
    /// # Errors
    /// Columns of unequal length, two of one name, too many.
    pub fn new(columns: Vec<(String, Vec<Dynamic>)>) -> Result<Self, ScriptError> {
        let column = |(name, values)| Column {
            name,
            values: Rc::new(values),
        };
        let columns: Vec<Column> = columns.into_iter().map(column).collect();
        let n_rows = columns.first().map_or(0, |column| column.values.len());
        Self::of(columns, n_rows)
    }

    /// The same of columns that may be shared; without any, of rows without a cell.
    pub(crate) fn of(columns: Vec<Column>, n_rows: usize) -> Result<Self, ScriptError> {
        let wrong = |message: String| ScriptError::new(ErrorKind::Value, message);
        check_count(columns.len())?;
        let mut names = HashSet::new();
        for Column { name, values } in &columns {
            if name.len() > LONGEST_NAME {
                let message = format!("a column's name of {} bytes: at most {LONGEST_NAME}", name.len());
                return Err(wrong(message));
            }
            if !names.insert(name.as_str()) {
                return Err(wrong(format!("two columns are called {name:?}")));
            }
            if values.len() != n_rows {
                let n = values.len();
                return Err(wrong(format!(
                    "column {name:?} has {n} values, and the table {n_rows} rows"
                )));
            }
        }
        Ok(Self {
            columns: columns.into(),
            n_rows,
        })
    }

    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The column of a name.
    ///
    /// # Errors
    /// A name that the table has not.
    pub fn column(&self, name: &str) -> Result<&Column, ScriptError> {
        let found = self.columns.iter().find(|column| column.name == name);
        found.ok_or_else(|| {
            let names = || self.columns.iter().map(|column| column.name.as_str());
            let shown: String = name.chars().take(80).collect();
            let error = ScriptError::new(ErrorKind::Index, format!("there is no column {shown:?}"));
            let error = error.with_nearest(&shown, names());
            match error.hint {
                Some(_) => error,
                None => error.with_hint(format!("its columns are {}", listed(names()))),
            }
        })
    }

    /// One row as a map from names to values.
    fn row(&self, at: usize) -> Map {
        let cell = |column: &Column| (column.name.as_str().into(), column.values[at].clone());
        self.columns.iter().map(cell).collect()
    }

    /// The place of a row; a negative number counts from the last.
    fn place(&self, number: i64) -> Result<usize, ScriptError> {
        let place = match number < 0 {
            true => number.checked_add_unsigned(self.n_rows as u64),
            false => Some(number),
        };
        let place = place.and_then(|place| usize::try_from(place).ok());
        place.filter(|place| *place < self.n_rows).ok_or_else(|| {
            let message = format!("there is no row {number}: the table has {}", self.n_rows);
            let error = ScriptError::new(ErrorKind::Index, message);
            match self.n_rows {
                0 => error,
                n => error.with_hint(format!("valid are 0 to {} and, from the end, -1 to -{n}", n - 1)),
            }
        })
    }
}

/// Refuses more columns than a table has.
pub(crate) fn check_count(n_columns: usize) -> Result<(), ScriptError> {
    if n_columns <= MOST_COLUMNS {
        return Ok(());
    }
    let message = format!("a table has at most {MOST_COLUMNS} columns, not {n_columns}");
    Err(ScriptError::new(ErrorKind::Value, message))
}

/// The first few names.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const MOST: usize = 20;
    let names: Vec<String> = names.map(|name| format!("{name:?}")).collect();
    match names.len() > MOST {
        true => format!("{} and {} others", names[..MOST].join(", "), names.len() - MOST),
        false => names.join(", "),
    }
}

impl IntoIterator for Table {
    type Item = Map;
    type IntoIter = Box<dyn Iterator<Item = Map>>;

    /// Over the rows.
    fn into_iter(self) -> Self::IntoIter {
        Box::new((0..self.n_rows).map(move |at| self.row(at)))
    }
}
