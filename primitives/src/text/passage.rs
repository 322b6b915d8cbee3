//! A text that a model has read or written: what everything that explains is about. An output, a run and a text that
//! was only given each make one. `internals` has what happened inside the model.

mod found;
mod internals;
mod said;

use std::rc::Rc;
use std::sync::Arc;

use ecco_interpreter::Watch;
use ecco_models::Token;
use ecco_models::run::{Input, masked_positions};
use ecco_widgets::Token as ShownToken;
use rhai::{Array, Dynamic};
use serde_json::{Map, Value, json};

use super::generation::{Generation, WeakGeneration};
use super::run::{Run, WeakRun};
use super::shown::shown;
use crate::models::model::Model;
use ecco_scripting::errors::{ErrorKind, ScriptError};
use ecco_scripting::result::{Show, show};
use ecco_scripting::session::{Kept, watched};

/// Clones share everything.
#[derive(Clone)]
pub(crate) struct Passage {
    origin: Origin,
    facts: Rc<Facts>,
}

/// Where it comes from, and with it what happened inside the model.
#[derive(Clone)]
enum Origin {
    Output(Generation),
    Run(Run),
    /// Given to be explained; nothing has read it.
    Text,
}

/// Where a text comes from, without keeping it.
pub(crate) enum Holder {
    Output(WeakGeneration),
    Run(WeakRun),
    Text,
}

impl Holder {
    /// The output or run, if something else still keeps it, and what examples call one.
    pub(crate) fn get(&self) -> Option<(&'static str, Dynamic)> {
        match self {
            Self::Output(output) => output.upgrade().map(|output| ("output", Dynamic::from(output))),
            Self::Run(run) => run.upgrade().map(|run| ("run", Dynamic::from(run))),
            Self::Text => None,
        }
    }
}

/// What is known of a text without its origin, and what was computed of it.
pub(crate) struct Facts {
    model: Model,
    input: Input,
    /// As they are shown: of an encoder–decoder those read, then those written, without the start token.
    tokens: Vec<Token>,
    n_input: usize,
    /// Of a conversation, whose message each token that was given is of.
    roles: Vec<Arc<str>>,
    /// The tokens that positions inside count: of a run of an encoder–decoder what its decoder reads.
    counted: Vec<Token>,
    /// A token at a position is predicted so many positions before it, in the sequence whose head speaks.
    shift: usize,
    /// The positions that are predicted.
    first: usize,
    last: usize,
    /// The first written one, where some were.
    written: Option<usize>,
    kept: Kept,
}

impl Facts {
    pub(crate) fn of_output(output: &Generation) -> Self {
        let (tokens, n_input) = (output.tokens().to_vec(), output.n_input());
        // The decoder beside an encoder has its own sequence, whose first token is not among these.
        let (shift, first) = match output.is_pair() {
            true => (n_input, n_input),
            false => (1, 1),
        };
        Self {
            model: output.model().plain(),
            input: output.input(),
            n_input,
            roles: output.roles().to_vec(),
            counted: tokens.clone(),
            shift,
            first,
            last: tokens.len(),
            written: (n_input < tokens.len()).then_some(n_input),
            tokens,
            kept: Kept::default(),
        }
    }

    pub(crate) fn of_run(run: &Run) -> Self {
        let written = run.target_tokens().iter().skip(1);
        let counted = match run.target_tokens() {
            [] => run.tokens(),
            target => target,
        };
        let last_read = counted.len().saturating_sub(1);
        let is_causal = run.is_causal();
        Self {
            model: run.model().plain(),
            input: run.input().clone(),
            tokens: run.tokens().iter().chain(written).cloned().collect(),
            n_input: run.tokens().len(),
            roles: run.input().roles.clone(),
            counted: counted.to_vec(),
            shift: usize::from(is_causal),
            first: usize::from(is_causal),
            last: if is_causal { counted.len() } else { last_read },
            written: None,
            kept: Kept::default(),
        }
    }
}

impl Passage {
    pub(crate) fn of_output(output: &Generation, facts: Rc<Facts>) -> Self {
        let origin = Origin::Output(output.clone());
        Self { origin, facts }
    }

    pub(crate) fn of_run(run: &Run, facts: Rc<Facts>) -> Self {
        let origin = Origin::Run(run.clone());
        Self { origin, facts }
    }

    /// Whether the model itself has written a part of it.
    pub(crate) fn is_written(&self) -> bool {
        matches!(&self.origin, Origin::Output(output) if !output.is_given())
    }

    /// A text that is given to be explained.
    pub(crate) fn of_text(lm: &Model, input: Input) -> Result<Self, ScriptError> {
        let loaded = lm.loaded()?;
        let mut tokens = loaded.tokenizer().tokens(&input.ids);
        let n_input = tokens.len();
        if let [_, written @ ..] = &input.target[..] {
            tokens.extend(loaded.tokenizer().tokens(written));
        }
        let is_causal = loaded.config().task == ecco_models::config::Task::NextToken;
        let facts = Facts {
            model: lm.plain(),
            roles: input.roles.clone(),
            input,
            n_input,
            counted: tokens.clone(),
            shift: usize::from(is_causal),
            first: usize::from(is_causal),
            last: tokens.len(),
            written: None,
            tokens,
            kept: Kept::default(),
        };
        Ok(Self {
            origin: Origin::Text,
            facts: Rc::new(facts),
        })
    }

    /// That of an output or a run, if the value is one.
    ///
    /// # Errors
    /// A run of embeddings.
    pub(crate) fn of(value: &Dynamic) -> Result<Option<Self>, ScriptError> {
        if let Some(output) = value.read_lock::<Generation>() {
            return Ok(Some(output.passage()));
        }
        value
            .read_lock::<Run>()
            .map(|run| Self::try_from(&*run))
            .transpose()
    }

    /// Those of a list.
    ///
    /// # Errors
    /// An empty list, or one with something else in it.
    pub(crate) fn all(values: &Array) -> Result<Vec<Self>, ScriptError> {
        if values.is_empty() {
            return Err(ScriptError::new(ErrorKind::Value, "the list of outputs is empty")
                .with_hint("give outputs of lm.generate or runs of lm.run: [output_1, output_2]"));
        }
        let one = |value: &Dynamic| match Self::of(value)? {
            Some(passage) => Ok(passage),
            None => show::expected("a list of outputs or runs", value),
        };
        values.iter().map(one).collect()
    }

    /// That of one value or those of a list.
    pub(crate) fn some(value: &Dynamic) -> Result<Vec<Self>, ScriptError> {
        match (Self::of(value)?, value.as_array_ref()) {
            (Some(passage), _) => Ok(vec![passage]),
            (None, Ok(values)) => Self::all(&values),
            (None, Err(_)) => show::expected("an output, a run, or a list of them", value),
        }
    }

    pub(crate) fn holder(&self) -> Holder {
        match &self.origin {
            Origin::Output(output) => Holder::Output(output.weak()),
            Origin::Run(run) => Holder::Run(run.weak()),
            Origin::Text => Holder::Text,
        }
    }

    pub(crate) fn model(&self) -> &Model {
        &self.facts.model
    }

    /// What a pass over all of it reads.
    pub(crate) fn input(&self) -> &Input {
        &self.facts.input
    }

    /// What was read on the way: all but the last written token.
    pub(crate) fn read_input(&self) -> Input {
        let mut input = self.facts.input.clone();
        if self.facts.written.is_some() {
            match input.target.is_empty() {
                true => input.ids.pop(),
                false => input.target.pop(),
            };
        }
        input
    }

    /// As they are shown: of an encoder–decoder those read, then those written.
    pub(crate) fn tokens(&self) -> &[Token] {
        &self.facts.tokens
    }

    pub(crate) fn n_input(&self) -> usize {
        self.facts.n_input
    }

    pub(crate) fn n_written(&self) -> usize {
        self.facts.tokens.len() - self.facts.n_input
    }

    /// Whether an encoder has read the first tokens, and the decoder beside it written the others.
    pub(crate) fn is_pair(&self) -> bool {
        !self.facts.input.target.is_empty()
    }

    /// What it is: `output of 7 input and 12 generated tokens`.
    pub(crate) fn line(&self) -> String {
        match &self.origin {
            Origin::Output(output) => output.line(),
            Origin::Run(run) => run.line(),
            Origin::Text => format!("text of {} tokens", self.facts.n_input),
        }
    }

    /// The same within a sentence: `an output of …`, `a text of 5 tokens`.
    pub(crate) fn phrase(&self) -> String {
        match &self.origin {
            Origin::Output(output) if output.is_given() => format!("a {}", output.line()),
            Origin::Output(output) => format!("an {}", output.line()),
            Origin::Run(_) => format!("a text of {} tokens", self.facts.tokens.len()),
            Origin::Text => format!("a {}", self.line()),
        }
    }

    /// What a result about it says of it beside its numbers.
    pub(crate) fn about(&self) -> Map<String, Value> {
        let about = json!({
            "model": self.facts.model.card().name,
            "tokens": self.facts.tokens.iter().map(|token| &token.text).collect::<Vec<_>>(),
            "token_ids": self.facts.tokens.iter().map(|token| token.id).collect::<Vec<_>>(),
            "n_input_tokens": self.facts.n_input,
        });
        about.as_object().cloned().unwrap_or_default()
    }

    /// What was computed of it under a type, kept as long as the text; the type's default at first.
    pub(crate) fn kept<T: Default + 'static>(&self) -> Rc<T> {
        self.facts.kept.of()
    }

    /// Runs work about it, which can be interrupted and shows how far it is.
    pub(crate) fn watched<T>(&self, work: impl FnOnce(&mut Watch) -> T) -> Result<T, ScriptError> {
        let state = self.model().state()?;
        Ok(watched(&state, self.model().verbose, work))
    }
}

/// Positions: which token is predicted where.
impl Passage {
    /// Where a target of the model stands among the shown tokens.
    pub(crate) fn shown_position(&self, position: usize) -> usize {
        match self.is_pair() {
            true => self.n_input() + position - 1,
            false => position,
        }
    }

    /// The position in the sequence whose head speaks that predicts the token at `position`.
    ///
    /// # Errors
    /// A position that nothing is predicted for.
    pub(crate) fn predicted_at(&self, position: usize) -> Result<usize, ScriptError> {
        let Facts {
            first, last, shift, ..
        } = *self.facts;
        if (first..=last).contains(&position) {
            return Ok(position - shift);
        }
        let message = format!("nothing is predicted at position {position}");
        let behind = if shift > 0 {
            ", the last of which follows the text"
        } else {
            ""
        };
        Err(ScriptError::new(ErrorKind::Index, message)
            .with_hint(format!("valid are {first} to {last}{behind}"))
            .pointing_at("position"))
    }

    /// The first written token, else the first mask, else what follows the text.
    ///
    /// # Errors
    /// A text without a mask, to a model that reads all at once.
    pub(crate) fn default_position(&self) -> Result<usize, ScriptError> {
        if let Some(written) = self.facts.written {
            return Ok(written);
        }
        if self.is_causal() {
            return Ok(self.facts.last);
        }
        let loaded = self.model().loaded()?;
        let masks = masked_positions(&loaded, &self.input().ids);
        masks.first().copied().ok_or_else(|| {
            let message = "the text has no mask, so it does not say which position is meant";
            ScriptError::new(ErrorKind::Value, message)
                .with_hint(format!("choose one: #{{position: {}}}", self.facts.last.min(1)))
        })
    }

    /// Where the last written token stands, if any was written.
    pub(crate) fn last_written(&self) -> Option<usize> {
        self.facts.written.map(|_| self.facts.counted.len() - 1)
    }

    /// Whether each position sees those before it only.
    pub(crate) fn is_causal(&self) -> bool {
        self.facts.shift > 0
    }

    /// How many of the tokens in the sequence whose head speaks were given.
    pub(crate) fn n_given(&self) -> usize {
        match (self.facts.written, self.is_pair()) {
            (Some(written), false) => written,
            (Some(_), true) => 1,
            (None, _) => usize::MAX,
        }
    }

    /// Tokens of a beginning of the text, where the ids are those.
    pub(crate) fn tokens_of(&self, ids: &[u32]) -> Option<Vec<Token>> {
        let known = self.facts.counted.get(..ids.len())?;
        let is_same = known.iter().map(|token| token.id).eq(ids.iter().copied());
        is_same.then(|| known.to_vec())
    }

    /// The written positions, else all that are predicted and hold a token.
    pub(crate) fn positions(&self) -> Vec<usize> {
        let last = self.facts.last.min(self.facts.counted.len().saturating_sub(1));
        let first = self.facts.written.unwrap_or(self.facts.first);
        (first..=last).collect()
    }

    /// All positions that something is predicted for.
    pub(crate) fn predicted(&self) -> std::ops::RangeInclusive<usize> {
        self.facts.first..=self.facts.last
    }

    /// The token that stands at a position; `None` for a mask, behind the end, and of embeddings.
    pub(crate) fn token(&self, position: usize) -> Option<&Token> {
        if self.facts.input.embeddings.is_some() {
            return None;
        }
        let token = self.facts.counted.get(position)?;
        let is_mask =
            |model: &ecco_models::Model| model.tokenizer().mask().is_some_and(|mask| mask.id == token.id);
        let hidden = !self.is_causal() && self.model().loaded().is_ok_and(|model| is_mask(&model));
        (!hidden).then_some(token)
    }

    /// What is before a position, as views show it.
    pub(crate) fn before(&self, position: usize) -> Vec<ShownToken> {
        let n = position.min(self.facts.counted.len());
        shown(&self.facts.counted[..n])
    }
}

impl From<&Generation> for Passage {
    fn from(output: &Generation) -> Self {
        output.passage()
    }
}

/// A run of embeddings has no text to explain.
impl TryFrom<&Run> for Passage {
    type Error = ScriptError;

    fn try_from(run: &Run) -> Result<Self, ScriptError> {
        run.ensure_tokens()?;
        Ok(run.passage())
    }
}

/// What can be said without knowing the tokens.
pub(crate) struct Stream(pub(crate) Passage);

impl From<&Generation> for Stream {
    fn from(output: &Generation) -> Self {
        Self(output.passage())
    }
}

impl From<&Run> for Stream {
    fn from(run: &Run) -> Self {
        Self(run.passage())
    }
}
