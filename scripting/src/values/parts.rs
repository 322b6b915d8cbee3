//! Direct logit attribution: computed when it is first shown or read.

use std::cell::OnceCell;
use std::rc::Rc;

use ecco_explain::direct::{Direct, LogitQuery, direct};
use ecco_interpreter::{Explorable, MimeBundle};
use ecco_models::Token;
use ecco_widgets::parts::Neuron;
use ecco_widgets::{LayerParts, Parts, PartsBy};
use ndarray::{ArrayD, IxDyn};
use rhai::{Array, Dynamic, INT};
use serde_json::{Map, Value, json};

use super::finding::{Finding, Shown};
use super::subject::{Subject, shown_one};
use super::tensor::Tensor;
use crate::errors::{ErrorKind, ScriptError};
use crate::watch::watched;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Layer,
    Head,
    Neuron,
}

/// What each part wrote to a token's logit. Clones share what is computed.
#[derive(Clone)]
pub struct LogitAttribution(Rc<Inner>);

struct Inner {
    subject: Subject,
    position: usize,
    row: usize,
    target: Token,
    contrast: Option<Token>,
    by: By,
    /// How many neurons are named.
    top_k: usize,
    found: OnceCell<Direct>,
}

impl LogitAttribution {
    /// Without a target it is the token that stands at the position.
    pub fn new(
        subject: Subject,
        position: Option<usize>,
        target: Option<Token>,
        contrast: Option<Token>,
        by: By,
        top_k: usize,
    ) -> Result<Self, ScriptError> {
        let position = position.map_or_else(|| subject.default_position(), Ok)?;
        let row = subject.row(position)?;
        let target = target
            .or_else(|| subject.token(position).cloned())
            .ok_or_else(|| {
                let message = format!(
                    "no token stands at position {position} yet, so it does not say whose logit is meant"
                );
                ScriptError::new(ErrorKind::Value, message)
                    .with_hint("name the token: #{target: \" Denmark\"}")
                    .pointing_at("position")
            })?;
        Ok(Self(Rc::new(Inner {
            subject,
            position,
            row,
            target,
            contrast,
            by,
            top_k,
            found: OnceCell::new(),
        })))
    }

    pub fn found(&self) -> Result<&Direct, ScriptError> {
        let inner = &self.0;
        if let Some(found) = inner.found.get() {
            return Ok(found);
        }
        let model = &inner.subject.model;
        let (loaded, state) = (model.loaded()?, model.state()?);
        let wanted = LogitQuery {
            row: inner.row,
            token: inner.target.id,
            contrast: inner.contrast.as_ref().map(|token| token.id),
        };
        let found = watched(&state, model.verbose, |watch| {
            direct(&loaded, &inner.subject.input, wanted, watch)
        })?;
        Ok(inner.found.get_or_init(|| found))
    }

    fn view(&self) -> Result<Parts, ScriptError> {
        let (inner, found) = (&self.0, self.found()?);
        let layer = |layer: &ecco_explain::direct::Layer| LayerParts {
            attention: layer.attention,
            cross: layer.cross,
            mlp: layer.mlp,
        };
        let layers = found.layers.iter();
        Ok(Parts {
            before: inner.subject.before(inner.position),
            position: inner.position,
            target: shown_one(&inner.target),
            contrast: inner.contrast.as_ref().map(shown_one),
            logit: found.logit,
            sum: found.sum(),
            embedding: found.embedding,
            bias: found.bias,
            by: match inner.by {
                By::Layer => PartsBy::Layer,
                By::Head => PartsBy::Head {
                    heads: layers.clone().map(|layer| layer.heads.clone()).collect(),
                    rest: layers.clone().map(|layer| layer.attention_bias).collect(),
                },
                By::Neuron => PartsBy::Neuron {
                    top: self.top()?,
                    of: layers.clone().map(|layer| layer.neurons.len()).sum(),
                },
            },
            layers: layers.map(layer).collect(),
            capped: found.capped,
        })
    }

    /// The neurons that wrote most.
    fn top(&self) -> Result<Vec<Neuron>, ScriptError> {
        let found = self.found()?;
        let neuron = |(layer, neuron): (usize, usize)| Neuron {
            layer,
            neuron,
            activation: found.layers[layer].activations[neuron],
            part: found.layers[layer].neurons[neuron],
        };
        Ok(found.top_neurons(self.0.top_k).into_iter().map(neuron).collect())
    }

    pub fn top_neurons(&self) -> Result<Array, ScriptError> {
        let map = |neuron: Neuron| {
            Dynamic::from_map(rhai::Map::from([
                ("layer".into(), Dynamic::from_int(neuron.layer as INT)),
                ("neuron".into(), Dynamic::from_int(neuron.neuron as INT)),
                ("activation".into(), Dynamic::from_float(neuron.activation)),
                ("part".into(), Dynamic::from_float(neuron.part)),
            ]))
        };
        Ok(self.top()?.into_iter().map(map).collect())
    }

    /// By layer one number for each of some parts; all layers have equally many.
    fn tensor(
        &self,
        of: impl Fn(&ecco_explain::direct::Layer) -> Vec<f64>,
        axes: &[&'static str],
    ) -> Result<Tensor, ScriptError> {
        let rows: Vec<Vec<f64>> = self.found()?.layers.iter().map(of).collect();
        let width = rows.first().map_or(0, Vec::len);
        if rows.iter().any(|row| row.len() != width) {
            let message = format!(
                "the layers have not equally many {}s, so they are no single tensor",
                axes[1]
            );
            return Err(ScriptError::new(ErrorKind::Value, message)
                .with_hint("result.top_neurons names those that wrote most"));
        }
        let values = rows.iter().flatten().map(|value| *value as f32).collect();
        let array = ArrayD::from_shape_vec(IxDyn(&[rows.len(), width]), values)
            .map_err(|error| ScriptError::new(ErrorKind::Internal, error.to_string()))?;
        Ok(Tensor::new(array, axes))
    }

    /// (layer, part): attention, attention to an encoder where there is one, MLP.
    pub fn parts(&self) -> Result<Tensor, ScriptError> {
        let parts = |layer: &ecco_explain::direct::Layer| {
            let cross = layer.cross.into_iter();
            [layer.attention]
                .into_iter()
                .chain(cross)
                .chain([layer.mlp])
                .collect()
        };
        self.tensor(parts, &["layer", "part"])
    }

    pub fn heads(&self) -> Result<Tensor, ScriptError> {
        self.tensor(|layer| layer.heads.clone(), &["layer", "head"])
    }

    pub fn neurons(&self) -> Result<Tensor, ScriptError> {
        self.tensor(|layer| layer.neurons.clone(), &["layer", "neuron"])
    }
}

impl Shown for LogitAttribution {
    fn bundle(&self) -> Result<MimeBundle, ScriptError> {
        Ok(self.view()?.bundle())
    }

    fn line(&self) -> String {
        let inner = &self.0;
        let contrast = inner.contrast.as_ref();
        let contrast = contrast.map_or(String::new(), |token| format!(" less that of {:?}", token.text));
        format!(
            "attribution of the logit of {:?}{contrast} at position {} of an {}",
            inner.target.text,
            inner.position,
            inner.subject.line()
        )
    }
}

impl Finding for LogitAttribution {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        let (parts, heads) = (("parts", self.parts()?), ("heads", self.heads()?));
        let neurons = self.neurons().ok().map(|neurons| ("neurons", neurons));
        let mut tensors: Vec<_> = [parts, heads].into_iter().chain(neurons).collect();
        let main = match self.0.by {
            By::Layer => "parts",
            By::Head => "heads",
            By::Neuron => "neurons",
        };
        tensors.sort_by_key(|(name, _)| *name != main);
        Ok(tensors)
    }

    fn about(&self) -> Result<Map<String, Value>, ScriptError> {
        let (inner, found) = (&self.0, self.found()?);
        let token = |token: &Token| json!({"text": token.text, "id": token.id});
        Ok(Map::from_iter([
            ("position".into(), json!(inner.position)),
            ("target".into(), token(&inner.target)),
            ("contrast".into(), json!(inner.contrast.as_ref().map(token))),
            ("logit".into(), json!(found.logit)),
            ("sum".into(), json!(found.sum())),
            ("embedding".into(), json!(found.embedding)),
            ("bias".into(), json!(found.bias)),
            ("top_neurons".into(), json!(self.top()?)),
        ]))
    }

    fn labels(&self, axis: &str) -> Option<Vec<String>> {
        let has_cross = self
            .found()
            .is_ok_and(|found| found.layers.iter().any(|layer| layer.cross.is_some()));
        let cross = has_cross.then_some("cross_attention");
        let parts = ["attention"].into_iter().chain(cross).chain(["mlp"]);
        (axis == "part").then(|| parts.map(str::to_owned).collect())
    }
}
