//! Training a dictionary on texts: a top-k autoencoder of what stands at a place of a layer.
//!
//! States are read in an order that the seed gives, as many as fit into a bounded part of memory, and drawn from it in another;
//! where all fit they are read once. They are brought to a mean square of 1, which is folded into the biases at the end, so
//! that a rate suits every model. What was trained has numbers of single precision, whatever it was computed in.

use std::cell::RefCell;
use std::rc::Rc;

use ecco_interpreter::{Progress, Watch};
use ecco_models::Model;
use ecco_models::device::ensure_free;
use ecco_models::dictionary::{Dictionary, Spot};
use ecco_models::guard::guard;
use ecco_models::host::{self, bring};
use ecco_models::model::Body;
use ecco_models::run::Input;
use tch::{Device, Kind, Tensor};

use super::autoencoder::{Autoencoder, Recipe, unit};
use super::reservoir::{Reservoir, States};
use super::{LossRecovered, Quality, loss_recovered, rows_at_once};
use crate::error::{Result, refuse};
use crate::random::RandomState;
use crate::states::{checked, length};

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainingOptions {
    /// How many features it has; `None`: eight times as many as the place has numbers.
    pub features: Option<usize>,
    pub recipe: Recipe,
    pub steps: usize,
    /// Positions that a step reads.
    pub batch: usize,
    /// Until the last fifth of the steps, in which it falls to 0.
    pub learning_rate: f64,
    pub seed: u64,
    /// The share of the texts that are not trained on.
    pub held_out: f64,
    /// The first position of a text that is read.
    pub from: usize,
}

/// After a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainingPoint {
    pub loss: f64,
    /// Σ‖x − x̂‖² / Σ‖x − mean x‖² of the step's rows.
    pub unexplained: f64,
    /// Features that are active at a position, on average.
    pub l0: f64,
    /// Features that have not been active for so many steps that they are dead.
    pub dead: f64,
}

/// How well it does on texts that it has not seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeldOut {
    pub n_texts: usize,
    pub quality: Quality,
    /// On average over tokens; of models that write from left to right.
    pub loss: Option<LossRecovered>,
}

/// A dictionary, and how it came about.
#[derive(Debug)]
pub struct Trained {
    pub dictionary: Rc<Dictionary>,
    /// By step.
    pub curve: Vec<TrainingPoint>,
    pub n_texts: usize,
    /// Positions that there were to train on.
    pub n_positions: usize,
    pub held_out: Option<HeldOut>,
}

/// Steps and features at most.
const MOST_STEPS: usize = 100_000;
const MOST_FEATURES: usize = 1 << 22;
/// States that are kept at once.
const MOST_BYTES: usize = 256 << 20;
/// Rows that say how large states are and what their mean is.
const SAMPLE: i64 = 8192;

/// Trains one for a place of a layer.
///
/// # Errors
/// Options out of bounds; a place that the model does not have; texts without a position to read; no room; a descent that ends
/// in no numbers; `watch`'s interruption.
pub fn train(
    model: &Model,
    inputs: &[Input],
    spot: Spot,
    options: TrainingOptions,
    watch: &mut Watch,
) -> Result<Trained> {
    let width = checked(model, spot.place, Some(&[spot.layer]))?[0].1;
    let features = options.features.unwrap_or(8 * width);
    check(&options, features)?;
    let mut random = RandomState::new(options.seed as u32);
    let (held_out, texts) = divided(inputs, options.held_out, &mut random);
    let n_rows = |text: &Input| length(text, spot.place).saturating_sub(options.from);
    let n_positions: usize = texts.iter().map(n_rows).sum();
    if n_positions < 2 {
        let reason = "there are not two positions to train on";
        return Err(refuse("texts", inputs.len(), reason));
    }
    let place = computed_at(model, spot.layer);
    let batch = options.batch.min(n_positions);
    let row_bytes = width * place.0.elt_size_in_bytes();
    let most_rows = (MOST_BYTES / row_bytes.max(1)).max(batch);
    let needed = Autoencoder::n_bytes((width, features), batch, place)
        + 2 * (row_bytes * most_rows.min(n_positions)) as u64;
    let what = format!("training a dictionary of {features} features of {width} numbers");
    ensure_free(place.1, needed, &what)?;
    let states = States {
        model,
        spot,
        from: options.from,
        place,
    };
    let mut reservoir = Reservoir::new(states, &texts, random, most_rows);
    let total = Some(options.steps as u64);
    let at = |step: usize| Progress {
        label: "training the dictionary".into(),
        done: step as u64,
        total,
        unit: "steps",
    };
    reservoir.fill(&mut |_| watch(&at(0)))?;
    let (scale, mut autoencoder) = {
        let mut ask = || asked(watch(&at(0)));
        guard(|| begun(&mut reservoir, features, options.recipe, &mut ask))?
    };
    let mut measures = Vec::new();
    for step in 0..options.steps {
        let rows = reservoir.next(batch, &mut |_| watch(&at(step)))?;
        let left = (options.steps - step) as f64 / options.steps as f64;
        let rate = options.learning_rate * (5.0 * left).min(1.0);
        let mut ask = || asked(watch(&at(step)));
        measures.push(guard(|| autoencoder.step(&(rows / scale), rate, &mut ask))?);
    }
    let curve = guard(|| Ok(curve(&measures)))?;
    if let Some(step) = curve.iter().position(|point| !point.loss.is_finite()) {
        let reason = format!("at step {step} the loss is no number any more: a smaller rate may help");
        return Err(refuse("learning_rate", options.learning_rate, reason));
    }
    let dictionary = guard(|| Ok(folded(&autoencoder, scale, (spot, options.recipe.k), place)))?;
    let dictionary = Rc::new(dictionary);
    let (n_texts, states) = (texts.len(), reservoir.states);
    let held_out = measured(&states, &held_out, &dictionary, watch)?;
    Ok(Trained {
        dictionary,
        curve,
        n_texts,
        n_positions,
        held_out,
    })
}

fn check(options: &TrainingOptions, features: usize) -> Result<()> {
    let most = |option, value: usize, most: usize| match value > most {
        true => Err(refuse(option, value, format!("at most {most}"))),
        false => Ok(()),
    };
    most("steps", options.steps, MOST_STEPS)?;
    most("features", features, MOST_FEATURES)?;
    most("k", options.recipe.k, features)?;
    if !(options.learning_rate > 0.0 && options.learning_rate.is_finite()) {
        let reason = "expected a number above 0";
        return Err(refuse("learning_rate", options.learning_rate, reason));
    }
    match (0.0..1.0).contains(&options.held_out) {
        true => Ok(()),
        false => {
            let reason = "it is the share of the texts that are not trained on, from 0 to below 1";
            Err(refuse("held_out", options.held_out, reason))
        }
    }
}

/// Texts that are held out, and the others: of two texts or more at least one each, where any is to be held out.
fn divided(inputs: &[Input], share: f64, random: &mut RandomState) -> (Vec<Input>, Vec<Input>) {
    let n = inputs.len();
    let wanted = (share * n as f64).round() as usize;
    let n_held = match share > 0.0 && n > 1 {
        true => wanted.clamp(1, n - 1),
        false => 0,
    };
    let mut texts: Vec<Input> = random
        .shuffled(n)
        .into_iter()
        .map(|at| inputs[at].clone())
        .collect();
    let others = texts.split_off(n_held);
    (texts, others)
}

/// As what a layer's dictionary is computed, and where.
fn computed_at(model: &Model, layer: usize) -> (Kind, Device) {
    let stack = model.stack();
    let device = stack.places().get(layer).map_or(stack.device(), |place| place.1);
    match stack.kind() {
        Kind::Double => (Kind::Double, device),
        _ => (Kind::Float, device),
    }
}

fn asked(answer: std::ops::ControlFlow<()>) -> ecco_models::error::Result<()> {
    match answer.is_break() {
        true => Err(ecco_models::Error::Interrupted),
        false => Ok(()),
    }
}

/// By what states are divided, and an autoencoder of random directions around their mean.
fn begun(
    reservoir: &mut Reservoir,
    features: usize,
    recipe: Recipe,
    ask: &mut dyn FnMut() -> ecco_models::error::Result<()>,
) -> ecco_models::error::Result<(f64, Autoencoder)> {
    let rows = &reservoir.rows;
    let sample = rows.narrow(0, 0, SAMPLE.min(rows.size()[0]));
    let mean = sample.mean_dim(0, false, None::<Kind>);
    let size = host::number(&(&sample - &mean).square().mean(Kind::Double)).sqrt();
    // Where all are alike there is nothing to scale.
    let scale = if size > 0.0 && size.is_finite() { size } else { 1.0 };
    let (width, place) = (rows.size()[1] as usize, reservoir.states.place);
    let per_part = (MOST_NORMALS / width.max(1)).max(1);
    let mut parts = Vec::new();
    for from in (0..features).step_by(per_part) {
        let n = per_part.min(features - from);
        let numbers: Vec<f32> = (0..n * width).map(|_| reservoir.random.normal() as f32).collect();
        let part = host::tensor(&numbers, place.1).reshape([n as i64, width as i64]);
        parts.push(unit(&bring(&part, place)));
        ask()?;
    }
    let directions = Tensor::cat(&parts, 0);
    Ok((scale, Autoencoder::new(recipe, &directions, &(mean / scale))))
}

/// Random numbers that are drawn between two looks at the interrupt.
const MOST_NORMALS: usize = 1 << 20;

fn curve(measures: &[Tensor]) -> Vec<TrainingPoint> {
    if measures.is_empty() {
        return vec![];
    }
    let numbers = host::numbers(&Tensor::stack(measures, 0));
    let point = |row: &[f64]| TrainingPoint {
        loss: row[0],
        unexplained: row[1],
        l0: row[2],
        dead: row[3],
    };
    numbers.chunks(4).map(point).collect()
}

/// The dictionary of states as they are: of x / s with activations a the biases of x are s times as large, and activations s a.
fn folded(
    trained: &Autoencoder,
    scale: f64,
    (spot, k): (Spot, usize),
    (kind, device): (Kind, Device),
) -> Dictionary {
    let single = |x: Tensor| bring(&bring(&x, (Kind::Float, device)), (kind, device)).contiguous();
    let parameters = [
        trained.encoder.value.shallow_clone(),
        &trained.bias.value * scale,
        trained.decoder.value.shallow_clone(),
        &trained.output_bias.value * scale,
    ];
    Dictionary::top_k(spot, k, parameters.map(single))
}

/// How well a dictionary does on texts.
fn measured(
    states: &States,
    texts: &[Input],
    dictionary: &Rc<Dictionary>,
    watch: &mut Watch,
) -> Result<Option<HeldOut>> {
    let n_rows = |text: &Input| length(text, states.spot.place).saturating_sub(states.from);
    let n_positions: usize = texts.iter().map(n_rows).sum();
    if n_positions == 0 {
        return Ok(None);
    }
    let at = |done: usize| Progress {
        label: "measuring on texts held out".into(),
        done: done as u64,
        total: Some(texts.len() as u64),
        unit: "texts",
    };
    let watch = &RefCell::new(watch);
    let ask = |done: usize| move || (watch.borrow_mut())(&at(done));
    let mut sums: Option<[Tensor; 4]> = None;
    states.read(texts, &mut |_| ask(0)(), &mut |rows| {
        let found = guard(|| squares(&rows, dictionary, &mut || asked(ask(0)())))?;
        sums = Some(match sums.take() {
            Some(sums) => {
                let mut both = sums.into_iter().zip(found);
                [0; 4].map(|_| both.next().map_or_else(Tensor::new, |(a, b)| a + b))
            }
            None => found,
        });
        Ok(())
    })?;
    let Some(sums) = sums else { return Ok(None) };
    let quality = guard(|| {
        let [errors, all, sum, n_active] = &sums;
        let n = n_positions as f64;
        let varied = all - sum.square().sum(Kind::Double) / n;
        let [errors, varied, n_active] = host::numbers_of_each([errors, &varied, n_active]);
        Ok(Quality {
            n_positions,
            explained: 1.0 - errors[0] / varied[0],
            l0: n_active[0] / n,
        })
    })?;
    let is_written = matches!(states.model.body(), Body::Decoder(_));
    let spoken = texts.iter().filter(|text| is_written && text.ids.len() > 1);
    let (mut sum, mut n_tokens) = ([0.0; 3], 0.0);
    for (done, text) in spoken.enumerate() {
        let look = &mut |_: &Progress| ask(done)();
        let found = loss_recovered(states.model, text, dictionary, states.from, look)?;
        let n = (text.ids.len() - 1) as f64;
        n_tokens += n;
        for (sum, loss) in sum
            .iter_mut()
            .zip([found.plain, found.reconstructed, found.ablated])
        {
            *sum += n * loss;
        }
    }
    let [plain, reconstructed, ablated] = sum.map(|sum| sum / n_tokens);
    Ok(Some(HeldOut {
        n_texts: texts.len(),
        quality,
        loss: (n_tokens > 0.0).then_some(LossRecovered {
            plain,
            reconstructed,
            ablated,
        }),
    }))
}

/// Σ‖x − x̂‖², Σ‖x‖², Σ x and how many features are active, in double precision.
fn squares(
    rows: &Tensor,
    dictionary: &Dictionary,
    ask: &mut dyn FnMut() -> ecco_models::error::Result<()>,
) -> ecco_models::error::Result<[Tensor; 4]> {
    let wide = |x: &Tensor| x.to_kind(Kind::Double);
    let (mut errors, mut n_active) = (Vec::new(), Vec::new());
    for x in rows.split(rows_at_once(dictionary), 0) {
        let code = dictionary.encode(&x);
        errors.push(wide(&(x - dictionary.decode(&code))).square().sum(Kind::Double));
        n_active.push(code.activations.gt(0.0).sum(Kind::Double));
        ask()?;
    }
    let total = |all: &[Tensor]| Tensor::stack(all, 0).sum(Kind::Double);
    let rows = wide(rows);
    Ok([
        total(&errors),
        rows.square().sum(Kind::Double),
        rows.sum_dim_intlist(0, false, Kind::Double),
        total(&n_active),
    ])
}
