//! One weight: numbers in memory, or a matrix as its file has it, whose numbers are made when they are used.
//!
//! - [`stored`]: such a matrix
//! - [`gradient`]: gradients through products that autograd does not know

mod gradient;
mod stored;
#[cfg(test)]
mod tests;

use tch::{Device, Kind, Tensor};

use crate::host::{self, bring};
use crate::product;

pub(crate) use stored::{Bytes, Rows, StoredMatrix};

/// A weight of a model.
pub enum Weight {
    /// Of any number of axes.
    Numbers(Tensor),
    /// Becomes numbers a part at a time, which are forgotten after use.
    Stored(StoredMatrix),
}

impl Weight {
    pub fn size(&self) -> Vec<i64> {
        match self {
            Self::Numbers(numbers) => numbers.size(),
            Self::Stored(stored) => stored.size().to_vec(),
        }
    }

    pub fn numel(&self) -> u64 {
        self.size().iter().map(|&size| size as u64).product()
    }

    /// What it computes with.
    pub fn kind(&self) -> Kind {
        self.place().0
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.place().1
    }

    pub fn place(&self) -> (Kind, Device) {
        match self {
            Self::Numbers(numbers) => (numbers.kind(), numbers.device()),
            Self::Stored(stored) => stored.place(),
        }
    }

    /// Bytes that it takes.
    pub fn n_bytes(&self) -> u64 {
        match self {
            Self::Numbers(numbers) => (numbers.numel() * numbers.kind().elt_size_in_bytes()) as u64,
            Self::Stored(stored) => stored.n_bytes(),
        }
    }

    /// Whether there is one: what a file lacks is an empty tensor until all that is missing is known.
    pub fn defined(&self) -> bool {
        match self {
            Self::Numbers(numbers) => numbers.defined(),
            Self::Stored(_) => true,
        }
    }

    /// The same weight, not a copy.
    pub fn shallow_clone(&self) -> Self {
        match self {
            Self::Numbers(numbers) => Self::Numbers(numbers.shallow_clone()),
            Self::Stored(stored) => Self::Stored(stored.clone()),
        }
    }

    /// A matrix with its axes swapped, not a copy.
    pub fn tr(&self) -> Self {
        match self {
            Self::Numbers(numbers) if !numbers.defined() => self.shallow_clone(),
            Self::Numbers(numbers) => Self::Numbers(numbers.tr()),
            Self::Stored(stored) => Self::Stored(stored.tr()),
        }
    }

    /// All its numbers: a copy where they are made for it.
    pub fn tensor(&self) -> Tensor {
        match self {
            Self::Numbers(numbers) => numbers.shallow_clone(),
            Self::Stored(stored) => stored.tensor(),
        }
    }

    /// x W + b: `x` is `[row, in]`, W `[in, out]`.
    pub fn affine(&self, x: &Tensor, bias: Option<&Tensor>) -> Tensor {
        match self {
            Self::Numbers(numbers) if !product::is_ours(x, numbers, bias) => self.product(x, bias),
            _ => gradient::product(self, x, bias),
        }
    }

    /// The same of few rows, `[.., in]`, where they are multiplied in one step and nothing is differentiated.
    pub(crate) fn affine_of_few(&self, x: &Tensor, bias: Option<&Tensor>) -> Option<Tensor> {
        match self {
            Self::Numbers(numbers) => product::multiply_few_rows(x, numbers, bias),
            Self::Stored(stored) => stored.product_of_few(x, bias),
        }
    }

    /// The cotangent of `x W`, `[.., out]`, as that of x, `[.., in]`.
    pub fn back(&self, cotangent: &Tensor) -> Tensor {
        self.tr().affine(cotangent, None)
    }

    /// x W + b of x, `[.., in]`, without gradients where they are not libtorch's own; with a bias x has two axes.
    fn product(&self, x: &Tensor, bias: Option<&Tensor>) -> Tensor {
        match self {
            Self::Numbers(numbers) => product::multiply(x, numbers, bias),
            Self::Stored(stored) => stored.product(x, bias),
        }
    }

    /// W · direction, `[out]`: `[in]`.
    pub fn along(&self, direction: &Tensor) -> Tensor {
        match self {
            Self::Numbers(numbers) => numbers.mv(direction),
            Self::Stored(_) => self.back(&direction.unsqueeze(0)).squeeze_dim(0),
        }
    }

    /// Of W, `[in, out]`, the outputs from `start` on, `length` of them.
    pub fn outputs(&self, start: i64, length: i64) -> Self {
        match self {
            Self::Numbers(numbers) => Self::Numbers(numbers.narrow(1, start, length)),
            Self::Stored(stored) => stored.outputs(start, length).map_or_else(
                || Self::Numbers(stored.tensor().narrow(1, start, length)),
                Self::Stored,
            ),
        }
    }

    /// Rows by their numbers, `[number]`, which are on its device: `[number, column]`.
    pub fn rows(&self, numbers: &Tensor) -> Tensor {
        match self {
            Self::Numbers(all) => all.index_select(0, numbers),
            Self::Stored(stored) => stored.rows_at(&host::ids(numbers)),
        }
    }

    /// The mean of its rows in single precision at least, `[column]`.
    pub fn mean_row(&self) -> Tensor {
        match self {
            Self::Numbers(numbers) => numbers.mean_dim(0, false, Kind::Float),
            Self::Stored(stored) => {
                let n_rows = stored.size()[0];
                let share = Tensor::full([1, n_rows], 1.0 / n_rows as f64, stored.place());
                stored.product(&share, None).squeeze_dim(0)
            }
        }
    }

    /// Whether two weights have the same numbers.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        if self.size() != other.size() {
            return false;
        }
        match (self, other) {
            (Self::Numbers(one), Self::Numbers(other)) => {
                let is_one = one.data_ptr() == other.data_ptr() && one.device() == other.device();
                is_one || host::same(one, &bring(other, (one.kind(), one.device())))
            }
            (Self::Stored(stored), other) | (other, Self::Stored(stored)) => stored.is_same(other),
        }
    }
}

impl From<Tensor> for Weight {
    fn from(numbers: Tensor) -> Self {
        Self::Numbers(numbers)
    }
}
