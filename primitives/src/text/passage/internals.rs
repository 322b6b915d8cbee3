//! What happened inside the model while it read or wrote a passage.

use ecco_models::run::Place;
use ecco_models::{Site, Token};
use ecco_scripting::errors::{ErrorKind, ScriptError};
use ecco_scripting::tensor::Tensor;
use serde_json::{Value, json};

use super::{Origin, Passage};
use crate::text::generation::Internals;
use crate::text::run::{self as runs, Run};
use crate::text::shown::TokenAxis;

impl Passage {
    /// The pass that is looked into.
    fn run(&self) -> Result<Run, ScriptError> {
        match &self.origin {
            Origin::Output(output) => output.run(),
            Origin::Run(run) => Ok(run.clone()),
            Origin::Text => {
                let texts = self.tokens().iter().map(|token| token.text.as_str());
                runs::again(self.model(), texts.collect(), self.input().clone())
            }
        }
    }

    /// (layer, neuron, position)
    pub(crate) fn activations(&self) -> Result<Tensor, ScriptError> {
        match &self.origin {
            Origin::Output(output) => output.recorded(Internals::Activations),
            _ => self.run()?.at(Place::of(Site::MlpInner), None),
        }
    }

    /// (layer + 1, position, hidden)
    pub(crate) fn hidden_states(&self) -> Result<Tensor, ScriptError> {
        match &self.origin {
            Origin::Output(output) => output.recorded(Internals::HiddenStates),
            _ => self.run()?.hidden_states(),
        }
    }

    /// (layer, head, query, key)
    pub(crate) fn attention(&self) -> Result<Tensor, ScriptError> {
        match &self.origin {
            Origin::Output(output) => output.recorded(Internals::Attention),
            _ => self.run()?.at(Place::of(Site::AttentionPattern), None),
        }
    }

    /// What the encoder beside a decoder held, or the decoder's attention to it.
    ///
    /// # Errors
    /// A model of one stack.
    pub(crate) fn of_pair(&self, what: Internals) -> Result<Tensor, ScriptError> {
        if !self.is_pair() {
            let name = &self.model().card().name;
            let message = format!("{name:?} has one stack, and no encoder beside it");
            return Err(ScriptError::new(ErrorKind::Attribute, message)
                .with_hint("activations, hidden_states and attention are its own"));
        }
        match &self.origin {
            Origin::Output(output) => output.recorded(what),
            _ if what == Internals::EncoderHiddenStates => self.run()?.encoder_hidden_states(),
            _ => self.run()?.at(what.places()[0], None),
        }
    }

    /// The place of that name, in this model.
    ///
    /// # Errors
    /// A name that no place has.
    pub(crate) fn place(&self, name: &str) -> Result<Place, ScriptError> {
        match Place::parse(name) {
            Some(place) => Ok(place),
            None => self.run()?.place(name),
        }
    }

    /// A place at one layer or at all, and the numbers of the layers if they are not all there are.
    pub(crate) fn at(
        &self,
        place: Place,
        layer: Option<usize>,
    ) -> Result<(Tensor, Option<Vec<usize>>), ScriptError> {
        match &self.origin {
            // May have been recorded right after generating, and outlive the model.
            Origin::Output(output) if place == Place::of(Site::MlpInner) && !output.is_pair() => {
                let all = output.recorded(Internals::Activations)?;
                Ok((all, Some(output.activation_layers())))
            }
            Origin::Output(output)
                if place == Place::of(Site::AttentionPattern) && !output.is_pair() && layer.is_none() =>
            {
                Ok((output.recorded(Internals::Attention)?, None))
            }
            _ => {
                let layer = layer.filter(|_| place.axes()[0] == "layer");
                let tensor = self.run()?.at(place, layer)?;
                Ok((tensor, layer.map(|layer| vec![layer])))
            }
        }
    }

    /// The tokens that were read, one for each position of a place. For an output of one stack the last generated one
    /// too, though nothing has read it.
    pub(crate) fn read(&self, place: Place) -> Result<TokenAxis, ScriptError> {
        let run = match &self.origin {
            Origin::Output(output) if !output.is_pair() => {
                return Ok(TokenAxis::of(output.tokens(), output.n_input()));
            }
            _ => self.run()?,
        };
        let tokens = match run.target_tokens() {
            [] => run.tokens(),
            _ if place.encoder => run.tokens(),
            written => written,
        };
        Ok(TokenAxis::of(tokens, tokens.len()))
    }

    /// What a result about several texts says of each.
    pub(crate) fn summary(&self) -> Value {
        let Origin::Run(run) = &self.origin else {
            return Value::Object(self.about());
        };
        let texts =
            |tokens: &[Token]| -> Vec<String> { tokens.iter().map(|token| token.text.clone()).collect() };
        json!({
            "model": run.model().card().name,
            "tokens": texts(run.tokens()),
            "target_tokens": texts(run.target_tokens()),
        })
    }
}
