//! Rows of a matrix as points of a plane, for people to look at: by principal components, or by t-SNE.
//!
//! t-SNE puts rows that are neighbours beside each other (van der Maaten and Hinton 2008), here by Barnes and Hut's approximation
//! (van der Maaten 2014, 1301.3342), which is `bhtsne`'s. It begins with the principal components, as scikit-learn's does, so that
//! chance has no part in it.

#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use ecco_interpreter::{Progress, Watch};
use ecco_models::device::ensure_room;
use ndarray::{Array1, Array2, ArrayView2, Axis};
use tch::Device;

use crate::aside::aside;
use crate::error::refuse;
use crate::pca::{DecompositionError, pca};

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ProjectionMethod {
    Pca,
    Tsne {
        /// About how many neighbours count: at least 1, at most a third of the other rows; 30 where that is not said and there
        /// are enough.
        perplexity: Option<f64>,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    /// (row, 2)
    pub points: Array2<f64>,
    /// Of the variance of all features, by axis; empty of t-SNE.
    pub shares: Vec<f64>,
    /// Of t-SNE: the divergence of the points' neighbourhoods from the rows', in nats, and the perplexity that was taken.
    pub divergence: Option<f64>,
    pub perplexity: Option<f64>,
}

/// Perplexity where none is named.
const PERPLEXITY: f64 = 30.0;
/// Components that t-SNE is given, as its authors do it.
const COMPONENTS: usize = 50;
const EPOCHS: usize = 1000;
/// Cells that are seen under a smaller angle count as one point.
const THETA: f64 = 0.5;

/// The rows of `x` (row, feature) as points. With `standardize` each feature is divided by its deviation before.
///
/// # Errors
/// Fewer than two rows, of t-SNE than four; values that are no numbers; a perplexity out of bounds; no room; `watch`'s
/// interruption.
pub fn projection(
    x: ArrayView2<f32>,
    method: ProjectionMethod,
    standardize: bool,
    watch: &mut Watch,
) -> Result<Projection, DecompositionError> {
    let (n, width) = x.dim();
    if n < 2 || width == 0 {
        let reason = "a map takes two rows or more, of a feature or more";
        return Err(refuse("states", format!("{n} × {width}"), reason).into());
    }
    if let Some(((row, feature), value)) = x.indexed_iter().find(|(_, value)| !value.is_finite()) {
        let value = format!("{value} in row {row} at {feature}");
        return Err(refuse("a value", value, "a map needs finite numbers").into());
    }
    let perplexity = match method {
        ProjectionMethod::Pca => None,
        ProjectionMethod::Tsne { perplexity } => Some(checked(perplexity, n)?),
    };
    let x = match standardize {
        true => standardized(x),
        false => x.to_owned(),
    };
    let most = if perplexity.is_some() { COMPONENTS } else { 2 };
    let components = pca(x.view(), most.min(n).min(width), watch)?;
    let rows = components.components.t().mapv(f64::from); // [row, component]
    let Some(perplexity) = perplexity else {
        let mut points = Array2::zeros((n, 2));
        for (mut axis, values) in points.axis_iter_mut(Axis(1)).zip(rows.axis_iter(Axis(1))) {
            axis.assign(&values);
        }
        let mut shares = components.explained_variance_ratio;
        shares.resize(2, 0.0);
        return Ok(Projection {
            points,
            shares,
            divergence: None,
            perplexity: None,
        });
    };
    // Of each neighbour its number and how near it is, in both directions, and the way to it.
    let numbers = n * COMPONENTS + 8 * n * (3.0 * perplexity) as usize;
    ensure_room(Device::Cpu, (numbers * size_of::<f64>()) as u64, "a map by t-SNE")
        .map_err(crate::Error::from)?;
    let found = aside(
        "drawing a map",
        move |watch| tsne(&rows, perplexity, watch),
        watch,
    );
    let (points, divergence) = found.flatten().ok_or(DecompositionError::Interrupted)?;
    Ok(Projection {
        points,
        shares: Vec::new(),
        divergence: Some(divergence),
        perplexity: Some(perplexity),
    })
}

fn checked(perplexity: Option<f64>, n: usize) -> Result<f64, crate::Error> {
    let most = (n - 1) as f64 / 3.0;
    if most < 1.0 {
        return Err(refuse("states", format!("{n} rows"), "t-SNE takes four or more"));
    }
    match perplexity {
        None => Ok(PERPLEXITY.min(most)),
        Some(given) if (1.0..=most).contains(&given) => Ok(given),
        Some(given) => {
            let reason = format!("expected 1 to {most:.1}, a third of the other {} rows", n - 1);
            Err(refuse("perplexity", given, reason))
        }
    }
}

/// Each feature in units of its deviation; one that is the same in all rows stays as it is.
fn standardized(x: ArrayView2<f32>) -> Array2<f32> {
    let deviations = x.mapv(f64::from).std_axis(Axis(0), 0.0);
    let units: Array1<f32> =
        deviations.mapv(|deviation| if deviation > 0.0 { deviation as f32 } else { 1.0 });
    &x / &units
}

/// What unwinds out of a fit that is interrupted.
struct Stopped;

/// Points for `rows` (row, component), and the divergence; None where `watch` breaks.
fn tsne(rows: &Array2<f64>, perplexity: f64, watch: &mut Watch) -> Option<(Array2<f64>, f64)> {
    let n = rows.nrows();
    let spread = rows.column(0).std(0.0);
    if spread == 0.0 {
        // All rows are the same.
        return Some((Array2::zeros((n, 2)), 0.0));
    }
    // One thread adds in one order, so that the same rows give the same map.
    let _alone = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .use_current_thread()
        .build();
    let data: Vec<Vec<f64>> = rows.outer_iter().map(|row| row.to_vec()).collect();
    let start = |row: &Vec<f64>| [0, 1].map(|axis| row.get(axis).copied().unwrap_or(0.0) / spread * 1e-4);
    let distance = |a: &Vec<f64>, b: &Vec<f64>| {
        let squares = a.iter().zip(b).map(|(a, b)| (a - b).powi(2));
        squares.sum::<f64>().sqrt()
    };
    let made = catch_unwind(AssertUnwindSafe(|| {
        let mut fit = bhtsne::tSNE::<f64, Vec<f64>, 2>::new(&data);
        fit.perplexity(perplexity)
            .epochs(EPOCHS)
            .initial_embedding(data.iter().flat_map(start).collect::<Vec<f64>>())
            .epoch_callback(|epoch, _| {
                let progress = Progress {
                    label: "drawing a map".into(),
                    done: epoch as u64,
                    total: Some(EPOCHS as u64),
                    unit: "steps",
                };
                if watch(&progress) == ControlFlow::Break(()) {
                    resume_unwind(Box::new(Stopped));
                }
            })
            .barnes_hut(THETA, distance);
        (fit.embedding(), fit.affinities())
    }));
    match made {
        Ok((points, near)) => {
            let points = Array2::from_shape_vec((n, 2), points).ok()?;
            let divergence = near.map_or(f64::NAN, |near| divergence(&near, &points));
            Some((points, divergence))
        }
        Err(panic) if panic.is::<Stopped>() => None,
        Err(panic) => resume_unwind(panic),
    }
}

/// Σ p ln(p / q) over pairs: p is how near the rows are, q the same of the points, by Student's distribution.
fn divergence(near: &bhtsne::SparseAffinities<f64>, points: &Array2<f64>) -> f64 {
    let n = points.nrows();
    let nearness = |a: usize, b: usize| {
        let (x, y) = (points[[a, 0]] - points[[b, 0]], points[[a, 1]] - points[[b, 1]]);
        1.0 / (1.0 + x * x + y * y)
    };
    let pairs = (0..n).flat_map(|a| (0..a).map(move |b| (a, b)));
    let whole: f64 = 2.0 * pairs.map(|(a, b)| nearness(a, b)).sum::<f64>();
    let mut sum = 0.0;
    for (row, ends) in near.rows().windows(2).enumerate() {
        for at in ends[0]..ends[1] {
            let (p, q) = (
                near.values()[at],
                nearness(row, near.columns()[at] as usize) / whole,
            );
            sum += if p > 0.0 { p * (p / q).ln() } else { 0.0 };
        }
    }
    sum
}
