//! Parts of a table: some of its rows, some of its columns; a column more; its rows as maps.

use std::rc::Rc;

use rhai::{Array, Dynamic};

use super::{Column, Table};
use crate::errors::{ErrorKind, ScriptError};
use crate::result::show;
use crate::tensor::work::Work;

impl Table {
    /// These rows, in this order.
    pub(super) fn at(&self, rows: &[usize], work: &Work) -> Result<Self, ScriptError> {
        work.room(&[rows.len(), self.columns.len()], size_of::<Dynamic>())?;
        let mut columns = Vec::new();
        for column in self.columns.iter() {
            let mut values = Vec::with_capacity(rows.len());
            for &at in rows {
                work.step(8)?;
                values.push(column.values[at].clone());
            }
            columns.push(Column {
                name: column.name.clone(),
                values: Rc::new(values),
            });
        }
        Self::of(columns, rows.len())
    }

    pub(super) fn head(&self, n: i64, work: &Work) -> Result<Self, ScriptError> {
        let Ok(n) = usize::try_from(n) else {
            let message = format!("a number of rows is not negative, as {n} is");
            return Err(ScriptError::new(ErrorKind::Value, message));
        };
        let n = n.min(self.n_rows);
        work.room(&[n, self.columns.len()], size_of::<Dynamic>())?;
        let column = |column: &Column| Column {
            name: column.name.clone(),
            values: Rc::new(column.values[..n].to_vec()),
        };
        Self::of(self.columns.iter().map(column).collect(), n)
    }

    /// These columns, in this order.
    pub(super) fn select(&self, names: &[String]) -> Result<Self, ScriptError> {
        super::check_count(names.len())?;
        let columns = names.iter().map(|name| self.column(name).cloned());
        Self::of(columns.collect::<Result<_, _>>()?, self.n_rows)
    }

    /// With a column more, or another one in its place.
    pub(super) fn with_column(&self, name: &str, values: Vec<Dynamic>) -> Result<Self, ScriptError> {
        let column = Column {
            name: name.to_owned(),
            values: Rc::new(values),
        };
        let mut columns = self.columns.to_vec();
        match columns.iter().position(|column| column.name == name) {
            Some(at) => columns[at] = column,
            None => columns.push(column),
        }
        // The first one says how many rows there are.
        let n_rows = match self.columns.is_empty() && self.n_rows == 0 {
            true => columns[0].values.len(),
            false => self.n_rows,
        };
        Self::of(columns, n_rows)
    }

    /// A map for each row.
    pub(crate) fn to_array(&self, work: &Work) -> Result<Array, ScriptError> {
        work.room(&[self.n_rows, self.columns.len()], 3 * size_of::<Dynamic>())?;
        let mut rows = Array::new();
        for at in 0..self.n_rows {
            for _ in self.columns.iter() {
                work.value()?;
            }
            rows.push(Dynamic::from_map(self.row(at)));
        }
        Ok(rows)
    }
}

/// A name, or an array of names.
pub(super) fn names_of(names: &Dynamic) -> Result<Vec<String>, ScriptError> {
    let name = |name: &Dynamic| match name.as_immutable_string_ref() {
        Ok(name) => Ok(name.to_string()),
        Err(_) => show::expected("the name of a column", name),
    };
    match names.as_array_ref() {
        Ok(names) => names.iter().map(name).collect(),
        Err(_) => name(names).map(|name| vec![name]),
    }
}
