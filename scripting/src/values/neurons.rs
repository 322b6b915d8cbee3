//! Neurons over texts: the most active ones, and one of them token by token.

use std::rc::Rc;

use ecco_explain::neurons::{RankedNeuron, Reduction, most_active};
use ecco_interpreter::{Explorable, MimeBundle};
use ecco_models::run::Place;
use ecco_widgets::{ActiveNeuron, NeuronActivity, NeuronList, NeuronText};
use ndarray::{Array1, Array2, ArrayView2};
use rhai::{Array, Dynamic, INT, Map};
use serde_json::{Value, json};

use super::capture::{Layer, Where};
use super::finding::{Finding, Shown, ragged};
use super::numbers::short;
use super::source::Source;
use super::tensor::Tensor;
use crate::errors::{ErrorKind, ScriptError};

/// The most active neurons of a text.
#[derive(Clone)]
pub struct TopNeurons(Rc<Top>);

struct Top {
    source: Source,
    place: Place,
    over: Reduction,
    /// The one position that was looked at; all if None.
    position: Option<usize>,
    found: Vec<(Option<usize>, RankedNeuron)>,
}

/// One neuron over texts. The text where it is most active comes first in the view.
#[derive(Clone)]
pub struct Activity(Rc<One>);

struct One {
    sources: Vec<Source>,
    place: Place,
    layer: Option<usize>,
    neuron: usize,
    /// By text and position.
    values: Vec<Vec<f32>>,
}

/// The `n` most active neurons at a site, at one position (from the end if negative) or over all.
///
/// # Errors
/// A position or layer that is not there; what recording says.
pub fn top(
    source: Source,
    at: &Where,
    position: Option<INT>,
    over: Reduction,
    n: usize,
) -> Result<TopNeurons, ScriptError> {
    let layers = at.capture(&source)?;
    let views: Vec<ArrayView2<f32>> = layers.iter().map(|layer| layer.values.view()).collect();
    let length = views.first().map_or(0, |view| view.ncols());
    let position = position
        .map(|position| checked_position(position, length))
        .transpose()?;
    let range = position.map_or(0..length, |position| position..position + 1);
    let found = most_active(&views, range, over, n).into_iter();
    let found = found
        .map(|active| (layers[active.layer].number, active))
        .collect();
    let place = at.place;
    Ok(TopNeurons(Rc::new(Top {
        source,
        place,
        over,
        position,
        found,
    })))
}

fn checked_position(position: INT, length: usize) -> Result<usize, ScriptError> {
    let from_start = if position < 0 {
        position + length as INT
    } else {
        position
    };
    let valid = usize::try_from(from_start).ok().filter(|&at| at < length);
    valid.ok_or_else(|| {
        let message = format!("there is no activation at position {position}");
        ScriptError::new(ErrorKind::Index, message)
            .with_hint(format!(
                "valid are 0 to {} and, from the end, -1 to -{length}; the model has not read the last generated token",
                length.saturating_sub(1)
            ))
            .pointing_at("position")
    })
}

/// One neuron of a site over texts.
///
/// # Errors
/// A layer or neuron that is not there; what recording says.
pub fn activity(
    sources: Vec<Source>,
    place: Place,
    layer: INT,
    neuron: INT,
) -> Result<Activity, ScriptError> {
    let missing = |what: &str, number: INT| {
        let message = format!("there is no {what} {number}: {what}s are counted from 0");
        ScriptError::new(ErrorKind::Index, message)
    };
    let layer = usize::try_from(layer).map_err(|_| missing("layer", layer))?;
    let neuron = usize::try_from(neuron).map_err(|_| missing("neuron", neuron))?;
    let at = Where::one(place, layer);
    let mut values = Vec::new();
    let mut number = Some(layer);
    for source in &sources {
        let layers = at.capture(source)?;
        let of_layer: &Layer = &layers[0];
        number = of_layer.number;
        if neuron >= of_layer.values.nrows() {
            let message = format!(
                "there is no neuron {neuron}: {} of layer {layer} has neurons 0 to {}",
                place.name(),
                of_layer.values.nrows() - 1
            );
            return Err(ScriptError::new(ErrorKind::Index, message));
        }
        values.push(of_layer.values.row(neuron).to_vec());
    }
    Ok(Activity(Rc::new(One {
        sources,
        place,
        layer: number,
        neuron,
        values,
    })))
}

impl TopNeurons {
    fn maps(&self) -> Result<Array, ScriptError> {
        let tokens = self.0.source.read(self.0.place)?.tokens;
        let int = |value: usize| Dynamic::from_int(value as INT);
        let map = |(layer, active): &(Option<usize>, RankedNeuron)| {
            let token = tokens.get(active.position).map(|token| token.text.clone());
            Dynamic::from_map(Map::from([
                ("layer".into(), layer.map_or(Dynamic::UNIT, int)),
                ("neuron".into(), int(active.neuron)),
                ("value".into(), Dynamic::from_float(f64::from(active.value))),
                ("position".into(), int(active.position)),
                ("token".into(), token.unwrap_or_default().into()),
            ]))
        };
        Ok(self.0.found.iter().map(map).collect())
    }

    fn what(&self) -> String {
        match (self.0.position, self.0.over) {
            (Some(position), _) => format!("at position {position}"),
            (None, Reduction::Max) => "by their largest activation".to_owned(),
            (None, Reduction::Mean) => "by their mean activation".to_owned(),
        }
    }
}

impl Shown for TopNeurons {
    fn bundle(&self) -> Result<MimeBundle, ScriptError> {
        let shown = self.0.source.read(self.0.place)?;
        let neuron = |(layer, active): &(Option<usize>, RankedNeuron)| ActiveNeuron {
            layer: *layer,
            neuron: active.neuron,
            value: active.value,
            position: active.position,
        };
        let view = NeuronList {
            site: self.0.place.name(),
            what: self.what(),
            neurons: self.0.found.iter().map(neuron).collect(),
            tokens: shown.tokens,
        };
        Ok(view.bundle())
    }

    fn line(&self) -> String {
        let n = self.0.found.len();
        format!(
            "the {n} most active neurons of {} {}",
            self.0.place.name(),
            self.what()
        )
    }
}

impl Finding for TopNeurons {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        let column = |value: fn(&(Option<usize>, RankedNeuron)) -> f32| {
            let values: Array1<f32> = self.0.found.iter().map(value).collect();
            Tensor::new(values.into_dyn(), &["rank"])
        };
        Ok(vec![
            ("value", column(|(_, active)| active.value)),
            (
                "layer",
                column(|(layer, _)| layer.map_or(f32::NAN, |layer| layer as f32)),
            ),
            ("neuron", column(|(_, active)| active.neuron as f32)),
            ("position", column(|(_, active)| active.position as f32)),
        ])
    }

    fn about(&self) -> Result<serde_json::Map<String, Value>, ScriptError> {
        let mut about = self.0.source.about().as_object().cloned().unwrap_or_default();
        about.insert("site".into(), self.0.place.name().into());
        about.insert("ordered".into(), self.what().into());
        Ok(about)
    }

    fn labels(&self, axis: &str) -> Option<Vec<String>> {
        let label = |(layer, active): &(Option<usize>, RankedNeuron)| match layer {
            Some(layer) => format!("layer {layer} neuron {}", active.neuron),
            None => format!("neuron {}", active.neuron),
        };
        (axis == "rank").then(|| self.0.found.iter().map(label).collect())
    }

    /// Maps: a neuron is no single number.
    fn to_array(&self) -> Result<Array, ScriptError> {
        self.maps()
    }
}

impl Activity {
    /// (position) of one text, else (text, position), NaN behind shorter ones.
    pub fn tensor(&self) -> Tensor {
        if let [values] = self.0.values.as_slice() {
            return Tensor::new(Array1::from_vec(values.clone()).into_dyn(), &["position"]);
        }
        let longest = self.0.values.iter().map(Vec::len).max().unwrap_or(0);
        let all = Array2::from_shape_fn((self.0.values.len(), longest), |(text, position)| {
            self.0.values[text].get(position).copied().unwrap_or(f32::NAN)
        });
        Tensor::new(all.into_dyn(), &["text", "position"])
    }

    fn peak(&self) -> Option<(usize, usize, f32)> {
        let all = self.0.values.iter().enumerate();
        let all = all.flat_map(|(text, values)| {
            let values = values.iter().enumerate();
            values.map(move |(position, value)| (text, position, *value))
        });
        all.filter(|(.., value)| value.is_finite())
            .max_by(|a, b| a.2.total_cmp(&b.2))
    }

    fn name(&self) -> String {
        match self.0.layer {
            Some(layer) => format!("neuron {} of layer {layer}", self.0.neuron),
            None => format!("neuron {}", self.0.neuron),
        }
    }
}

impl Shown for Activity {
    fn bundle(&self) -> Result<MimeBundle, ScriptError> {
        let mut texts = Vec::new();
        for (index, (source, values)) in self.0.sources.iter().zip(&self.0.values).enumerate() {
            let shown = source.read(self.0.place)?;
            texts.push(NeuronText {
                index,
                tokens: shown.tokens,
                n_input: shown.n_input,
                values: values.clone(),
            });
        }
        let view = NeuronActivity {
            site: self.0.place.name(),
            layer: self.0.layer,
            neuron: self.0.neuron,
            texts,
        };
        Ok(view.bundle())
    }

    fn line(&self) -> String {
        let (name, n) = (self.name(), self.0.values.len());
        let texts = if n == 1 {
            "one text".to_owned()
        } else {
            format!("{n} texts")
        };
        match self.peak() {
            Some((text, position, value)) if n > 1 => {
                let value = short(f64::from(value));
                format!("{name} over {texts}: at most {value}, at position {position} of text {text}")
            }
            Some((_, position, value)) => {
                format!(
                    "{name} over {texts}: at most {}, at position {position}",
                    short(f64::from(value))
                )
            }
            None => format!("{name} over {texts}"),
        }
    }
}

impl Finding for Activity {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        Ok(vec![("activations", self.tensor())])
    }

    fn about(&self) -> Result<serde_json::Map<String, Value>, ScriptError> {
        let texts: Vec<Value> = self.0.sources.iter().map(Source::about).collect();
        let about = json!({
            "site": self.0.place.name(),
            "layer": self.0.layer,
            "neuron": self.0.neuron,
            "texts": texts,
        });
        Ok(about.as_object().cloned().unwrap_or_default())
    }

    fn labels(&self, axis: &str) -> Option<Vec<String>> {
        match self.0.sources.as_slice() {
            [one] if axis == "position" => {
                let tokens = one.read(self.0.place).ok()?.tokens;
                Some(tokens.into_iter().map(|token| token.text).collect())
            }
            _ => None,
        }
    }

    /// Of one text its values, of several a row for each.
    fn to_array(&self) -> Result<Array, ScriptError> {
        match self.0.values.as_slice() {
            [values] => Ok(values
                .iter()
                .map(|&value| Dynamic::from_float(f64::from(value)))
                .collect()),
            many => Ok(ragged(many)),
        }
    }
}
