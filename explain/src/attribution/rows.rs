//! From contributions along the embeddings to a row of scores for each target.

use ecco_models::host;
use tch::{Kind, Tensor};

use super::aggregation::Aggregation;

/// What a method found about some targets, in their order.
pub(super) struct MethodOutput {
    pub contributions: Contributions,
    /// The targets' values, and those at the baseline where there is one.
    pub values: Vec<f64>,
    pub baseline_values: Vec<Option<f64>>,
    /// What the contributions of each target should add up to, where the method promises that.
    pub promised: Vec<Option<f64>>,
}

pub(super) enum Contributions {
    /// Along the embeddings, `[target, source, size]`.
    Embeddings(Tensor),
    /// Of tokens as a whole, by target and source.
    Tokens(Vec<Vec<f64>>),
}

/// One target's part of an attribution.
pub(super) struct Row {
    pub scores: Vec<f32>,
    pub signed: Vec<f64>,
    pub value: f64,
    pub baseline_value: Option<f64>,
    pub completeness: Option<Completeness>,
}

impl Row {
    /// Without the place of a source, whose share stays in the sum.
    pub(super) fn leave_out(&mut self, source: usize) {
        self.scores.remove(source);
        self.signed.remove(source);
    }
}

impl MethodOutput {
    /// By a method that promises nothing.
    pub(super) fn without_baseline(contributions: Contributions, values: Vec<f64>) -> Self {
        let none = vec![None; values.len()];
        Self {
            contributions,
            values,
            baseline_values: none.clone(),
            promised: none,
        }
    }

    /// By a method whose contributions add up to the difference from the baseline, of the targets that `is_promised`
    /// says so of.
    pub(super) fn with_baseline(
        contributions: Contributions,
        values: Vec<f64>,
        baseline_values: &[f64],
        is_promised: impl Fn(usize) -> bool,
    ) -> Self {
        let of = |i: usize, number: f64| is_promised(i).then_some(number);
        let others = baseline_values.iter().enumerate();
        let pairs = values.iter().zip(baseline_values).enumerate();
        Self {
            contributions,
            baseline_values: others.map(|(i, &other)| of(i, other)).collect(),
            promised: pairs.map(|(i, (value, other))| of(i, value - other)).collect(),
            values,
        }
    }

    /// A row for each target; `n_sources` says how long each is, `adds_up` whether what is promised is to be kept.
    pub(super) fn rows(self, aggregation: Aggregation, n_sources: &[usize], adds_up: bool) -> Vec<Row> {
        let is_difference = matches!(self.contributions, Contributions::Tokens(_));
        let nothing = |n_sources: usize| match is_difference {
            true => NO_DIFFERENCE * n_sources as f64,
            false => NOTHING,
        };
        let (scores, signed) = match self.contributions {
            Contributions::Embeddings(x) => {
                let signed = x.sum_dim_intlist(-1, false, Kind::Double);
                let [scores, signed] = host::numbers_of_each([&aggregation.of(&x), &signed]);
                let width = x.size()[1] as usize;
                (
                    in_rows(scores, width, n_sources),
                    in_rows(signed, width, n_sources),
                )
            }
            Contributions::Tokens(rows) => {
                let magnitude = |row: &Vec<f64>| match aggregation.is_signed() {
                    true => row.clone(),
                    false => row.iter().map(|value| value.abs()).collect(),
                };
                (rows.iter().map(magnitude).collect(), rows)
            }
        };
        let rows = scores.into_iter().zip(signed).enumerate();
        let row = |(i, (scores, signed)): (usize, (Vec<f64>, Vec<f64>))| {
            let value = self.values[i];
            let has_value = value.is_finite();
            Row {
                scores: normalise(&scores, nothing(scores.len()) * value.abs()),
                value,
                baseline_value: self.baseline_values[i],
                completeness: self.promised[i]
                    .filter(|_| adds_up && has_value)
                    .map(|promised| Completeness::of(&signed, promised)),
                // Nothing contributes to what is no number.
                signed: match has_value {
                    true => signed,
                    false => vec![f64::NAN; signed.len()],
                },
            }
        };
        rows.map(row).collect()
    }
}

/// The rows of `[target, source]`, each as long as it should be.
fn in_rows(numbers: Vec<f64>, width: usize, n_sources: &[usize]) -> Vec<Vec<f64>> {
    let mut rows = numbers.into_iter();
    n_sources
        .iter()
        .map(|&n| {
            let row: Vec<f64> = rows.by_ref().take(width).collect();
            row[..n].to_vec()
        })
        .collect()
}

/// Below this part of a target's value, contributions together are what rounding leaves of none.
const NOTHING: f64 = 1e-12;
/// The same of each source, where contributions are differences of values in single precision.
const NO_DIFFERENCE: f64 = 2.0 * f32::EPSILON as f64;

/// Divides by the sum of the absolute values. A row of `nothing` or less is one of zeros; what is no number has no shares.
fn normalise(row: &[f64], nothing: f64) -> Vec<f32> {
    let sum: f64 = row.iter().map(|value| value.abs()).sum();
    match sum.is_finite() && nothing.is_finite() {
        true if sum <= nothing => vec![0.0; row.len()],
        true => row.iter().map(|value| (value / sum) as f32).collect(),
        false => vec![f32::NAN; row.len()],
    }
}

/// How well contributions add up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Completeness {
    /// What they should add up to.
    pub promised: f64,
    /// By how much they do not.
    pub error: f64,
    /// The same by what they should add up to.
    pub relative: f64,
}

impl Completeness {
    fn of(signed: &[f64], promised: f64) -> Self {
        Self::of_sum(signed.iter().sum(), promised)
    }

    pub(crate) fn of_sum(sum: f64, promised: f64) -> Self {
        let error = (sum - promised).abs();
        Self {
            promised,
            error,
            relative: if error == 0.0 { 0.0 } else { error / promised.abs() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::normalise;

    #[test]
    fn shares_are_of_something() {
        assert_eq!(normalise(&[1.0, -3.0], 0.5), [0.25, -0.75]);
        assert_eq!(normalise(&[0.0, 0.0], 0.0), [0.0, 0.0]);
        // What rounding leaves of a target that no source changes.
        assert_eq!(normalise(&[1e-33, -2e-33], 1e-14), [0.0, 0.0]);
        // A small target is one all the same.
        assert_eq!(normalise(&[1e-33, 3e-33], 1e-44), [0.25, 0.75]);
        for (row, value) in [
            ([1.0, f64::NAN], 1.0),
            ([1.0, 2.0], f64::NAN),
            ([1.0, 2.0], f64::INFINITY),
        ] {
            assert!(normalise(&row, value).iter().all(|share| share.is_nan()));
        }
    }
}
