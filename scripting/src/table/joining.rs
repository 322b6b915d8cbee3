//! Two tables side by side, by what they have in a column of one name.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use ecco_interpreter::named;
use rhai::Dynamic;

use super::keys::{self, Key};
use super::{Column, Table};
use crate::errors::ScriptError;
use crate::options;
use crate::options::Choice;
use crate::tensor::work::Work;

named! {
    /// What becomes of rows without a partner.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum How {
        Inner = "inner",
        Left = "left",
    }
}

options! {
    /// What `join` can be told.
    pub(crate) struct JoinOptions {
        /// "inner": only rows that have a partner; "left": all rows of this table, with `()` where there is none
        how: Choice<How> = Choice(How::Inner),
    }
}

/// A row of one table, and its partner in the other, if it has one.
type Pair = (usize, Option<usize>);

/// Each row of `left` beside each of `right` that has the same in the column `on`. A column that both have is in the
/// result twice, the other's with `_2` behind its name.
pub(super) fn joined(
    left: &Table,
    right: &Table,
    on: &str,
    options: &JoinOptions,
    work: &Work,
) -> Result<Table, ScriptError> {
    let pairs = pairs(left, right, on, options.how.0 == How::Left, work)?;
    let n_columns = left.columns().len() + right.columns().len() - 1;
    work.room(&[pairs.len(), n_columns], size_of::<Dynamic>())?;
    let mut columns: Vec<Column> = Vec::new();
    for column in left.columns() {
        let rows = pairs.iter().map(|(at, _)| Some(*at));
        columns.push(Column {
            name: column.name.clone(),
            values: picked(column, rows, work)?,
        });
    }
    let mut taken: HashSet<String> = left.columns().iter().map(|column| column.name.clone()).collect();
    for column in right.columns().iter().filter(|column| column.name != on) {
        let mut name = column.name.clone();
        while !taken.insert(name.clone()) {
            name.push_str("_2");
        }
        columns.push(Column {
            name,
            values: picked(column, pairs.iter().map(|(_, at)| *at), work)?,
        });
    }
    Table::of(columns, pairs.len())
}

fn picked(
    column: &Column,
    rows: impl Iterator<Item = Option<usize>>,
    work: &Work,
) -> Result<Rc<Vec<Dynamic>>, ScriptError> {
    let value = |at: Option<usize>| {
        work.step(8)?;
        Ok(at.map_or(Dynamic::UNIT, |at| column.values[at].clone()))
    };
    rows.map(value).collect::<Result<_, _>>().map(Rc::new)
}

/// In the order of the left table, partners in that of the right one.
fn pairs(
    left: &Table,
    right: &Table,
    on: &str,
    keeps_all: bool,
    work: &Work,
) -> Result<Vec<Pair>, ScriptError> {
    let (own, others) = (
        keys::of_column(left.column(on)?, work)?,
        keys::of_column(right.column(on)?, work)?,
    );
    let mut places: HashMap<&Key, Vec<usize>> = HashMap::new();
    for (at, key) in others.iter().enumerate() {
        work.step(64)?;
        places.entry(key).or_default().push(at);
    }
    let partners = |key: &Key| places.get(key).map_or(&[][..], Vec::as_slice);
    // Where many are the same, there are as many pairs as their product.
    let count = |key: &Key| partners(key).len().max(usize::from(keeps_all));
    let n = own.iter().map(count).fold(0, usize::saturating_add);
    work.room(&[n], size_of::<Pair>())?;
    let mut pairs = Vec::with_capacity(n);
    for (at, key) in own.iter().enumerate() {
        work.step(64 + partners(key).len())?;
        pairs.extend(partners(key).iter().map(|other| (at, Some(*other))));
        if keeps_all && partners(key).is_empty() {
            pairs.push((at, None));
        }
    }
    Ok(pairs)
}
