//! Products of matrices and vectors.

use ndarray::linalg::general_mat_mul;
use ndarray::{ArcArray, Array3, ArrayD, ArrayView2, ArrayView3, ArrayViewMut2, Axis, Ix3, IxDyn};

use super::Tensor;
use super::along;
use super::axes::mismatch;
use super::numbers::{Element, Numbers};
use super::work::Work;
use crate::errors::{ErrorKind, ScriptError};

/// Multiplications between two questions: about a tenth of a second.
const MULTIPLICATIONS: usize = 1 << 28;

impl Tensor {
    /// The product of matrices, as numpy's `@`: the last axis of this with the last but one of `other`; axes before them
    /// are walked together.
    ///
    /// # Errors
    /// Lengths that differ, with both shapes; numbers without axes; no room, an interrupt.
    pub(crate) fn matmul(&self, other: &Self, work: &Work) -> Result<Self, ScriptError> {
        let (n, m) = (self.shape().len(), other.shape().len());
        if n == 0 || m == 0 {
            return Err(mismatch(self, other).with_hint("a number has no axes: multiply with *"));
        }
        // A vector on the left is a row, on the right a column; that axis is gone in the result.
        let (a, b) = (self.with_axis_if(n == 1, 0), other.with_axis_if(m == 1, 1));
        let (rows, inner, columns) = {
            let (of_a, of_b) = (a.shape(), b.shape());
            let (n, m) = (of_a.len(), of_b.len());
            if of_a[n - 1] != of_b[m - 2] {
                return Err(mismatch(self, other).with_hint(format!(
                    "the last axis of the first ({}) is multiplied with the last but one of the second ({})",
                    of_a[n - 1],
                    of_b[m - 2]
                )));
            }
            (of_a[n - 2], of_a[n - 1], of_b[m - 1])
        };
        let (batch, names) = batches(&a, &b).ok_or_else(|| mismatch(self, other))?;
        let (a, b) = (
            a.repeated_to(&batch, [rows, inner], work)?,
            b.repeated_to(&batch, [inner, columns], work)?,
        );
        let product = batched(&a, &b, work)?;
        let shape = [batch.as_slice(), &[rows, columns]].concat();
        let names = [names.as_slice(), &[self.axes[n.max(2) - 2], other.axes[m - 1]]].concat();
        let mut result = Self::of(product.reshaped(&shape, work)?.data, &names);
        if m == 1 {
            result = result.index(shape.len() - 1, 0)?;
        }
        if n == 1 {
            result = result.index(batch.len(), 0)?;
        }
        Ok(result)
    }

    /// As numpy's: the sum of products over the last axis of this and the last but one of `other`.
    ///
    /// # Errors
    /// As of [`Tensor::matmul`].
    pub(crate) fn dot(&self, other: &Self, work: &Work) -> Result<Self, ScriptError> {
        let m = other.shape().len();
        if m <= 2 {
            return self.matmul(other, work);
        }
        // The axes before the last two are walked for each row of this.
        let order: Vec<usize> = [m - 2].into_iter().chain(0..m - 2).chain([m - 1]).collect();
        let turned = other.permuted(&order);
        let (inner, rest) = (turned.shape()[0], turned.shape()[1..].to_vec());
        let flat = turned.reshaped(&[inner, rest.iter().product()], work)?;
        let Some((&last, kept)) = self.shape().split_last() else {
            return self.matmul(other, work);
        };
        if last != inner {
            return Err(mismatch(self, other));
        }
        let product = self.matmul(&flat, work)?;
        let names = [&self.axes[..kept.len()], &turned.axes[1..]].concat();
        let shape = [kept, rest.as_slice()].concat();
        Ok(Self::of(product.reshaped(&shape, work)?.data, &names))
    }

    /// Each value of this with each of `other`: (values, values of the other).
    ///
    /// # Errors
    /// No room, an interrupt.
    pub(crate) fn outer(&self, other: &Self, work: &Work) -> Result<Self, ScriptError> {
        let name = |tensor: &Self| {
            if tensor.axes.len() == 1 {
                tensor.axes[0]
            } else {
                ""
            }
        };
        let (rows, columns) = (self.data.len(), other.data.len());
        let (a, b) = (
            self.reshaped(&[rows, 1], work)?,
            other.reshaped(&[1, columns], work)?,
        );
        let (a, b) = (Self::of(a.data, &[]), Self::of(b.data, &[]));
        let product = a.zip(&b, work, &|a, b| a * b)?;
        Ok(Self::of(product.data, &[name(self), name(other)]))
    }

    /// The cosine of the angle between vectors along an axis, or of all values.
    ///
    /// # Errors
    /// As of [`Tensor::zip`]; axes that are not there.
    pub(crate) fn cosine(
        &self,
        other: &Self,
        axis: Option<&rhai::Dynamic>,
        work: &Work,
    ) -> Result<Self, ScriptError> {
        let (a, b) = (self.to_precision(super::Precision::Float64), other);
        let products = a.zip(b, work, &|a, b| a * b)?;
        let axes = match axis {
            Some(axis) => products.several_axes(axis)?,
            None => (0..products.shape().len()).collect(),
        };
        let of = |f: &dyn Fn(f64, f64) -> f64| a.zip(b, work, f)?.reduced(&axes, work, along::sum);
        let (dot, of_a, of_b) = (of(&|a, b| a * b)?, of(&|a, _| a * a)?, of(&|_, b| b * b)?);
        let lengths = of_a.zip(&of_b, work, &|a, b| a.sqrt() * b.sqrt())?;
        let cosine = dot.zip(&lengths, work, &|dot, lengths| dot / lengths)?;
        Ok(cosine.to_precision(self.precision().with(other.precision())))
    }

    fn with_axis_if(&self, is_vector: bool, at: usize) -> Self {
        if !is_vector {
            return self.clone();
        }
        let mut axes = self.axes.clone();
        axes.insert(at, "");
        let data = super::map_numbers!(self.data.clone(), array => array.insert_axis(Axis(at)));
        Self { data, axes }
    }

    /// As (batch, rows, columns), axes of length 1 among the batch's repeated.
    fn repeated_to(&self, batch: &[usize], matrix: [usize; 2], work: &Work) -> Result<Self, ScriptError> {
        let shape = [batch, &matrix].concat();
        let flat = [batch.iter().product::<usize>(), matrix[0], matrix[1]];
        let to_repeat = Self::of(self.data.clone(), &[]);
        if to_repeat.shape() == shape {
            return to_repeat.reshaped(&flat, work);
        }
        work.room(&shape, self.precision().bytes())?;
        let data = super::map_numbers!(&to_repeat.data, array => {
            let repeated = array.broadcast(shape.as_slice()).ok_or_else(|| mismatch(self, self))?;
            repeated.to_owned().into_shared()
        });
        Self::of(data, &[]).reshaped(&flat, work)
    }
}

/// The axes before the last two, walked together as numpy does, and their names.
fn batches(a: &Tensor, b: &Tensor) -> Option<(Vec<usize>, Vec<&'static str>)> {
    let (n, m) = (a.shape().len() - 2, b.shape().len() - 2);
    let of = |tensor: &Tensor, n: usize, axis: Option<usize>| match axis.filter(|axis| *axis < n) {
        Some(axis) => (tensor.shape()[axis], tensor.axes()[axis]),
        None => (1, ""),
    };
    let (mut shape, mut names) = (Vec::new(), Vec::new());
    let most = n.max(m);
    for axis in 0..most {
        let of_a = of(a, n, axis.checked_sub(most - n));
        let of_b = of(b, m, axis.checked_sub(most - m));
        shape.push(match (of_a.0, of_b.0) {
            (a, b) if a == b => a,
            (1, b) => b,
            (a, 1) => a,
            _ => return None,
        });
        names.push(if of_a.1.is_empty() { of_b.1 } else { of_a.1 });
    }
    Some((shape, names))
}

/// (batch, rows, inner) · (batch, inner, columns).
pub(crate) fn batched(a: &Tensor, b: &Tensor, work: &Work) -> Result<Tensor, ScriptError> {
    let (of_a, of_b) = (a.shape(), b.shape());
    let precision = a.precision().with(b.precision());
    work.room(&[of_a[0], of_a[1], of_b[2]], precision.bytes())?;
    let data = match (&a.data, &b.data) {
        (Numbers::F32(a), Numbers::F32(b)) => Numbers::F32(multiplied(a, b, work)?),
        (a, b) => Numbers::F64(multiplied(&a.to_f64(), &b.to_f64(), work)?),
    };
    Ok(Tensor::of(data, &[]))
}

fn multiplied<T: Element>(
    a: &ArcArray<T, IxDyn>,
    b: &ArcArray<T, IxDyn>,
    work: &Work,
) -> Result<ArcArray<T, IxDyn>, ScriptError> {
    let shape = |error: ndarray::ShapeError| ScriptError::new(ErrorKind::Internal, error.to_string());
    let a: ArrayView3<T> = a.view().into_dimensionality::<Ix3>().map_err(shape)?;
    let b: ArrayView3<T> = b.view().into_dimensionality::<Ix3>().map_err(shape)?;
    let mut result = Array3::<T>::zeros((a.dim().0, a.dim().1, b.dim().2));
    for (at, mut product) in result.outer_iter_mut().enumerate() {
        let (a, b) = (a.index_axis(Axis(0), at), b.index_axis(Axis(0), at));
        rows(a, b, product.view_mut(), work)?;
    }
    let result: ArrayD<T> = result.into_dyn();
    Ok(result.into_shared())
}

/// Some rows at a time, so that it listens.
fn rows<T: Element>(
    a: ArrayView2<T>,
    b: ArrayView2<T>,
    mut product: ArrayViewMut2<T>,
    work: &Work,
) -> Result<(), ScriptError> {
    if a.nrows() == 0 || b.ncols() == 0 {
        return Ok(());
    }
    let each = (MULTIPLICATIONS / b.len().max(1)).max(1);
    let parts = product.axis_chunks_iter_mut(Axis(0), each);
    for (a, mut part) in a.axis_chunks_iter(Axis(0), each).zip(parts) {
        general_mat_mul(T::one(), &a, &b, T::zero(), &mut part);
        work.step(part.len().max(a.nrows().saturating_mul(b.len()) / 64))?;
    }
    Ok(())
}
