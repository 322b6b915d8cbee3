//! k-means: rows of a matrix in groups, each around its mean.
//!
//! What is made small is the inertia, Σ ‖x − centre(x)‖² (Lloyd 1982, doi:10.1109/TIT.1982.1056489). It begins with rows drawn
//! far from each other (k-means++: Arthur and Vassilvitskii 2007), several times over, and the best end is kept. In float64.

use ecco_interpreter::{Progress, Watch};
use ecco_models::device::ensure_room;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};
use tch::Device;

use crate::error::{Result, refuse};
use crate::linalg;
use crate::random::RandomState;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClusterOptions {
    /// How many groups: 1 to the number of rows.
    pub k: usize,
    pub seed: u32,
    /// From how many starts the best end is taken: at least 1.
    pub n_init: usize,
    /// Rounds at most.
    pub max_iter: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Clusters {
    /// Of each row its group, the largest group first.
    pub labels: Vec<usize>,
    /// (group, feature).
    pub centers: Array2<f64>,
    pub inertia: f64,
    /// Rounds of the best start.
    pub n_iter: usize,
}

/// Groups of the rows of `x` (row, feature).
///
/// # Errors
/// Values that are no numbers, another number of groups than there may be; no room; `watch`'s interruption.
pub fn clusters(x: ArrayView2<f32>, options: &ClusterOptions, watch: &mut Watch) -> Result<Clusters> {
    let (n, width) = x.dim();
    if options.k == 0 || options.k > n {
        let reason = format!("expected 1 to {n}, as many as there are rows");
        return Err(refuse("k", options.k, reason));
    }
    if let Some(((row, feature), value)) = x.indexed_iter().find(|(_, value)| !value.is_finite()) {
        let value = format!("{value} in row {row} at {feature}");
        return Err(refuse("a value", value, "clusters need finite numbers"));
    }
    let numbers = n * width + 2 * n * options.k + 2 * options.k * width;
    ensure_room(Device::Cpu, (numbers * size_of::<f64>()) as u64, "clustering")?;
    // Distances lose nothing by it, and are exact where all values are large.
    let x = x.mapv(f64::from);
    let mean = x.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(width));
    let x = x - &mean;
    let mut random = RandomState::new(options.seed);
    let mut best: Option<Clusters> = None;
    for start in 0..options.n_init {
        let mut ask = || {
            let progress = Progress {
                label: "clustering".into(),
                done: start as u64,
                total: Some(options.n_init as u64),
                unit: "starts",
            };
            match watch(&progress).is_break() {
                true => Err(ecco_models::Error::Interrupted.into()),
                false => Ok(()),
            }
        };
        let centers = spread(&x, options.k, &mut random, &mut ask)?;
        let found = settle(&x, centers, options.max_iter, &mut ask)?;
        if best.as_ref().is_none_or(|best| found.inertia < best.inertia) {
            best = Some(found);
        }
    }
    best.map(|found| by_size(found, &mean))
        .ok_or_else(|| refuse("n_init", options.n_init, "expected at least 1"))
}

fn square_distance(a: ArrayView1<f64>, b: ArrayView1<f64>) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

/// Rows to begin with: each drawn by the square of its distance from those before, as the best of some draws.
fn spread(
    x: &Array2<f64>,
    k: usize,
    random: &mut RandomState,
    ask: &mut impl FnMut() -> Result<()>,
) -> Result<Array2<f64>> {
    let n = x.nrows();
    let below = |share: f64, n: usize| ((share * n as f64) as usize).min(n - 1);
    let mut chosen = vec![below(random.uniform(), n)];
    let away = |row: usize| -> Vec<f64> {
        x.outer_iter()
            .map(|other| square_distance(other, x.row(row)))
            .collect()
    };
    let mut nearest = away(chosen[0]);
    let tries = 2 + (k as f64).ln() as usize;
    while chosen.len() < k {
        ask()?;
        let total: f64 = nearest.iter().sum();
        let mut best: Option<(f64, usize, Vec<f64>)> = None;
        for _ in 0..tries {
            let row = match total > 0.0 {
                true => drawn(&nearest, random.uniform() * total),
                // All rows are among those chosen already.
                false => below(random.uniform(), n),
            };
            let with: Vec<f64> = away(row).iter().zip(&nearest).map(|(a, b)| a.min(*b)).collect();
            let left = with.iter().sum();
            if best.as_ref().is_none_or(|(least, ..)| left < *least) {
                best = Some((left, row, with));
            }
        }
        if let Some((_, row, with)) = best {
            chosen.push(row);
            nearest = with;
        }
    }
    Ok(x.select(Axis(0), &chosen))
}

/// Where the running sum of weights passes `place`.
fn drawn(weights: &[f64], place: f64) -> usize {
    let mut sum = 0.0;
    let passes = |weight: &f64| {
        sum += weight;
        sum > place
    };
    let last = weights.iter().rposition(|weight| *weight > 0.0).unwrap_or(0);
    weights.iter().position(passes).unwrap_or(last)
}

/// Lloyd's rounds, until no row changes its group.
fn settle(
    x: &Array2<f64>,
    mut centers: Array2<f64>,
    max_iter: usize,
    ask: &mut impl FnMut() -> Result<()>,
) -> Result<Clusters> {
    let (n, k) = (x.nrows(), centers.nrows());
    let mut labels = vec![usize::MAX; n];
    let mut n_iter = 0;
    loop {
        ask()?;
        let next = nearest(x, &centers, ask)?;
        let is_done = next == labels || n_iter == max_iter;
        labels = next;
        if is_done {
            break;
        }
        n_iter += 1;
        let (mut sums, mut counts) = (Array2::zeros(centers.dim()), vec![0usize; k]);
        for (row, &label) in x.outer_iter().zip(&labels) {
            sums.row_mut(label).scaled_add(1.0, &row);
            counts[label] += 1;
        }
        let mut moved: Vec<usize> = Vec::new();
        for (group, count) in counts.into_iter().enumerate() {
            if count > 0 {
                let mean = &sums.row(group) / count as f64;
                centers.row_mut(group).assign(&mean);
                continue;
            }
            // Nothing is nearest to it: it goes to the row that is furthest from its own centre.
            let distance = |row: usize| square_distance(x.row(row), centers.row(labels[row]));
            let others = (0..n).filter(|row| !moved.contains(row));
            let furthest = others
                .max_by(|&a, &b| distance(a).total_cmp(&distance(b)))
                .unwrap_or(0);
            moved.push(furthest);
            centers.row_mut(group).assign(&x.row(furthest));
        }
    }
    let rows = x.outer_iter().zip(&labels);
    let inertia = rows
        .map(|(row, &label)| square_distance(row, centers.row(label)))
        .sum();
    Ok(Clusters {
        labels,
        centers,
        inertia,
        n_iter,
    })
}

/// Of each row the centre that is nearest: ‖c‖² − 2 x·c is least.
fn nearest(
    x: &Array2<f64>,
    centers: &Array2<f64>,
    ask: &mut impl FnMut() -> Result<()>,
) -> Result<Vec<usize>> {
    let lengths = (centers * centers).sum_axis(Axis(1));
    let products = linalg::product(x.view(), centers.t(), ask)?;
    let least = |row: ArrayView1<f64>| {
        let distance = |group: usize| lengths[group] - 2.0 * row[group];
        (0..row.len())
            .min_by(|&a, &b| distance(a).total_cmp(&distance(b)))
            .unwrap_or(0)
    };
    Ok(products.outer_iter().map(least).collect())
}

/// The largest group is 0; centres are where the values are.
fn by_size(found: Clusters, mean: &Array1<f64>) -> Clusters {
    let k = found.centers.nrows();
    let mut counts = vec![0usize; k];
    found.labels.iter().for_each(|&label| counts[label] += 1);
    let mut order: Vec<usize> = (0..k).collect();
    order.sort_by_key(|&group| std::cmp::Reverse(counts[group]));
    let mut number = vec![0; k];
    order.iter().enumerate().for_each(|(new, &old)| number[old] = new);
    Clusters {
        labels: found.labels.iter().map(|&label| number[label]).collect(),
        centers: found.centers.select(Axis(0), &order) + mean,
        ..found
    }
}

#[cfg(test)]
mod tests {
    use ecco_interpreter::unwatched;

    use super::*;

    fn options(k: usize) -> ClusterOptions {
        ClusterOptions {
            k,
            seed: 0,
            n_init: 10,
            max_iter: 300,
        }
    }

    /// `RandomState(seed).randn(n, width)`.
    fn normal(n: usize, width: usize, seed: u32) -> Array2<f32> {
        let mut random = RandomState::new(seed);
        Array2::from_shape_simple_fn((n, width), || random.normal() as f32)
    }

    #[test]
    fn planted_groups_are_found() {
        let mut x = normal(90, 4, 1);
        for (row, mut values) in x.outer_iter_mut().enumerate() {
            values[row % 3] += [40.0, 30.0, 20.0][row % 3];
        }
        let found = clusters(x.view(), &options(3), &mut unwatched).unwrap();
        for row in 3..90 {
            assert_eq!(found.labels[row], found.labels[row % 3]);
        }
        let mean = x
            .select(Axis(0), &(0..30).map(|i| 3 * i).collect::<Vec<_>>())
            .mapv(f64::from);
        let mean = mean.mean_axis(Axis(0)).unwrap();
        let center = found.centers.row(found.labels[0]);
        assert!((&mean - &center).iter().all(|gap| gap.abs() < 1e-6));
    }

    /// `KMeans(k, n_init=10, random_state=0, tol=0).fit(x).inertia_` of scikit-learn 1.9, where `x` is
    /// `RandomState(seed).randn(n, width)` with 3 added to feature r % k of row r.
    const INERTIAS: [(usize, usize, u32, usize, f64); 2] = [
        (200, 6, 4, 5, 1_068.621_975_980_369),
        (60, 30, 5, 4, 1_658.207_012_203_540_2),
    ];

    #[test]
    fn groups_are_as_good_as_scikit_learns() {
        for (n, width, seed, k, inertia) in INERTIAS {
            let mut x = normal(n, width, seed);
            for row in 0..n {
                x[[row, row % k]] += 3.0;
            }
            let found = clusters(x.view(), &options(k), &mut unwatched).unwrap();
            assert!(
                found.inertia <= inertia * (1.0 + 1e-6),
                "{} of {inertia}",
                found.inertia
            );
            let rows = x.outer_iter().zip(&found.labels);
            let own = |(row, &label): (ArrayView1<f32>, &usize)| {
                square_distance(row.mapv(f64::from).view(), found.centers.row(label))
            };
            let again: f64 = rows.map(own).sum();
            assert!((again - found.inertia).abs() < 1e-8 * inertia);
        }
    }

    #[test]
    fn as_many_groups_as_rows_and_rows_that_are_the_same() {
        let x = normal(7, 3, 2);
        let found = clusters(x.view(), &options(7), &mut unwatched).unwrap();
        assert!(found.inertia < 1e-12);
        let same = Array2::ones((5, 2));
        let found = clusters(same.view(), &options(3), &mut unwatched).unwrap();
        assert_eq!((found.inertia, found.centers.dim()), (0.0, (3, 2)));
        let one = clusters(x.view(), &options(1), &mut unwatched).unwrap();
        assert_eq!(one.labels, [0; 7]);
    }

    #[test]
    fn what_has_no_groups_is_said() {
        let mut x = normal(4, 2, 3);
        let error = |x: &Array2<f32>, k: usize| {
            clusters(x.view(), &options(k), &mut unwatched)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(error(&x, 5), "k is 5: expected 1 to 4, as many as there are rows");
        assert!(error(&x, 0).starts_with("k is 0"));
        x[[2, 1]] = f32::NAN;
        assert_eq!(
            error(&x, 2),
            "a value is NaN in row 2 at 1: clusters need finite numbers"
        );
    }
}
