//! Which penalty a probe has, where that is left to it: the one with which probes say most of texts left out, among those that
//! it may learn from. scikit-learn's `GridSearchCV` does the same.

use ndarray::{Array2, Axis};

use super::fit::{Fitting, Space};
use super::folds::{folds, n_classes, rarer};
use super::{ProbeOptions, Work, measures};
use crate::error::Result;

/// What is tried, the strongest first: of equally good ones that is taken.
pub const PENALTIES: [f64; 8] = [1e4, 1e3, 100.0, 10.0, 1.0, 0.1, 0.01, 1e-3];
/// Parts that the texts are divided into for it.
const PARTS: usize = 3;

/// The penalty for what is learned from the texts `kept`.
pub(super) fn penalty(
    values: &Array2<f64>,
    labels: &[usize],
    kept: &[usize],
    options: &ProbeOptions,
    work: &mut Work,
) -> Result<f64> {
    match options.l2 {
        Some(l2) => Ok(l2),
        None if !options.kind.is_penalised() => Ok(1.0),
        None => {
            let groups = options
                .groups
                .as_ref()
                .map(|all| kept.iter().map(|&text| all[text]).collect());
            let labels: Vec<usize> = kept.iter().map(|&text| labels[text]).collect();
            chosen(&values.select(Axis(0), kept), &labels, groups, options, work)
        }
    }
}

/// The best penalty for texts `values` (text, feature); `groups` as in the options.
fn chosen(
    values: &Array2<f64>,
    labels: &[usize],
    groups: Option<Vec<usize>>,
    options: &ProbeOptions,
    work: &mut Work,
) -> Result<f64> {
    let inner = ProbeOptions {
        folds: PARTS.min(rarer(labels)).max(2),
        groups,
        ..options.clone()
    };
    let (folds, n_classes) = (folds(labels, &inner)?, n_classes(labels));
    let mut right = [0.0; PENALTIES.len()];
    for fold in 0..inner.folds {
        let (kept, left): (Vec<usize>, Vec<usize>) = (0..labels.len()).partition(|&text| folds[text] != fold);
        let of = |texts: &[usize]| texts.iter().map(|&text| labels[text]).collect::<Vec<usize>>();
        let space = Space::new(values.select(Axis(0), &kept), options.kind, work)?;
        let (unseen, learned, truth) = (values.select(Axis(0), &left), of(&kept), of(&left));
        for (right, l2) in right.iter_mut().zip(PENALTIES) {
            let fitting = Fitting {
                kind: options.kind,
                l2,
                labels: &learned,
                n_classes,
            };
            let decisions = fitting.fit(&space, work)?.decisions(&unseen);
            *right += measures::accuracy(&decisions, &truth);
        }
    }
    let mut best = 0;
    for at in 1..PENALTIES.len() {
        // Sums of the same shares may differ in their last digit.
        if right[at] > right[best] + 1e-9 {
            best = at;
        }
    }
    Ok(PENALTIES[best])
}
