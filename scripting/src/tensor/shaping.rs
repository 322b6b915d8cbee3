//! Other shapes of the same values, and tensors joined.

use ndarray::{Axis, IxDyn, concatenate, stack};
use rhai::{Array, Dynamic, INT};

use super::Tensor;
use super::axes::{axis_name, mismatch};
use super::numbers::{Numbers, Precision, map_numbers};
use super::work::Work;
use crate::errors::{ErrorKind, ScriptError};
use crate::result::show;

impl Tensor {
    /// The axes in another order, each once.
    pub(crate) fn permuted(&self, order: &[usize]) -> Self {
        Self {
            axes: order.iter().map(|axis| self.axes[*axis]).collect(),
            data: map_numbers!(self.data.clone(), array => array.permuted_axes(order.to_vec())),
        }
    }

    /// The axes reversed, or in the order of names or numbers.
    ///
    /// # Errors
    /// Axes that are not there or not all of them.
    pub(crate) fn transposed(&self, order: Option<&Array>) -> Result<Self, ScriptError> {
        let Some(order) = order else {
            let reversed: Vec<usize> = (0..self.shape().len()).rev().collect();
            return Ok(self.permuted(&reversed));
        };
        let axes = self.several_axes(&Dynamic::from_array(order.clone()))?;
        if axes.len() == self.shape().len() {
            return Ok(self.permuted(&axes));
        }
        let message = format!("{} axes are not all of {}", axes.len(), self.shape_text());
        Err(ScriptError::new(ErrorKind::Value, message).with_hint("name each of them once"))
    }

    /// The same values, row by row, in another shape; one length may be -1: what is left.
    ///
    /// # Errors
    /// A shape of another number of values, no room, an interrupt.
    pub(crate) fn reshape(&self, shape: &Array, work: &Work) -> Result<Self, ScriptError> {
        let shape = self.filled_in(shape)?;
        self.reshaped(&shape, work)
    }

    /// Axes keep their names where they keep their lengths, from the first on.
    pub(crate) fn reshaped(&self, shape: &[usize], work: &Work) -> Result<Self, ScriptError> {
        work.room(shape, self.precision().bytes())?;
        let data = map_numbers!(&self.data, array => {
            let reshaped = array.to_shape(IxDyn(shape)).map_err(|_| self.no_shape(&shape))?;
            reshaped.into_owned().into_shared()
        });
        work.check()?;
        let pairs = self.axes.iter().zip(self.shape()).zip(shape);
        let kept = pairs.take_while(|((_, len), new)| len == new);
        let names: Vec<&'static str> = kept.map(|((name, _), _)| *name).collect();
        Ok(Self::of(data, &names))
    }

    fn filled_in(&self, shape: &Array) -> Result<Vec<usize>, ScriptError> {
        let mut lengths = Vec::new();
        for len in shape {
            match len.as_int() {
                Ok(len) => lengths.push(len),
                Err(_) => return show::expected("the length of an axis", len),
            }
        }
        let wanted = || self.no_shape(&lengths);
        let known = lengths.iter().filter(|len| **len != -1);
        let product = known.copied().try_fold(1_usize, |product, len| {
            product.checked_mul(usize::try_from(len).ok()?)
        });
        let product = product.ok_or_else(wanted)?;
        let unknown = lengths.iter().filter(|len| **len == -1).count();
        let all = self.data.len();
        let left = match unknown {
            0 if product == all => 0,
            1 if product > 0 && all.is_multiple_of(product) => all / product,
            _ => return Err(wanted()),
        };
        let length = |len: &INT| usize::try_from(*len).unwrap_or(left);
        Ok(lengths.iter().map(length).collect())
    }

    fn no_shape(&self, shape: &dyn std::fmt::Debug) -> ScriptError {
        let n = self.data.len();
        let message = format!(
            "{} cannot take the shape {shape:?}: it has {n} values",
            self.shape_text()
        );
        ScriptError::new(ErrorKind::Value, message).with_hint("one length may be -1: what is left")
    }

    /// The entries at some places along an axis, in that order; negative places count from the end.
    ///
    /// # Errors
    /// Places that are not there, no room, an interrupt.
    pub(crate) fn taken(&self, places: &[INT], axis: usize, work: &Work) -> Result<Self, ScriptError> {
        let len = self.shape()[axis];
        let mut shape = self.shape().to_vec();
        shape[axis] = places.len();
        work.room(&shape, self.precision().bytes())?;
        let place = |place: &INT| {
            super::position(*place, len).ok_or_else(|| self.out_of_range(axis, &place.to_string(), len))
        };
        let places: Vec<usize> = places.iter().map(place).collect::<Result<_, _>>()?;
        let data = map_numbers!(&self.data, array => array.select(Axis(axis), &places).into_shared());
        work.check()?;
        Ok(Self {
            data,
            axes: self.axes.clone(),
        })
    }
}

/// Tensors one after the other along an axis, by name or number; all other lengths are the same.
///
/// # Errors
/// None, lengths that differ with both shapes, no room, an interrupt.
pub(crate) fn joined(tensors: &[Tensor], axis: &Dynamic, work: &Work) -> Result<Tensor, ScriptError> {
    let first = first_of(tensors)?;
    let axis = first.axis(axis)?;
    let others = |tensor: &Tensor| {
        let mut shape = tensor.shape().to_vec();
        shape.remove(axis.min(shape.len().saturating_sub(1)));
        (tensor.shape().len(), shape)
    };
    let differs = tensors.iter().find(|tensor| others(tensor) != others(first));
    if let Some(other) = differs {
        return Err(mismatch(first, other).with_hint("the lengths of all other axes are the same"));
    }
    let mut shape = first.shape().to_vec();
    shape[axis] = tensors.iter().map(|tensor| tensor.shape()[axis]).sum();
    let data = together(tensors, &shape, work, |all| concatenate_at(all, axis))?;
    Ok(Tensor::of(data, first.axes()))
}

/// Tensors of one shape beside each other, along a new axis: a number, or a name, which is the first axis then.
///
/// # Errors
/// As of [`joined`].
pub(crate) fn stacked(tensors: &[Tensor], axis: &Dynamic, work: &Work) -> Result<Tensor, ScriptError> {
    let first = first_of(tensors)?;
    let n = first.shape().len() as INT;
    let (at, name) = match (axis.as_int(), axis.as_immutable_string_ref()) {
        (Ok(at), _) => (if at < 0 { at.saturating_add(n + 1) } else { at }, ""),
        (_, Ok(name)) => (0, axis_name(&name)?),
        _ => return show::expected("the number of the new axis, or its name", axis),
    };
    let at = usize::try_from(at)
        .ok()
        .filter(|at| *at as INT <= n)
        .ok_or_else(|| {
            let message = format!("a new axis of {} cannot be number {axis}", first.shape_text());
            ScriptError::new(ErrorKind::Index, message).with_hint(format!("0 to {n}"))
        })?;
    if let Some(other) = tensors.iter().find(|tensor| tensor.shape() != first.shape()) {
        return Err(mismatch(first, other).with_hint("tensors of one shape are stacked"));
    }
    let mut shape = first.shape().to_vec();
    shape.insert(at, tensors.len());
    let data = together(tensors, &shape, work, |all| stack_at(all, at))?;
    let mut names = first.axes().to_vec();
    names.insert(at, name);
    Ok(Tensor::of(data, &names))
}

fn first_of(tensors: &[Tensor]) -> Result<&Tensor, ScriptError> {
    let nothing = || ScriptError::new(ErrorKind::Value, "there is no tensor in the list");
    tensors.first().ok_or_else(nothing)
}

fn together(
    tensors: &[Tensor],
    shape: &[usize],
    work: &Work,
    join: impl Fn(&[Numbers]) -> Result<Numbers, ndarray::ShapeError>,
) -> Result<Numbers, ScriptError> {
    let of = |precision: Precision, tensor: &Tensor| precision.with(tensor.precision());
    let precision = tensors.iter().fold(Precision::Float32, of);
    work.room(shape, precision.bytes())?;
    let all: Vec<Numbers> = tensors
        .iter()
        .map(|tensor| tensor.data.to_precision(precision))
        .collect();
    let joined = join(&all).map_err(|error| ScriptError::new(ErrorKind::Value, error.to_string()));
    work.check()?;
    joined
}

fn concatenate_at(all: &[Numbers], axis: usize) -> Result<Numbers, ndarray::ShapeError> {
    if all.iter().all(|numbers| matches!(numbers, Numbers::F32(_))) {
        let arrays: Vec<_> = all.iter().map(Numbers::to_f32).collect();
        let views: Vec<_> = arrays.iter().map(|array| array.view()).collect();
        return Ok(Numbers::F32(concatenate(Axis(axis), &views)?.into_shared()));
    }
    let arrays: Vec<_> = all.iter().map(Numbers::to_f64).collect();
    let views: Vec<_> = arrays.iter().map(|array| array.view()).collect();
    Ok(Numbers::F64(concatenate(Axis(axis), &views)?.into_shared()))
}

fn stack_at(all: &[Numbers], axis: usize) -> Result<Numbers, ndarray::ShapeError> {
    if all.iter().all(|numbers| matches!(numbers, Numbers::F32(_))) {
        let arrays: Vec<_> = all.iter().map(Numbers::to_f32).collect();
        let views: Vec<_> = arrays.iter().map(|array| array.view()).collect();
        return Ok(Numbers::F32(stack(Axis(axis), &views)?.into_shared()));
    }
    let arrays: Vec<_> = all.iter().map(Numbers::to_f64).collect();
    let views: Vec<_> = arrays.iter().map(|array| array.view()).collect();
    Ok(Numbers::F64(stack(Axis(axis), &views)?.into_shared()))
}
