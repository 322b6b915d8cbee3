//! What is watched in two texts while parts of one are put into the other.

use ecco_models::config::Reading;
use ecco_models::run::Input;
use ecco_models::{Model, Rule};
use tch::{Kind, Tensor};

use crate::attribution::{Outcome, Target};
use crate::error::{Result, refuse};

/// What counts as the answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Answer {
    /// A number of a token or label.
    Target(Target),
    /// How far what is predicted there is from what is predicted in the clean text, KL(clean ‖ patched) = Σ p ln (p / q) in
    /// nats: 0 of the clean text. Which token or label is named does not matter.
    Divergence(Outcome),
}

impl From<Target> for Answer {
    fn from(target: Target) -> Self {
        Self::Target(target)
    }
}

impl Answer {
    /// What it is about.
    pub(crate) fn target(&self) -> Target {
        match *self {
            Self::Target(target) => target,
            Self::Divergence(outcome) => outcome.into(),
        }
    }

    /// Refuses what this model does not say of this text.
    pub(crate) fn check(&self, model: &Model, input: &Input) -> Result<()> {
        self.target().check(model, input)?;
        match (self, model.config().task.reading()) {
            (Self::Target(_), _) | (Self::Divergence(_), Reading::OneOf) => Ok(()),
            (Self::Divergence(_), _) => {
                let reason = "the model says no distribution over tokens or labels: choose another metric";
                Err(refuse("metric", "kl", reason))
            }
        }
    }
}

/// An answer with what it is measured by.
pub(crate) struct Measure<'m> {
    model: &'m Model,
    answer: Answer,
    /// What is predicted in the clean text, as logarithms, `[1, token or label]`.
    reference: Option<Tensor>,
}

impl<'m> Measure<'m> {
    /// `of_clean` is the answer as it stands in the clean text, whose states are `[1, position, size]`.
    pub(crate) fn new(
        model: &'m Model,
        answer: Answer,
        of_clean: Answer,
        states: &Tensor,
    ) -> ecco_models::error::Result<Self> {
        let reference = match of_clean {
            Answer::Target(_) => None,
            Answer::Divergence(outcome) => Some(log_probabilities(model, outcome, states)?.detach()),
        };
        Ok(Self {
            model,
            answer,
            reference,
        })
    }

    /// By row, `[row]` in double precision, from the head's input `[row, position, size]`.
    pub(crate) fn of_states(&self, states: &Tensor) -> ecco_models::error::Result<Tensor> {
        match (&self.answer, &self.reference) {
            (Answer::Divergence(outcome), Some(log_p)) => {
                let log_q = log_probabilities(self.model, *outcome, states)?;
                Ok((log_p.exp() * (log_p - log_q)).sum_dim_intlist(-1, false, None::<Kind>))
            }
            (answer, _) => answer.target().of_states(self.model, states, Rule::Gradient),
        }
    }
}

/// `[row, token or label]` in double precision: a small divergence is a sum of much larger terms.
fn log_probabilities(model: &Model, outcome: Outcome, states: &Tensor) -> ecco_models::error::Result<Tensor> {
    let logits = Target::from(outcome).logits(model, states, Rule::Gradient)?;
    Ok(logits.log_softmax(-1, Kind::Double))
}
