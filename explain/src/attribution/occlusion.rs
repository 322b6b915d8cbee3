//! Occlusion: what a target loses when a source is replaced (Zeiler & Fergus 2014, 1311.2901), one after the other,
//! each in a pass of its own. captum calls it feature ablation, and occlusion where windows slide.

use std::ops::Range;

use super::objective::Objective;
use super::options::AttributionOptions;
use super::passes::Passes;
use super::rows::{Contributions, MethodOutput};
use super::work::Work;
use crate::error::Result;

/// F(x) − F(x without the window), for each source the mean over the windows of `options.window` sources that it
/// is in. Windows that reach beyond a target's sources do not count, unless there is no other.
pub(super) fn occlusion(
    explained: &Objective,
    options: &AttributionOptions,
    work: &mut Work,
) -> Result<MethodOutput> {
    let passes = Passes::new(explained, &options.baseline)?;
    let windows = windows(passes.n_sources(), options.window);
    let (values, without) = passes.without(&windows, work)?;
    let rows = passes
        .n_sources_of_each()
        .into_iter()
        .enumerate()
        .map(|(target, n)| {
            let differences = without.column(target).mapv(|without| values[target] - without);
            means(&windows, n, |window| differences[window])
        });
    let contributions = Contributions::Tokens(rows.collect());
    Ok(MethodOutput::without_baseline(contributions, values))
}

/// How many passes it takes beside the one over the text.
pub(super) fn n_passes(explained: &Objective, options: &AttributionOptions) -> usize {
    n_windows(explained.n_sources(), options.window)
}

fn n_windows(n_sources: usize, window: usize) -> usize {
    (n_sources + 1).saturating_sub(window).max(1)
}

/// Each as wide as asked, as far as there are sources.
fn windows(n_sources: usize, width: usize) -> Vec<Range<usize>> {
    (0..n_windows(n_sources, width))
        .map(|start| start..(start + width).min(n_sources))
        .collect()
}

/// For each of a target's n sources the mean over the windows that it is in.
fn means(windows: &[Range<usize>], n: usize, difference: impl Fn(usize) -> f64) -> Vec<f64> {
    let (mut sums, mut counts) = (vec![0.0; n], vec![0.0; n]);
    for (index, window) in windows.iter().enumerate() {
        if window.end > n && window.start > 0 {
            break;
        }
        for source in window.start..window.end.min(n) {
            sums[source] += difference(index);
            counts[source] += 1.0;
        }
    }
    sums.iter().zip(counts).map(|(sum, count)| sum / count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_overlap_and_the_first_is_always_there() {
        assert_eq!(windows(4, 2), [0..2, 1..3, 2..4]);
        assert_eq!(windows(2, 5), [0..2]);
        let all = windows(4, 2);
        assert_eq!(means(&all, 4, |window| window as f64), [0.0, 0.5, 1.5, 2.0]);
        assert_eq!(means(&all, 1, |window| window as f64 + 7.0), [7.0]);
    }
}
