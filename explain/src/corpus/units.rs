//! What has a value at each position: a site's own numbers, or something that is made of them.

use std::rc::Rc;

use ecco_models::dictionary::Dictionary;
use ecco_models::host::{Constants, bring};
use ecco_models::run::Place;
use ndarray::Array2;
use tch::{Kind, Tensor};

use crate::error::{Result, refuse};
use crate::states::{by_position, width};

/// What is followed over texts.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Units {
    /// Each number of the site: neurons, numbers of the stream.
    #[default]
    Numbers,
    /// The length of what each head has there, ‖z‖.
    Heads,
    /// How much there is of each of some directions, x · d: (direction, number).
    Directions(Array2<f32>),
    /// Features of dictionaries that read the site, one a layer.
    Features(Vec<Rc<Dictionary>>),
}

impl Units {
    /// What one of them is called.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Numbers => "neuron",
            Self::Heads => "head",
            Self::Directions(_) => "direction",
            Self::Features(_) => "feature",
        }
    }

    /// The dictionary of a layer.
    pub fn dictionary(&self, layer: usize) -> Option<&Rc<Dictionary>> {
        match self {
            Self::Features(all) => all.iter().find(|dictionary| dictionary.reads.layer == layer),
            _ => None,
        }
    }

    /// How many there are in a layer whose value is of this size in a text of one token, `[position, number]` or with heads
    /// before.
    ///
    /// # Errors
    /// A site without heads; directions that are not as long as the site is wide, or none; no dictionary of this layer.
    pub(super) fn n(&self, place: Place, layer: usize, size: &[usize]) -> Result<usize> {
        let width = width(size);
        match self {
            Self::Numbers => Ok(width),
            Self::Heads if size.len() == 3 => Ok(size[0]),
            Self::Heads => {
                let reason = format!("{} is not divided by heads; head_outputs is", place.name());
                Err(refuse("by", "\"head\"", reason))
            }
            Self::Directions(directions) => {
                let (n, length) = directions.dim();
                let reason = if n == 0 {
                    "name at least one".to_owned()
                } else if length != width {
                    let place = place.name();
                    format!("{place} of layer {layer} has {width} numbers at each position")
                } else if !directions.iter().all(|number| number.is_finite()) {
                    "some of their numbers are not finite".to_owned()
                } else {
                    return Ok(n);
                };
                Err(refuse("directions", format!("{n} of {length} numbers"), reason))
            }
            Self::Features(all) => match self.dictionary(layer) {
                Some(dictionary) if dictionary.reads.place == place && dictionary.n_inputs() == width => {
                    Ok(dictionary.n_features())
                }
                _ => {
                    let each = all.iter().map(|of| {
                        let (place, layer) = (of.reads.place.name(), of.reads.layer);
                        format!("{place} of layer {layer}, {} numbers", of.n_inputs())
                    });
                    let each = each.collect::<Vec<_>>().join("; ");
                    let reason = format!("{} of layer {layer} has {width} numbers", place.name());
                    Err(refuse("dictionary", format!("one that reads {each}"), reason))
                }
            },
        }
    }
}

/// Units with what they need on the devices, which is brought there once.
pub(super) struct Placed<'a> {
    units: &'a Units,
    directions: Constants,
}

impl<'a> Placed<'a> {
    pub(super) fn new(units: &'a Units) -> Self {
        Self {
            units,
            directions: Constants::default(),
        }
    }

    /// Their values at a site's, as it passes a layer: `[text, position, unit]`.
    pub(super) fn values(&self, layer: usize, value: &Tensor) -> Tensor {
        let float = (Kind::Float, value.device());
        match self.units {
            Units::Numbers => by_position(value),
            Units::Heads => bring(value, float)
                .norm_scalaropt_dim(2, [-1], false)
                .transpose(1, 2),
            Units::Directions(rows) => {
                let (n, length) = rows.dim();
                let rows = rows.as_standard_layout();
                let numbers = rows.as_slice().unwrap_or_default();
                let directions = self.directions.get(numbers, value.device());
                let directions = directions.reshape([n as i64, length as i64]);
                bring(&by_position(value), float).matmul(&directions.tr())
            }
            Units::Features(_) => match self.units.dictionary(layer) {
                Some(dictionary) => {
                    let rows = bring(&by_position(value), dictionary.place());
                    bring(&dictionary.encode(&rows).activations, float)
                }
                // No such layer is looked at.
                None => by_position(value),
            },
        }
    }
}
