//! Interventions: models whose inside is changed in every pass.
//!
//! - [`Intervention`]: what is changed, where, and how; [`compile`] makes edits of several, which
//!   [`Model::edited`] takes
//! - [`steering`]: directions from texts that differ in one thing
//! - [`patching`]: which part of a pass carries what makes two texts differ
//! - [`tracing`]: the same of one text, with noise on some of its tokens
//! - [`estimate`]: the same for all parts at once by gradients
//! - [`divergence`]: how far a changed model's predictions are from the untouched one's
//! - [`features`]: features of a dictionary, as changes; [`swap`]: two directions' coordinates exchanged
//! - [`answer`]: what is watched meanwhile; [`alignment`]: positions of texts of unequal length
//! - `check`: what of a model can be changed; `label`: interventions for people

pub mod alignment;
pub mod answer;
mod check;
pub mod divergence;
pub mod estimate;
pub mod features;
mod label;
pub mod patching;
pub mod steering;
pub mod swap;
pub mod tracing;

use std::collections::HashMap;
use std::ops::Range;

use ecco_interpreter::{Progress, Watch};
use ecco_models::Model;
use ecco_models::edit::{self, Edit, Edits};
use ecco_models::guard::guard;
use ecco_models::run::{self, Input, Place, Records};
use ndarray::{ArrayD, Axis};
use tch::Tensor;

use crate::error::{Result, refuse};
use features::FeatureIntervention;
use swap::Swap;

/// A change at a place of some layers.
#[derive(Debug, Clone, PartialEq)]
pub struct Intervention {
    pub place: Place,
    /// `None`: all layers that have the place.
    pub layers: Option<Vec<usize>>,
    pub part: Part,
    /// Counted from the start of the text, in whatever steps it is read or written. `None`: all.
    pub positions: Option<Vec<Range<usize>>>,
    pub change: Change,
}

/// What of a place is changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    Whole,
    /// Neurons, or numbers of the residual stream.
    Features(Vec<usize>),
    Heads(Vec<usize>),
    /// The component along a vector of any length above 0.
    Direction(Vec<f32>),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Nothing of its own is left.
    Ablate(Replacement),
    /// Times this.
    Scale(f64),
    Add {
        what: Vector,
        factor: f64,
    },
    /// The same positions' values of another pass, by layer, with the axes that [`Place::axes`] names.
    Patch(Vec<(usize, ArrayD<f32>)>),
    /// Coordinates along two directions are exchanged.
    Swap(Swap),
    /// What features of a dictionary write, at the place that it writes.
    Features(FeatureIntervention),
}

/// What is put where something was ablated.
#[derive(Debug, Clone, PartialEq)]
pub enum Replacement {
    Number(f64),
    /// The mean over all positions of these texts.
    Mean(Vec<Input>),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Vector {
    /// The same for each feature.
    Number(f64),
    /// One for each feature.
    Values(Vec<f32>),
}

/// The edits that these interventions are, in their order, for this model.
///
/// # Errors
/// [`Error::Option`](crate::Error::Option) for what the model does not have, or what has another size; `watch`'s interruption.
pub fn compile(model: &Model, interventions: &[Intervention], watch: &mut Watch) -> Result<Edits> {
    let sizes = run::probe(model)?;
    let mut edits = Vec::new();
    for intervention in interventions {
        let layers = check::layers(intervention, model, &sizes)?;
        let means = match &intervention.change {
            Change::Ablate(Replacement::Mean(inputs)) => {
                check::mean(intervention, inputs)?;
                means(model, intervention.place, &layers, inputs, watch)?
            }
            _ => HashMap::new(),
        };
        for layer in layers {
            edits.extend(edit(model, intervention, layer, &sizes, means.get(&layer))?);
        }
    }
    Ok(model.edits(edits)?)
}

fn edit(
    model: &Model,
    intervention: &Intervention,
    layer: usize,
    sizes: &Records,
    mean: Option<&ArrayD<f32>>,
) -> Result<Vec<Edit>> {
    let place = intervention.place;
    let size = check::size(place, layer, sizes)?;
    check::part(intervention, layer, &size)?;
    let (change, n_known) = match &intervention.change {
        Change::Ablate(Replacement::Number(number)) => (edit::Change::Set(*number), None),
        Change::Ablate(Replacement::Mean(_)) => {
            let mean = mean.ok_or_else(|| check::no_site(place, Some(layer)))?;
            (edit::Change::Become(of_part(intervention, tensor(mean)?)?), None)
        }
        Change::Scale(factor) => (edit::Change::Scale(*factor), None),
        Change::Add { what, factor } => {
            let vector = check::vector(intervention, what, &size)?;
            let vector: Vec<f32> = vector.iter().map(|x| (f64::from(*x) * factor) as f32).collect();
            let vector = Tensor::from_slice(&vector);
            let is_of_all = vector.numel() > size[size.len() - 1];
            let vector = match check::n_heads(intervention, &size) {
                Some(n) if is_of_all => by_head(&vector, n)?,
                _ => vector,
            };
            (edit::Change::Add(vector), None)
        }
        Change::Patch(values) => {
            let values = check::patch(model, intervention, layer, values, &size)?;
            let n_known = values.shape()[values.ndim() - 2];
            let values = of_part(intervention, tensor(&values)?)?;
            (edit::Change::Patch(values), Some(n_known))
        }
        Change::Swap(_) if intervention.part != Part::Whole => {
            let reason = "coordinates are those of all numbers of a position";
            return Err(refuse("site", place.name(), reason));
        }
        Change::Swap(swap) => (swap.change(place, &size)?, None),
        Change::Features(features) => {
            check::positions(intervention, None)?;
            return features.edits(model, intervention.positions.clone());
        }
    };
    check::positions(intervention, n_known)?;
    Ok(vec![Edit {
        place,
        layer,
        part: part(intervention, &size)?,
        positions: intervention.positions.clone(),
        change,
    }])
}

fn part(intervention: &Intervention, size: &[usize]) -> Result<edit::Part> {
    let index = |values: &[usize]| values.iter().map(|&value| value as i64).collect();
    Ok(match &intervention.part {
        Part::Whole => edit::Part::Whole,
        Part::Features(features) => edit::Part::Features(index(features)),
        Part::Heads(heads) => edit::Part::Heads(index(heads)),
        Part::Direction(direction) => {
            let unit = Tensor::from_slice(&unit(direction));
            edit::Part::Direction(match check::n_heads(intervention, size) {
                Some(n) => by_head(&unit, n)?,
                None => unit,
            })
        }
    })
}

/// Numbers of heads side by side as `[head, 1, feature]`.
fn by_head(vector: &Tensor, n_heads: usize) -> Result<Tensor> {
    Ok(guard(|| Ok(vector.reshape([n_heads as i64, 1, -1])))?)
}

/// The vector of the same direction and length 1, rounded once.
fn unit(vector: &[f32]) -> Vec<f32> {
    let length = length(vector);
    vector.iter().map(|x| (f64::from(*x) / length) as f32).collect()
}

fn length(vector: &[f32]) -> f64 {
    let squares = vector.iter().map(|x| f64::from(*x).powi(2));
    squares.sum::<f64>().sqrt()
}

/// The features or heads of a place's values that the intervention is about.
fn of_part(intervention: &Intervention, values: Tensor) -> Result<Tensor> {
    let select = |axis: i64, index: &[usize]| {
        let index: Vec<i64> = index.iter().map(|&at| at as i64).collect();
        Ok(guard(|| {
            Ok(values.index_select(axis, &Tensor::from_slice(&index)))
        })?)
    };
    match &intervention.part {
        Part::Features(features) => select(-1, features),
        Part::Heads(heads) => select(0, heads),
        Part::Whole | Part::Direction(_) => Ok(values),
    }
}

fn tensor(array: &ArrayD<f32>) -> Result<Tensor> {
    let shape: Vec<i64> = array.shape().iter().map(|&len| len as i64).collect();
    let values: Vec<f32> = array.iter().copied().collect();
    Ok(guard(|| Ok(Tensor::from_slice(&values).reshape(shape)))?)
}

/// A place's values with the position next to last, as passes have them, from the axes that scripts see.
fn as_in_passes(place: Place, values: ArrayD<f32>) -> ArrayD<f32> {
    match place.axes() {
        [.., "neuron", "position"] => values.reversed_axes(),
        _ => values,
    }
}

/// The mean over all positions of all texts, by layer: `[feature]` or `[head, 1, feature]`.
fn means(
    model: &Model,
    place: Place,
    layers: &[usize],
    inputs: &[Input],
    watch: &mut Watch,
) -> Result<HashMap<usize, ArrayD<f32>>> {
    let mut sums: HashMap<usize, ArrayD<f64>> = HashMap::new();
    let mut n_positions = 0;
    for (done, input) in inputs.iter().enumerate() {
        let progress = Progress {
            label: "taking means".into(),
            done: done as u64,
            total: Some(inputs.len() as u64),
            unit: "texts",
        };
        if watch(&progress).is_break() {
            return Err(ecco_models::Error::Interrupted.into());
        }
        let layer = Some(layers).filter(|layers| layers.len() == 1 && place.axes()[0] == "layer");
        let records = run::record(model, std::slice::from_ref(input), &[place], layer, watch)?;
        let mut n = 0;
        for &layer in layers {
            let values = as_in_passes(place, records.array(place, Some(layer), 0)?);
            let axis = Axis(values.ndim() - 2);
            n = values.len_of(axis);
            let sum = values.mapv(f64::from).sum_axis(axis);
            match sums.get_mut(&layer) {
                Some(total) => *total += &sum,
                None => drop(sums.insert(layer, sum)),
            }
        }
        n_positions += n;
    }
    let mean = |sum: ArrayD<f64>| {
        let mean = sum.mapv(|x| (x / n_positions as f64) as f32);
        match mean.ndim() {
            1 => mean,
            _ => mean.insert_axis(Axis(1)),
        }
    };
    Ok(sums.into_iter().map(|(layer, sum)| (layer, mean(sum))).collect())
}
