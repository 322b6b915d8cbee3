//! Non-negative matrix factorization of neuron activations into a few factors.
//!
//! X ≈ W·H with W, H ≥ 0 that minimise ‖X − W·H‖: each factor is a group of neurons that fire together (a row
//! of H) and the positions where they do (a column of W). It follows scikit-learn's
//! `NMF(init="random", solver="cd")` step by step, so the same matrix and seed give the same factors:
//! - `start`: the start that scikit-learn draws from numpy's random numbers;
//! - `descent`: the coordinate descent, in one pass over the matrix per sweep; `on_device`: the same on a GPU;
//! - `transform`: known factors in another matrix; `choice`: how many components;
//! - here: checks, the stopping rule, the result.
//!
//! Arithmetic is float32, as scikit-learn's is for a float32 matrix, but sums run over lanes instead of from
//! left to right, and the small products and the error are float64.

mod choice;
mod descent;
mod on_device;
mod start;
mod transform;

use std::borrow::Cow;
use std::ops::ControlFlow;

use ecco_interpreter::{Diagnostic, Kind, Progress, Watch};
use ndarray::{Array2, ArrayView2};
use tch::Device;
use thiserror::Error;

pub use choice::{Choice, Holdout, choose};
pub use transform::transform;

use descent::Descent;

/// Factorizes `x` (position, neuron) by cyclic coordinate descent (HALS: Cichocki & Phan 2009,
/// doi:10.1587/transfun.E92.A.708, algorithm 2), from scikit-learn's random start. `watch` is asked before
/// each sweep.
///
/// There are at most as many components as positions. Bits depend on the number of threads, the result only
/// to rounding.
///
/// # Errors
/// A matrix without entries or with one that is negative or not finite, options out of range, `watch`
/// breaking.
pub fn factorize(x: ArrayView2<f32>, options: &NmfOptions, watch: &mut Watch) -> Result<Nmf, NmfError> {
    check_options(options)?;
    check_matrix(x)?;
    let n_components = options.n_components.min(x.nrows());
    let root_scale = root_scale(x);
    let scale = root_scale * root_scale;
    let x = x.mapv(|value| (f64::from(value) / scale) as f32);
    let (w, h) = start::draw(x.view(), n_components, options.seed as u32);
    let mut found = None;
    if options.device != Device::Cpu && x.len() * n_components >= descent::worth_crossing() {
        // What goes wrong there, memory that ends, does not here.
        found = descend_there(x.view(), w.view(), h.view(), options, watch)?;
    }
    let found = match found {
        Some(found) => found,
        None => descend_here(x.view(), w.view(), h.view(), options, watch)?,
    };
    let norm = descent::sum(x.view(), |value| value * value).sqrt();
    let unscale = |value: f32| (f64::from(value) * root_scale) as f32;
    Ok(Nmf {
        components: found.w.t().mapv(unscale),
        neurons: found.h.mapv(unscale),
        error: found.error * scale,
        relative_error: if norm > 0.0 { found.error / norm } else { 0.0 },
        n_iter: found.n_iter,
        converged: found.converged,
    })
}

/// Of the scaled matrix.
struct Found {
    w: Array2<f32>, // [position, component]
    h: Array2<f32>, // [component, neuron]
    error: f64,
    n_iter: usize,
    converged: bool,
}

fn descend_here(
    x: ArrayView2<f32>,
    w: ArrayView2<f32>,
    h: ArrayView2<f32>,
    options: &NmfOptions,
    watch: &mut Watch,
) -> Result<Found, NmfError> {
    let mut descent = Descent::new(x, w, h);
    let (n_iter, converged) = descend(&mut || descent.sweep(), options, watch)?;
    let (w, h) = descent.factors();
    let error = descent::residual_norm(x, w.view(), h.view());
    Ok(Found {
        w,
        h,
        error,
        n_iter,
        converged,
    })
}

/// On the device of the options; nothing where it has no room.
fn descend_there(
    x: ArrayView2<f32>,
    w: ArrayView2<f32>,
    h: ArrayView2<f32>,
    options: &NmfOptions,
    watch: &mut Watch,
) -> Result<Option<Found>, NmfError> {
    let Ok(mut descent) = on_device::Descent::new(x, w, h, options.device) else {
        return Ok(None);
    };
    let mut failed = false;
    let mut sweep = || {
        let violation = descent.sweep();
        failed |= violation.is_err();
        // Which ends it.
        violation.unwrap_or(0.0)
    };
    let (n_iter, converged) = descend(&mut sweep, options, watch)?;
    let factors = match failed {
        true => return Ok(None),
        false => descent.factors(),
    };
    let found = |(w, h, error)| Found {
        w,
        h,
        error,
        n_iter,
        converged,
    };
    Ok(factors.ok().map(found))
}

/// What to compute. The defaults are those of the usual run, and of scikit-learn but for `max_iter`.
#[derive(Debug, Clone, PartialEq)]
pub struct NmfOptions {
    /// Number of factors; the number of positions where that is smaller.
    pub n_components: usize,
    /// At most so many sweeps over all coordinates.
    pub max_iter: usize,
    /// Stop when the projected gradient of a sweep (its sum of absolute values) is so small against the
    /// first.
    pub tol: f64,
    /// As numpy's, below 2³².
    pub seed: u64,
    /// Where the descent is computed; on the host where the device has no room, or the matrix is small.
    pub device: Device,
}

impl Default for NmfOptions {
    fn default() -> Self {
        Self {
            n_components: 10,
            max_iter: 500,
            tol: 1e-4,
            seed: 0,
            device: Device::Cpu,
        }
    }
}

/// A factorization: `x[position, neuron]` is about the sum over components `t` of
/// `components[t, position] * neurons[t, neuron]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Nmf {
    /// (component, position), not negative; in the units of √x, like `neurons`.
    pub components: Array2<f32>,
    /// (component, neuron), not negative.
    pub neurons: Array2<f32>,
    /// Frobenius norm of the residual, as scikit-learn's `reconstruction_err_`.
    pub error: f64,
    /// The same relative to the norm of the matrix: 0 exact, 1 nothing explained.
    pub relative_error: f64,
    /// Sweeps done.
    pub n_iter: usize,
    /// Whether `tol` was reached; otherwise `max_iter` ended it.
    pub converged: bool,
}

#[derive(Debug, Clone, PartialEq, Error)]
pub enum NmfError {
    #[error("n_components is 0: ask for at least 1 component")]
    NoComponents,
    #[error("max_iter is 0: at least 1 sweep is needed")]
    NoSweeps,
    #[error("tol is {tol}: it must be 0 or a positive number")]
    Tolerance { tol: f64 },
    #[error("seed {seed} is too large: numpy's generator takes 0 to 4294967295")]
    Seed { seed: u64 },
    #[error("the matrix has no entries: {positions} positions × {neurons} neurons")]
    Empty { positions: usize, neurons: usize },
    #[error("the activation at position {position}, neuron {neuron} is {value}: it must be a finite number")]
    NotFinite {
        position: usize,
        neuron: usize,
        value: f32,
    },
    #[error(
        "the activation at position {position}, neuron {neuron} is negative ({value}): \
         clip the matrix to 0 before factorizing it"
    )]
    Negative {
        position: usize,
        neuron: usize,
        value: f32,
    },
    #[error("the text has {given} neurons at that site, the factors have {expected}")]
    Neurons { given: usize, expected: usize },
    #[error(
        "{positions} positions × {neurons} neurons are too few to hold some of them out: the number of components \
         needs at least 4 of each"
    )]
    TooSmall { positions: usize, neurons: usize },
    #[error("interrupted after {n_iter} sweeps")]
    Interrupted { n_iter: usize },
}

impl Diagnostic for NmfError {
    fn kind(&self) -> Kind {
        match self {
            Self::Interrupted { .. } => Kind::Interrupt,
            _ => Kind::Value,
        }
    }

    fn at(&self) -> Option<&str> {
        matches!(self, Self::Seed { .. }).then_some("seed")
    }
}

/// Sweeps until the stopping rule holds: the number of sweeps, and whether it held.
fn descend(
    sweep: &mut dyn FnMut() -> f64,
    options: &NmfOptions,
    watch: &mut Watch,
) -> Result<(usize, bool), NmfError> {
    let mut first = 0.0;
    for n_iter in 0..options.max_iter {
        let progress = Progress {
            label: Cow::Borrowed("factorizing"),
            done: n_iter as u64,
            total: Some(options.max_iter as u64),
            unit: "sweeps",
        };
        if let ControlFlow::Break(()) = watch(&progress) {
            return Err(NmfError::Interrupted { n_iter });
        }
        let violation = sweep();
        if n_iter == 0 {
            first = violation;
        }
        if violation <= options.tol * first {
            return Ok((n_iter + 1, true));
        }
    }
    Ok((options.max_iter, false))
}

fn check_options(options: &NmfOptions) -> Result<(), NmfError> {
    match *options {
        NmfOptions { n_components: 0, .. } => Err(NmfError::NoComponents),
        NmfOptions { max_iter: 0, .. } => Err(NmfError::NoSweeps),
        NmfOptions { tol, .. } if !tol.is_finite() || tol < 0.0 => Err(NmfError::Tolerance { tol }),
        NmfOptions { seed, .. } if seed > u64::from(u32::MAX) => Err(NmfError::Seed { seed }),
        _ => Ok(()),
    }
}

fn check_matrix(x: ArrayView2<f32>) -> Result<(), NmfError> {
    if x.is_empty() {
        return Err(NmfError::Empty {
            positions: x.nrows(),
            neurons: x.ncols(),
        });
    }
    if descent::all(x, |value| (0.0..=f32::MAX).contains(&value)) {
        return Ok(());
    }
    match x
        .indexed_iter()
        .find(|(_, value)| !value.is_finite() || **value < 0.0)
    {
        None => Ok(()),
        Some(((position, neuron), &value)) if value.is_finite() => Err(NmfError::Negative {
            position,
            neuron,
            value,
        }),
        Some(((position, neuron), &value)) => Err(NmfError::NotFinite {
            position,
            neuron,
            value,
        }),
    }
}

/// A power of two whose square brings the largest entry near 1: gradients grow with its power of 1.5 and would
/// overflow or vanish in float32 far from there. Being powers of two, the scales change no digit of the result.
fn root_scale(x: ArrayView2<f32>) -> f64 {
    let largest = descent::largest(x);
    if largest == 0.0 {
        1.0
    } else {
        (f64::from(largest).log2() / 2.0).floor().exp2()
    }
}
