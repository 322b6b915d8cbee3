//! One neuron over texts, token by token: `neuron` of outputs and runs, `lm.neuron` of texts.

use std::rc::Rc;

use ecco_models::Site;
use ecco_models::run::Place;
use ecco_widgets::Explorable;
use ecco_widgets::{NeuronActivity, NeuronText};
use ndarray::{Array1, Array2};
use rhai::{Array, Dynamic, INT};

use crate::live::Asking;
use crate::models::model::Model;
use crate::text::capture::{Layer, NeuronSite, SiteLayers, place_named};
use crate::text::chat::TextOrChat;
use crate::text::generation::Generation;
use crate::text::passage::Passage;
use crate::text::run::{self, Run, RunOptions};
use ecco_scripting::live::Live;
use ecco_scripting::result::numbers::short;
use ecco_scripting::result::{Explanation, Room, Show, ragged};
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members, options};

options! {
    /// What `neuron` can be told.
    pub struct NeuronOptions {
        /// where activations are taken: one of lm.sites() with a value at each position
        site: Option<NeuronSite> = "\"mlp_inner\"",
    }
}

/// One neuron over texts. The text where it is most active comes first in the view.
#[derive(Clone)]
pub(crate) struct Activity(Rc<NeuronValues>);

struct NeuronValues {
    passages: Vec<Passage>,
    place: Place,
    layer: Option<usize>,
    neuron: usize,
    /// By text and position.
    values: Vec<Vec<f32>>,
    asked: Asking,
}

impl Activity {
    /// One neuron of a site over texts.
    ///
    /// # Errors
    /// A layer or neuron that is not there; what recording says.
    pub(crate) fn new(
        passages: Vec<Passage>,
        layer: INT,
        neuron: INT,
        options: &NeuronOptions,
    ) -> Result<Self, ScriptError> {
        let site = options.site.as_ref().map(|site| site.0.as_str());
        let place = place_named(site, Site::MlpInner, &passages[0])?;
        let missing = |what: &str, number: INT| {
            let message = format!("there is no {what} {number}: {what}s are counted from 0");
            ScriptError::new(ErrorKind::Index, message)
        };
        let asked = Asking::new("neuron", options)
            .with("layer", layer)
            .with("neuron", neuron);
        let layer = usize::try_from(layer).map_err(|_| missing("layer", layer))?;
        let neuron = usize::try_from(neuron).map_err(|_| missing("neuron", neuron))?;
        let at = SiteLayers::one(place, layer);
        let mut values = Vec::new();
        let mut number = Some(layer);
        for passage in &passages {
            let layers = at.capture(passage)?;
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
        Ok(Self(Rc::new(NeuronValues {
            passages,
            place,
            layer: number,
            neuron,
            values,
            asked,
        })))
    }

    /// (position) of one text, else (text, position), NaN behind shorter ones.
    pub(crate) fn tensor(&self) -> Tensor {
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

impl Show for Activity {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        let mut texts = Vec::new();
        for (index, (passage, values)) in self.0.passages.iter().zip(&self.0.values).enumerate() {
            let shown = passage.read(self.0.place)?;
            texts.push(NeuronText {
                model: Some(passage.model().card().name.clone()),
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
        Ok(Box::new(view))
    }

    /// Of one text.
    fn live(&self) -> Option<Rc<dyn Live>> {
        match &self.0.passages[..] {
            [passage] => self.0.asked.live(passage),
            _ => None,
        }
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

impl Explanation for Activity {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        Ok(vec![("activations", self.tensor())])
    }

    fn labels(&self, axis: &str) -> Option<Vec<String>> {
        match self.0.passages.as_slice() {
            [one] if axis == "position" => {
                let tokens = one.read(self.0.place).ok()?.tokens;
                Some(tokens.into_iter().map(|token| token.text).collect())
            }
            _ => None,
        }
    }

    /// Of one text its values, of several a row for each.
    fn to_array(&self, _: Room) -> Result<Array, ScriptError> {
        match self.0.values.as_slice() {
            [values] => Ok(values
                .iter()
                .map(|&value| Dynamic::from_float(f64::from(value)))
                .collect()),
            many => Ok(ragged(many)),
        }
    }
}

/// One neuron over texts, outputs and runs; what is only a text is read first.
fn over(
    lm: &Model,
    layer: INT,
    neuron: INT,
    texts: &Array,
    options: &NeuronOptions,
) -> Result<Activity, ScriptError> {
    let mut passages: Vec<Option<Passage>> = texts.iter().map(Passage::of).collect::<Result<_, _>>()?;
    let unread = texts
        .iter()
        .zip(&passages)
        .filter(|(_, passage)| passage.is_none());
    let unread = unread.map(|(value, _)| TextOrChat::of(value, "a list of strings, outputs or runs"));
    let unread: Vec<TextOrChat> = unread.collect::<Result<_, _>>()?;
    if !unread.is_empty() || texts.is_empty() {
        let one = RunOptions {
            topk: 1,
            ..RunOptions::default()
        };
        // An empty list is refused in the same words as by lm.run.
        let mut runs = run::run(lm, &unread, one)?.into_iter();
        for passage in passages.iter_mut().filter(|passage| passage.is_none()) {
            *passage = runs.next().map(|run| run.passage());
        }
    }
    Activity::new(passages.into_iter().flatten().collect(), layer, neuron, options)
}

pub(crate) fn register(registry: &mut Registry) {
    members! { registry, [Generation, Run];
        /// The activation of one neuron over the text, token by token; layer and neuron are counted from 0.
        ///
        /// Example:
        /// ```rhai
        /// output.neuron(2, 117)
        /// ```
        fn neuron(passage: Passage, layer: INT, neuron: INT; options: NeuronOptions) -> Activity {
            Activity::new(vec![passage], layer, neuron, &options)
        }
    }
    members! { registry, [Model];
        /// The activation of one neuron over several texts, the text where it is most active first. Texts are strings,
        /// outputs or runs; layer and neuron are counted from 0.
        ///
        /// Example:
        /// ```rhai
        /// lm.neuron(2, 117, ["one text", "another text"], #{site: "mlp_pre"})
        /// ```
        volatile fn neuron(lm: &Model, layer: INT, neuron: INT, texts: Array; options: NeuronOptions) -> Activity {
            over(lm, layer, neuron, &texts, &options)
        }
    }
    members! { registry, [Activity];
        /// The values: a tensor (position), of several texts (text, position) with NaN behind the shorter ones.
        get activations(activity: &Activity) -> Tensor { Ok(activity.tensor()) }
    }
}
