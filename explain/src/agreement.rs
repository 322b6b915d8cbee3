//! How far several methods tell the same story, with one of them, occlusion by default, as the referee.
//!
//! Methods are compared by the order in which they put a target's sources, since their values have no common unit:
//! rank correlations and the sources that several have at the top, each as the mean over the targets.

use ecco_interpreter::Watch;
use ecco_models::Model;
use ecco_models::run::Input;
use ndarray::{Array2, ArrayView1};

use crate::attribution::{Attribution, AttributionOptions, Method, Target, attribute};
use crate::error::{Error, Result, refuse};
use crate::faithfulness::{Faithfulness, FaithfulnessOptions, Figures, faithfulness};

/// Attributions of the same targets by several methods, and how far they agree; occlusion is the referee, and is added
/// where it is not among them. With `measure` each is also measured by itself.
///
/// # Errors
/// As of [`attribute`], [`faithfulness`] and [`agreement`].
pub fn compare(
    model: &Model,
    input: &Input,
    targets: &[Target],
    methods: &[AttributionOptions],
    k: usize,
    measure: Option<&FaithfulnessOptions>,
    watch: &mut Watch,
) -> Result<(Vec<Attribution>, Agreement)> {
    let mut methods = methods.to_vec();
    let is_referee = |options: &AttributionOptions| options.method == Method::Occlusion;
    let referee = methods.iter().position(is_referee).unwrap_or_else(|| {
        let baseline = methods.iter().find(|options| options.method.has_baseline());
        methods.push(AttributionOptions {
            baseline: baseline.map_or_else(Default::default, |options| options.baseline.clone()),
            ..AttributionOptions::with(Method::Occlusion)
        });
        methods.len() - 1
    });
    let mut attributions = Vec::new();
    let mut measured: Vec<Option<Faithfulness>> = Vec::new();
    for options in &methods {
        let found = attribute(model, input, targets, options, watch)?;
        measured.push(match measure {
            Some(measure) => {
                let known = measured.iter().flatten().next();
                Some(faithfulness(
                    model, input, targets, &found, measure, known, watch,
                )?)
            }
            None => None,
        });
        attributions.push(found);
    }
    let scored: Vec<MethodScores> = attributions
        .iter()
        .map(|found| MethodScores::new(found.method.name(), found))
        .collect();
    let mut compared = agreement(&scored, referee, k)?;
    compared.random = measured.iter().flatten().find_map(Faithfulness::random);
    compared.faithfulness = measured
        .iter()
        .map(|measured| measured.as_ref().map(Faithfulness::figures))
        .collect();
    Ok((attributions, compared))
}

/// One method's scores: what it is called, and `scores[target][source]`.
pub struct MethodScores<'a> {
    pub name: &'a str,
    pub scores: &'a [Vec<f32>],
}

impl<'a> MethodScores<'a> {
    pub fn new(name: &'a str, attribution: &'a Attribution) -> Self {
        Self {
            name,
            scores: &attribution.scores,
        }
    }
}

/// Several methods on the same targets.
#[derive(Debug, Clone, PartialEq)]
pub struct Agreement {
    /// In the order they were given.
    pub methods: Vec<String>,
    /// Which of them the others are measured by.
    pub referee: usize,
    /// Spearman's rank correlation of each pair, mean over targets, `(method, method)`. NaN where no target has two
    /// sources that both tell apart.
    pub spearman: Array2<f64>,
    /// Kendall's τ-b likewise.
    pub kendall: Array2<f64>,
    /// Which part of one's `k` highest sources is among the other's, mean over targets.
    pub top_k: Array2<f64>,
    pub k: usize,
    /// How often both put the same source first, as a fraction of targets.
    pub first: Array2<f64>,
    /// Each method's own figures, where they were asked for.
    pub faithfulness: Vec<Option<Figures>>,
    /// Those of sources in random order, which are the same for all methods.
    pub random: Option<Figures>,
}

/// One row of the table that people read.
#[derive(Debug, Clone, PartialEq)]
pub struct Row<'a> {
    pub method: &'a str,
    pub is_referee: bool,
    /// With the referee.
    pub spearman: f64,
    pub kendall: f64,
    pub top_k: f64,
    pub first: f64,
    pub faithfulness: Option<&'a Figures>,
}

impl Agreement {
    /// Each method beside the referee, best agreement first; the referee itself at the top.
    pub fn rows(&self) -> Vec<Row<'_>> {
        let with = |table: &Array2<f64>, method| table[[method, self.referee]];
        let mut rows: Vec<Row> = (0..self.methods.len())
            .map(|method| Row {
                method: &self.methods[method],
                is_referee: method == self.referee,
                spearman: with(&self.spearman, method),
                kendall: with(&self.kendall, method),
                top_k: with(&self.top_k, method),
                first: with(&self.first, method),
                faithfulness: self.faithfulness[method].as_ref(),
            })
            .collect();
        let key = |row: &Row| if row.spearman.is_nan() { -2.0 } else { row.spearman };
        rows.sort_by(|a, b| {
            let by_place = b.is_referee.cmp(&a.is_referee);
            by_place.then(key(b).total_cmp(&key(a)))
        });
        rows
    }
}

/// Compares methods pairwise; `k` sources count as the top.
///
/// # Errors
/// [`Error::Option`] where there are fewer than two methods, or `referee` or `k` is none; [`Error::Unlike`] where
/// their targets or sources are not the same.
pub fn agreement(methods: &[MethodScores], referee: usize, k: usize) -> Result<Agreement> {
    check(methods, referee, k)?;
    let n = methods.len();
    let table = |statistic: &dyn Fn(&[f32], &[f32]) -> f64| {
        let mut table = Array2::ones((n, n));
        for a in 0..n {
            for b in 0..a {
                let rows = methods[a].scores.iter().zip(methods[b].scores);
                let values = rows.map(|(a, b)| statistic(a, b));
                let mean = mean(values);
                (table[[a, b]], table[[b, a]]) = (mean, mean);
            }
        }
        table
    };
    Ok(Agreement {
        methods: methods.iter().map(|method| method.name.to_owned()).collect(),
        referee,
        spearman: table(&spearman),
        kendall: table(&kendall),
        top_k: table(&|a, b| overlap(a, b, k)),
        k,
        first: table(&|a, b| overlap(a, b, 1)),
        faithfulness: vec![None; n],
        random: None,
    })
}

fn check(methods: &[MethodScores], referee: usize, k: usize) -> Result<()> {
    if methods.len() < 2 {
        return Err(refuse(
            "the number of methods",
            methods.len(),
            "there is nothing to compare",
        ));
    }
    if referee >= methods.len() {
        let reason = format!("there are {} methods, numbered from 0", methods.len());
        return Err(refuse("referee", referee, reason));
    }
    if k == 0 {
        return Err(refuse("k", k, "expected at least one source"));
    }
    let shape = |scored: &MethodScores| scored.scores.iter().map(Vec::len).collect::<Vec<_>>();
    match methods.iter().find(|method| shape(method) != shape(&methods[0])) {
        Some(other) => Err(Error::Unlike {
            one: methods[0].name.to_owned(),
            other: other.name.to_owned(),
        }),
        None => Ok(()),
    }
}

/// Over those that are numbers.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values
        .filter(|value| !value.is_nan())
        .fold((0.0, 0), |(sum, n), value| (sum + value, n + 1));
    if n == 0 { f64::NAN } else { sum / f64::from(n) }
}

/// Ranks from 1, those of equals being their mean.
fn ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for equals in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = start as f64 + (equals.len() as f64 + 1.0) / 2.0;
        equals.iter().for_each(|&index| ranks[index] = rank);
        start += equals.len();
    }
    ranks
}

/// Whether scores put any source before another: not where all are alike, nor where some are no numbers.
pub(crate) fn has_order(scores: &[f32]) -> bool {
    let is_one = |score: &f32| scores.first() == Some(score);
    !scores.iter().any(|score| score.is_nan()) && !scores.iter().all(is_one)
}

/// Pearson's correlation of the ranks; NaN where one side has no order.
pub fn spearman(a: &[f32], b: &[f32]) -> f64 {
    if !(has_order(a) && has_order(b)) {
        return f64::NAN;
    }
    pearson(&ranks(a), &ranks(b))
}

/// Pearson's correlation; NaN where one side does not vary.
pub(crate) fn pearson(a: &[f64], b: &[f64]) -> f64 {
    let centred = |values: &[f64]| {
        let values = ArrayView1::from(values);
        &values - values.mean().unwrap_or(0.0)
    };
    let (a, b) = (centred(a), centred(b));
    let scale = (a.dot(&a) * b.dot(&b)).sqrt();
    a.dot(&b) / scale
}

/// Kendall's τ-b: pairs in the same order less pairs in the opposite one, over the pairs that each tells apart; NaN
/// where one side has no order. Quadratic in the number of sources.
pub fn kendall(a: &[f32], b: &[f32]) -> f64 {
    if !(has_order(a) && has_order(b)) {
        return f64::NAN;
    }
    let (mut sum, mut of_a, mut of_b) = (0i64, 0i64, 0i64);
    for i in 0..a.len() {
        for j in 0..i {
            let sign = |x: &[f32]| i64::from(x[i] > x[j]) - i64::from(x[i] < x[j]);
            let (a, b) = (sign(a), sign(b));
            sum += a * b;
            of_a += a * a;
            of_b += b * b;
        }
    }
    sum as f64 / ((of_a as f64) * (of_b as f64)).sqrt()
}

/// Which part of the k highest of `a` is among those of `b`; of equals the earlier is higher. NaN where one side has no
/// order among several.
pub fn overlap(a: &[f32], b: &[f32], k: usize) -> f64 {
    let k = k.min(a.len());
    let is_one = a.len() == 1 && !a[0].is_nan() && !b[0].is_nan();
    if k == 0 || !(is_one || has_order(a) && has_order(b)) {
        return f64::NAN;
    }
    let (a, b) = (descending(a), descending(b));
    let shared = a[..k].iter().filter(|index| b[..k].contains(index)).count();
    shared as f64 / k as f64
}

/// Sources from the highest score to the lowest; of equals the earlier first, what is no number last.
pub fn descending(scores: &[f32]) -> Vec<usize> {
    let key = |index: usize| match scores[index] {
        score if score.is_nan() => f32::NEG_INFINITY,
        score => score + 0.0, // −0 is 0
    };
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| key(b).total_cmp(&key(a)));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scipy.stats.spearmanr and kendalltau (variant b) of the same values.
    #[test]
    fn rank_correlations_are_scipys() {
        let a = [0.1, 0.4, 0.4, -0.3, 2.0, 0.0];
        let b = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0];
        assert!((spearman(&a, &b) - 0.220_588_235_294_117_64).abs() < 1e-15);
        assert!((kendall(&a, &b) - 0.214_285_714_285_714_27).abs() < 1e-15);
        assert!(spearman(&a, &[1.0; 6]).is_nan() && kendall(&a, &[1.0; 6]).is_nan());
        assert_eq!((spearman(&a, &a), kendall(&a, &a)), (1.0, 1.0));
        let opposite = a.map(|value| -value);
        assert!((spearman(&a, &opposite) + 1.0).abs() < 1e-15);
    }

    #[test]
    fn the_highest_come_first_and_of_equals_the_earlier() {
        assert_eq!(
            descending(&[0.5, f32::NAN, 1.0, -0.0, 0.0, -1.0]),
            [2, 0, 3, 4, 5, 1]
        );
        assert_eq!(overlap(&[3.0, 2.0, 1.0], &[1.0, 3.0, 2.0], 2), 0.5);
        assert_eq!(overlap(&[1.0], &[2.0], 3), 1.0);
    }

    #[test]
    fn what_has_no_order_agrees_with_nothing() {
        let some = [0.3, 0.1, 0.6];
        for none in [[0.0; 3], [f32::NAN; 3], [0.2, f32::NAN, 0.1]] {
            for other in [some, none] {
                assert!(spearman(&none, &other).is_nan() && spearman(&other, &none).is_nan());
                assert!(kendall(&none, &other).is_nan() && kendall(&other, &none).is_nan());
                assert!(overlap(&none, &other, 2).is_nan() && overlap(&other, &none, 2).is_nan());
            }
        }
        assert!(overlap(&[f32::NAN], &[f32::NAN], 1).is_nan());
    }

    #[test]
    fn methods_beside_the_referee() {
        let one = [vec![0.1, 0.2, 0.7], vec![0.5, 0.1, 0.2, 0.2]];
        let same = [vec![1.0, 2.0, 7.0], vec![5.0, 1.0, 2.0, 2.0]];
        let other = [vec![0.7, 0.2, 0.1], vec![0.1, 0.5, 0.2, 0.2]];
        let scored = |name, scores| MethodScores { name, scores };
        let methods = [
            scored("other", &other[..]),
            scored("one", &one[..]),
            scored("same", &same[..]),
        ];
        let found = agreement(&methods, 1, 2).unwrap();
        let rows = found.rows();
        let names: Vec<_> = rows.iter().map(|row| row.method).collect();
        assert_eq!(names, ["one", "same", "other"]);
        assert_eq!(
            (rows[1].spearman, rows[1].kendall, rows[1].top_k, rows[1].first),
            (1.0, 1.0, 1.0, 1.0)
        );
        assert!(rows[2].spearman < -0.5 && rows[2].first == 0.0);
        assert_eq!(found.spearman, found.spearman.t());
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let (one, other) = ([vec![0.1, 0.2]], [vec![0.1, 0.2, 0.3]]);
        let scored = |name, scores| MethodScores { name, scores };
        let refused =
            |methods: &[MethodScores], referee, k| agreement(methods, referee, k).unwrap_err().to_string();
        let both = [scored("one", &one[..]), scored("other", &other[..])];
        assert!(refused(&both, 0, 1).contains("one and other explain different targets or sources"));
        assert!(refused(&both[..1], 0, 1).contains("nothing to compare"));
        assert!(refused(&both, 2, 1).contains("there are 2 methods"));
        assert!(refused(&both, 0, 0).contains("at least one source"));
    }
}
