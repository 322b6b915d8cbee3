//! Tables of what scripts have: an array of maps, or a map of arrays.

use std::rc::Rc;

use rhai::{Array, Dynamic, Map};

use super::{Column, Table};
use crate::errors::{ErrorKind, ScriptError};
use crate::result::show;
use crate::tensor::Tensor;
use crate::tensor::work::Work;

/// A row for each map; what one of them has not is `()`. Columns are in the order in which they come up first: maps have
/// theirs by the alphabet.
pub(super) fn of_rows(rows: &Array, work: &Work) -> Result<Table, ScriptError> {
    let mut columns: Vec<(String, Vec<Dynamic>)> = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let row = match row.as_map_ref() {
            Ok(row) => row,
            Err(_) => return show::expected("an array of maps, one for each row", row),
        };
        for (name, value) in row.iter() {
            work.value()?;
            match columns.iter_mut().find(|(known, _)| known == name.as_str()) {
                Some((_, values)) => put(values, at, value),
                None => {
                    super::check_count(columns.len() + 1)?;
                    let mut values = Vec::new();
                    put(&mut values, at, value);
                    columns.push((name.to_string(), values));
                }
            }
        }
    }
    work.room(&[rows.len(), columns.len()], size_of::<Dynamic>())?;
    let whole = |(name, mut values): (String, Vec<Dynamic>)| {
        values.resize(rows.len(), Dynamic::UNIT);
        let values = Rc::new(values);
        Column { name, values }
    };
    Table::of(columns.into_iter().map(whole).collect(), rows.len())
}

fn put(values: &mut Vec<Dynamic>, at: usize, value: &Dynamic) {
    values.resize(at, Dynamic::UNIT);
    values.push(value.clone());
}

/// A column for each entry.
pub(super) fn of_columns(columns: &Map, work: &Work) -> Result<Table, ScriptError> {
    let mut all = Vec::new();
    for (name, values) in columns {
        all.push((name.to_string(), values_of(values, work)?));
    }
    Table::new(all)
}

/// The values of a column: an array's, or those of a tensor with one axis.
pub(super) fn values_of(values: &Dynamic, work: &Work) -> Result<Vec<Dynamic>, ScriptError> {
    if let Some(tensor) = values.read_lock::<Tensor>() {
        if tensor.shape().len() != 1 {
            let message = format!("a column is a tensor with one axis, not {}", tensor.shape_text());
            return Err(ScriptError::new(ErrorKind::Value, message));
        }
        work.room(tensor.shape(), size_of::<Dynamic>())?;
        return tensor.to_array_while(&|| work.check());
    }
    match values.as_array_ref() {
        Ok(array) => {
            work.room(&[array.len()], size_of::<Dynamic>())?;
            Ok(array.to_vec())
        }
        Err(_) => show::expected("an array or a tensor with one axis, a value for each row", values),
    }
}
