//! Principal components of neuron activations.
//!
//! X − mean = U·S·Vᵀ (singular values falling). The directions are rows of Vᵀ, and a component's values over the
//! positions are a column of U·S: among all ways to write X with k numbers per position, this one leaves the least
//! (Eckart & Young 1936, doi:10.1007/BF02288367). Unlike factors of [`nmf`](crate::nmf), components have signs, cancel
//! each other, and each depends on those before it.
//!
//! It is scikit-learn's `PCA(svd_solver="full")`, signs included: in each direction the largest weight is positive.
//! In float64.

use std::borrow::Cow;
use std::ops::ControlFlow;

use ecco_interpreter::{Diagnostic, Kind, Progress, Watch};
use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use thiserror::Error;

use crate::aside::decomposition;
use crate::linalg;

#[derive(Debug, Clone, PartialEq)]
pub struct Pca {
    /// (component, position), each with mean 0; the first has the largest variance.
    pub components: Array2<f32>,
    /// Directions: (component, neuron), orthonormal.
    pub neurons: Array2<f32>,
    /// By neuron: what was taken off each position.
    pub mean: Array1<f32>,
    /// Of each component, with n − 1 degrees of freedom.
    pub explained_variance: Vec<f64>,
    /// Share of the whole variance.
    pub explained_variance_ratio: Vec<f64>,
    /// Frobenius norm of what the components leave of X − mean.
    pub error: f64,
    /// The same relative to the norm of X − mean.
    pub relative_error: f64,
}

/// What can be wrong with a matrix that is decomposed into components, or with their number.
#[derive(Debug, Error)]
pub enum DecompositionError {
    #[error("n_components is {asked}: {what} of {positions} positions × {neurons} neurons takes 1 to {most}")]
    Components {
        what: &'static str,
        asked: usize,
        most: usize,
        positions: usize,
        neurons: usize,
    },
    #[error("{positions} positions × {neurons} neurons have no components: at least 2 positions are needed")]
    TooSmall { positions: usize, neurons: usize },
    #[error("the activation at position {position}, neuron {neuron} is {value}: it must be a finite number")]
    NotFinite {
        position: usize,
        neuron: usize,
        value: f32,
    },
    #[error(
        "the activations are of rank {rank} without their mean, so they do not have {asked} independent components"
    )]
    Rank { rank: usize, asked: usize },
    #[error("the text has {given} neurons at that site, the components have {expected}")]
    Neurons { given: usize, expected: usize },
    #[error("interrupted")]
    Interrupted,
    #[error(transparent)]
    Explain(#[from] crate::Error),
}

impl Diagnostic for DecompositionError {
    fn kind(&self) -> Kind {
        match self {
            Self::Interrupted => Kind::Interrupt,
            Self::Explain(error) => error.kind(),
            _ => Kind::Value,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Explain(error) => error.hint(),
            _ => None,
        }
    }

    fn at(&self) -> Option<&str> {
        match self {
            Self::Components { .. } | Self::Rank { .. } => Some("n_components"),
            Self::Explain(error) => error.at(),
            _ => None,
        }
    }
}

/// The first `n_components` principal components of `x` (position, neuron).
///
/// # Errors
/// A matrix of one position or none, or with an entry that is not finite; more components than positions or
/// neurons; `watch` breaking.
pub fn pca(x: ArrayView2<f32>, n_components: usize, watch: &mut Watch) -> Result<Pca, DecompositionError> {
    check(x)?;
    check_components(
        "a principal component analysis",
        n_components,
        x.nrows().min(x.ncols()),
        x,
    )?;
    proceed("decomposing", watch)?;
    let owned = x.to_owned();
    let found = decomposition(x.dim(), move |_| decomposed(owned, n_components), watch);
    found.unwrap_or(Err(DecompositionError::Interrupted))
}

/// The first `k` components of a checked matrix.
fn decomposed(x: Array2<f32>, k: usize) -> Result<Pca, DecompositionError> {
    let positions = x.nrows();
    let (centred, mean) = centred(x.view());
    drop(x);
    let (u, singular, vt) = linalg::svd(centred.view())?;
    let signs = signs(&vt);
    let scale = &singular.slice(s![..k]) * &signs.slice(s![..k]);
    let components = (&u.slice(s![.., ..k]) * &scale).reversed_axes(); // [component, position]
    let neurons = &vt.slice(s![..k, ..]) * &signs.slice(s![..k]).insert_axis(Axis(1));
    let squares = singular.mapv(|value| value * value);
    let (total, rest) = (squares.sum(), squares.slice(s![k..]).sum());
    let variance = squares
        .slice(s![..k])
        .mapv(|value| value / (positions - 1) as f64);
    let share = |value: f64| if total > 0.0 { value / total } else { 0.0 };
    Ok(Pca {
        components: components.mapv(|value| value as f32),
        neurons: neurons.mapv(|value| value as f32),
        mean: mean.mapv(|value| value as f32),
        explained_variance: variance.to_vec(),
        explained_variance_ratio: squares.slice(s![..k]).iter().map(|&value| share(value)).collect(),
        error: rest.sqrt(),
        relative_error: share(rest).sqrt(),
    })
}

impl Pca {
    /// The components' values in another matrix (position, neuron): (component, position).
    ///
    /// # Errors
    /// A matrix of other neurons, or with an entry that is not finite; `watch` breaking.
    pub fn transform(
        &self,
        x: ArrayView2<f32>,
        watch: &mut Watch,
    ) -> Result<Array2<f32>, DecompositionError> {
        project(x, self.mean.view(), self.neurons.view(), watch)
    }
}

/// directions · (x − mean)ᵀ
pub(crate) fn project(
    x: ArrayView2<f32>,
    mean: ndarray::ArrayView1<f32>,
    directions: ArrayView2<f32>,
    watch: &mut Watch,
) -> Result<Array2<f32>, DecompositionError> {
    check_finite(x)?;
    if x.ncols() != mean.len() {
        return Err(DecompositionError::Neurons {
            given: x.ncols(),
            expected: mean.len(),
        });
    }
    let centred = x.mapv(f64::from) - mean.mapv(f64::from);
    let directions = directions.mapv(f64::from);
    let ask = || proceed("projecting", watch);
    let values = linalg::product(centred.view(), directions.t(), ask)?; // [position, component]
    Ok(values.reversed_axes().mapv(|value| value as f32))
}

/// Without the mean of each neuron, and that mean.
pub(crate) fn centred(x: ArrayView2<f32>) -> (Array2<f64>, Array1<f64>) {
    let mut x = x.mapv(f64::from);
    let mean = x.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(x.ncols()));
    x -= &mean;
    (x, mean)
}

pub(crate) fn check(x: ArrayView2<f32>) -> Result<(), DecompositionError> {
    let (positions, neurons) = x.dim();
    if positions < 2 || neurons == 0 {
        return Err(DecompositionError::TooSmall { positions, neurons });
    }
    check_finite(x)
}

fn check_finite(x: ArrayView2<f32>) -> Result<(), DecompositionError> {
    match x.indexed_iter().find(|(_, value)| !value.is_finite()) {
        None => Ok(()),
        Some(((position, neuron), &value)) => Err(DecompositionError::NotFinite {
            position,
            neuron,
            value,
        }),
    }
}

pub(crate) fn check_components(
    what: &'static str,
    asked: usize,
    most: usize,
    x: ArrayView2<f32>,
) -> Result<(), DecompositionError> {
    let (positions, neurons) = x.dim();
    match (1..=most).contains(&asked) {
        true => Ok(()),
        false => Err(DecompositionError::Components {
            what,
            asked,
            most,
            positions,
            neurons,
        }),
    }
}

pub(crate) fn proceed(label: &'static str, watch: &mut Watch) -> Result<(), DecompositionError> {
    let progress = Progress {
        label: Cow::Borrowed(label),
        done: 0,
        total: None,
        unit: "steps",
    };
    match watch(&progress) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(DecompositionError::Interrupted),
    }
}

/// By row, the sign of the entry that is largest in absolute value (the first of equals).
fn signs(vt: &Array2<f64>) -> Array1<f64> {
    let sign = |row: ndarray::ArrayView1<f64>| {
        let larger = |most: f64, &value: &f64| if value.abs() > most.abs() { value } else { most };
        if row.iter().fold(0.0, larger) < 0.0 {
            -1.0
        } else {
            1.0
        }
    };
    vt.rows().into_iter().map(sign).collect()
}
