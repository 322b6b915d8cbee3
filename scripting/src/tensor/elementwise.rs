//! Value by value: of one tensor, of two that go together, of a choice between two.

use ndarray::{ArcArray, ArrayD, ArrayViewD, ArrayViewMutD, Axis, IxDyn, Zip};

use super::Tensor;
use super::axes::Alignment;
use super::numbers::{Element, Numbers, Precision, map_numbers};
use super::work::{PIECE, Work};
use crate::errors::ScriptError;

impl Tensor {
    /// `f` of each value.
    ///
    /// # Errors
    /// No room, an interrupt.
    pub(crate) fn map(&self, work: &Work, f: &dyn Fn(f64) -> f64) -> Result<Self, ScriptError> {
        work.room(self.shape(), self.precision().bytes())?;
        let data = map_numbers!(&self.data, array => {
            zipped(array.view(), array.view(), work, &|value, _| f(value))?
        });
        Ok(Self {
            data,
            axes: self.axes.clone(),
        })
    }

    /// `f` of each value and a number, which takes the tensor's precision.
    ///
    /// # Errors
    /// No room, an interrupt.
    pub(crate) fn with_number(
        &self,
        number: f64,
        work: &Work,
        f: impl Fn(f64, f64) -> f64,
    ) -> Result<Self, ScriptError> {
        let number = match self.precision() {
            Precision::Float32 => f64::from(number as f32),
            Precision::Float64 => number,
        };
        self.map(work, &|value| f(value, number))
    }

    /// `f` of each pair; see [`Alignment::of`] for how axes go together.
    ///
    /// # Errors
    /// Shapes that do not go together, no room, an interrupt.
    pub(crate) fn zip(
        &self,
        other: &Self,
        work: &Work,
        f: &dyn Fn(f64, f64) -> f64,
    ) -> Result<Self, ScriptError> {
        let to = Alignment::of(self, other)?;
        let precision = self.precision().with(other.precision());
        work.room(&to.shape, precision.bytes())?;
        let (a, b) = (
            self.data.to_precision(precision),
            other.data.to_precision(precision),
        );
        let data = match (&a, &b) {
            (Numbers::F32(a), Numbers::F32(b)) => {
                let (a, b) = (aligned(a, &to.first), aligned(b, &to.second));
                Numbers::F32(repeated(&a, &b, &to.shape, work, f)?)
            }
            _ => {
                let (a, b) = (a.to_f64(), b.to_f64());
                let (a, b) = (aligned(&a, &to.first), aligned(&b, &to.second));
                Numbers::F64(repeated(&a, &b, &to.shape, work, f)?)
            }
        };
        Ok(Self::of(data, &to.names))
    }

    /// Where this is not 0 the values of `a`, elsewhere those of `b`.
    ///
    /// # Errors
    /// As of [`Tensor::zip`].
    pub(crate) fn choose(&self, a: &Self, b: &Self, work: &Work) -> Result<Self, ScriptError> {
        let both = a.zip(b, work, &|_, _| 0.0)?;
        // All of them in the shape, precision and order of axes of the result.
        let chosen = both.zip(self, work, &|_, choice| choice)?;
        let (a, b) = (
            chosen.zip(a, work, &|_, value| value)?,
            chosen.zip(b, work, &|_, value| value)?,
        );
        let precision = both.precision();
        let values = a.zip(&b, work, &|a, _| a)?; // [the result's shape]
        let mut result = values.data.to_f64().into_owned();
        let rest = (chosen.data.to_f64(), b.data.to_f64());
        Zip::from(&mut result)
            .and(&rest.0)
            .and(&rest.1)
            .for_each(|value, &choice, &other| {
                if choice == 0.0 {
                    *value = other;
                }
            });
        work.check()?;
        Ok(Self::exact(result, &values.axes).to_precision(precision))
    }

    /// Every value of one precision's kind, as a tensor without axes.
    pub(crate) fn scalar(value: f64, precision: Precision) -> Self {
        let array = ArrayD::from_elem(IxDyn(&[]), value).into_shared();
        Self::of(Numbers::F64(array).to_precision(precision), &[])
    }
}

/// The array with the axes of a result in their order; those it has not are of length 1.
fn aligned<T: Element>(array: &ArcArray<T, IxDyn>, places: &[Option<usize>]) -> ArcArray<T, IxDyn> {
    let own: Vec<usize> = places.iter().flatten().copied().collect();
    let mut array = array.clone().permuted_axes(own);
    for (axis, place) in places.iter().enumerate() {
        if place.is_none() {
            array = array.insert_axis(Axis(axis));
        }
    }
    array
}

fn repeated<T: Element>(
    a: &ArcArray<T, IxDyn>,
    b: &ArcArray<T, IxDyn>,
    shape: &[usize],
    work: &Work,
    f: &dyn Fn(f64, f64) -> f64,
) -> Result<ArcArray<T, IxDyn>, ScriptError> {
    match (a.broadcast(shape), b.broadcast(shape)) {
        (Some(a), Some(b)) => zipped(a, b, work, f),
        // The alignment made the lengths equal or 1.
        _ => Ok(ArrayD::zeros(IxDyn(&[0])).into_shared()),
    }
}

/// `f` of two arrays of one shape.
fn zipped<T: Element>(
    a: ArrayViewD<T>,
    b: ArrayViewD<T>,
    work: &Work,
    f: &dyn Fn(f64, f64) -> f64,
) -> Result<ArcArray<T, IxDyn>, ScriptError> {
    let mut result = ArrayD::zeros(a.raw_dim());
    piecewise(result.view_mut(), a, b, work, f)?;
    Ok(result.into_shared())
}

/// Large arrays half by half, so that work on them listens.
fn piecewise<T: Element>(
    mut result: ArrayViewMutD<T>,
    a: ArrayViewD<T>,
    b: ArrayViewD<T>,
    work: &Work,
    f: &dyn Fn(f64, f64) -> f64,
) -> Result<(), ScriptError> {
    if result.len() > PIECE {
        let longest = (0..result.ndim()).max_by_key(|axis| result.shape()[*axis]);
        let axis = longest.unwrap_or(0);
        let middle = result.shape()[axis] / 2;
        let (axis, middle) = (Axis(axis), middle);
        let (first, second) = result.split_at(axis, middle);
        let ((a, more_a), (b, more_b)) = (a.split_at(axis, middle), b.split_at(axis, middle));
        piecewise(first, a, b, work, f)?;
        return piecewise(second, more_a, more_b, work, f);
    }
    let steps = result.len();
    Zip::from(&mut result)
        .and(&a)
        .and(&b)
        .for_each(|to, &a, &b| *to = T::of(f(a.into(), b.into())));
    work.step(steps)
}
