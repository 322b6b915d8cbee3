//! A text that attributions are about: what was read and written, and what has been computed of it.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use ecco_explain::{Attribution, AttributionOptions, Error, Faithfulness, FaithfulnessOptions, Target};
use ecco_interpreter::Watch;
use ecco_models::Token;
use ecco_models::run::{self, Input, Prediction};
use serde_json::{Map, Value, json};

use crate::models::model::Model;
use crate::text::generation::token_sequence;
use ecco_scripting::errors::ScriptError;
use ecco_scripting::session::watched;

/// Clones share everything.
#[derive(Clone)]
pub struct Attributed(Rc<Inner>);

struct Inner {
    model: Model,
    input: Input,
    /// As they are shown: of an encoder–decoder those read, then those written, without the start token.
    tokens: Vec<Token>,
    n_input: usize,
    line: String,
    attributions: RefCell<Vec<Computed>>,
    measured: RefCell<Vec<Measured>>,
    predictions: RefCell<Option<Rc<Vec<Prediction>>>>,
}

/// An attribution, and how long it took.
#[derive(Clone)]
pub struct Computed {
    targets: Vec<Target>,
    options: AttributionOptions,
    pub attribution: Rc<Attribution>,
    pub seconds: f64,
}

#[derive(Clone)]
struct Measured {
    targets: Vec<Target>,
    options: AttributionOptions,
    how: FaithfulnessOptions,
    faithfulness: Rc<Faithfulness>,
}

impl Attributed {
    /// `tokens` are those of `input` as they are shown, the first `n_input` of them given.
    pub fn new(model: &Model, input: Input, tokens: Vec<Token>, n_input: usize, line: String) -> Self {
        Self(Rc::new(Inner {
            model: model.plain(),
            input,
            tokens,
            n_input,
            line,
            attributions: RefCell::default(),
            measured: RefCell::default(),
            predictions: RefCell::default(),
        }))
    }

    pub fn model(&self) -> &Model {
        &self.0.model
    }

    pub fn input(&self) -> &Input {
        &self.0.input
    }

    pub fn tokens(&self) -> &[Token] {
        &self.0.tokens
    }

    pub fn n_input(&self) -> usize {
        self.0.n_input
    }

    pub fn n_written(&self) -> usize {
        self.0.tokens.len() - self.0.n_input
    }

    /// Whether an encoder has read the first tokens, and the decoder beside it written the others.
    pub fn is_pair(&self) -> bool {
        !self.0.input.target.is_empty()
    }

    /// For messages: "an output of 3 input and 5 generated tokens".
    pub fn line(&self) -> &str {
        &self.0.line
    }

    /// What a result about this text says of it beside its numbers.
    pub fn about(&self) -> Map<String, Value> {
        let about = json!({
            "model": self.0.model.card().name,
            "tokens": self.0.tokens.iter().map(|token| &token.text).collect::<Vec<_>>(),
            "token_ids": self.0.tokens.iter().map(|token| token.id).collect::<Vec<_>>(),
            "n_input_tokens": self.0.n_input,
        });
        about.as_object().cloned().unwrap_or_default()
    }

    /// The tokens as views show them.
    pub fn shown(&self) -> Vec<ecco_widgets::Token> {
        token_sequence(self.tokens(), self.n_input(), false).tokens
    }

    /// Where a target of the model stands among the shown tokens.
    pub fn shown_position(&self, position: usize) -> usize {
        match self.is_pair() {
            true => self.n_input() + position - 1,
            false => position,
        }
    }

    /// What the model says of the text, computed once.
    pub fn predictions(&self) -> Result<Rc<Vec<Prediction>>, ScriptError> {
        if let Some(known) = &*self.0.predictions.borrow() {
            return Ok(Rc::clone(known));
        }
        let loaded = self.model().loaded()?;
        let input = vec![self.input().clone()];
        let found = self.watched(|watch| Ok(run::run(&loaded, input, 1, watch)?))?;
        let found: Vec<Prediction> = found
            .first()
            .map(|run| run.predictions(0).to_vec())
            .unwrap_or_default();
        let found = Rc::new(found);
        *self.0.predictions.borrow_mut() = Some(Rc::clone(&found));
        Ok(found)
    }

    /// Computed once for the same targets and options.
    pub fn attribution(
        &self,
        targets: &[Target],
        options: &AttributionOptions,
    ) -> Result<Computed, ScriptError> {
        let is_it = |known: &&Computed| known.targets == targets && known.options == *options;
        if let Some(known) = self.0.attributions.borrow().iter().find(is_it) {
            return Ok(known.clone());
        }
        if targets.is_empty() {
            return Err(Error::NothingGenerated.into());
        }
        let loaded = self.model().loaded()?;
        let start = Instant::now();
        let attribution = self.watched(|watch| {
            Ok(ecco_explain::attribute(
                &loaded,
                self.input(),
                targets,
                options,
                watch,
            )?)
        })?;
        let computed = Computed {
            targets: targets.to_vec(),
            options: options.clone(),
            attribution: Rc::new(attribution),
            seconds: start.elapsed().as_secs_f64(),
        };
        self.0.attributions.borrow_mut().push(computed.clone());
        Ok(computed)
    }

    /// Measured once for the same attribution and options.
    pub fn faithfulness(
        &self,
        targets: &[Target],
        options: &AttributionOptions,
        how: &FaithfulnessOptions,
    ) -> Result<Rc<Faithfulness>, ScriptError> {
        let is_it =
            |known: &&Measured| known.targets == targets && known.options == *options && known.how == *how;
        if let Some(known) = self.0.measured.borrow().iter().find(is_it) {
            return Ok(Rc::clone(&known.faithfulness));
        }
        let attribution = self.attribution(targets, options)?.attribution;
        let loaded = self.model().loaded()?;
        let found = self.watched(|watch| {
            Ok(ecco_explain::faithfulness(
                &loaded,
                self.input(),
                targets,
                &attribution,
                how,
                watch,
            )?)
        })?;
        let faithfulness = Rc::new(found);
        self.0.measured.borrow_mut().push(Measured {
            targets: targets.to_vec(),
            options: options.clone(),
            how: how.clone(),
            faithfulness: Rc::clone(&faithfulness),
        });
        Ok(faithfulness)
    }

    /// The latest measurement of an attribution, if there was one.
    pub fn measured(&self, targets: &[Target], options: &AttributionOptions) -> Option<Rc<Faithfulness>> {
        let measured = self.0.measured.borrow();
        let mut latest = measured.iter().rev();
        let found = latest.find(|known| known.targets == targets && known.options == *options);
        found.map(|known| Rc::clone(&known.faithfulness))
    }

    fn watched<T>(&self, work: impl FnOnce(&mut Watch) -> Result<T, ScriptError>) -> Result<T, ScriptError> {
        let state = self.model().state()?;
        watched(&state, self.model().verbose, work)
    }
}
