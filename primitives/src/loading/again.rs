//! What was loaded, made into what it was: an output, a run, a steering vector.

use std::rc::Rc;

use ecco_explain::intervention::steering::{Steering, SteeringOptions, TextPosition};
use ecco_models::run::Place;
use ecco_models::{Finish, Token};
use ecco_scripting::ScriptError;
use ecco_scripting::result::show;
use rhai::Dynamic;
use serde_json::Value;

use super::{Loaded, damaged};
use crate::corpus::keeping;
use crate::interventions::steering::SteeringVector;
use crate::models::model::Model;
use crate::text::chat::Chat;
use crate::text::generation::Generation;
use crate::text::run::{self, RunOptions};

impl Loaded {
    /// The tokens of the document.
    pub(super) fn tokens(&self) -> Result<Vec<Token>, ScriptError> {
        let missing = || {
            damaged(format!(
                "a document of type {:?} has no tokens of a text",
                self.kind()
            ))
        };
        let document = &self.0.document;
        if document["unit"].as_str().is_some_and(|unit| unit != "token") {
            return Err(missing());
        }
        let tokens = document["tokens"].as_array().ok_or_else(missing)?;
        let (mut at, mut all) = (0, Vec::new());
        for token in tokens {
            let text = token["text"].as_str().ok_or_else(missing)?.to_owned();
            let id = token["id"].as_u64().and_then(|id| u32::try_from(id).ok());
            let part = |place: usize| token["part"][place].as_u64().and_then(|n| u8::try_from(n).ok());
            let span = at..at + text.chars().count();
            at = span.end;
            all.push(Token {
                id: id.ok_or_else(missing)?,
                part: part(0).zip(part(1)),
                text,
                span,
            });
        }
        match all.is_empty() {
            true => Err(missing()),
            false => Ok(all),
        }
    }

    /// # Errors
    /// Another model, by its name, or by tokens that it has not.
    pub(super) fn check_model(&self, lm: &Model) -> Result<(), ScriptError> {
        let (loaded, document) = (lm.loaded()?, &self.0.document);
        let last = |name: &str| {
            name.trim_end_matches('/')
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        if let Some(name) = document["model"]
            .as_str()
            .filter(|name| last(name) != last(&lm.card().name))
        {
            let message = format!("it is of the model {name:?}, not of {:?}", lm.card().name);
            return Err(damaged(message).with_hint("without a model it is loaded as it is: ecco::load(path)"));
        }
        let Ok(tokens) = self.tokens() else {
            return Ok(());
        };
        let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
        loaded.check_ids(&ids)?;
        let here = loaded.tokenizer().tokens(&ids);
        let other = tokens
            .iter()
            .zip(&here)
            .position(|(there, here)| there.text != here.text);
        match other {
            None => Ok(()),
            Some(at) => {
                let (there, here) = (show::brief(&tokens[at].text.clone().into()), &here[at].text);
                let message = format!(
                    "token {at} is {there} in it, and {here:?} in {:?}",
                    lm.card().name
                );
                Err(damaged(message).with_hint("the model's vocabulary is another one"))
            }
        }
    }

    /// An output of the model; nothing of two stacks, whose documents do not say where the second begins.
    pub(super) fn output(&self, lm: &Model) -> Result<Option<Dynamic>, ScriptError> {
        let (document, loaded) = (&self.0.document, lm.loaded()?);
        let n_input = document["n_input"].as_u64().unwrap_or(0) as usize;
        let is_one = matches!(loaded.body(), ecco_models::model::Body::Decoder(_));
        let tokens = self.tokens()?;
        if !is_one || n_input > tokens.len() {
            return Ok(None);
        }
        let finish = match document["finish"].as_str() {
            Some("length") => Finish::Length,
            Some("end_of_text") => Finish::EndOfText,
            Some("stop") => Finish::Stop,
            Some("interrupted") => Finish::Interrupted,
            _ => Finish::Given,
        };
        let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
        let generation = ecco_models::Generation {
            tokens: loaded.tokenizer().tokens(&ids),
            n_input,
            start_id: None,
            finish,
            seed: None,
            without_graph: None,
            roles: Vec::new(),
        };
        let text = loaded.tokenizer().decode(&ids);
        Ok(Some(Dynamic::from(Generation::new(lm, generation, text))))
    }

    /// A run over the same tokens.
    pub(super) fn run(&self, lm: &Model) -> Result<Option<Dynamic>, ScriptError> {
        if self.0.document["target"].is_array() {
            return Ok(None);
        }
        let text = self.0.document["text"].as_str().unwrap_or_default().to_owned();
        let chat = Chat::of_tokens(text, self.tokens()?);
        let run = run::run(lm, &[chat.into()], RunOptions::default())?.remove(0);
        Ok(Some(Dynamic::from(run)))
    }

    /// The corpus that a file of `lm.corpus` keeps.
    pub(super) fn corpus(&self, lm: &Model) -> Result<Dynamic, ScriptError> {
        let found = keeping::loaded(lm, &self.0.document, &self.0.tensors)?;
        Ok(Dynamic::from(found))
    }

    pub(super) fn steering(&self, lm: Option<&Model>) -> Result<Dynamic, ScriptError> {
        let document = &self.0.document;
        let missing = |what: &str| damaged(format!("its {what} is missing, or none"));
        let site = document["site"].as_str().unwrap_or_default();
        let place = Place::parse(site).ok_or_else(|| missing("site"))?;
        let layer = document["layer"].as_u64().ok_or_else(|| missing("layer"))? as usize;
        let (_, vector) = self
            .0
            .tensors
            .iter()
            .find(|(name, _)| name == "vector")
            .ok_or_else(|| missing("vector"))?;
        let vector: Vec<f32> = vector.data().iter().copied().collect();
        if let Some(lm) = lm {
            let width = match place.axes() {
                [.., "neuron", "position"] => lm.intermediate_size(),
                _ => lm.card().hidden_size,
            };
            let n_layers = lm.n_layers(place.encoder);
            if vector.len() != width || layer >= n_layers {
                let of = format!("{} numbers at layer {layer}", vector.len());
                let message = format!(
                    "it has {of}, and {:?} {width} at {n_layers} layers",
                    lm.card().name
                );
                return Err(damaged(message));
            }
        }
        let texts = |name: &str| {
            let pairs = document[name].as_array().into_iter().flatten();
            let pair = |pair: &Value| {
                (
                    pair[0].as_str().unwrap_or_default().to_owned(),
                    pair[1].as_f64().unwrap_or(f64::NAN),
                )
            };
            pairs.map(pair).unzip::<String, f64, Vec<String>, Vec<f64>>()
        };
        let ((positive, above), (negative, below)) = (texts("positive"), texts("negative"));
        let number = |name: &str| document[name].as_f64().unwrap_or(f64::NAN);
        let steering = Steering {
            options: SteeringOptions {
                place,
                layer,
                at: TextPosition::Last,
                unit: false,
            },
            vector,
            norm: number("norm"),
            typical: number("typical"),
            projections: [above, below],
        };
        Ok(Dynamic::from(SteeringVector {
            asked: None,
            steering: Rc::new(steering),
            positive: positive.into(),
            negative: negative.into(),
        }))
    }
}
