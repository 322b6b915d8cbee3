//! The maps that say what is changed, read as interventions.

use std::rc::Rc;

use ecco_explain::intervention::features::{FeatureAction, FeatureIntervention};
use ecco_explain::intervention::steering::Steering;
use ecco_explain::intervention::{Change, Intervention, Part, Replacement, Vector};
use ecco_models::Site;
use ecco_models::run::{Input, Place};
use rhai::{Dynamic, Map};

use super::values::{AblateValue, DictionaryValue, Indices, PatchValue, Positions, VectorValue};
use crate::models::model::Model;
use crate::text::reading;
use crate::text::run::{Run, place};
use ecco_scripting::options::{OneOrMany, OptionSet};
use ecco_scripting::result::show;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, ScriptError, options};

options! {
    /// What of the model an entry changes.
    struct PartOptions {
        /// one of lm.sites()
        site: Option<String> = "by what is named",
        /// a layer
        layer: Option<usize> = "all",
        /// several layers
        layers: Option<Vec<usize>> = "all",
        /// neurons of the MLP
        neurons: Option<Indices> = "all",
        /// numbers of the stream
        hidden: Option<Indices> = "all",
        /// experts, by what their router weighs them with
        experts: Option<Indices> = "all",
        /// a head
        head: Option<usize> = "all",
        /// several heads
        heads: Option<Indices> = "all",
    }
}

options! {
    /// Features of a dictionary, in the place of a part.
    struct FeatureOptions {
        /// whose features are changed
        dictionary: Option<DictionaryValue> = "none",
        /// their numbers
        features: Option<Indices> = "none",
    }
}

options! {
    struct AblateEntry {
        ..part: PartOptions,
        ..of: FeatureOptions,
        /// only along it
        direction: Option<VectorValue> = "none",
        /// where
        positions: Option<Positions> = "all",
        /// what is put there
        to: Option<AblateValue> = "\"zero\"",
        /// the texts whose mean it is
        over: Option<OneOrMany<String>> = "none",
    }
}

options! {
    struct ScaleEntry {
        ..part: PartOptions,
        ..of: FeatureOptions,
        /// only along it
        direction: Option<VectorValue> = "none",
        /// where
        positions: Option<Positions> = "all",
        /// times this
        factor: Option<f64> = "none",
    }
}

options! {
    struct AddEntry {
        ..part: PartOptions,
        ..of: FeatureOptions,
        /// where
        positions: Option<Positions> = "all",
        /// what is added
        vector: Option<VectorValue> = "none",
        /// what is added to each
        number: Option<f64> = "none",
        /// so many times
        factor: f64 = 1.0,
    }
}

options! {
    struct PatchEntry {
        ..part: PartOptions,
        /// only along it
        direction: Option<VectorValue> = "none",
        /// where
        positions: Option<Positions> = "all",
        /// whose values
        from: Option<PatchValue> = "none",
    }
}

/// Reads an entry of one of the lists.
pub(super) type Reader = fn(&Model, &Map) -> Result<Intervention, ScriptError>;

/// The entries of one list, which may be a single map.
pub(super) fn of_list(
    lm: &Model,
    list: &str,
    value: &Dynamic,
    read: Reader,
) -> Result<Vec<Intervention>, ScriptError> {
    let wrong = || {
        let message = format!("`{list}` takes an array of maps; got {}", show::brief(value));
        ScriptError::new(ErrorKind::Option, message)
            .pointing_at(list)
            .with_hint(format!("for example: {list}: [#{{layer: 2, neurons: [1, 5]}}]"))
    };
    let maps: Vec<Map> = if let Ok(map) = value.as_map_ref() {
        vec![map.clone()]
    } else if let Ok(array) = value.as_array_ref() {
        let map = |entry: &Dynamic| entry.as_map_ref().ok().map(|map| map.clone());
        array.iter().map(map).collect::<Option<_>>().ok_or_else(wrong)?
    } else {
        return Err(wrong());
    };
    maps.iter().map(|map| read(lm, map)).collect()
}

pub(super) fn ablate(lm: &Model, map: &Map) -> Result<Intervention, ScriptError> {
    let entry = AblateEntry::read("an entry of `ablate`", map)?;
    if let Some((dictionary, features)) = entry.of.named(map, &[])? {
        let action = match features.is_empty() {
            true => FeatureAction::Reconstruct,
            false => FeatureAction::Scale(0.0),
        };
        return of_features(dictionary, features, action, entry.positions.as_ref());
    }
    let target = PartTarget::new(lm, &entry.part, entry.direction.as_ref(), None)?;
    let positions = entry.positions.as_ref();
    let over = entry.over.as_ref().map(|texts| &texts.0[..]);
    target.intervention(positions, || {
        let to = match &entry.to {
            None => Replacement::Number(0.0),
            Some(AblateValue::Number(number)) => Replacement::Number(*number),
            Some(AblateValue::Mean) => Replacement::Mean(inputs(lm, over)?),
        };
        match (&to, over) {
            (Replacement::Number(_), Some(_)) => {
                Err(refused("over", "only a mean is over texts: to: \"mean\""))
            }
            _ => Ok(Change::Ablate(to)),
        }
    })
}

pub(super) fn scale(lm: &Model, map: &Map) -> Result<Intervention, ScriptError> {
    let entry = ScaleEntry::read("an entry of `scale`", map)?;
    if let Some((dictionary, features)) = entry.of.named(map, &["factor"])? {
        let factor = entry.factor.ok_or_else(no_factor)?;
        let action = FeatureAction::Scale(factor);
        return of_features(dictionary, some(features)?, action, entry.positions.as_ref());
    }
    let target = PartTarget::new(lm, &entry.part, entry.direction.as_ref(), None)?;
    target.intervention(entry.positions.as_ref(), || {
        Ok(Change::Scale(entry.factor.ok_or_else(no_factor)?))
    })
}

fn no_factor() -> ScriptError {
    refused("scale", "an entry of `scale` says no factor").with_hint("factor: 2.0")
}

pub(super) fn add(lm: &Model, map: &Map) -> Result<Intervention, ScriptError> {
    let entry = AddEntry::read("an entry of `add`", map)?;
    if let Some((dictionary, features)) = entry.of.named(map, &["factor"])? {
        let action = FeatureAction::Add(entry.factor);
        return of_features(dictionary, some(features)?, action, entry.positions.as_ref());
    }
    let target = PartTarget::new(lm, &entry.part, None, entry.vector.as_ref())?;
    target.intervention(entry.positions.as_ref(), || {
        let what = match (&entry.vector, entry.number) {
            (Some(vector), None) => Vector::Values(vector.numbers()),
            (None, Some(number)) => Vector::Number(number),
            (None, None) => {
                let error = refused("add", "an entry of `add` says nothing to add");
                return Err(error.with_hint("vector: v, or number: 3.0"));
            }
            (Some(_), Some(_)) => return Err(refused("number", "give a vector or a number, not both")),
        };
        let factor = entry.factor;
        Ok(Change::Add { what, factor })
    })
}

pub(super) fn patch(lm: &Model, map: &Map) -> Result<Intervention, ScriptError> {
    let entry = PatchEntry::read("an entry of `patch`", map)?;
    let target = PartTarget::new(lm, &entry.part, entry.direction.as_ref(), None)?;
    let from = entry.from.as_ref().map(|from| from.0.clone()).unwrap_or_default();
    target.intervention(entry.positions.as_ref(), || {
        let values = patched(lm, &from, target.place, target.layers.as_deref())?;
        Ok(Change::Patch(values))
    })
}

impl FeatureOptions {
    /// The dictionary and the features that an entry names. `also`: what it may say besides, and where.
    fn named(&self, map: &Map, also: &[&str]) -> Result<Option<(&DictionaryValue, Vec<usize>)>, ScriptError> {
        let Some(dictionary) = &self.dictionary else {
            return match &self.features {
                None => Ok(None),
                Some(_) => Err(
                    refused("features", "features are those of a dictionary: name it, too").with_hint(
                        "#{dictionary: dictionary, features: [41]}; of the stream's numbers it is `hidden`",
                    ),
                ),
            };
        };
        let known = ["dictionary", "features", "positions"];
        match map
            .keys()
            .find(|key| ![&known, also].concat().contains(&key.as_str()))
        {
            Some(other) => Err(refused(
                other,
                format!("a dictionary knows its place and what its features are: {other} says nothing here"),
            )),
            None => {
                let features = self
                    .features
                    .as_ref()
                    .map_or(vec![], |features| features.0.clone());
                Ok(Some((dictionary, features)))
            }
        }
    }
}

/// At least one.
fn some(features: Vec<usize>) -> Result<Vec<usize>, ScriptError> {
    match features.is_empty() {
        false => Ok(features),
        true => Err(refused("features", "no feature is named").with_hint("features: [41, 38]")),
    }
}

fn of_features(
    dictionary: &DictionaryValue,
    features: Vec<usize>,
    what: FeatureAction,
    positions: Option<&Positions>,
) -> Result<Intervention, ScriptError> {
    let features = FeatureIntervention {
        dictionary: Rc::clone(&dictionary.0.loaded),
        features,
        what,
    };
    Ok(features.at(positions.map(Positions::ranges).transpose()?))
}

/// What an entry is about.
struct PartTarget {
    place: Place,
    layers: Option<Vec<usize>>,
    part: Part,
}

impl PartTarget {
    /// `direction` and `vector` are what the entry says of them; a steering vector knows where it belongs.
    fn new(
        lm: &Model,
        options: &PartOptions,
        direction: Option<&VectorValue>,
        vector: Option<&VectorValue>,
    ) -> Result<Self, ScriptError> {
        let named = vector.or(direction);
        let steering = named.and_then(VectorValue::steering);
        Ok(Self {
            place: place_of(lm, options, named, steering)?,
            layers: layers(options, steering)?,
            part: part(options, direction)?,
        })
    }

    fn intervention(
        &self,
        positions: Option<&Positions>,
        change: impl FnOnce() -> Result<Change, ScriptError>,
    ) -> Result<Intervention, ScriptError> {
        Ok(Intervention {
            place: self.place,
            layers: self.layers.clone(),
            part: self.part.clone(),
            positions: positions.map(Positions::ranges).transpose()?,
            change: change()?,
        })
    }
}

pub(super) fn refused(option: &str, message: impl Into<String>) -> ScriptError {
    ScriptError::new(ErrorKind::Value, message).pointing_at(option)
}

/// The named site, or the usual one of what is named.
fn place_of(
    lm: &Model,
    options: &PartOptions,
    vector: Option<&VectorValue>,
    steering: Option<&Steering>,
) -> Result<Place, ScriptError> {
    if let Some(name) = &options.site {
        return place(lm, name).map_err(|error| error.pointing_at("site"));
    }
    if options.neurons.is_some() {
        return Ok(Place::of(Site::MlpInner));
    }
    if options.experts.is_some() {
        return Ok(Place::of(Site::ExpertWeights));
    }
    if options.head.is_some() || options.heads.is_some() {
        return Ok(Place::of(Site::HeadOutputs));
    }
    if let Some(steering) = steering {
        return Ok(steering.options.place);
    }
    if options.hidden.is_some() || vector.is_some() {
        return Ok(Place::of(Site::ResidualAfter));
    }
    let message = "an entry names no site, neurons or heads";
    Err(ScriptError::new(ErrorKind::Value, message).with_hint(
        "for example: #{layer: 2, neurons: [1, 5]}, #{layer: 3, head: 0}, #{layer: 1, site: \"mlp_output\"}",
    ))
}

fn layers(options: &PartOptions, steering: Option<&Steering>) -> Result<Option<Vec<usize>>, ScriptError> {
    match (options.layer, &options.layers) {
        (Some(_), Some(_)) => Err(refused(
            "layers",
            "layer and layers are the same: give one of them",
        )),
        (Some(layer), None) => Ok(Some(vec![layer])),
        (None, Some(layers)) => Ok(Some(layers.clone())),
        (None, None) => {
            let own = steering.filter(|_| options.site.is_none());
            Ok(own.map(|steering| vec![steering.options.layer]))
        }
    }
}

fn part(options: &PartOptions, direction: Option<&VectorValue>) -> Result<Part, ScriptError> {
    let features = |indices: &Indices| Part::Features(indices.0.clone());
    let named = [
        ("neurons", options.neurons.as_ref().map(features)),
        ("hidden", options.hidden.as_ref().map(features)),
        ("experts", options.experts.as_ref().map(features)),
        ("head", options.head.map(|head| Part::Heads(vec![head]))),
        (
            "heads",
            options.heads.as_ref().map(|heads| Part::Heads(heads.0.clone())),
        ),
        (
            "direction",
            direction.map(|vector| Part::Direction(vector.numbers())),
        ),
    ];
    let mut named = named.into_iter().filter_map(|(name, part)| Some((name, part?)));
    match (named.next(), named.next()) {
        (None, _) => Ok(Part::Whole),
        (Some((_, part)), None) => Ok(part),
        (Some((one, _)), Some((other, _))) => {
            let message = format!("{one} and {other} stand in one entry: make an entry of each");
            Err(refused(other, message))
        }
    }
}

/// The texts that a mean is over.
fn inputs(lm: &Model, texts: Option<&[String]>) -> Result<Vec<Input>, ScriptError> {
    let texts = texts.ok_or_else(|| {
        refused("to", "a mean needs texts that it is over").with_hint(
            "over: [\"one text\", \"another\"]: what the site holds on other texts, not only on this one",
        )
    })?;
    let input = |text: &String| reading::input(lm, text.into(), None);
    texts.iter().map(input).collect()
}

/// What is put in, by layer.
fn patched(
    lm: &Model,
    from: &Dynamic,
    place: Place,
    layers: Option<&[usize]>,
) -> Result<Vec<(usize, ndarray::ArrayD<f32>)>, ScriptError> {
    let has_layers = place.axes()[0] == "layer";
    let last = lm.card().n_layers - 1;
    if let Some(tensor) = from.read_lock::<Tensor>() {
        let layer = match layers {
            Some([layer]) => *layer,
            _ if !has_layers => last,
            _ => return Err(refused("from", "a tensor is patched into one layer: say which")),
        };
        return Ok(vec![(layer, tensor.data().into_owned())]);
    }
    let Some(run) = from.read_lock::<Run>() else {
        let got = show::brief(from);
        let message =
            format!("option `from` takes a run, or a tensor as `run.at(site, layer)` gives it; got {got}");
        return Err(ScriptError::new(ErrorKind::Option, message)
            .pointing_at("patch")
            .with_hint("from: lm.run(\"another text\")"));
    };
    let layers = match layers {
        Some(layers) => layers.to_vec(),
        None if has_layers => run.layers(place)?,
        None => vec![last],
    };
    let values = |layer: usize| Ok((layer, run.at(place, Some(layer))?.data().into_owned()));
    layers.into_iter().map(values).collect()
}
