//! Along an axis: each line of values becomes a number, or another line.

use ndarray::{ArcArray, ArrayD, ArrayViewD, Axis, IxDyn};
use rhai::{Dynamic, INT};

use super::Tensor;
use super::numbers::{Element, Numbers, map_numbers};
use super::work::Work;
use crate::errors::{ErrorKind, ScriptError};

/// What a line of values becomes: pushed to the end.
pub(crate) type Line<'a> = &'a dyn Fn(&[f64], &mut Vec<f64>);

/// A number of a line of values.
pub(crate) type Statistic = fn(&[f64]) -> f64;

/// Of nothing 0, and not -0 as the standard library has it.
pub(crate) fn sum(line: &[f64]) -> f64 {
    line.iter().sum::<f64>() + 0.0
}

pub(crate) fn mean(line: &[f64]) -> f64 {
    sum(line) / line.len() as f64
}

/// Of the population, as numpy's without `ddof`.
pub(crate) fn variance(line: &[f64]) -> f64 {
    let mean = mean(line);
    line.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / line.len() as f64
}

pub(crate) fn deviation(line: &[f64]) -> f64 {
    variance(line).sqrt()
}

/// NaN are passed over.
pub(crate) fn smallest(line: &[f64]) -> f64 {
    line.iter().copied().fold(f64::NAN, f64::min)
}

pub(crate) fn largest(line: &[f64]) -> f64 {
    line.iter().copied().fold(f64::NAN, f64::max)
}

/// The length of the vector; scaled, so that squares of large values do not overflow.
pub(crate) fn norm(line: &[f64]) -> f64 {
    let scale = line.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
    if scale == 0.0 || !scale.is_finite() {
        return line.iter().map(|value| value * value).sum::<f64>().sqrt();
    }
    scale
        * line
            .iter()
            .map(|value| (value / scale).powi(2))
            .sum::<f64>()
            .sqrt()
}

/// The place of the first extreme value; of the first NaN, as numpy has it, where there is one.
fn extreme(line: &[f64], is_better: fn(&f64, &f64) -> bool) -> usize {
    if let Some(at) = line.iter().position(|value| value.is_nan()) {
        return at;
    }
    let mut best = 0;
    for (at, value) in line.iter().enumerate() {
        if is_better(value, &line[best]) {
            best = at;
        }
    }
    best
}

pub(crate) fn place_of_smallest(line: &[f64]) -> f64 {
    extreme(line, |value, best| value < best) as f64
}

pub(crate) fn place_of_largest(line: &[f64]) -> f64 {
    extreme(line, |value, best| value > best) as f64
}

pub(crate) fn softmax(line: &[f64], result: &mut Vec<f64>) {
    let most = largest(line);
    result.extend(line.iter().map(|value| (value - most).exp()));
    let total: f64 = result.iter().sum();
    result.iter_mut().for_each(|value| *value /= total);
}

pub(crate) fn log_softmax(line: &[f64], result: &mut Vec<f64>) {
    let most = largest(line);
    let total: f64 = line.iter().map(|value| (value - most).exp()).sum();
    result.extend(line.iter().map(|value| value - most - total.ln()));
}

impl Tensor {
    /// Each line along an axis becomes one of `len` values.
    ///
    /// # Errors
    /// No room, an interrupt.
    pub(crate) fn lines(
        &self,
        axis: usize,
        len: usize,
        work: &Work,
        line: Line,
    ) -> Result<Self, ScriptError> {
        let mut shape = self.shape().to_vec();
        shape[axis] = len;
        work.room(&shape, self.precision().bytes())?;
        work.room(&[self.shape()[axis]], 2 * size_of::<f64>())?;
        let data = map_numbers!(&self.data, array => lines(array.view(), axis, &shape, work, line)?);
        Ok(Self {
            data,
            axes: self.axes.clone(),
        })
    }

    /// The same as 64-bit floats: places, which 32 bits do not hold all.
    pub(crate) fn places(
        &self,
        axis: usize,
        len: usize,
        work: &Work,
        line: Line,
    ) -> Result<Self, ScriptError> {
        let mut shape = self.shape().to_vec();
        shape[axis] = len;
        work.room(&shape, size_of::<f64>())?;
        work.room(self.shape(), size_of::<f64>())?;
        let exact = self.data.to_f64();
        let data = Numbers::F64(lines(exact.view(), axis, &shape, work, line)?);
        Ok(Self {
            data,
            axes: self.axes.clone(),
        })
    }

    /// A number for each line along one axis, or along several taken together; those axes are gone then.
    ///
    /// # Errors
    /// Axes that are not there, no room, an interrupt.
    pub(crate) fn reduce(
        &self,
        axes: &Dynamic,
        work: &Work,
        statistic: Statistic,
    ) -> Result<Dynamic, ScriptError> {
        let axes = self.several_axes(axes)?;
        self.reduced(&axes, work, statistic).map(Self::into_value)
    }

    pub(crate) fn reduced(
        &self,
        axes: &[usize],
        work: &Work,
        statistic: Statistic,
    ) -> Result<Self, ScriptError> {
        let Some((&axis, others)) = axes.split_first() else {
            return Ok(self.clone());
        };
        if !others.is_empty() {
            let (merged, axis) = self.merged(axes, work)?;
            return merged.reduced(&[axis], work, statistic);
        }
        let each = |line: &[f64], result: &mut Vec<f64>| result.push(statistic(line));
        self.lines(axis, 1, work, &each)?.index(axis, 0)
    }

    /// Where along an axis the value is: a number for each line.
    ///
    /// # Errors
    /// As of [`Tensor::reduce`]; an axis without values.
    pub(crate) fn place_along(
        &self,
        axis: &Dynamic,
        work: &Work,
        place: Statistic,
    ) -> Result<Dynamic, ScriptError> {
        let axis = self.axis(axis)?;
        if self.shape()[axis] == 0 {
            return Err(self.without_values());
        }
        let each = |line: &[f64], result: &mut Vec<f64>| result.push(place(line));
        let places = self.places(axis, 1, work, &each)?.index(axis, 0)?;
        Ok(match places.axes.is_empty() {
            true => places
                .data
                .iter()
                .next()
                .map_or(Dynamic::UNIT, |at| Dynamic::from_int(at as INT)),
            false => places.into_value(),
        })
    }

    /// The same of all values, counted row by row.
    pub(crate) fn place(&self, work: &Work, place: Statistic) -> Result<INT, ScriptError> {
        if self.data.is_empty() {
            return Err(self.without_values());
        }
        Ok(self.over_all(work, place)? as INT)
    }

    /// A number of all values.
    pub(crate) fn over_all(&self, work: &Work, statistic: Statistic) -> Result<f64, ScriptError> {
        work.room(&[self.data.len()], size_of::<f64>())?;
        let values: Vec<f64> = self.data.iter().collect();
        work.check()?;
        let result = statistic(&values);
        work.check()?;
        Ok(result)
    }

    fn without_values(&self) -> ScriptError {
        let message = format!("there is no value in {}", self.shape_text());
        ScriptError::new(ErrorKind::Value, message)
    }

    /// Some axes as one, the last.
    fn merged(&self, axes: &[usize], work: &Work) -> Result<(Self, usize), ScriptError> {
        let kept: Vec<usize> = (0..self.shape().len())
            .filter(|axis| !axes.contains(axis))
            .collect();
        let order: Vec<usize> = kept.iter().chain(axes).copied().collect();
        let turned = self.permuted(&order);
        let mut shape: Vec<usize> = kept.iter().map(|axis| self.shape()[*axis]).collect();
        shape.push(axes.iter().map(|axis| self.shape()[*axis]).product());
        let names: Vec<&'static str> = kept.iter().map(|axis| self.axes[*axis]).collect();
        let merged = turned.reshaped(&shape, work)?;
        Ok((Self::of(merged.data, &names), kept.len()))
    }
}

fn lines<T: Element>(
    array: ArrayViewD<T>,
    axis: usize,
    shape: &[usize],
    work: &Work,
    line: Line,
) -> Result<ArcArray<T, IxDyn>, ScriptError> {
    let mut result = ArrayD::<T>::zeros(IxDyn(shape));
    let (mut from, mut to) = (Vec::with_capacity(array.shape()[axis]), Vec::new());
    let lanes = array.lanes(Axis(axis)).into_iter();
    for (values, mut place) in lanes.zip(result.lanes_mut(Axis(axis))) {
        from.clear();
        from.extend(values.iter().map(|&value| value.into()));
        to.clear();
        line(&from, &mut to);
        place
            .iter_mut()
            .zip(&to)
            .for_each(|(place, &value)| *place = T::of(value));
        work.step(values.len())?;
    }
    Ok(result.into_shared())
}
