//! LIME: a linear model of what many passes, each without some of the sources, say.

use ndarray::s;

use super::coalitions::{self, sampled};
use super::objective::Objective;
use super::options::AttributionOptions;
use super::passes::{Passes, ends};
use super::rows::{Contributions, MethodOutput};
use super::work::Work;
use crate::error::Result;

/// How many passes there are, beside the two of the ends.
fn n_samples(options: &AttributionOptions) -> usize {
    options.n_samples.unwrap_or(500)
}

/// How many passes all take together.
pub(super) fn n_passes(_: &Objective, options: &AttributionOptions) -> usize {
    n_samples(options) + 2
}

/// Coefficients of a weighted linear model, see [`coalitions::lime`].
pub(super) fn lime(
    explained: &Objective,
    options: &AttributionOptions,
    work: &mut Work,
) -> Result<MethodOutput> {
    options.ensure_samples(n_samples(options), 2, explained.n_sources())?;
    let passes = Passes::new(explained, &options.baseline)?;
    let mut kept = sampled(passes.n_sources(), n_samples(options), false, options.seed);
    kept.row_mut(0).fill(true); // the text itself
    let (values, baseline_values) = ends(&passes, work)?;
    let found = passes.keeping(kept.view(), work)?;
    let rows = passes.n_sources_of_each().into_iter().enumerate();
    let rows =
        rows.map(|(target, n)| coalitions::lime(kept.slice(s![.., ..n]), found.column(target)).coefficients);
    Ok(MethodOutput::with_baseline(
        Contributions::Tokens(rows.collect()),
        values,
        &baseline_values,
        |_| true,
    ))
}
