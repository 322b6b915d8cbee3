//! Which sources passes keep, and what the values of many passes say about each source.
//!
//! All targets share the passes. The sources of a target are the first of all, so what a pass keeps of a longer
//! text must be as good a sample for a shorter one: each pass draws a rate p evenly from [0, 1] and keeps every
//! source with that probability, on its own. Whatever the number of sources, all numbers of kept ones are then
//! equally frequent, and Shapley's kernel is a weight of 1 / (kept · left out).

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, s};
use rand_mt::Mt64;

/// Kept sources of `n` passes, `(pass, source)`. In pairs every second pass keeps what the first leaves out.
pub fn sampled(n_sources: usize, n: usize, in_pairs: bool, seed: u64) -> Array2<bool> {
    let mut random = Mt64::new(seed);
    let mut uniform = || (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    let mut kept = Array2::from_elem((n, n_sources), false);
    for pass in 0..n {
        if in_pairs && pass % 2 == 1 {
            let opposite = kept.row(pass - 1).mapv(|kept| !kept);
            kept.row_mut(pass).assign(&opposite);
            continue;
        }
        let rate = uniform();
        kept.row_mut(pass).mapv_inplace(|_| uniform() < rate);
    }
    kept
}

/// Every set of kept sources, `(2^n_sources, source)`: bit i of the row's number says whether source i is kept.
pub fn all(n_sources: usize) -> Array2<bool> {
    Array2::from_shape_fn((1 << n_sources, n_sources), |(set, source)| {
        set >> source & 1 == 1
    })
}

/// Shapley's values from the values of all sets, in the order of [`all`]. They sum to the value of the last less
/// that of the first.
///
/// φ_i = Σ_S |S|! (n − |S| − 1)! / n! · (v(S ∪ i) − v(S)), over the sets without i (Shapley 1953).
pub fn shapley(values: &[f64]) -> Vec<f64> {
    let n = values.len().trailing_zeros() as usize;
    // The weight of a set of k among those without one of the sources: 1 / (n · C(n − 1, k)).
    let mut weights = vec![1.0 / n.max(1) as f64];
    for k in 1..n {
        weights.push(weights[k - 1] * k as f64 / (n - k) as f64);
    }
    let of = |source: usize| {
        let without = (0..values.len()).filter(|set| set >> source & 1 == 0);
        without
            .map(|set| weights[set.count_ones() as usize] * (values[set | 1 << source] - values[set]))
            .sum()
    };
    (0..n).map(of).collect()
}

/// Shapley's values by regression over sampled passes (Lundberg & Lee 2017, 1705.07874): weighted least squares
/// without intercept that sums to the difference between `full` and `empty`, the values when all and when no
/// sources are kept. `kept` must have sets from [`sampled`].
pub fn kernel_shap(kept: ArrayView2<bool>, values: ArrayView1<f64>, full: f64, empty: f64) -> Vec<f64> {
    let n = kept.ncols();
    let weights: Array1<f64> = kept
        .outer_iter()
        .map(|row| match row.iter().filter(|&&kept| kept).count() {
            size if size == 0 || size == n => 0.0, // known exactly, see the constraint
            size => 1.0 / (size as f64 * (n - size) as f64),
        })
        .collect();
    let x = numbers(kept);
    let weighted = &x * &weights.view().insert_axis(Axis(1));
    let gram = weighted.t().dot(&x);
    let moments = weighted.t().dot(&(&values - empty));
    let factor = Cholesky::new(gram, 0.0);
    let (free, ones) = (factor.solve(moments), factor.solve(Array1::ones(n)));
    let excess = (free.sum() - (full - empty)) / ones.sum();
    (free - ones * excess).to_vec()
}

/// What a linear model of nearby passes says.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    /// By source.
    pub coefficients: Vec<f64>,
    pub intercept: f64,
    /// Which part of the (weighted) variance of the values the model explains; 1 where they do not vary.
    pub r_squared: f64,
}

/// How far apart LIME's passes may be and still count.
const LIME_WIDTH: f64 = 25.0;
/// The penalty on its coefficients.
const LIME_ALPHA: f64 = 1.0;

/// A ridge regression with intercept on kept sources, weighted by nearness to the whole text (Ribeiro et al. 2016,
/// 1602.04938), as the `lime` package has it for text: √exp(−(100 d)² / 25²), d the cosine distance, penalty 1.
pub fn lime(kept: ArrayView2<bool>, values: ArrayView1<f64>) -> Linear {
    let n = kept.ncols() as f64;
    let weight = |row: ArrayView1<bool>| {
        let size = row.iter().filter(|&&kept| kept).count() as f64;
        let distance = 100.0 * (1.0 - (size / n).sqrt()); // cosine of a set with the whole: √(size / n)
        (-(distance / LIME_WIDTH).powi(2) / 2.0).exp()
    };
    let weights: Array1<f64> = kept.outer_iter().map(weight).collect();
    ridge(numbers(kept), values, weights.view(), LIME_ALPHA)
}

/// argmin Σ w (y − a − x·β)² + α |β|².
fn ridge(x: Array2<f64>, y: ArrayView1<f64>, weights: ArrayView1<f64>, alpha: f64) -> Linear {
    let total = weights.sum();
    let means = weights.dot(&x) / total;
    let mean = weights.dot(&y) / total;
    let x = x - &means;
    let y = &y - mean;
    let weighted = &x * &weights.insert_axis(Axis(1));
    let factor = Cholesky::new(weighted.t().dot(&x), alpha);
    let coefficients = factor.solve(weighted.t().dot(&y));
    let rest = &y - x.dot(&coefficients);
    let variance = |values: &Array1<f64>| (values * values).dot(&weights);
    let r_squared = match variance(&y) {
        0.0 => 1.0,
        whole => 1.0 - variance(&rest) / whole,
    };
    Linear {
        intercept: mean - means.dot(&coefficients),
        coefficients: coefficients.to_vec(),
        r_squared,
    }
}

fn numbers(kept: ArrayView2<bool>) -> Array2<f64> {
    kept.mapv(|kept| f64::from(u8::from(kept)))
}

/// A symmetric matrix as L Lᵀ.
struct Cholesky(Array2<f64>);

impl Cholesky {
    /// Of the matrix with `alpha` added to its diagonal. One that is not positive definite, since passes were too few
    /// to tell two sources apart, gets a little more, which shares between them what they have in common.
    fn new(mut matrix: Array2<f64>, alpha: f64) -> Self {
        matrix.diag_mut().mapv_inplace(|value| value + alpha);
        let scale = matrix.diag().sum().max(f64::MIN_POSITIVE) / matrix.nrows().max(1) as f64;
        let mut extra = 0.0;
        loop {
            let mut tried = matrix.clone();
            tried.diag_mut().mapv_inplace(|value| value + extra);
            if Self::factor(&mut tried, 1e-13 * scale) {
                return Self(tried);
            }
            extra = (extra * 100.0).max(1e-10 * scale);
        }
    }

    /// In place; false where a pivot is not above `least`.
    fn factor(matrix: &mut Array2<f64>, least: f64) -> bool {
        let n = matrix.nrows();
        for j in 0..n {
            let row = matrix.slice(s![j, ..j]).to_owned();
            let pivot = matrix[[j, j]] - row.dot(&row);
            if pivot.is_nan() || pivot <= least {
                return false;
            }
            let pivot = pivot.sqrt();
            matrix[[j, j]] = pivot;
            let below = matrix.slice(s![j + 1.., ..j]).dot(&row);
            let column = (&matrix.slice(s![j + 1.., j]) - &below) / pivot;
            matrix.slice_mut(s![j + 1.., j]).assign(&column);
        }
        true
    }

    fn solve(&self, mut b: Array1<f64>) -> Array1<f64> {
        let (l, n) = (&self.0, b.len());
        for i in 0..n {
            b[i] = (b[i] - l.slice(s![i, ..i]).dot(&b.slice(s![..i]))) / l[[i, i]];
        }
        for i in (0..n).rev() {
            b[i] = (b[i] - l.slice(s![i + 1.., i]).dot(&b.slice(s![i + 1..]))) / l[[i, i]];
        }
        b
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A function of sets that is not additive: pairs and triples matter.
    fn value(row: ArrayView1<bool>) -> f64 {
        let x: Vec<f64> = row.iter().map(|&kept| f64::from(u8::from(kept))).collect();
        let linear: f64 = x.iter().enumerate().map(|(i, x)| (i as f64 - 1.5) * x).sum();
        linear + 2.0 * x[0] * x[1] - 3.0 * x[1] * x[2] * x[3] + 0.25
    }

    fn values(kept: &Array2<bool>) -> Array1<f64> {
        kept.outer_iter().map(value).collect()
    }

    #[test]
    fn shapleys_values_share_each_interaction_equally() {
        let kept = all(5);
        let found = shapley(values(&kept).as_slice().unwrap());
        // A pair's 2 is 1 for each, a triple's −3 is −1 for each.
        let expected = [-1.5 + 1.0, -0.5 + 1.0 - 1.0, 0.5 - 1.0, 1.5 - 1.0, 2.5];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-14, "{found}, expected {expected}");
        }
        assert!(shapley(&[3.0]).is_empty());
        assert_eq!(shapley(&[3.0, 5.0]), [2.0]);
    }

    #[test]
    fn regression_over_all_sets_with_shapleys_kernel_is_exact() {
        // All sets once have C(n, k) of size k; even sizes, as sampling has them, need each as often as the other.
        let n = 5;
        let kept = all(n);
        let copies = |size: usize| [1, 2, 1, 1, 2, 1][size];
        let repeated: Vec<usize> = (0..kept.nrows())
            .flat_map(|set| vec![set; copies((set as u32).count_ones() as usize)])
            .collect();
        let kept = kept.select(Axis(0), &repeated); // 10 sets of each size from 1 to 4
        let v = values(&kept);
        let (full, empty) = (value(all(n).row(31)), value(all(n).row(0)));
        let found = kernel_shap(kept.view(), v.view(), full, empty);
        let expected = shapley(values(&all(n)).as_slice().unwrap());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found}, expected {expected}");
        }
    }

    #[test]
    fn sampled_shapley_values_come_close_and_always_add_up() {
        let n = 12;
        let (full, empty) = (
            value(Array1::from_elem(n, true).view()),
            value(Array1::from_elem(n, false).view()),
        );
        let exact = shapley(values(&all(n)).as_slice().unwrap());
        let error = |n_samples: usize| {
            let kept = sampled(n, n_samples, true, 1);
            let found = kernel_shap(kept.view(), values(&kept).view(), full, empty);
            assert!(
                (found.iter().sum::<f64>() - (full - empty)).abs() < 1e-9,
                "{n_samples}"
            );
            let off = found.iter().zip(&exact).map(|(a, b)| (a - b).abs());
            off.fold(0.0, f64::max)
        };
        assert!(error(400) < 0.25, "{}", error(400));
        assert!(error(20_000) < 0.03, "{}", error(20_000));
        assert!(error(8).is_finite(), "too few passes");
    }

    #[test]
    fn a_sample_of_a_longer_text_is_one_of_a_shorter() {
        let kept = sampled(9, 30_000, false, 3);
        let mut sizes = [0; 5];
        for row in kept.slice(s![.., ..4]).outer_iter() {
            sizes[row.iter().filter(|&&kept| kept).count()] += 1;
        }
        // Five sizes, each in a fifth of the passes: 6,000 ± 5 standard deviations.
        assert!(
            sizes.iter().all(|&size| (size as f64 - 6_000.0).abs() < 350.0),
            "{sizes:?}"
        );
        assert_eq!(sampled(9, 5, true, 7), sampled(9, 5, true, 7));
        let paired = sampled(9, 4, true, 7);
        assert_eq!(paired.row(3), paired.row(2).mapv(|kept| !kept));
    }

    #[test]
    fn a_linear_function_is_found_up_to_the_penalty() {
        let kept = sampled(6, 3_000, false, 0);
        let weights = [1.0, -2.0, 0.0, 0.5, 3.0, -0.25];
        let y = numbers(kept.view()).dot(&Array1::from(weights.to_vec())) + 0.75;
        let found = lime(kept.view(), y.view());
        for (found, expected) in found.coefficients.iter().zip(weights) {
            assert!((found - expected).abs() < 0.02, "{found}, expected {expected}");
        }
        assert!(found.r_squared > 0.999 && (found.intercept - 0.75).abs() < 0.02);
        let constant = lime(kept.view(), Array1::from_elem(3_000, 2.0).view());
        assert!(
            constant
                .coefficients
                .iter()
                .all(|&coefficient| coefficient == 0.0)
        );
        assert_eq!((constant.intercept, constant.r_squared), (2.0, 1.0));
    }
}
