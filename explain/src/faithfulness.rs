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
//! orders (`chance`), which take the same numbers of sources away: below that an attribution says nothing. Scores that are all alike,
//! or no numbers, are no order, and have no figures (NaN); so have log-odds of a probability that is 0.

mod chance;

use ecco_interpreter::Watch;
use ecco_models::Model;
use ecco_models::guard::guard;
use ecco_models::run::Input;
use ndarray::{Array1, Array2};

use crate::agreement::{descending, has_order};
use crate::attribution::passes::Passes;
use crate::attribution::work::Work;
use crate::attribution::{Attribution, Baseline, Objective, Quantity, Target};
use crate::error::{Error, Result, refuse};
use chance::Chance;

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

/// Measures an attribution of these targets, one after the other, in as many passes as there are different sets of sources to
/// take away or to keep; random orders are measured for all targets at once. What these give does not depend on the
/// attribution: it is taken from `known`, which measured another one of the same targets and sources with the same options.
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
    let measured: Vec<Target> = targets.iter().map(measured).collect();
    let all = Objective::new(model, input, &measured)?;
    let n_sources: Vec<usize> = measured.iter().map(|target| all.n_sources_of(target)).collect();
    if !n_sources
        .iter()
        .copied()
        .eq(attribution.scores.iter().map(Vec::len))
    {
        return Err(unlike());
    }
    let chance = (known.is_none() && options.n_random > 0).then(|| Chance::new(&n_sources, options));
    let total = of_orders(&n_sources, options) + chance.as_ref().map_or(0, |chance| chance.kept.nrows());
    let label = format!("faithfulness of {}", attribution.method.label());
    let mut work = Work::new(watch, label, "passes", total as u64);
    let mut values = |explained: &Objective, kept: &Array2<bool>| -> Result<Array2<f64>> {
        let passes = guarded(|| Passes::new(explained, &options.baseline))?;
        let mut values = guard(|| passes.keeping(kept.view(), &mut work))?;
        for (target, mut values) in explained.targets().iter().zip(values.columns_mut()) {
            if target.contrast.is_some() && target.of == Quantity::Logit {
                values.mapv_inplace(|difference| 1.0 / (1.0 + (-difference).exp()));
            }
        }
        Ok(values)
    };
    let random = match (&chance, known) {
        (Some(chance), _) => {
            let found = chance.measured(values(&all, &chance.kept)?.view(), options);
            found.into_iter().map(Some).collect()
        }
        (None, Some(known)) => known.targets.iter().map(|check| check.random.clone()).collect(),
        (None, None) => vec![None; targets.len()],
    };
    let mut checks = Vec::new();
    for ((target, scores), random) in measured.iter().zip(&attribution.scores).zip(random) {
        let explained = all.only(&[*target]);
        checks.push(check_target(scores, options, random, |kept| {
            Ok(values(&explained, &kept)?.column(0).to_vec())
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

/// What F is of a target: of a contrast the difference of logits, which says how probable the one is among the two.
fn measured(target: &Target) -> Target {
    match (target.contrast, target.of) {
        (_, Quantity::Entropy) => *target,
        (Some(_), _) => target.of(Quantity::Logit),
        (None, _) => target.of(Quantity::Probability),
    }
}

/// In how many passes targets with so many sources are measured; fewer where random orders were measured already.
pub fn n_passes(n_sources: &[usize], options: &FaithfulnessOptions, random_is_known: bool) -> usize {
    let of_random = match random_is_known || options.n_random == 0 {
        true => 0,
        false => Chance::new(n_sources, options).kept.nrows(),
    };
    of_orders(n_sources, options) + of_random
}

fn of_orders(n_sources: &[usize], options: &FaithfulnessOptions) -> usize {
    let each = n_sources.iter().map(|&n| 2 + 2 * counts(n, options).len());
    each.sum()
}

/// Measures one target, beside what random orders gave. `values` gives F for each row of kept sources, `(pass, source)`.
pub fn check_target(
    scores: &[f32],
    options: &FaithfulnessOptions,
    random: Option<Measurement>,
    values: impl FnOnce(Array2<bool>) -> Result<Vec<f64>>,
) -> Result<Check> {
    let n = scores.len();
    let counts = counts(n, options);
    let order = descending(scores);
    let mut kept = ends(n);
    for top in [false, true] {
        kept.extend(counts.iter().map(|&count| kept_row(n, &order[..count], top)));
    }
    let values = values(stacked(n, &kept))?;
    let (full, empty) = (values[0], values[1]);
    let found = match n < 2 || has_order(scores) {
        true => {
            let (without, only) = values[2..].split_at(counts.len());
            measure(n, options, (full, empty), |place| (without[place], only[place]))
        }
        false => nothing(options),
    };
    Ok(Check {
        full,
        empty,
        found,
        random,
    })
}

/// All sources kept, and none.
fn ends(n_sources: usize) -> Vec<Array1<bool>> {
    [true, false]
        .map(|kept| Array1::from_elem(n_sources, kept))
        .into()
}

/// Some sources kept or left out, and the others not.
fn kept_row(n_sources: usize, some: &[usize], kept: bool) -> Array1<bool> {
    let mut row = Array1::from_elem(n_sources, !kept);
    some.iter().for_each(|&source| row[source] = kept);
    row
}

fn stacked(n_sources: usize, rows: &[Array1<bool>]) -> Array2<bool> {
    Array2::from_shape_fn((rows.len(), n_sources), |(row, source)| rows[row][source])
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

/// The figures of an order of n sources: F of the whole text and of the baseline, and F without and with only as many of
/// the first as the place among [`counts`] says.
fn measure(
    n: usize,
    options: &FaithfulnessOptions,
    (full, empty): (f64, f64),
    of_count: impl Fn(usize) -> (f64, f64),
) -> Measurement {
    let counts = counts(n, options);
    let at = |q: f64| match taken(n, q) {
        0 => (full, empty),
        count if count == n => (empty, full),
        count => counts
            .binary_search(&count)
            .map_or((f64::NAN, f64::NAN), &of_count),
    };
    let mean = |value: &dyn Fn((f64, f64)) -> f64| {
        let sum: f64 = options.fractions.iter().map(|&q| value(at(q))).sum();
        sum / options.fractions.len() as f64
    };
    let (deletion, insertion): (Vec<f64>, Vec<f64>) = options.steps().into_iter().map(at).unzip();
    let figures = Figures {
        comprehensiveness: mean(&|(without, _)| full - without),
        sufficiency: mean(&|(_, only)| full - only),
        log_odds: mean(&|(without, _)| log(without) - log(full)),
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

#[cfg(test)]
mod tests;
