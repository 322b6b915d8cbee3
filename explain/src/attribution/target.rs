//! What is explained: a number that a model says of a text.

use ecco_interpreter::named;
use ecco_models::config::{Config, Label, Task};
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
    /// Why this and not that: another token's id, or another label's number.
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
    /// That the token at a position was replaced.
    Replaced { position: usize },
}

named! {
    /// Which number about it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub enum Quantity {
        #[default]
        Probability = "probability",
        /// Before the softmax. Of labels and replaced tokens likewise.
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
            (Some(_), Outcome::Replaced { .. }) => {
                return Err(refuse("contrast", "given", "a token is replaced or not"));
            }
        }
        let has_probabilities = Reading::of(config) != Reading::Value;
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
        let place = |position: usize| match position < n_positions {
            true => Ok(()),
            false => {
                let reason = format!("the text has {n_positions} tokens, numbered from 0");
                Err(refuse("position", position, reason))
            }
        };
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
            (Outcome::Label(label), Task::Label(_)) => has_label("label", label, config),
            (Outcome::Token { position, id }, Task::MaskedToken(_)) => {
                place(position)?;
                in_vocabulary("target", id, config)
            }
            (Outcome::Replaced { position }, Task::Replaced(_)) => place(position),
            (_, Task::Label(_)) => Err(refuse("target", "a token", "this model says a label")),
            (_, Task::MaskedToken(_)) => Err(refuse("target", "a label", "this model says tokens")),
            (_, Task::Replaced(_)) => Err(refuse("target", "a token", "this model says which were replaced")),
            (_, Task::States) => Err(refuse("target", "a token", "this model has no head")),
        }
    }

    /// The position whose state is read for it; none for a label of the whole text.
    pub(crate) fn row(&self, model: &Model) -> Option<usize> {
        let is_causal = !matches!(model.body(), Body::Encoder(_));
        match self.said {
            Outcome::Token { position, .. } | Outcome::Replaced { position } => {
                Some(position - usize::from(is_causal))
            }
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
        let logits = match self.row(model) {
            Some(_) => logits.select(1, 0),
            None => logits,
        };
        Ok(self.value(&logits, model.config(), rule))
    }

    /// The number, `[batch]`, from what the head says: `[batch, token or label]`, or `[batch]` of a replaced token.
    pub(crate) fn value(&self, logits: &Tensor, config: &Config, rule: Rule) -> Tensor {
        let kind = logits.kind();
        let wide = if kind == Kind::Double { kind } else { Kind::Float };
        let logits = logits.to_kind(wide);
        let all = self.of.of_all(&logits, Reading::of(config), rule);
        if self.of == Quantity::Entropy {
            return match Reading::of(config) {
                Reading::Distribution => all,
                // Labels for themselves have each its own.
                _ => self.chosen(&all),
            };
        }
        match self.contrast {
            Some(contrast) => self.chosen(&all) - all.select(1, i64::from(contrast)),
            None => self.chosen(&all),
        }
    }

    fn chosen(&self, all: &Tensor) -> Tensor {
        match self.said {
            Outcome::Token { id, .. } => all.select(1, i64::from(id)),
            Outcome::Label(label) => all.select(1, label as i64),
            Outcome::Replaced { .. } => all.shallow_clone(),
        }
    }
}

/// What a head's numbers mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// One of them is the case.
    Distribution,
    /// Each is the case or not.
    Independent,
    /// A value.
    Value,
}

impl Reading {
    fn of(config: &Config) -> Self {
        match &config.task {
            Task::Label(Label { names, .. }) if names.len() == 1 => Self::Value,
            Task::Label(Label {
                independent: true, ..
            })
            | Task::Replaced(_) => Self::Independent,
            _ => Self::Distribution,
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
            (Self::Probability, Reading::Distribution) => rule.softmax(logits),
            (Self::LogProbability, Reading::Distribution) => rule.log_softmax(logits),
            (Self::Entropy, Reading::Distribution) => {
                let log = rule.log_softmax(logits);
                -rule
                    .product(&rule.exp(&log), &log)
                    .sum_dim_intlist(-1, false, None::<Kind>)
            }
            (Self::Probability, Reading::Independent) => sigmoid(logits),
            (Self::LogProbability, Reading::Independent) => log_sigmoid(logits),
            (Self::Entropy, Reading::Independent) => {
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

fn has_label(option: &'static str, label: usize, config: &Config) -> Result<()> {
    let n_labels = match &config.task {
        Task::Label(Label { names, .. }) => names.len(),
        _ => 0,
    };
    match label < n_labels {
        true => Ok(()),
        false => Err(refuse(option, label, format!("the model has {n_labels} labels"))),
    }
}
