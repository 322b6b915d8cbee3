//! Independent components of neuron activations: FastICA.
//!
//! X − mean = S·Aᵀ, where the columns of S (one value per position) are as independent of each other as a rotation of
//! the first principal components can make them: each as far from a normal distribution as possible, measured by
//! E[log cosh] (Hyvärinen & Oja 2000, doi:10.1016/S0893-6080(00)00026-5; all components at once, symmetric
//! decorrelation). Signs, scales and order mean nothing.
//!
//! It is scikit-learn's `FastICA(whiten="unit-variance", fun="logcosh")` step by step: the same matrix and seed give
//! the same components. In float64.

use std::borrow::Cow;
use std::ops::ControlFlow;

use ecco_interpreter::{Progress, Watch};
use ndarray::{Array1, Array2, ArrayView2, Axis, s};

use crate::aside::decomposition;
use crate::error::refuse;
use crate::linalg;
use crate::pca::{DecompositionError, centred, check, check_components, project};
use crate::random::RandomState;

#[derive(Debug, Clone, PartialEq)]
pub struct IcaOptions {
    pub n_components: usize,
    /// Steps at most.
    pub max_iter: usize,
    /// Stop when no component turns by more than this (1 − |cosine|) in a step.
    pub tol: f64,
    /// As numpy's, below 2³².
    pub seed: u64,
}

impl Default for IcaOptions {
    fn default() -> Self {
        Self {
            n_components: 10,
            max_iter: 200,
            tol: 1e-4,
            seed: 0,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Ica {
    /// The sources: (component, position), each with mean 0 and variance 1.
    pub components: Array2<f32>,
    /// How each shows in the neurons, Aᵀ: (component, neuron).
    pub neurons: Array2<f32>,
    /// What reads a source off the neurons: (component, neuron).
    pub unmixing: Array2<f32>,
    /// By neuron.
    pub mean: Array1<f32>,
    /// Frobenius norm of what the components leave of X − mean.
    pub error: f64,
    /// The same relative to the norm of X − mean.
    pub relative_error: f64,
    /// Steps done.
    pub n_iter: usize,
    /// Whether `tol` was reached; otherwise `max_iter` ended it.
    pub converged: bool,
}

/// Independent components of `x` (position, neuron).
///
/// # Errors
/// A matrix of one position or none, with an entry that is not finite, or of lower rank than components are wanted;
/// options out of range; `watch` breaking.
pub fn ica(x: ArrayView2<f32>, options: &IcaOptions, watch: &mut Watch) -> Result<Ica, DecompositionError> {
    check(x)?;
    check_options(options)?;
    // Without its mean, a matrix of n positions has a rank of n − 1 at most.
    let most = (x.nrows() - 1).min(x.ncols());
    check_components("an independent component analysis", options.n_components, most, x)?;
    let (owned, options) = (x.to_owned(), options.clone());
    let found = decomposition(x.dim(), move |watch| decomposed(owned, &options, watch), watch);
    found.unwrap_or(Err(DecompositionError::Interrupted))
}

/// The components of a checked matrix.
fn decomposed(x: Array2<f32>, options: &IcaOptions, watch: &mut Watch) -> Result<Ica, DecompositionError> {
    let (n, k) = (x.nrows(), options.n_components);
    let (centred, mean) = centred(x.view());
    drop(x);
    let (u, singular, vt) = linalg::svd(centred.view())?;
    let rank = singular
        .iter()
        .filter(|&&value| value > 1e-10 * singular[0])
        .count();
    if k > rank {
        return Err(DecompositionError::Rank { rank, asked: k });
    }
    // The first neuron's weights are made positive, as scikit-learn does.
    let sign = vt
        .slice(s![..k, 0])
        .mapv(|value| if value < 0.0 { -1.0 } else { 1.0 });
    let root = (n as f64).sqrt();
    let white = (&u.slice(s![.., ..k]) * &sign * root).reversed_axes(); // [component, position]
    let start = random_start(k, options.seed as u32);
    let (w, n_iter, converged) = rotate(&white, start, options, watch)?;

    let sources = w.dot(&white) / root; // unscaled, [component, position]
    let deviation = sources
        .mapv(|value| value * value)
        .sum_axis(Axis(1))
        .mapv(|sum| (sum / n as f64).sqrt());
    let deviation = deviation.insert_axis(Axis(1));
    let whitening = &vt.slice(s![..k, ..]) * &(&sign / &singular.slice(s![..k])).insert_axis(Axis(1));
    let dewhitening = &vt.slice(s![..k, ..]) * &(&sign * &singular.slice(s![..k])).insert_axis(Axis(1));
    let single = |matrix: Array2<f64>| matrix.mapv(|value| value as f32);
    let squares = singular.mapv(|value| value * value);
    let (total, rest) = (squares.sum(), squares.slice(s![k..]).sum());
    Ok(Ica {
        components: single(&sources / &deviation),
        neurons: single(w.dot(&dewhitening) * &deviation),
        unmixing: single(w.dot(&whitening) / &deviation),
        mean: mean.mapv(|value| value as f32),
        error: rest.sqrt(),
        relative_error: (rest / total).sqrt(),
        n_iter,
        converged,
    })
}

impl Ica {
    /// The sources in another matrix (position, neuron): (component, position).
    ///
    /// # Errors
    /// A matrix of other neurons, or with an entry that is not finite; `watch` breaking.
    pub fn transform(
        &self,
        x: ArrayView2<f32>,
        watch: &mut Watch,
    ) -> Result<Array2<f32>, DecompositionError> {
        project(x, self.mean.view(), self.unmixing.view(), watch)
    }
}

/// The orthogonal W that makes the rows of W·white independent, the steps it took, and whether it converged.
fn rotate(
    white: &Array2<f64>,
    start: Array2<f64>,
    options: &IcaOptions,
    watch: &mut Watch,
) -> Result<(Array2<f64>, usize, bool), DecompositionError> {
    let n = white.ncols() as f64;
    let mut w = decorrelated(&start)?;
    for n_iter in 0..options.max_iter {
        let progress = Progress {
            label: Cow::Borrowed("rotating components"),
            done: n_iter as u64,
            total: Some(options.max_iter as u64),
            unit: "steps",
        };
        if let ControlFlow::Break(()) = watch(&progress) {
            return Err(DecompositionError::Interrupted);
        }
        let slope = w.dot(white).mapv(f64::tanh); // d log cosh, [component, position]
        let curvature = slope.mapv(|value| 1.0 - value * value).sum_axis(Axis(1)) / n;
        let step = slope.dot(&white.t()) / n - &w * &curvature.insert_axis(Axis(1));
        let next = decorrelated(&step)?;
        let turn = (&next * &w)
            .sum_axis(Axis(1))
            .mapv(|cosine| (cosine.abs() - 1.0).abs());
        w = next;
        if turn.iter().all(|&turn| turn < options.tol) {
            return Ok((w, n_iter + 1, true));
        }
    }
    Ok((w, options.max_iter, false))
}

/// (W·Wᵀ)^(−½)·W
fn decorrelated(w: &Array2<f64>) -> Result<Array2<f64>, DecompositionError> {
    let (values, vectors) = linalg::eigh(w.dot(&w.t()).view())?;
    let roots = values.mapv(|value| 1.0 / value.max(f64::MIN_POSITIVE).sqrt());
    Ok((&vectors * &roots).dot(&vectors.t()).dot(w))
}

/// scikit-learn's: normal numbers, row by row.
fn random_start(k: usize, seed: u32) -> Array2<f64> {
    let mut random = RandomState::new(seed);
    Array2::from_shape_simple_fn((k, k), || random.normal())
}

fn check_options(options: &IcaOptions) -> Result<(), DecompositionError> {
    let IcaOptions {
        max_iter, tol, seed, ..
    } = *options;
    if max_iter == 0 {
        return Err(refuse("max_iter", max_iter, "at least 1 step is needed").into());
    }
    if !tol.is_finite() || tol < 0.0 {
        return Err(refuse("tol", tol, "it must be 0 or a positive number").into());
    }
    match u32::try_from(seed) {
        Ok(_) => Ok(()),
        Err(_) => Err(refuse("seed", seed, "numpy's generator takes 0 to 4294967295").into()),
    }
}
