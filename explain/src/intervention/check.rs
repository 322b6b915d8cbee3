//! What of a model can be changed.

use std::collections::HashSet;

use ecco_models::run::{Input, Place, Records};
use ecco_models::{Model, Site};
use ndarray::ArrayD;

use super::{Intervention, Part, Replacement, Vector, as_in_passes, length};
use crate::error::{Error, Result, refuse};

pub(super) fn no_site(place: Place, layer: Option<usize>) -> Error {
    let site = place.name();
    ecco_models::Error::NoSite { site, layer }.into()
}

/// The layers that are meant.
pub(super) fn layers(intervention: &Intervention, model: &Model, sizes: &Records) -> Result<Vec<usize>> {
    let place = intervention.place;
    let config = match (&model.config().encoder, place.encoder) {
        (Some(encoder), true) => encoder,
        _ => model.config(),
    };
    let mut existing = sizes.layers(place);
    // Keys and values of other layers are changed where they are made.
    let of_other = |layer: usize| match place.site {
        Site::Keys | Site::Values => config.source(layer),
        _ => None,
    };
    existing.retain(|&layer| of_other(layer).is_none());
    let Some(wanted) = &intervention.layers else {
        return match existing.is_empty() {
            true => Err(no_site(place, None)),
            false => Ok(existing),
        };
    };
    if place.axes()[0] != "layer" {
        let reason = format!(
            "{} stands behind all layers, so none is to be named",
            place.name()
        );
        return Err(refuse("layer", list(wanted), reason));
    }
    if let Some((layer, source)) = wanted.iter().find_map(|&layer| Some((layer, of_other(layer)?))) {
        let reason = format!(
            "it reads the {} of layer {source}: change them there, which every layer that reads them sees",
            place.name()
        );
        return Err(refuse("layer", layer, reason));
    }
    match wanted.iter().find(|&&layer| layer >= config.n_layers) {
        Some(layer) => {
            let last = config.n_layers - 1;
            Err(refuse(
                "layer",
                layer,
                format!("the model has layers 0 to {last}"),
            ))
        }
        None if wanted.is_empty() => Err(refuse("layer", "[]", "name at least one")),
        None => Ok(wanted.clone()),
    }
}

/// The lengths of a place's axes at a layer, for a text of one token: `[position, feature]` or with heads first.
pub(super) fn size(place: Place, layer: usize, sizes: &Records) -> Result<Vec<usize>> {
    sizes
        .size(place, layer)
        .ok_or_else(|| no_site(place, Some(layer)))
}

/// Whether the place has such a part.
pub(super) fn part(intervention: &Intervention, layer: usize, size: &[usize]) -> Result<()> {
    let place = intervention.place;
    let (width, has_heads) = (size[size.len() - 1], size.len() == 3);
    match &intervention.part {
        Part::Whole => Ok(()),
        Part::Heads(heads) if has_heads => all_below("heads", heads, size[0], place, layer),
        Part::Heads(heads) => {
            let reason = format!("{} is not divided by heads; head_outputs is", place.name());
            Err(refuse("heads", list(heads), reason))
        }
        Part::Features(features) if has_heads => {
            let reason = format!("{} is divided by heads: name `heads`", place.name());
            Err(refuse(features_name(place), list(features), reason))
        }
        Part::Features(features) => all_below(features_name(place), features, width, place, layer),
        Part::Direction(_) if is_pattern(place) => {
            let reason = format!("{} is as wide as the text and has no directions", place.name());
            Err(refuse("direction", "a vector", reason))
        }
        Part::Direction(direction) if has_heads => is_direction(direction, size[0] * width, place),
        Part::Direction(direction) => is_direction(direction, width, place),
    }
}

fn all_below(name: &'static str, index: &[usize], n: usize, place: Place, layer: usize) -> Result<()> {
    if index.is_empty() {
        return Err(refuse(name, "[]", "name at least one"));
    }
    let mut seen = HashSet::new();
    if let Some(twice) = index.iter().position(|&at| !seen.insert(at)) {
        return Err(refuse(
            name,
            list(index),
            format!("{} stands in it twice", index[twice]),
        ));
    }
    match index.iter().find(|&&at| at >= n) {
        Some(at) => {
            let reason = format!(
                "{} of layer {layer} has {n} {name}, numbered 0 to {}",
                place.name(),
                n - 1
            );
            Err(refuse(name, at, reason))
        }
        None => Ok(()),
    }
}

fn is_direction(direction: &[f32], width: usize, place: Place) -> Result<()> {
    let value = format!("a vector of {} numbers", direction.len());
    if direction.len() != width {
        let reason = format!("{} has {width} at each position", place.name());
        return Err(refuse("direction", value, reason));
    }
    let length = length(direction);
    match length > 0.0 && length.is_finite() {
        true => Ok(()),
        false => Err(refuse("direction", value, format!("its length is {length}"))),
    }
}

/// What scripts call the numbers of a place.
pub(super) fn features_name(place: Place) -> &'static str {
    match place.axes() {
        [.., "neuron", "position"] => "neurons",
        [.., "expert"] => "experts",
        _ => "hidden",
    }
}

/// A vector as long as the part is wide, or a number for all of it. Of heads it is one for each of them alike, or all of theirs side by
/// side.
pub(super) fn vector(intervention: &Intervention, what: &Vector, size: &[usize]) -> Result<Vec<f32>> {
    let place = intervention.place;
    let width = match &intervention.part {
        Part::Features(features) => features.len(),
        Part::Direction(_) => {
            let reason = "what is added has a direction of its own: give it as `vector`";
            return Err(refuse("direction", "a vector", reason));
        }
        _ => size[size.len() - 1],
    };
    let of_all = n_heads(intervention, size).map(|n| n * width);
    match what {
        Vector::Number(number) => Ok(vec![*number as f32]),
        Vector::Values(values)
            if !is_pattern(place) && (values.len() == width || Some(values.len()) == of_all) =>
        {
            Ok(values.clone())
        }
        Vector::Values(_) if is_pattern(place) => {
            let reason = format!("{} is as wide as the text: add a number", place.name());
            Err(refuse("vector", "a vector", reason))
        }
        Vector::Values(values) => {
            let of = match &intervention.part {
                Part::Features(_) => "one for each that is named".to_owned(),
                _ if let Some(of_all) = of_all => {
                    format!("for each head alike, or {of_all}, for all side by side")
                }
                _ => format!("as many as {} has at each position", place.name()),
            };
            let value = format!("a vector of {} numbers", values.len());
            Err(refuse("vector", value, format!("expected {width}, {of}")))
        }
    }
}

/// How many heads the part has, of a place that is divided by heads.
pub(super) fn n_heads(intervention: &Intervention, size: &[usize]) -> Option<usize> {
    match &intervention.part {
        Part::Heads(heads) => Some(heads.len()),
        _ if size.len() == 3 => Some(size[0]),
        _ => None,
    }
}

/// Whether a place has a mean to be set to.
pub(super) fn mean(intervention: &Intervention, inputs: &[Input]) -> Result<()> {
    if inputs.is_empty() {
        return Err(refuse("over", "[]", "name at least one text"));
    }
    match is_pattern(intervention.place) {
        true => {
            let reason = format!("{} is as wide as each text", intervention.place.name());
            Err(refuse("to", "\"mean\"", reason))
        }
        false => Ok(()),
    }
}

/// The values of one layer to be put in, as passes have them.
pub(super) fn patch(
    model: &Model,
    intervention: &Intervention,
    layer: usize,
    values: &[(usize, ArrayD<f32>)],
    size: &[usize],
) -> Result<ArrayD<f32>> {
    let place = intervention.place;
    if is_pattern(place) && (place.encoder || !model.config().attention.causal || place.axes()[3] != "key") {
        let reason = "patterns over texts that are read at once have no common width: patch head_outputs";
        return Err(refuse("site", place.name(), reason));
    }
    if place.name() == "cross_pattern" {
        let reason = "it is as wide as the text that was read: patch cross_output";
        return Err(refuse("site", place.name(), reason));
    }
    let of_layer = values.iter().find(|(of, _)| *of == layer);
    let Some((_, values)) = of_layer else {
        return Err(no_site(place, Some(layer)));
    };
    let values = match values.ndim() == size.len() {
        true => as_in_passes(place, values.clone()),
        false => values.clone(),
    };
    let shape = values.shape();
    let fits = shape.len() == size.len()
        && shape[shape.len() - 2] > 0
        && (0..size.len()).all(|axis| {
            let is_text = axis == size.len() - 2 || (is_pattern(place) && axis == size.len() - 1);
            is_text || shape[axis] == size[axis]
        });
    match fits {
        true => Ok(values),
        false => {
            let axes = place.axes().iter().filter(|axis| **axis != "layer");
            let axes: Vec<&str> = axes.copied().collect();
            let reason = format!(
                "{} of one layer has the axes ({}), {} numbers at each position",
                place.name(),
                axes.join(", "),
                size[size.len() - 1]
            );
            Err(refuse("from", format!("a tensor of shape {shape:?}"), reason))
        }
    }
}

/// Positions in order; those of a patch must be in the text it comes from.
pub(super) fn positions(intervention: &Intervention, n_known: Option<usize>) -> Result<()> {
    let Some(ranges) = &intervention.positions else {
        return Ok(());
    };
    if ranges.iter().all(|range| range.is_empty()) {
        return Err(refuse("positions", "[]", "name at least one"));
    }
    let end = ranges.iter().map(|range| range.end).max().unwrap_or(0);
    match n_known.filter(|&n| end > n) {
        Some(n) => {
            let reason = format!("what is patched has {n} positions, numbered 0 to {}", n - 1);
            Err(refuse("positions", end - 1, reason))
        }
        None => Ok(()),
    }
}

fn is_pattern(place: Place) -> bool {
    place.axes().contains(&"query")
}

pub(super) fn list(values: &[usize]) -> String {
    let values: Vec<String> = values.iter().map(usize::to_string).collect();
    format!("[{}]", values.join(", "))
}

impl Replacement {
    /// For people: `0`, `the mean over 3 texts`.
    pub fn label(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Mean(inputs) if inputs.len() == 1 => "the mean over a text".into(),
            Self::Mean(inputs) => format!("the mean over {} texts", inputs.len()),
        }
    }
}
