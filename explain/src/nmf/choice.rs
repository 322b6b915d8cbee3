//! How many components: bi-cross-validation (Owen & Perry 2009, 0908.2062).
//!
//! A matrix is predicted from what was not seen of it. For a block A of some positions and some neurons,
//!
//! ```text
//!             left-out neurons   the others
//!   left-out        A                B          D ≈ W·H           factorized
//!   the others      C                D          B ≈ W_B·H, C ≈ W·H_C   non-negative least squares
//!                                               A ≈ W_B·H_C       compared with A
//! ```
//!
//! Too few components miss structure, too many fit D's noise; both predict A badly. Neurons and positions fall into
//! the same number of folds at random, and each fold of positions is left out once, with one of neurons.

use std::borrow::Cow;
use std::ops::ControlFlow;

use ecco_interpreter::{Progress, Watch};
use ndarray::{Array2, ArrayView2, Axis};

use super::transform::least_squares;
use super::{NmfError, NmfOptions, check_matrix, check_options, factorize};
use crate::random::RandomState;

/// Folds of positions, where there are so many positions.
const N_FOLDS: usize = 5;
/// Neurons looked at: more change the choice little and cost in proportion.
const MOST_NEURONS: usize = 4096;
/// Numbers of components in a row that are no better than the best before the search ends.
const PATIENCE: usize = 4;
/// Sweeps and tolerance of the factorizations whose predictions are compared.
const MAX_ITER: usize = 500;
const TOL: f64 = 1e-4;

/// What was tried, and what it says.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The smallest number whose error is within one standard error of the least.
    pub n_components: usize,
    /// By rising number of components.
    pub curve: Vec<Holdout>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Holdout {
    pub n_components: usize,
    /// ‖A − prediction‖² / ‖A‖², the mean over folds: 0 exact, 1 as bad as predicting 0.
    pub error: f64,
    /// The standard error of that mean.
    pub spread: f64,
}

/// Chooses the number of components of `x` (position, neuron), at most `most`, by its held-out error. Of
/// `options` the seed counts: it decides the folds, the neurons where there are more than 4,096, and the starts.
///
/// # Errors
/// As [`factorize`]; a matrix of fewer than 4 positions or neurons, which leave nothing to hold out.
pub fn choose(
    x: ArrayView2<f32>,
    most: usize,
    options: &NmfOptions,
    watch: &mut Watch,
) -> Result<Choice, NmfError> {
    check_options(options)?;
    check_matrix(x)?;
    let (positions, neurons) = x.dim();
    if positions.min(neurons) < 4 {
        return Err(NmfError::TooSmall { positions, neurons });
    }
    let folds = folds(x, options.seed as u32);
    let kept = folds.iter().map(|fold| fold.d.nrows().min(fold.d.ncols()));
    let most = most.min(kept.min().unwrap_or(1));
    let tries: Vec<usize> = candidates(most).collect();
    let mut curve: Vec<Holdout> = Vec::new();
    for (tried, &n_components) in tries.iter().enumerate() {
        let mut errors = Vec::new();
        for (number, fold) in folds.iter().enumerate() {
            let progress = Progress {
                label: Cow::Owned(format!("trying {n_components} components")),
                done: (tried * folds.len() + number) as u64,
                total: Some((tries.len() * folds.len()) as u64),
                unit: "fits",
            };
            let mut asked = |_: &Progress| watch(&progress);
            if let ControlFlow::Break(()) = asked(&progress) {
                return Err(NmfError::Interrupted { n_iter: 0 });
            }
            let options = NmfOptions {
                n_components,
                max_iter: MAX_ITER,
                tol: TOL,
                ..options.clone()
            };
            errors.extend(fold.error(&options, &mut asked)?);
        }
        curve.push(held_out(n_components, &errors));
        if best(&curve) + PATIENCE < curve.len() {
            break;
        }
    }
    let least = curve[best(&curve)];
    let is_good = |held: &&Holdout| held.error <= least.error + least.spread;
    let n_components = curve
        .iter()
        .find(is_good)
        .map_or(least.n_components, |held| held.n_components);
    Ok(Choice { n_components, curve })
}

/// Each number at first, then about every eighth part more.
fn candidates(most: usize) -> impl Iterator<Item = usize> {
    let next = |&n: &usize| Some(n + (n / 8).max(1));
    std::iter::successors(Some(1), next).take_while(move |&n| n <= most)
}

fn held_out(n_components: usize, errors: &[f64]) -> Holdout {
    let n = errors.len().max(1) as f64;
    let mean = errors.iter().sum::<f64>() / n;
    let variance = errors.iter().map(|error| (error - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    Holdout {
        n_components,
        error: mean,
        spread: (variance / n).sqrt(),
    }
}

/// Where the least error stands; the first of equals.
fn best(curve: &[Holdout]) -> usize {
    let lower = |best: usize, at: usize| {
        if curve[at].error < curve[best].error {
            at
        } else {
            best
        }
    };
    (0..curve.len()).fold(0, lower)
}

/// The four parts of the matrix.
struct Fold {
    a: Array2<f32>,
    b: Array2<f32>,
    c: Array2<f32>,
    d: Array2<f32>,
}

impl Fold {
    /// The error of predicting A; None where A is all 0 and there is nothing to predict.
    fn error(&self, options: &NmfOptions, watch: &mut Watch) -> Result<Option<f64>, NmfError> {
        let squares = |sum: f64, value: f64| sum + value * value;
        let size = self.a.iter().copied().map(f64::from).fold(0.0, squares);
        if size == 0.0 {
            return Ok(None);
        }
        let nmf = factorize(self.d.view(), options, watch)?;
        let w_b = least_squares(self.b.view(), nmf.neurons.view(), options, watch)?; // [left-out position, component]
        let h_c = least_squares(self.c.t(), nmf.components.view(), options, watch)?; // [left-out neuron, component]
        let residual = self.a.mapv(f64::from) - w_b.dot(&h_c.t());
        Ok(Some(residual.iter().copied().fold(0.0, squares) / size))
    }
}

fn folds(x: ArrayView2<f32>, seed: u32) -> Vec<Fold> {
    let mut random = RandomState::new(seed);
    let positions = random.shuffled(x.nrows());
    let mut neurons = random.shuffled(x.ncols());
    neurons.truncate(MOST_NEURONS);
    let n_folds = N_FOLDS.min(positions.len()).min(neurons.len());
    let parts = |all: &[usize], fold: usize| -> (Vec<usize>, Vec<usize>) {
        let numbered = all.iter().enumerate();
        let (out, kept): (Vec<_>, Vec<_>) = numbered.partition(|(place, _)| place % n_folds == fold);
        let plain = |pairs: Vec<(usize, &usize)>| pairs.into_iter().map(|(_, &at)| at).collect();
        (plain(out), plain(kept))
    };
    let fold = |fold: usize| {
        let (rows_out, rows) = parts(&positions, fold);
        let (columns_out, columns) = parts(&neurons, fold);
        let part = |rows: &[usize], columns: &[usize]| x.select(Axis(0), rows).select(Axis(1), columns);
        Fold {
            a: part(&rows_out, &columns_out),
            b: part(&rows_out, &columns),
            c: part(&rows, &columns_out),
            d: part(&rows, &columns),
        }
    };
    (0..n_folds).map(fold).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_rise_to_the_most() {
        assert_eq!(
            candidates(20).collect::<Vec<_>>(),
            (1..=16).chain([18, 20]).collect::<Vec<_>>()
        );
        assert_eq!(candidates(1).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn every_entry_is_in_one_part_and_every_position_left_out_once() {
        let x = Array2::from_shape_fn((13, 29), |(i, j)| (i * 29 + j) as f32);
        let folds = folds(x.view(), 1);
        assert_eq!(folds.len(), 5);
        let mut out = Vec::new();
        for fold in &folds {
            let parts = [&fold.a, &fold.b, &fold.c, &fold.d];
            let mut all: Vec<f32> = parts.into_iter().flatten().copied().collect();
            all.sort_by(f32::total_cmp);
            assert!(all.iter().copied().eq((0..13 * 29).map(|value| value as f32)));
            out.extend(fold.a.column(0).iter().map(|value| *value as usize / 29));
        }
        out.sort_unstable();
        assert!(out.iter().copied().eq(0..13));
    }
}
