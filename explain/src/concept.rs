//! Concepts (TCAV: Kim et al. 2018, 1711.11279): whether an answer rises when a state moves towards what some texts have in common.
//!
//! A concept's direction at a site is the normal of a logistic probe between its texts and others, drawn anew several times. In
//! each text that is explained, the derivative of the answer along the direction is above 0 or not; the share of texts where it is
//! is the score. Beside it stand the scores of directions that tell others from others: a concept whose scores
//! are not apart from these by Student's test says nothing.

mod student;

use ecco_interpreter::{Progress, Watch};
use ecco_models::Model;
use ecco_models::device::ensure_room;
use ecco_models::run::{Input, Place};
use ndarray::{Array1, Array2, ArrayView2, Axis, concatenate};
use tch::Device;

use crate::attribution::Target;
use crate::error::{Result, refuse};
use crate::probe::direction;
use crate::random::RandomState;
use crate::sites::gradient;
use crate::states::{LayerStates, Positions, states};

#[derive(Debug, Clone, PartialEq)]
pub struct ConceptOptions {
    pub place: Place,
    /// These layers, or all that have the place.
    pub layers: Option<Vec<usize>>,
    /// Where texts are looked at: one position, or the mean.
    pub at: Positions,
    /// How often texts are drawn, at least 2.
    pub n_splits: usize,
    /// Weight of the penalty of the probes' coefficients.
    pub l2: f64,
    pub seed: u64,
}

/// A concept at one layer.
#[derive(Debug, Clone, PartialEq)]
pub struct ConceptScores {
    pub layer: usize,
    /// For each split the share of texts whose answer rises along the concept's direction.
    pub scores: Vec<f64>,
    /// The same along a direction between others.
    pub random: Vec<f64>,
    /// Probability that means so far apart come of equal ones: Student's test of two sides, of equal variances.
    pub p: f64,
    /// Share of texts left out that the probes told right, the mean over the splits.
    pub accuracy: f64,
    /// Of each text the derivative along the direction of length 1, the mean over the splits.
    pub derivatives: Vec<f64>,
}

/// Texts of each side that a probe learns from, for every three of them.
const LEARNED: usize = 2;
const OF: usize = 3;
/// Least number of texts of the concept; of others twice as many.
const LEAST: usize = 3;
const MOST_SPLITS: usize = 1000;

/// Scores of a concept by layer. `explained` are texts, each with its answer.
///
/// # Errors
/// Too few texts, options out of bounds, what states and gradients say; no room; `watch`'s interruption.
pub fn concept_scores(
    model: &Model,
    concept: &[Input],
    others: &[Input],
    explained: &[(Input, Target)],
    options: &ConceptOptions,
    watch: &mut Watch,
) -> Result<Vec<ConceptScores>> {
    check(concept.len(), others.len(), explained.len(), options)?;
    let inputs: Vec<Input> = concept.iter().chain(others).cloned().collect();
    let layers = options.layers.as_deref();
    let all = states(model, &inputs, options.place, layers, &options.at, watch)?;
    let named: Vec<usize> = all.iter().map(|of| of.layer.unwrap_or(0)).collect();
    let width: usize = all.iter().map(|of| of.values.dim().2).sum();
    // As rows, and once more side by side.
    let needed = 2 * explained.len() * width * size_of::<f64>();
    ensure_room(Device::Cpu, needed as u64, "derivatives of answers")?;
    let slopes = slopes(model, explained, options, &named, watch)?;
    let mut found = Vec::new();
    for (done, (states, slopes)) in all.iter().zip(&slopes).enumerate() {
        let layer = named[done];
        let mut ask = || {
            let label = "directions of a concept".into();
            let (done, total) = (done as u64, Some(named.len() as u64));
            watch(&Progress {
                label,
                done,
                total,
                unit: "layers",
            })
        };
        found.push(of_layer(layer, states, concept.len(), slopes, options, &mut ask)?);
    }
    Ok(found)
}

fn check(n_concept: usize, n_others: usize, n_explained: usize, options: &ConceptOptions) -> Result<()> {
    if n_concept < LEAST || n_others < 2 * LEAST {
        let reason = format!(
            "expected at least {LEAST} texts of the concept, and {} others",
            2 * LEAST
        );
        return Err(refuse(
            "the number of texts",
            format!("{n_concept} and {n_others}"),
            reason,
        ));
    }
    if n_explained == 0 {
        return Err(refuse(
            "the number of texts",
            0,
            "expected some whose answers are explained",
        ));
    }
    if !(2..=MOST_SPLITS).contains(&options.n_splits) {
        return Err(refuse(
            "splits",
            options.n_splits,
            format!("expected 2 to {MOST_SPLITS}"),
        ));
    }
    match options.l2 > 0.0 && options.l2.is_finite() {
        true => Ok(()),
        false => Err(refuse("l2", options.l2, "expected a number above 0")),
    }
}

/// ∂ answer / ∂ state by layer: (text, feature). Where the mean is looked at, of moving all positions together.
fn slopes(
    model: &Model,
    explained: &[(Input, Target)],
    options: &ConceptOptions,
    layers: &[usize],
    watch: &mut Watch,
) -> Result<Vec<Array2<f64>>> {
    let mut rows: Vec<Vec<Array1<f64>>> = vec![Vec::new(); layers.len()];
    for (text, (input, target)) in explained.iter().enumerate() {
        let found = gradient(model, input, target, options.place, Some(layers), watch)?;
        for (rows, &layer) in rows.iter_mut().zip(layers) {
            let values = found.gradients.array(options.place, Some(layer), 0)?;
            let n = values.shape()[0];
            let values = values.into_dimensionality::<ndarray::Ix2>();
            let values = values.map_err(|_| {
                refuse(
                    "site",
                    options.place.name(),
                    "it is not a vector at each position",
                )
            })?;
            let row = match &options.at {
                Positions::Mean => values.sum_axis(Axis(0)),
                Positions::Each(at) => {
                    let at = at.first().copied().unwrap_or(-1);
                    let place = if at < 0 {
                        at.saturating_add_unsigned(n as u64)
                    } else {
                        at
                    };
                    let place = usize::try_from(place).ok().filter(|place| *place < n);
                    let place =
                        place.ok_or_else(|| refuse("at", at, format!("text {text} has {n} tokens")))?;
                    values.row(place).to_owned()
                }
            };
            rows.push(row.mapv(f64::from));
        }
    }
    let together = |rows: Vec<Array1<f64>>| {
        let views: Vec<_> = rows.iter().map(|row| row.view().insert_axis(Axis(0))).collect();
        // All are as wide as the layer.
        concatenate(Axis(0), &views).unwrap_or_default()
    };
    Ok(rows.into_iter().map(together).collect())
}

fn of_layer(
    layer: usize,
    states: &LayerStates,
    n_concept: usize,
    slopes: &Array2<f64>,
    options: &ConceptOptions,
    ask: &mut dyn FnMut() -> std::ops::ControlFlow<()>,
) -> Result<ConceptScores> {
    let values = states.values.index_axis(Axis(1), 0).mapv(f64::from);
    let n_others = values.dim().0 - n_concept;
    let n = n_concept.min(n_others / 2);
    let n_learned = (n * LEARNED).div_ceil(OF).min(n - 1);
    let mut random = RandomState::new(options.seed as u32);
    let (mut scores, mut chance, mut accuracy) = (Vec::new(), Vec::new(), 0.0);
    let mut derivatives = Array1::<f64>::zeros(slopes.dim().0);
    for _ in 0..options.n_splits {
        let own = random.shuffled(n_concept);
        let others: Vec<usize> = random
            .shuffled(n_others)
            .into_iter()
            .map(|at| n_concept + at)
            .collect();
        let sides = |one: &[usize], two: &[usize]| [values.select(Axis(0), one), values.select(Axis(0), two)];
        let mut along = |one: &[usize], two: &[usize]| {
            let learned = sides(&one[..n_learned], &two[..n_learned]);
            direction(learned.each_ref().map(Array2::view), options.l2, ask)
        };
        let (normal, classifier) = along(&own, &others)?;
        let left = sides(&own[n_learned..n], &others[n_learned..n]);
        let right = |side: ArrayView2<f64>, is_own: bool| {
            let decisions = classifier.decisions(&side.to_owned());
            decisions.iter().filter(|f| (**f > 0.0) == is_own).count()
        };
        accuracy += (right(left[0].view(), true) + right(left[1].view(), false)) as f64
            / (2 * (n - n_learned)) as f64;
        let of_texts = slopes.dot(&normal);
        scores.push(share(&of_texts));
        derivatives += &of_texts;
        let (normal, _) = along(&others[..n], &others[n..2 * n])?;
        chance.push(share(&slopes.dot(&normal)));
    }
    let n_splits = options.n_splits as f64;
    Ok(ConceptScores {
        layer,
        p: student::equal_means(&scores, &chance),
        scores,
        random: chance,
        accuracy: accuracy / n_splits,
        derivatives: (derivatives / n_splits).to_vec(),
    })
}

/// Of those that are above 0.
fn share(values: &Array1<f64>) -> f64 {
    values.iter().filter(|value| **value > 0.0).count() as f64 / values.len() as f64
}
