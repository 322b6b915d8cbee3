//! Runs of embeddings in the place of a text's: what happens inside is there, and nothing that is about tokens.

use ecco_models::Token;
use ecco_models::run::{self, Input};
use ecco_scripting::session::watched;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, ScriptError};
use ndarray::Ix2;

use super::{Run, RunOptions, first, says_numbers};
use crate::models::model::Model;
use crate::text::reading;

/// A pass over embeddings (position, hidden) in the place of a text's.
///
/// # Errors
/// Another shape than the model reads, values that are not finite, a target.
pub(crate) fn of_embeddings(
    model: &Model,
    embeddings: &Tensor,
    options: &RunOptions,
) -> Result<Run, ScriptError> {
    let (loaded, state) = (model.loaded()?, model.state()?);
    if options.target.is_some() {
        let message = "a target goes with a text, and not with embeddings";
        return Err(ScriptError::new(ErrorKind::Option, message).pointing_at("target"));
    }
    let array = embeddings.data().into_owned().into_dimensionality::<Ix2>();
    let array = array.map_err(|_| {
        let message = format!(
            "embeddings are a tensor (position, hidden), not {}",
            embeddings.shape_text()
        );
        ScriptError::new(ErrorKind::Value, message)
    })?;
    let input = Input::embedded(&loaded, array)?;
    reading::about_length(model, input.ids.len(), input.target.len())?;
    let runs = watched(&state, model.verbose, |watch| {
        run::run(&loaded, vec![input], options.topk, watch)
    })?;
    reading::about_numbers(model, runs.iter().all(says_numbers))?;
    first(model, &loaded, runs, format!("{} embeddings", embeddings.len()))
}

/// What stands in the place of tokens where embeddings were read; their number is no token's.
pub(super) fn unknown(input: &Input) -> Vec<Token> {
    let token = |at: usize| Token {
        id: u32::MAX,
        text: UNKNOWN.to_owned(),
        part: None,
        span: at..at,
    };
    (0..input.ids.len()).map(token).collect()
}

const UNKNOWN: &str = "[embedding]";

impl Run {
    /// Refuses what is about tokens, where there are none.
    ///
    /// # Errors
    /// A run of embeddings.
    pub(crate) fn ensure_tokens(&self) -> Result<(), ScriptError> {
        match self.input().embeddings {
            None => Ok(()),
            Some(_) => {
                let message = "this run is of embeddings, and what is asked needs the tokens of a text";
                Err(ScriptError::new(ErrorKind::Value, message).with_hint(
                    "it has logits, predictions, hidden_states, at(site), layer_predictions(), rankings_watch(…) and lens(); \
                     lm.run(text) or lm.run(ids) has all",
                ))
            }
        }
    }
}
