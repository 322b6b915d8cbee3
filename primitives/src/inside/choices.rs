//! `lm.choose`: which of several texts goes with another.

use ecco_models::config::Reading;
use ecco_models::run::Prediction;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members};
use rhai::Array;

use super::candidates::Candidates;
use crate::models::model::Model;
use crate::text::chat::{Chat, TextOrChat, strings};
use crate::text::run::{self, RunOptions};

/// The choices with their probabilities, the most probable first.
fn choose(lm: &Model, text: &str, choices: &Array) -> Result<Candidates, ScriptError> {
    let task = lm.loaded()?.config().task.clone();
    if task.reading() != Reading::Value || task.names().len() != 1 {
        let message = format!(
            "{:?} does not say one value of a text, by which texts could be told apart",
            lm.card().name
        );
        return Err(ScriptError::new(ErrorKind::Value, message).with_hint(
            "a class for multiple choice does, or one for sequence classification with one label",
        ));
    }
    if choices.is_empty() {
        return Err(ScriptError::new(ErrorKind::Value, "the list of choices is empty"));
    }
    let choices = strings(choices)?;
    let pairs = choices
        .iter()
        .map(|choice| Ok(Chat::pair(lm, text, choice)?.into()));
    let pairs: Vec<TextOrChat> = pairs.collect::<Result<_, ScriptError>>()?;
    let runs = run::run(lm, &pairs, RunOptions::default())?;
    let value = |run: &run::Run| match run.predicted() {
        [Prediction::Value { value, .. }] => f64::from(*value),
        _ => f64::NAN,
    };
    let values: Vec<f64> = runs.iter().map(value).collect();
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = values.iter().map(|value| (value - largest).exp()).sum();
    let shares = values.iter().map(|value| ((value - largest).exp() / sum) as f32);
    let mut named: Vec<(String, f32)> = choices.into_iter().zip(shares).collect();
    named.sort_by(|one, other| other.1.total_cmp(&one.1));
    Ok(Candidates::of_names(lm, named))
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Model];
        /// Which of several texts goes with another: each is read with it as a pair, and what the model says of the pairs, a
        /// value each, becomes probabilities by a softmax, as models for multiple choice are trained. The most probable first.
        ///
        /// Example:
        /// ```rhai
        /// lm.choose("It rained, so she took", ["an umbrella.", "a fish."])
        /// ```
        volatile fn choose(lm: &Model, text: &str, choices: Array) -> Candidates { choose(lm, text, &choices) }
    }
}
