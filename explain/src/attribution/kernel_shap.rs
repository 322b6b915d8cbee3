//! KernelSHAP: Shapley's values from what many passes, each without some of the sources, say.

use ndarray::{Array1, s};

use super::coalitions::{self, all, sampled, shapley};
use super::objective::Objective;
use super::options::AttributionOptions;
use super::passes::{Passes, ends};
use super::rows::{Contributions, MethodOutput};
use super::target::Target;
use super::work::Work;
use crate::error::Result;

/// How many passes there are; where nothing is said as many as the `shap` package takes.
fn n_samples(options: &AttributionOptions, n_sources: usize) -> usize {
    options.n_samples.unwrap_or(2048 + 2 * n_sources)
}

/// Whether there are as many passes as sets of sources, so that Shapley's values are computed and not estimated.
fn is_exact(options: &AttributionOptions, n_sources: usize) -> bool {
    n_sources < 20 && 1 << n_sources <= n_samples(options, n_sources)
}

/// How many passes all take together.
pub(super) fn n_passes(explained: &Objective, options: &AttributionOptions) -> usize {
    let (exact, sampled) = split(explained, options);
    let n_of = |&target: &usize| explained.n_sources_of(&explained.targets()[target]);
    let of_exact = exact.iter().map(n_of).max().map_or(0, |n| 1 << n);
    let of_sampled = match sampled.is_empty() {
        true => 0,
        false => n_samples(options, explained.n_sources()) + 2,
    };
    of_exact + of_sampled
}

/// Shapley's values: from all sets of sources for targets that have few, by regression for the others.
pub(super) fn kernel_shap(
    explained: &Objective,
    options: &AttributionOptions,
    work: &mut Work,
) -> Result<MethodOutput> {
    let (exact, estimated) = split(explained, options);
    let n_targets = explained.targets().len();
    let mut rows = vec![Row::default(); n_targets];
    if !exact.is_empty() {
        let some = explained.only(&of(explained, &exact));
        for (place, row) in exact.into_iter().zip(enumerated(&some, options, work)?) {
            rows[place] = row;
        }
    }
    if !estimated.is_empty() {
        let some = explained.only(&of(explained, &estimated));
        for (place, row) in estimated.into_iter().zip(estimate(&some, options, work)?) {
            rows[place] = row;
        }
    }
    let baseline_values: Vec<f64> = rows.iter().map(|row| row.baseline_value).collect();
    let values = rows.iter().map(|row| row.value).collect();
    let contributions = rows.into_iter().map(|row| row.contributions).collect();
    Ok(MethodOutput::with_baseline(
        Contributions::Tokens(contributions),
        values,
        &baseline_values,
        |_| true,
    ))
}

/// One target's part.
#[derive(Clone, Default)]
struct Row {
    contributions: Vec<f64>,
    value: f64,
    baseline_value: f64,
}

/// Places of the targets that have few sources, and of the others.
fn split(explained: &Objective, options: &AttributionOptions) -> (Vec<usize>, Vec<usize>) {
    let targets = explained.targets();
    (0..targets.len()).partition(|&place| is_exact(options, explained.n_sources_of(&targets[place])))
}

fn of(explained: &Objective, places: &[usize]) -> Vec<Target> {
    places.iter().map(|&place| explained.targets()[place]).collect()
}

fn enumerated(explained: &Objective, options: &AttributionOptions, work: &mut Work) -> Result<Vec<Row>> {
    let passes = Passes::new(explained, &options.baseline)?;
    let values = passes.keeping(all(passes.n_sources()).view(), work)?;
    let rows = passes.n_sources_of_each().into_iter().enumerate();
    let rows = rows.map(|(target, n)| {
        // What a target does not see does not matter: the first sets are those without it.
        let values: Vec<f64> = values.slice(s![..1 << n, target]).to_vec();
        Row {
            contributions: shapley(&values),
            value: values[values.len() - 1],
            baseline_value: values[0],
        }
    });
    Ok(rows.collect())
}

fn estimate(explained: &Objective, options: &AttributionOptions, work: &mut Work) -> Result<Vec<Row>> {
    let passes = Passes::new(explained, &options.baseline)?;
    let n = passes.n_sources();
    options.ensure_samples(n_samples(options, n), 2 * n, n)?;
    let kept = sampled(n, n_samples(options, n), true, options.seed);
    let (full, empty) = ends(&passes, work)?;
    let values = passes.keeping(kept.view(), work)?;
    let rows = passes.n_sources_of_each().into_iter().enumerate();
    let rows = rows.map(|(target, n)| {
        let values: Array1<f64> = values.column(target).to_owned();
        Row {
            contributions: coalitions::kernel_shap(
                kept.slice(s![.., ..n]),
                values.view(),
                full[target],
                empty[target],
            ),
            value: full[target],
            baseline_value: empty[target],
        }
    });
    Ok(rows.collect())
}
