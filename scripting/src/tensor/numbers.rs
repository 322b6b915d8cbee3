//! The values of a tensor: 32-bit floats, as models have them, or 64-bit ones.

use ecco_interpreter::named;
use ndarray::{ArcArray, IxDyn, LinalgScalar};

named! {
    /// How exact a tensor's values are.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub enum Precision {
        #[default]
        Float32 = "float32" | "f32" | "single",
        Float64 = "float64" | "f64" | "double",
    }
}

impl Precision {
    /// Of one value.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Float32 => size_of::<f32>(),
            Self::Float64 => size_of::<f64>(),
        }
    }

    /// That of a result of both, as numpy has it.
    pub(crate) fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Float32, Self::Float32) => Self::Float32,
            _ => Self::Float64,
        }
    }
}

/// An array of either. Clones and views share its memory.
#[derive(Debug, Clone)]
pub(crate) enum Numbers {
    F32(ArcArray<f32, IxDyn>),
    F64(ArcArray<f64, IxDyn>),
}

/// Numbers of the same precision, made of the array inside.
macro_rules! map_numbers {
    ($numbers:expr, $array:ident => $result:expr) => {
        match $numbers {
            $crate::tensor::numbers::Numbers::F32($array) => $crate::tensor::numbers::Numbers::F32($result),
            $crate::tensor::numbers::Numbers::F64($array) => $crate::tensor::numbers::Numbers::F64($result),
        }
    };
}

/// Anything made of the array inside.
macro_rules! of_numbers {
    ($numbers:expr, $array:ident => $result:expr) => {
        match $numbers {
            $crate::tensor::numbers::Numbers::F32($array) => $result,
            $crate::tensor::numbers::Numbers::F64($array) => $result,
        }
    };
}

pub(crate) use {map_numbers, of_numbers};

/// What an array holds. Work that is not about speed is done in 64 bits and rounded once.
pub(crate) trait Element: LinalgScalar + Into<f64> {
    fn of(value: f64) -> Self;
}

impl Element for f32 {
    fn of(value: f64) -> Self {
        value as Self
    }
}

impl Element for f64 {
    fn of(value: f64) -> Self {
        value
    }
}

impl Numbers {
    pub(crate) fn precision(&self) -> Precision {
        match self {
            Self::F32(_) => Precision::Float32,
            Self::F64(_) => Precision::Float64,
        }
    }

    pub(crate) fn shape(&self) -> &[usize] {
        of_numbers!(self, array => array.shape())
    }

    pub(crate) fn len(&self) -> usize {
        of_numbers!(self, array => array.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Row by row.
    pub(crate) fn iter(&self) -> Box<dyn Iterator<Item = f64> + '_> {
        match self {
            Self::F32(array) => Box::new(array.iter().map(|&value| f64::from(value))),
            Self::F64(array) => Box::new(array.iter().copied()),
        }
    }

    /// The same values of a precision, shared where they have it already.
    pub(crate) fn to_precision(&self, precision: Precision) -> Self {
        match precision {
            Precision::Float32 => Self::F32(self.to_f32()),
            Precision::Float64 => Self::F64(self.to_f64()),
        }
    }

    pub(crate) fn to_f32(&self) -> ArcArray<f32, IxDyn> {
        match self {
            Self::F32(array) => array.clone(),
            Self::F64(array) => array.mapv(|value| value as f32).into_shared(),
        }
    }

    pub(crate) fn to_f64(&self) -> ArcArray<f64, IxDyn> {
        match self {
            Self::F32(array) => array.mapv(f64::from).into_shared(),
            Self::F64(array) => array.clone(),
        }
    }
}

impl PartialEq for Numbers {
    /// Same shape and values, of whatever precision.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::F32(a), Self::F32(b)) => a == b,
            (Self::F64(a), Self::F64(b)) => a == b,
            _ => self.shape() == other.shape() && self.iter().eq(other.iter()),
        }
    }
}
