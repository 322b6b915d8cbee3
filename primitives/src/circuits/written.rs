//! What of a model is to be read in the vocabulary, as scripts name it.

use ecco_explain::vocabulary::Written;
use ecco_explain::vocabulary::weights::HeadAt;
use ecco_models::Site;
use ecco_scripting::result::show;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, ScriptError};
use rhai::{Dynamic, Map};

use crate::factors::factorization::{Blocks, Factorization};
use crate::interventions::steering::SteeringVector;

/// What is read, what it is called, and the names of its rows.
pub(super) struct Named {
    pub written: Written,
    pub about: String,
    pub labels: Vec<String>,
}

/// Directions of a head that are read.
const OF_A_HEAD: usize = 8;

const EXPECTED: &str =
    "#{layer: 2, neuron: 17}, #{layer: 2, head: 3}, a vector, a tensor (hidden) or (…, hidden), or factors";

impl Named {
    /// # Errors
    /// A value that is none of these, or one without a direction of the stream.
    pub(super) fn of(value: &Dynamic) -> Result<Self, ScriptError> {
        if let Some(map) = value.read_lock::<Map>() {
            return of_map(&map);
        }
        if let Some(vector) = value.read_lock::<SteeringVector>() {
            let options = &vector.steering.options;
            let about = format!(
                "a steering vector at {} of layer {}",
                options.place.name(),
                options.layer
            );
            return Ok(Self::directions(
                vec![vector.steering.vector.clone()],
                about,
                |_| "vector".to_owned(),
            ));
        }
        if let Some(tensor) = value.read_lock::<Tensor>() {
            return of_tensor(&tensor);
        }
        if let Some(factors) = value.read_lock::<Factorization>() {
            return of_factors(&factors);
        }
        show::expected(EXPECTED, value)
    }

    fn directions(all: Vec<Vec<f32>>, about: String, label: impl Fn(usize) -> String) -> Self {
        Self {
            labels: (0..all.len()).map(label).collect(),
            written: Written::Directions(all),
            about,
        }
    }
}

fn refused(message: impl Into<String>) -> ScriptError {
    ScriptError::new(ErrorKind::Value, message.into()).with_hint(format!("name {EXPECTED}"))
}

fn of_map(map: &Map) -> Result<Named, ScriptError> {
    if let Some(other) = map
        .keys()
        .find(|key| !["layer", "neuron", "head"].contains(&key.as_str()))
    {
        return Err(refused(format!(
            "{other:?} is no part of a model that can be named here"
        )));
    }
    let number = |key: &str| match map.get(key) {
        None => Ok(None),
        Some(value) => count(value, key).map(Some),
    };
    let Some(layer) = number("layer")? else {
        return Err(refused("no layer is named"));
    };
    match (map.get("neuron"), number("head")?) {
        (Some(neuron), None) => {
            let neurons = match neuron.as_array_ref() {
                Ok(all) => all
                    .iter()
                    .map(|one| count(one, "neuron"))
                    .collect::<Result<Vec<_>, _>>()?,
                Err(_) => vec![count(neuron, "neuron")?],
            };
            Ok(Named {
                labels: neurons
                    .iter()
                    .map(|neuron| format!("neuron {layer}.{neuron}"))
                    .collect(),
                about: format!("what neurons of layer {layer} write"),
                written: Written::Neurons { layer, neurons },
            })
        }
        (None, Some(head)) => Ok(Named {
            labels: (0..OF_A_HEAD).map(|at| format!("direction {at}")).collect(),
            about: format!("the directions that head {layer}.{head} writes most along"),
            written: Written::Head {
                at: HeadAt { layer, head },
                n: OF_A_HEAD,
            },
        }),
        (Some(_), Some(_)) => Err(refused(
            "a neuron and a head are named: they are read one after the other",
        )),
        (None, None) => Err(refused("neither a neuron nor a head is named")),
    }
}

fn count(value: &Dynamic, key: &str) -> Result<usize, ScriptError> {
    let number = value
        .as_int()
        .ok()
        .and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| refused(format!("{key} is {value}: expected a number counted from 0")))
}

fn of_tensor(tensor: &Tensor) -> Result<Named, ScriptError> {
    let shape = tensor.shape();
    let Some(&width) = shape.last().filter(|&&width| width > 0) else {
        return Err(refused("the tensor has no direction"));
    };
    let values: Vec<f32> = tensor.data().iter().copied().collect();
    let rows: Vec<Vec<f32>> = values.chunks_exact(width).map(<[f32]>::to_vec).collect();
    let about = format!("a tensor {}", tensor.shape_text());
    Ok(Named::directions(rows, about, |at| format!("row {at}")))
}

/// Of neurons what they write by their weights in a factor; of states the factor's own vector, summed over the layers.
fn of_factors(factors: &Factorization) -> Result<Named, ScriptError> {
    let (place, by_layer) = factors.by_layer();
    let label = |at: usize| format!("factor {at}");
    let about = format!("{} factors of {}", factors.method(), place.name());
    let neurons = place.site == Site::MlpInner && !place.encoder;
    let layered: Option<Vec<_>> = by_layer
        .iter()
        .map(|blocks| {
            blocks
                .iter()
                .map(|(layer, by)| Some(((*layer)?, by.clone())))
                .collect()
        })
        .collect();
    match layered {
        Some(sums) if neurons => Ok(Named {
            labels: (0..sums.len()).map(label).collect(),
            written: Written::Sums(sums),
            about,
        }),
        _ if place.axes().last() == Some(&"hidden") && !place.encoder => {
            let sum = |blocks: &Blocks| {
                let width = blocks.first().map_or(0, |(_, block)| block.len());
                let at = |i: usize| {
                    blocks
                        .iter()
                        .map(|(_, block)| block.get(i).copied().unwrap_or(0.0))
                        .sum()
                };
                (0..width).map(at).collect()
            };
            Ok(Named::directions(
                by_layer.iter().map(sum).collect(),
                about,
                label,
            ))
        }
        _ => Err(refused(format!(
            "factors of {} are no directions of the stream",
            place.name()
        ))
        .with_hint(
            "factors of mlp_inner and of the stream are: residual_after, attention_output, mlp_output",
        )),
    }
}
