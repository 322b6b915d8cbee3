//! LIME and KernelSHAP: what many passes, each without some of the sources, say about each source.

use ndarray::{Array1, s};

use super::Method;
use super::coalitions::{all, kernel_shap, lime, sampled, shapley};
use super::explained::Explained;
use super::options::AttributionOptions;
use super::passes::{Passes, ends};
use super::rows::{Contributions, Found};
use super::work::Work;
use crate::error::{Error, Result};

/// How many passes LIME takes where nothing is said.
const LIME_SAMPLES: usize = 500;
/// KernelSHAP beside two for each source, as the `shap` package does.
const SHAP_SAMPLES: usize = 2048;

/// How many passes there are.
pub fn n_samples(options: &AttributionOptions, n_sources: usize) -> usize {
    options.n_samples.unwrap_or(match options.method {
        Method::Lime => LIME_SAMPLES,
        _ => SHAP_SAMPLES + 2 * n_sources,
    })
}

/// Whether there are as many passes as sets of sources, so that Shapley's values are computed and not estimated.
fn is_exact(options: &AttributionOptions, n_sources: usize) -> bool {
    n_sources < 20 && 1 << n_sources <= n_samples(options, n_sources)
}

/// # Errors
/// [`Error::Option`] where there are too few passes to tell the sources apart.
pub fn check(options: &AttributionOptions, n_sources: usize) -> Result<()> {
    let n = n_samples(options, n_sources);
    let least = match options.method {
        Method::Lime => 2,
        _ if is_exact(options, n_sources) => 1,
        _ => 2 * n_sources,
    };
    if n >= least {
        return Ok(());
    }
    Err(Error::Option {
        option: "n_samples",
        value: n.to_string(),
        reason: format!(
            "{} of {n_sources} sources needs at least {least}",
            options.method.label()
        ),
    })
}

/// How many passes all take together.
pub fn n_passes(explained: &Explained, options: &AttributionOptions) -> usize {
    let n = explained.n_sources();
    match options.method {
        Method::KernelShap => {
            let (exact, sampled) = split(explained, options);
            let of_exact = exact
                .iter()
                .map(|&target| explained.n_sources_of(&explained.targets()[target]));
            of_exact.max().map_or(0, |n| 1 << n)
                + if sampled.is_empty() {
                    0
                } else {
                    n_samples(options, n) + 2
                }
        }
        _ => n_samples(options, n) + 2,
    }
}

/// Coefficients of a weighted linear model, see [`lime`].
pub fn local_model(explained: &Explained, options: &AttributionOptions, work: &mut Work) -> Result<Found> {
    check(options, explained.n_sources())?;
    let passes = Passes::new(explained, &options.baseline)?;
    let mut kept = sampled(
        passes.n_sources(),
        n_samples(options, passes.n_sources()),
        false,
        options.seed,
    );
    kept.row_mut(0).fill(true); // the text itself
    let (values, baseline_values) = ends(&passes, work)?;
    let found = passes.keeping(kept.view(), work)?;
    let rows = passes.n_sources_of_each().into_iter().enumerate();
    let rows = rows.map(|(target, n)| lime(kept.slice(s![.., ..n]), found.column(target)).coefficients);
    Ok(Found {
        contributions: Contributions::Tokens(rows.collect()),
        promised: vec![None; values.len()],
        values,
        baseline_values: baseline_values.into_iter().map(Some).collect(),
    })
}

/// Shapley's values: from all sets of sources for targets that have few, by regression for the others.
pub fn shapley_values(explained: &Explained, options: &AttributionOptions, work: &mut Work) -> Result<Found> {
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
    Ok(Found::with_baseline(
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
fn split(explained: &Explained, options: &AttributionOptions) -> (Vec<usize>, Vec<usize>) {
    let targets = explained.targets();
    (0..targets.len()).partition(|&place| is_exact(options, explained.n_sources_of(&targets[place])))
}

fn of(explained: &Explained, places: &[usize]) -> Vec<super::Target> {
    places.iter().map(|&place| explained.targets()[place]).collect()
}

fn enumerated(explained: &Explained, options: &AttributionOptions, work: &mut Work) -> Result<Vec<Row>> {
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

fn estimate(explained: &Explained, options: &AttributionOptions, work: &mut Work) -> Result<Vec<Row>> {
    let passes = Passes::new(explained, &options.baseline)?;
    let n = passes.n_sources();
    check(options, n)?;
    let kept = sampled(n, n_samples(options, n), true, options.seed);
    let (full, empty) = ends(&passes, work)?;
    let values = passes.keeping(kept.view(), work)?;
    let rows = passes.n_sources_of_each().into_iter().enumerate();
    let rows = rows.map(|(target, n)| {
        let values: Array1<f64> = values.column(target).to_owned();
        Row {
            contributions: kernel_shap(
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
