//! What is explained: a number that a model says of a text.

use ecco_interpreter::named;
use ecco_models::config::{Config, Reading, Task};
use ecco_models::model::Body;
use ecco_models::rules::By;
use ecco_models::run::Input;
use ecco_models::{Model, Rule};
use tch::{Kind, Tensor};

use crate::error::{Result, refuse};

/// A number that is explained: [`Quantity`] of what is said, less that of the contrast where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Target {
    pub said: Outcome,
    /// Why this and not that: another token's id, another label's number, or another place of the same label where one
    /// of the tokens has it.
    pub contrast: Option<u32>,
    pub of: Quantity,
}

/// What a model says of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A label of the whole text, by its number. A model with a single label, a regression, is explained by its value.
    Label(usize),
    /// A token, any of the vocabulary, at a position.
    ///
    /// - Decoders: the position after at least one token, up to the one behind the last. It is predicted from the
    ///   tokens before it; what stands there does not matter.
    /// - Encoder–decoders: the same, counted in what is written ([`Input::target`], whose first is the start token).
    /// - Masked models: the position of a mask, or of any other token.
    Token { position: usize, id: u32 },
    /// A label of the token at a position: what it is, that it was replaced, that an answer starts or ends there.
    TokenLabel { position: usize, label: usize },
}

named! {
    /// Which number about it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub enum Quantity {
        #[default]
        Probability = "probability",
        /// Before the softmax. Of labels likewise.
        Logit = "logit",
        LogProbability = "log_probability",
        /// Of the whole distribution, in nats: how undecided the model is. Which token or label is named does not
        /// matter.
        Entropy = "entropy",
    }
}

impl From<Outcome> for Target {
    /// Its probability.
    fn from(said: Outcome) -> Self {
        Self {
            said,
            contrast: None,
            of: Quantity::default(),
        }
    }
}

impl Target {
    /// The probability of a token at a position.
    pub fn token(position: usize, id: u32) -> Self {
        Outcome::Token { position, id }.into()
    }

    pub fn label(label: usize) -> Self {
        Outcome::Label(label).into()
    }

    pub fn of(self, of: Quantity) -> Self {
        Self { of, ..self }
    }

    pub fn against(self, contrast: u32) -> Self {
        Self {
            contrast: Some(contrast),
            ..self
        }
    }

    /// The tokens that stand in a text from a position on, each explained by its probability. For an encoder–decoder
    /// in what it has written, where 1 is the first position behind the start token.
    pub fn written(input: &Input, from: usize) -> Vec<Self> {
        let spoken = input.spoken().iter().enumerate();
        spoken
            .skip(from)
            .map(|(position, &id)| Self::token(position, id))
            .collect()
    }

    /// Refuses what this model does not say of this text.
    pub(crate) fn check(&self, model: &Model, input: &Input) -> Result<()> {
        self.check_said(model, input)?;
        let config = model.config();
        match (self.contrast, self.said) {
            (None, _) => {}
            (Some(_), _) if self.of == Quantity::Entropy => {
                return Err(refuse(
                    "contrast",
                    "given",
                    "entropy is of all tokens together, so there is nothing to contrast",
                ));
            }
            (Some(id), Outcome::Token { .. }) => in_vocabulary("contrast", id, config)?,
            (Some(label), Outcome::Label(_)) => has_label("contrast", label as usize, config)?,
            (Some(place), Outcome::TokenLabel { .. }) if config.task.reading() == Reading::Place => {
                has_place("contrast", place as usize, input.ids.len())?;
            }
            (Some(label), Outcome::TokenLabel { .. }) => has_label("contrast", label as usize, config)?,
        }
        let has_probabilities = config.task.reading() != Reading::Value;
        if !has_probabilities && matches!(self.of, Quantity::LogProbability | Quantity::Entropy) {
            return Err(refuse(
                "quantity",
                self.of.name(),
                "this model says a value, which has no probability",
            ));
        }
        Ok(())
    }

    fn check_said(&self, model: &Model, input: &Input) -> Result<()> {
        let config = model.config();
        let n_positions = input.spoken().len();
        let place = |position: usize| has_place("position", position, n_positions);
        match (self.said, &config.task) {
            (Outcome::Token { position, id }, Task::NextToken) => {
                in_vocabulary("target", id, config)?;
                match (1..=n_positions).contains(&position) {
                    true => Ok(()),
                    false => Err(refuse("position", position, behind_something(model, n_positions))),
                }
            }
            (_, Task::NextToken) => Err(refuse(
                "target",
                "no token",
                "this model writes from left to right, so it says tokens",
            )),
            (Outcome::Label(label), Task::Label(_)) if config.task.is_of_text() => {
                has_label("label", label, config)
            }
            (Outcome::TokenLabel { position, label }, Task::Label(_)) if !config.task.is_of_text() => {
                place(position)?;
                has_label("label", label, config)
            }
            (Outcome::Token { position, id }, Task::MaskedToken(_)) => {
                place(position)?;
                in_vocabulary("target", id, config)
            }
            (_, Task::Label(_)) if config.task.is_of_text() => Err(refuse(
                "target",
                "a token",
                "this model says a label of the whole text",
            )),
            (_, Task::Label(_)) => Err(refuse(
                "target",
                "no token's label",
                "this model says labels of each token",
            )),
            (_, Task::MaskedToken(_)) => Err(refuse("target", "a label", "this model says tokens")),
            (_, Task::States) => Err(refuse("target", "a token", "this model has no head")),
        }
    }

    /// The position whose state is read for it; none where all are: for a label of the whole text, and where tokens vie
    /// for a label.
    pub(crate) fn row(&self, model: &Model) -> Option<usize> {
        match model.config().task.reading() {
            Reading::Place => None,
            _ => self.place(model),
        }
    }

    /// The position whose state it is about; none for a label of the whole text.
    pub(crate) fn place(&self, model: &Model) -> Option<usize> {
        let is_causal = !matches!(model.body(), Body::Encoder(_));
        match self.said {
            Outcome::Token { position, .. } => Some(position - usize::from(is_causal)),
            Outcome::TokenLabel { position, .. } => Some(position),
            Outcome::Label(_) => None,
        }
    }

    /// The number by row of a batch, `[row]` in double precision, from the head's input `[row, position, size]`.
    ///
    /// # Errors
    /// For a model without a head.
    pub(crate) fn of_states(
        &self,
        model: &Model,
        states: &Tensor,
        rule: Rule,
    ) -> ecco_models::error::Result<Tensor> {
        let logits = self.logits(model, states, rule)?;
        Ok(self.value(&logits, model.config(), rule))
    }

    /// What the head says where it is asked, in double precision, as [`Self::value`] takes it.
    ///
    /// # Errors
    /// For a model without a head.
    pub(crate) fn logits(
        &self,
        model: &Model,
        states: &Tensor,
        rule: Rule,
    ) -> ecco_models::error::Result<Tensor> {
        let states = match self.row(model) {
            Some(row) => states.narrow(1, row as i64, 1),
            None => states.shallow_clone(),
        };
        let logits = match model.body() {
            Body::Decoder(decoder) => Some(decoder.logits_by(&states, rule)),
            Body::Encoder(encoder) => encoder.logits_with(&states, None, &mut By(rule)),
            Body::EncoderDecoder(both) => Some(both.decoder.logits_by(&states, rule)),
        };
        let logits = logits.ok_or_else(|| ecco_models::Error::NoHead {
            model: model.name().to_owned(),
        })?;
        let logits = logits.to_kind(Kind::Double);
        Ok(match self.row(model) {
            Some(_) => logits.select(1, 0),
            None => logits,
        })
    }

    /// The number, `[batch]`, from what the head says: `[batch, token or label]`, or `[batch, position, label]` where
    /// tokens vie for a label.
    pub(crate) fn value(&self, logits: &Tensor, config: &Config, rule: Rule) -> Tensor {
        let kind = logits.kind();
        let wide = if kind == Kind::Double { kind } else { Kind::Float };
        let reading = config.task.reading();
        let logits = match (self.said, reading) {
            (Outcome::TokenLabel { label, .. }, Reading::Place) => logits.select(-1, label as i64),
            _ => logits.shallow_clone(),
        };
        let all = self.of.of_all(&logits.to_kind(wide), reading, rule);
        // Labels for themselves have each its own entropy.
        if self.of == Quantity::Entropy && matches!(reading, Reading::OneOf | Reading::Place) {
            return all;
        }
        if self.of == Quantity::Entropy {
            return self.chosen(&all, reading);
        }
        match self.contrast {
            Some(contrast) => self.chosen(&all, reading) - all.select(1, i64::from(contrast)),
            None => self.chosen(&all, reading),
        }
    }

    fn chosen(&self, all: &Tensor, reading: Reading) -> Tensor {
        match (self.said, reading) {
            (Outcome::Token { id, .. }, _) => all.select(1, i64::from(id)),
            (Outcome::TokenLabel { position, .. }, Reading::Place) => all.select(1, position as i64),
            (Outcome::Label(label) | Outcome::TokenLabel { label, .. }, _) => all.select(1, label as i64),
        }
    }
}

impl Quantity {
    /// Differentiated by a rule; the frozen one is about what leads to the logits, and has gradients from there on.
    ///
    /// Of every token or label, `[batch, token or label]`; the entropy of a distribution `[batch]`.
    fn of_all(self, logits: &Tensor, reading: Reading, rule: Rule) -> Tensor {
        let rule = match rule {
            Rule::Frozen => Rule::Gradient,
            rule => rule,
        };
        let sigmoid = |x: &Tensor| {
            let slope = |x: &Tensor| x.sigmoid() * (-x).sigmoid();
            rule.elementwise(x, Tensor::sigmoid, slope)
        };
        let log_sigmoid = |x: &Tensor| rule.elementwise(x, Tensor::log_sigmoid, |x| (-x).sigmoid());
        match (self, reading) {
            (Self::Logit, _) | (_, Reading::Value) => logits.shallow_clone(),
            (Self::Probability, Reading::OneOf | Reading::Place) => rule.softmax(logits),
            (Self::LogProbability, Reading::OneOf | Reading::Place) => rule.log_softmax(logits),
            (Self::Entropy, Reading::OneOf | Reading::Place) => {
                let log = rule.log_softmax(logits);
                -rule
                    .product(&rule.exp(&log), &log)
                    .sum_dim_intlist(-1, false, None::<Kind>)
            }
            (Self::Probability, Reading::Each) => sigmoid(logits),
            (Self::LogProbability, Reading::Each) => log_sigmoid(logits),
            (Self::Entropy, Reading::Each) => {
                let term = |x: &Tensor| rule.product(&sigmoid(x), &log_sigmoid(x));
                -(term(logits) + term(&-logits))
            }
        }
    }
}

fn behind_something(model: &Model, n_positions: usize) -> String {
    let of = match model.body() {
        Body::EncoderDecoder(_) => "what is written",
        _ => "the text",
    };
    format!(
        "a token is predicted from those before it, and {of} has {n_positions}; expected 1 to {n_positions}"
    )
}

fn in_vocabulary(option: &'static str, id: u32, config: &Config) -> Result<()> {
    match (id as usize) < config.vocab_size {
        true => Ok(()),
        false => {
            let reason = format!("the vocabulary has {} tokens", config.vocab_size);
            Err(refuse(option, id, reason))
        }
    }
}

fn has_place(option: &'static str, position: usize, n_positions: usize) -> Result<()> {
    match position < n_positions {
        true => Ok(()),
        false => {
            let reason = format!("the text has {n_positions} tokens, numbered from 0");
            Err(refuse(option, position, reason))
        }
    }
}

fn has_label(option: &'static str, label: usize, config: &Config) -> Result<()> {
    let n_labels = config.task.names().len();
    match label < n_labels {
        true => Ok(()),
        false => Err(refuse(option, label, format!("the model has {n_labels} labels"))),
    }
}
