//! Whether an attribution says what the model really uses: what happens to a target when the sources that it puts
//! highest are taken away, or are all that is left, against sources in random order.
//!
//! F is the probability of what is explained, whatever quantity of it was; for a contrast that of the one where there
//! are only the two, p / (p + p'). An entropy and the value of a regression are F as they are. Sources are taken in the order of their scores, the highest first; a
//! fraction q of n sources are the nearest whole number to q · n, at least one. What is taken away is replaced by the
//! attribution's baseline.
//!
//! | figure | is | better | from |
//! |---|---|---|---|
//! | comprehensiveness | mean over q of F(x) − F(x without the top q) | higher | ERASER (DeYoung et al. 2020, 1911.03429) |
//! | sufficiency | mean over q of F(x) − F(only the top q of x) | lower | the same |
//! | log-odds | mean over q of ln F(x without the top q) − ln F(x) | lower | Shrikumar et al. 2017, 1704.02685 |
//! | deletion | area under F while sources go, the highest first | lower | RISE (Petsiuk et al. 2018, 1806.07421) |
//! | insertion | area under F while they come | higher | the same |
//!
//! Means over q are ERASER's AOPC; for a single q, 0.2, they are time_interpret's figures. Areas are by the
//! trapezoidal rule over fractions from 0 to 1. Each figure stands beside the mean of the same over seeded random
//! orders, which take the same numbers of sources away: below that an attribution says nothing. Scores that are all alike,
//! or no numbers, are no order, and have no figures (NaN); so have log-odds of a probability that is 0.

use ecco_interpreter::Watch;
use ecco_models::Model;
use ecco_models::guard::guard;
use ecco_models::run::Input;
use ndarray::{Array1, Array2};
use rand_mt::Mt64;

use crate::agreement::{descending, has_order};
use crate::attribution::passes::Passes;
use crate::attribution::work::Work;
use crate::attribution::{Attribution, Baseline, Objective, Quantity, Target};
use crate::error::{Error, Result, refuse};

/// How much to measure.
#[derive(Debug, Clone, PartialEq)]
pub struct FaithfulnessOptions {
    /// Of the sources, for comprehensiveness, sufficiency and log-odds.
    pub fractions: Vec<f64>,
    /// In how many steps deletion and insertion go from none to all.
    pub n_steps: usize,
    /// How many random orders are measured beside.
    pub n_random: usize,
    pub seed: u64,
    /// What stands in for sources that are taken away.
    pub baseline: Baseline,
}

impl Default for FaithfulnessOptions {
    fn default() -> Self {
        Self {
            fractions: vec![0.1, 0.2, 0.5],
            n_steps: 10,
            n_random: 5,
            seed: 0,
            baseline: Baseline::Zero,
        }
    }
}

impl FaithfulnessOptions {
    /// # Errors
    /// [`Error::Option`] for a fraction outside of 0 to 1, and for numbers of steps or orders that are none.
    pub fn check(&self) -> Result<()> {
        if self.fractions.is_empty() {
            return Err(refuse("fractions", "[]", "expected at least one, such as 0.2"));
        }
        if let Some(other) = self.fractions.iter().find(|&&q| !(q > 0.0 && q <= 1.0)) {
            return Err(refuse(
                "fractions",
                other,
                "expected fractions above 0 and up to 1",
            ));
        }
        if !(1..=1_000).contains(&self.n_steps) {
            return Err(refuse("n_steps", self.n_steps, "expected 1 to 1,000 steps"));
        }
        if self.n_random > 1_000 {
            return Err(refuse("n_random", self.n_random, "expected at most 1,000 orders"));
        }
        Ok(())
    }

    /// Where the curves have their points.
    pub fn steps(&self) -> Vec<f64> {
        (0..=self.n_steps)
            .map(|step| step as f64 / self.n_steps as f64)
            .collect()
    }
}

/// The figures of one order of sources, or their mean over some.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Figures {
    pub comprehensiveness: f64,
    pub sufficiency: f64,
    pub log_odds: f64,
    pub deletion: f64,
    pub insertion: f64,
}

impl Figures {
    /// (name, value, whether more is better).
    pub fn named(&self) -> [(&'static str, f64, bool); 5] {
        [
            ("comprehensiveness", self.comprehensiveness, true),
            ("sufficiency", self.sufficiency, false),
            ("log-odds", self.log_odds, false),
            ("deletion", self.deletion, false),
            ("insertion", self.insertion, true),
        ]
    }

    fn mean<'a>(all: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let of = |value: fn(&Self) -> f64| {
            let n = all.clone().count() as f64;
            all.clone().map(value).sum::<f64>() / n
        };
        Self {
            comprehensiveness: of(|figures| figures.comprehensiveness),
            sufficiency: of(|figures| figures.sufficiency),
            log_odds: of(|figures| figures.log_odds),
            deletion: of(|figures| figures.deletion),
            insertion: of(|figures| figures.insertion),
        }
    }
}

/// What one order of sources does to a target.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    pub figures: Figures,
    /// F at each step, from the whole text to the baseline.
    pub deletion: Vec<f64>,
    /// F at each step, from the baseline to the whole text.
    pub insertion: Vec<f64>,
}

/// One target: its attribution's order and random ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// F of the text as it is.
    pub full: f64,
    /// F of the baseline.
    pub empty: f64,
    pub found: Measurement,
    /// The mean over the random orders; `None` where none were asked for.
    pub random: Option<Measurement>,
}

/// An attribution's faithfulness.
#[derive(Debug, Clone, PartialEq)]
pub struct Faithfulness {
    pub options: FaithfulnessOptions,
    /// Where the curves have their points.
    pub steps: Vec<f64>,
    pub targets: Vec<Check>,
}

impl Faithfulness {
    /// Mean over the targets.
    pub fn figures(&self) -> Figures {
        Figures::mean(self.targets.iter().map(|check| &check.found.figures))
    }

    /// The same of random orders.
    pub fn random(&self) -> Option<Figures> {
        let random: Option<Vec<&Figures>> = self
            .targets
            .iter()
            .map(|check| check.random.as_ref().map(|random| &random.figures))
            .collect();
        random.map(|random| Figures::mean(random.into_iter()))
    }
}

/// Measures an attribution of these targets. Targets are measured one after the other, in as many passes as there are
/// different sets of sources to take away or to keep. What random orders give does not depend on the attribution: it
/// is taken from `known`, which measured another one of the same targets and sources with the same options.
///
/// # Errors
/// Options out of range, an attribution of other targets or sources, interruption.
pub fn faithfulness(
    model: &Model,
    input: &Input,
    targets: &[Target],
    attribution: &Attribution,
    options: &FaithfulnessOptions,
    known: Option<&Faithfulness>,
    watch: &mut Watch,
) -> Result<Faithfulness> {
    options.check()?;
    let known = known.filter(|known| known.options == *options && known.targets.len() == targets.len());
    if targets.len() != attribution.scores.len() {
        return Err(unlike());
    }
    let total: usize = attribution
        .scores
        .iter()
        .map(|row| n_passes(row.len(), options, known.is_some()))
        .sum();
    let label = format!("faithfulness of {}", attribution.method.label());
    let mut work = Work::new(watch, label, "passes", total as u64);
    let mut checks = Vec::new();
    for (index, (target, scores)) in targets.iter().zip(&attribution.scores).enumerate() {
        let (measured, is_contrast) = measured(target);
        let explained = Objective::new(model, input, &[measured])?;
        if explained.n_sources() != scores.len() {
            return Err(unlike());
        }
        let passes = guarded(|| Passes::new(&explained, &options.baseline))?;
        let known = known.map(|known| &known.targets[index]);
        checks.push(check_target(scores, options, known, |kept| {
            let values = guard(|| passes.keeping(kept.view(), &mut work))?;
            let of_two = |difference: f64| 1.0 / (1.0 + (-difference).exp());
            let values = values.column(0).to_vec();
            Ok(match is_contrast {
                true => values.into_iter().map(of_two).collect(),
                false => values,
            })
        })?);
    }
    Ok(Faithfulness {
        options: options.clone(),
        steps: options.steps(),
        targets: checks,
    })
}

fn unlike() -> Error {
    Error::Unlike {
        one: "the attribution".into(),
        other: "what is to be measured".into(),
    }
}

/// [`guard`] for what may go wrong otherwise too.
fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let mut other = None;
    let done = guard(|| match work() {
        Ok(done) => Ok(Some(done)),
        Err(Error::Model(error)) => Err(error),
        Err(error) => {
            other = Some(error);
            Ok(None)
        }
    })?;
    done.ok_or_else(|| other.unwrap_or(Error::NothingGenerated))
}

/// What F is of a target, and whether the number is a difference of logits.
fn measured(target: &Target) -> (Target, bool) {
    match (target.contrast, target.of) {
        (_, Quantity::Entropy) => (*target, false),
        (Some(_), _) => (target.of(Quantity::Logit), true),
        (None, _) => (target.of(Quantity::Probability), false),
    }
}

/// How many passes one target takes.
fn n_passes(n_sources: usize, options: &FaithfulnessOptions, random_is_known: bool) -> usize {
    let n_random = if random_is_known { 0 } else { options.n_random };
    2 + 2 * counts(n_sources, options).len() * (1 + n_random)
}

/// Measures one target. `values` gives F for each row of kept sources, `(pass, source)`. `known` is another order of the
/// same sources, measured with the same options.
pub fn check_target(
    scores: &[f32],
    options: &FaithfulnessOptions,
    known: Option<&Check>,
    mut values: impl FnMut(Array2<bool>) -> Result<Vec<f64>>,
) -> Result<Check> {
    let n = scores.len();
    let mut random = Mt64::new(options.seed);
    let mut orders = vec![descending(scores)];
    if known.is_none() {
        orders.extend((0..options.n_random).map(|_| shuffled(n, &mut random)));
    }
    let counts = counts(n, options);
    let mut kept = vec![Array1::from_elem(n, true), Array1::from_elem(n, false)];
    for order in &orders {
        for top in [false, true] {
            kept.extend(counts.iter().map(|&count| {
                let mut row = Array1::from_elem(n, !top);
                order[..count].iter().for_each(|&source| row[source] = top);
                row
            }));
        }
    }
    let rows: Vec<_> = kept.iter().map(|row| row.view()).collect();
    let stacked = ndarray::stack(ndarray::Axis(0), &rows).unwrap_or_else(|_| Array2::from_elem((0, n), true));
    let values = values(stacked)?;
    let (full, empty) = (values[0], values[1]);
    let mut measured: Vec<Measurement> = values[2..]
        .chunks(2 * counts.len().max(1))
        .map(|values| {
            let (without, only) = values.split_at(counts.len());
            let at = |values: &[f64], q: f64, none: f64, all: f64| match taken(n, q) {
                0 => none,
                count if count == n => all,
                count => counts
                    .binary_search(&count)
                    .map_or(f64::NAN, |index| values[index]),
            };
            measure(
                options,
                full,
                |q| at(without, q, full, empty),
                |q| at(only, q, empty, full),
            )
        })
        .collect();
    if measured.is_empty() {
        // One source: there is nothing between all and none, in whatever order.
        let ends = |q: f64, none: f64, all: f64| if taken(n, q) == 0 { none } else { all };
        let only = measure(options, full, |q| ends(q, full, empty), |q| ends(q, empty, full));
        measured = vec![only; orders.len()];
    }
    let by_scores = measured.remove(0);
    let found = match n < 2 || has_order(scores) {
        true => by_scores,
        false => nothing(options),
    };
    let random = match known {
        Some(known) => known.random.clone(),
        None => (!measured.is_empty()).then(|| mean_of(&measured)),
    };
    Ok(Check {
        full,
        empty,
        found,
        random,
    })
}

/// How many of n sources a fraction is.
fn taken(n: usize, fraction: f64) -> usize {
    match fraction {
        0.0 => 0,
        fraction => ((fraction * n as f64).round() as usize).clamp(1.min(n), n),
    }
}

/// Numbers of sources to take, without none and all, each once.
fn counts(n: usize, options: &FaithfulnessOptions) -> Vec<usize> {
    let fractions = options.fractions.iter().copied().chain(options.steps());
    let mut counts: Vec<usize> = fractions.map(|fraction| taken(n, fraction)).collect();
    counts.sort_unstable();
    counts.dedup();
    counts.retain(|&count| count > 0 && count < n);
    counts
}

fn measure(
    options: &FaithfulnessOptions,
    full: f64,
    without: impl Fn(f64) -> f64,
    only: impl Fn(f64) -> f64,
) -> Measurement {
    let mean = |value: &dyn Fn(f64) -> f64| {
        let sum: f64 = options.fractions.iter().map(|&q| value(q)).sum();
        sum / options.fractions.len() as f64
    };
    let steps = options.steps();
    let deletion: Vec<f64> = steps.iter().map(|&q| without(q)).collect();
    let insertion: Vec<f64> = steps.iter().map(|&q| only(q)).collect();
    let figures = Figures {
        comprehensiveness: mean(&|q| full - without(q)),
        sufficiency: mean(&|q| full - only(q)),
        log_odds: mean(&|q| log(without(q)) - log(full)),
        deletion: area(&deletion),
        insertion: area(&insertion),
    };
    Measurement {
        figures,
        deletion,
        insertion,
    }
}

/// NaN of what is no probability, or of one that is too small for a number: that has no logarithm.
fn log(probability: f64) -> f64 {
    match probability > 0.0 {
        true => probability.ln(),
        false => f64::NAN,
    }
}

/// What an order says that is none: nothing.
fn nothing(options: &FaithfulnessOptions) -> Measurement {
    let curve = vec![f64::NAN; options.n_steps + 1];
    Measurement {
        figures: Figures {
            comprehensiveness: f64::NAN,
            sufficiency: f64::NAN,
            log_odds: f64::NAN,
            deletion: f64::NAN,
            insertion: f64::NAN,
        },
        deletion: curve.clone(),
        insertion: curve,
    }
}

/// The trapezoidal rule over [0, 1].
fn area(values: &[f64]) -> f64 {
    let sum: f64 = values.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0).sum();
    sum / (values.len() - 1) as f64
}

fn mean_of(measured: &[Measurement]) -> Measurement {
    let curve = |of: fn(&Measurement) -> &[f64]| {
        let n_points = of(&measured[0]).len();
        let at =
            |point: usize| measured.iter().map(|one| of(one)[point]).sum::<f64>() / measured.len() as f64;
        (0..n_points).map(at).collect()
    };
    Measurement {
        figures: Figures::mean(measured.iter().map(|one| &one.figures)),
        deletion: curve(|one| &one.deletion),
        insertion: curve(|one| &one.insertion),
    }
}

/// Fisher and Yates' shuffle.
fn shuffled(n: usize, random: &mut Mt64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        order.swap(last, (random.next_u64() % (last as u64 + 1)) as usize);
    }
    order
}

#[cfg(test)]
mod tests;
