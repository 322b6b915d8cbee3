//! Rows that have the same in some columns, counted, with statistics of others.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rhai::Dynamic;

use super::keys::{self, Key};
use super::{Column, Table, student};
use crate::errors::ScriptError;
use crate::options;
use crate::options::{OneOrMany, number};
use crate::result::show;
use crate::tensor::work::Work;

options! {
    /// What `group` can be told.
    pub(crate) struct GroupOptions {
        /// columns whose mean each group has, as `mean_…`
        mean: Option<OneOrMany<String>> = "none",
        /// columns whose standard deviation each group has, as `std_…`: that of the numbers themselves, as of tensors
        std: Option<OneOrMany<String>> = "none",
        /// columns whose mean has an interval, as `interval_…`: half the width of the 95 % confidence interval of the mean by
        /// Student's distribution, NaN of one number
        interval: Option<OneOrMany<String>> = "none",
        /// columns whose smallest number each group has, as `min_…`
        min: Option<OneOrMany<String>> = "none",
        /// columns whose largest number each group has, as `max_…`
        max: Option<OneOrMany<String>> = "none",
        /// columns whose sum each group has, as `sum_…`
        sum: Option<OneOrMany<String>> = "none",
    }
}

/// A statistic of the numbers of a group, of which there is one at least.
type Statistic = fn(&[f64]) -> f64;

impl GroupOptions {
    /// Names and statistics, with the columns that each is of.
    fn statistics(&self) -> Vec<(&'static str, Statistic, &str)> {
        let all: [(&str, Statistic, &Option<OneOrMany<String>>); 6] = [
            ("mean", mean, &self.mean),
            ("std", std, &self.std),
            ("interval", interval, &self.interval),
            ("min", smallest, &self.min),
            ("max", largest, &self.max),
            ("sum", |numbers| numbers.iter().sum(), &self.sum),
        ];
        let mut statistics = Vec::new();
        for (name, of, columns) in all {
            let columns = columns.iter().flat_map(|columns| &columns.0);
            statistics.extend(columns.map(|column| (name, of, column.as_str())));
        }
        statistics
    }
}

/// NaN is passed over, as in tensors.
fn smallest(numbers: &[f64]) -> f64 {
    numbers.iter().copied().fold(f64::NAN, f64::min)
}

fn largest(numbers: &[f64]) -> f64 {
    numbers.iter().copied().fold(f64::NAN, f64::max)
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

fn std(numbers: &[f64]) -> f64 {
    let middle = mean(numbers);
    let squares = numbers.iter().map(|number| (number - middle).powi(2));
    (squares.sum::<f64>() / numbers.len() as f64).sqrt()
}

/// t · s / √n, with the deviation of a sample.
fn interval(numbers: &[f64]) -> f64 {
    let n = numbers.len();
    match n {
        0 | 1 => f64::NAN,
        _ => student(n - 1) * std(numbers) / (n as f64 - 1.0).sqrt(),
    }
}

/// A row for each combination of values in the named columns, in the order in which they come up; `n` is how many rows
/// have it.
pub(super) fn grouped(
    table: &Table,
    names: &[String],
    options: &GroupOptions,
    work: &Work,
) -> Result<Table, ScriptError> {
    let groups = groups(table, names, work)?;
    let mut columns = Vec::new();
    for name in names {
        let column = table.column(name)?;
        let first = groups.iter().map(|rows| column.values[rows[0]].clone());
        columns.push((name.clone(), first.collect()));
    }
    let counts = groups.iter().map(|rows| Dynamic::from_int(rows.len() as i64));
    columns.push(("n".to_owned(), counts.collect()));
    for (name, statistic, of) in options.statistics() {
        super::check_count(columns.len() + 1)?;
        let column = table.column(of)?;
        let values = groups.iter().map(|rows| {
            let numbers = numbers(column, rows, work)?;
            Ok(match numbers.is_empty() {
                true => Dynamic::UNIT,
                false => Dynamic::from_float(statistic(&numbers)),
            })
        });
        columns.push((
            format!("{name}_{of}"),
            values.collect::<Result<_, ScriptError>>()?,
        ));
    }
    Table::new(columns)
}

/// The rows of each group.
fn groups(table: &Table, names: &[String], work: &Work) -> Result<Vec<Vec<usize>>, ScriptError> {
    let keys = keys::of_columns(table, names, work)?;
    work.room(&[table.n_rows(), keys.len()], 4 * size_of::<Key>())?;
    let mut places: HashMap<Vec<&Key>, usize> = HashMap::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for at in 0..table.n_rows() {
        work.step(64)?;
        match places.entry(keys.iter().map(|column| &column[at]).collect()) {
            Entry::Occupied(group) => groups[*group.get()].push(at),
            Entry::Vacant(group) => {
                group.insert(groups.len());
                groups.push(vec![at]);
            }
        }
    }
    Ok(groups)
}

/// The numbers of a column in some rows; what is missing is left out.
fn numbers(column: &Column, rows: &[usize], work: &Work) -> Result<Vec<f64>, ScriptError> {
    let mut numbers = Vec::with_capacity(rows.len());
    for &at in rows {
        work.step(8)?;
        match &column.values[at] {
            value if value.is_unit() => {}
            value => match number(value) {
                Some(number) => numbers.push(number),
                None => return show::expected(&format!("numbers in column {:?}", column.name), value),
            },
        }
    }
    Ok(numbers)
}
