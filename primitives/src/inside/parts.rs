//! Direct logit attribution: computed when it is first shown or read.

use std::cell::OnceCell;
use std::rc::Rc;

use ecco_explain::direct::{Direct, LogitQuery, direct};
use ecco_interpreter::named;
use ecco_models::Token;
use ecco_widgets::Explorable;
use ecco_widgets::parts::Neuron;
use ecco_widgets::{LayerParts, Parts, PartsBy};
use ndarray::{ArrayD, IxDyn};
use rhai::{Array, Dynamic, FLOAT, INT};

use crate::live::Asking;
use crate::text::generation::Generation;
use crate::text::passage::Passage;
use crate::text::reading;
use crate::text::run::Run;
use crate::text::shown::shown_one;
use crate::text::token::token;
use ecco_scripting::live::Live;
use ecco_scripting::options::{Choice, Word};
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::session::watched;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members, options};

named! {
    /// Which parts are shown.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum PartKind {
        Layer = "layer",
        Head = "head",
        Neuron = "neuron",
    }
}

options! {
    /// What `logit_attribution` can be told.
    pub struct PartsOptions {
        /// the position whose token is predicted
        position: Option<usize> = "the first generated token; of a run the first mask, or what follows",
        /// the token whose logit it is: its text or its number
        target: Option<Word> = "the token that stands there",
        /// explain how much larger the logit is than this token's
        contrast: Option<Word> = "none",
        /// which parts are shown; all are there
        by: Choice<PartKind> = Choice(PartKind::Layer),
        /// how many neurons are named
        topk: usize [1..] = 20,
    }
}

/// What each part wrote to a token's logit. Clones share what is computed.
#[derive(Clone)]
pub(crate) struct LogitAttribution(Rc<Inner>);

struct Inner {
    passage: Passage,
    position: usize,
    row: usize,
    target: Token,
    contrast: Option<Token>,
    by: PartKind,
    /// How many neurons are named.
    top_k: usize,
    asked: Asking,
    found: OnceCell<Direct>,
}

impl LogitAttribution {
    /// Without a target it is the token that stands at the position.
    pub(crate) fn new(passage: Passage, options: PartsOptions) -> Result<Self, ScriptError> {
        let asked = Asking::new("logit_attribution", &options);
        let loaded = passage.model().loaded()?;
        let named = |word: Option<Word>, option| word.map(|word| token(&word, &loaded, option)).transpose();
        let (target, contrast) = (
            named(options.target, "target")?,
            named(options.contrast, "contrast")?,
        );
        let position = options.position.map_or_else(|| passage.default_position(), Ok)?;
        let row = passage.predicted_at(position)?;
        let target = target
            .or_else(|| passage.token(position).cloned())
            .ok_or_else(|| {
                let message = format!(
                    "no token stands at position {position} yet, so it does not say whose logit is meant"
                );
                ScriptError::new(ErrorKind::Value, message)
                    .with_hint("name the token: #{target: \" Denmark\"}")
                    .pointing_at("position")
            })?;
        Ok(Self(Rc::new(Inner {
            passage,
            position,
            row,
            target,
            contrast,
            by: options.by.0,
            top_k: options.topk,
            asked,
            found: OnceCell::new(),
        })))
    }

    pub(crate) fn found(&self) -> Result<&Direct, ScriptError> {
        let inner = &self.0;
        if let Some(found) = inner.found.get() {
            return Ok(found);
        }
        let model = &inner.passage.model();
        let (loaded, state) = (model.loaded()?, model.state()?);
        let wanted = LogitQuery {
            row: inner.row,
            token: inner.target.id,
            contrast: inner.contrast.as_ref().map(|token| token.id),
        };
        let found = watched(&state, model.verbose, |watch| {
            direct(&loaded, inner.passage.input(), wanted, watch)
        })?;
        reading::about_numbers(model, found.logit.is_finite())?;
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
            model: Some(inner.passage.model().card().name.clone()),
            before: inner.passage.before(inner.position),
            position: inner.position,
            target: shown_one(&inner.target),
            contrast: inner.contrast.as_ref().map(shown_one),
            logit: found.logit,
            sum: found.sum(),
            embedding: found.embedding,
            bias: found.bias,
            heads: layers.clone().map(|layer| layer.heads.clone()).collect(),
            attention_bias: layers.clone().map(|layer| layer.attention_bias).collect(),
            neurons: self.top()?,
            n_neurons: layers.clone().map(|layer| layer.neurons.len()).sum(),
            by: match inner.by {
                PartKind::Layer => PartsBy::Layer,
                PartKind::Head => PartsBy::Head,
                PartKind::Neuron => PartsBy::Neuron,
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

    pub(crate) fn top_neurons(&self) -> Result<Array, ScriptError> {
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
    pub(crate) fn parts(&self) -> Result<Tensor, ScriptError> {
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

    pub(crate) fn heads(&self) -> Result<Tensor, ScriptError> {
        self.tensor(|layer| layer.heads.clone(), &["layer", "head"])
    }

    pub(crate) fn neurons(&self) -> Result<Tensor, ScriptError> {
        self.tensor(|layer| layer.neurons.clone(), &["layer", "neuron"])
    }
}

impl Show for LogitAttribution {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(Box::new(self.view()?))
    }

    fn live(&self) -> Option<Rc<dyn Live>> {
        self.0.asked.live(&self.0.passage)
    }

    fn line(&self) -> String {
        let inner = &self.0;
        let contrast = inner.contrast.as_ref();
        let contrast = contrast.map_or(String::new(), |token| format!(" less that of {:?}", token.text));
        format!(
            "attribution of the logit of {:?}{contrast} at position {} of an {}",
            inner.target.text,
            inner.position,
            inner.passage.line()
        )
    }
}

impl Explanation for LogitAttribution {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        let (parts, heads) = (("parts", self.parts()?), ("heads", self.heads()?));
        let neurons = self.neurons().ok().map(|neurons| ("neurons", neurons));
        let mut tensors: Vec<_> = [parts, heads].into_iter().chain(neurons).collect();
        let main = match self.0.by {
            PartKind::Layer => "parts",
            PartKind::Head => "heads",
            PartKind::Neuron => "neurons",
        };
        tensors.sort_by_key(|(name, _)| *name != main);
        Ok(tensors)
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

pub(crate) fn register(registry: &mut Registry) {
    members! { registry, [Generation, Run];
        /// How much each part of the model wrote to the logit of the token at a position (direct logit attribution): the
        /// embedding, each layer's attention and MLP, each head, each neuron. With the deviation that the final norm divides
        /// by taken as it was, the parts sum to the logit. Of another token with `target`; with `contrast` of the difference
        /// between two: why this and not that. Of a run it is a token that might follow the text, or one in it.
        ///
        /// Example:
        /// ```rhai
        /// output.logit_attribution(#{target: " Denmark", contrast: " Iceland", by: "head"})
        /// ```
        fn logit_attribution(passage: Passage; options: PartsOptions) -> LogitAttribution {
            LogitAttribution::new(passage, options)
        }
    }
    members! { registry, [LogitAttribution];
        /// The logit, or the difference of two, that the parts sum to: before a cap, where the model has one.
        get logit(parts: &LogitAttribution) -> FLOAT { Ok(parts.found()?.logit) }

        /// The sum of all parts: the logit, up to rounding.
        fn sum(parts: &LogitAttribution) -> FLOAT { Ok(parts.found()?.sum()) }

        /// What the embedding wrote.
        get embedding(parts: &LogitAttribution) -> FLOAT { Ok(parts.found()?.embedding) }

        /// What no layer wrote: the biases of the head, and of the norms on the stream.
        get bias(parts: &LogitAttribution) -> FLOAT { Ok(parts.found()?.bias) }

        /// What each layer's attention, its attention to an encoder where there is one, and its MLP wrote: a tensor
        /// (layer, part).
        get parts(parts: &LogitAttribution) -> Tensor { parts.parts() }

        /// What each head wrote: a tensor (layer, head).
        get heads(parts: &LogitAttribution) -> Tensor { parts.heads() }

        /// What each neuron wrote: a tensor (layer, neuron).
        get neurons(parts: &LogitAttribution) -> Tensor { parts.neurons() }

        /// The neurons that wrote most, either way: maps with `layer`, `neuron`, `activation`, `part`.
        get top_neurons(parts: &LogitAttribution) -> Array { parts.top_neurons() }
    }
}
