//! Values in order: sorting, the largest, each value once.

use std::cmp::Ordering;

use ndarray::{ArrayD, IxDyn};
use rhai::{Dynamic, INT, Map};

use super::Tensor;
use super::work::{PIECE, Work};
use crate::errors::{ErrorKind, ScriptError};

/// Rising; NaN come last, as numpy has them.
fn compare(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Falling; NaN come last all the same.
fn compare_falling(a: f64, b: f64) -> Ordering {
    b.partial_cmp(&a).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// The places of values in their order, equal ones as they stood: pieces are sorted and then merged, so that it listens.
fn order_of(
    values: &[f64],
    compare: fn(f64, f64) -> Ordering,
    work: &Work,
) -> Result<Vec<usize>, ScriptError> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    for piece in order.chunks_mut(PIECE / 4) {
        piece.sort_by(|a, b| compare(values[*a], values[*b]));
        work.step(4 * piece.len())?;
    }
    let mut sorted = PIECE / 4;
    while sorted < values.len() {
        let mut merged = Vec::with_capacity(order.len());
        for pair in order.chunks(2 * sorted) {
            let (mut first, mut second) = pair.split_at(sorted.min(pair.len()));
            while let (Some(a), Some(b)) = (first.first(), second.first()) {
                let from = match compare(values[*b], values[*a]) {
                    Ordering::Less => &mut second,
                    _ => &mut first,
                };
                merged.push(from[0]);
                *from = &from[1..];
                work.step(1)?;
            }
            merged.extend_from_slice(first);
            merged.extend_from_slice(second);
        }
        order = merged;
        sorted *= 2;
    }
    Ok(order)
}

/// Lines along an axis in order: what is pushed for each.
type Ordered = fn(&[f64], &[usize], &mut Vec<f64>);

fn values_of(line: &[f64], order: &[usize], result: &mut Vec<f64>) {
    result.extend(order.iter().map(|at| line[*at]));
}

fn places_of(_: &[f64], order: &[usize], result: &mut Vec<f64>) {
    result.extend(order.iter().map(|at| *at as f64));
}

impl Tensor {
    /// Rising along an axis.
    ///
    /// # Errors
    /// No such axis, no room, an interrupt.
    pub(crate) fn sorted(&self, axis: &Dynamic, work: &Work) -> Result<Self, ScriptError> {
        let axis = self.axis(axis)?;
        let len = self.shape()[axis];
        let lines = self.places(axis, len, work, &ordered(compare, len, values_of, work))?;
        work.check()?;
        Ok(lines.to_precision(self.precision()))
    }

    /// The places that [`Tensor::sorted`] takes its values from.
    pub(crate) fn sorting(&self, axis: &Dynamic, work: &Work) -> Result<Self, ScriptError> {
        let axis = self.axis(axis)?;
        let len = self.shape()[axis];
        let places = self.places(axis, len, work, &ordered(compare, len, places_of, work))?;
        work.check()?;
        Ok(places)
    }

    /// The `k` largest along an axis, falling, and their places: `values`, `indices`.
    ///
    /// # Errors
    /// As of [`Tensor::sorted`]; more than there are.
    pub(crate) fn largest(&self, k: INT, axis: &Dynamic, work: &Work) -> Result<Map, ScriptError> {
        let axis = self.axis(axis)?;
        let len = self.shape()[axis];
        let k = usize::try_from(k).ok().filter(|k| *k <= len).ok_or_else(|| {
            let message = format!(
                "there are no {k} largest of {len} along axis {axis} of {}",
                self.shape_text()
            );
            ScriptError::new(ErrorKind::Value, message).with_hint(format!("0 to {len}"))
        })?;
        let of = |pushed| self.places(axis, k, work, &ordered(compare_falling, k, pushed, work));
        let (values, places) = (of(values_of)?.to_precision(self.precision()), of(places_of)?);
        work.check()?;
        let names = [
            ("values".into(), values.into_value()),
            ("indices".into(), places.into_value()),
        ];
        Ok(Map::from(names))
    }

    /// Every value once, rising.
    ///
    /// # Errors
    /// No room, an interrupt.
    pub(crate) fn distinct(&self, work: &Work) -> Result<Self, ScriptError> {
        work.room(&[self.data.len()], 3 * size_of::<f64>())?;
        let values: Vec<f64> = self.data.iter().collect();
        let order = order_of(&values, compare, work)?;
        let mut distinct: Vec<f64> = order.iter().map(|at| values[*at]).collect();
        distinct.dedup_by(|a, b| a == b || (a.is_nan() && b.is_nan()));
        let array = ArrayD::from_shape_vec(IxDyn(&[distinct.len()]), distinct).unwrap_or_default();
        Ok(Self::exact(array, &[]).to_precision(self.precision()))
    }
}

/// A line in order, the first `len` of it. After an interrupt nothing more is sorted; who asked for it checks.
fn ordered(
    compare: fn(f64, f64) -> Ordering,
    len: usize,
    pushed: Ordered,
    work: &Work,
) -> impl Fn(&[f64], &mut Vec<f64>) {
    move |line, result| {
        if let Ok(order) = order_of(line, compare, work) {
            pushed(line, &order[..len.min(order.len())], result);
        }
    }
}
