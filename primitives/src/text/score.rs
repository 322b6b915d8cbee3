//! `lm.score`: how probable a model finds a text that you give, and everything else that can be asked of an output.

use ecco_models::{Error, Prompt};
use rhai::plugin::*;
use rhai::{Array, FLOAT, INT};

use crate::models::model::Model;
use crate::text::chat::Chat;
use crate::text::generation::Generation;
use ecco_scripting::errors::{RhaiResult, ScriptError};

#[export_module]
pub mod functions {
    use super::*;

    /// Reads a text that you give, and says how surprising each of its tokens is to the model; the first has nothing
    /// before it. The result can do what an output of `generate` can: `saliency`, `activations`, `run_nmf` …
    ///
    /// Example:
    /// ```rhai
    /// lm.score("The capital of France is Paris.").perplexity
    /// ```
    #[rhai_fn(name = "score", return_raw)]
    pub fn score(ctx: NativeCallContext, lm: &mut Model, text: &str) -> RhaiResult<Generation> {
        given(lm, None, text).map_err(|error| error.raise(&ctx))
    }

    /// Says how surprising each token of a continuation is after a prompt; for an encoder–decoder each token of what
    /// it could have written.
    ///
    /// Example:
    /// ```rhai
    /// let good = lm.score("The capital of France is", " Paris.");
    /// let bad = lm.score("The capital of France is", " London.");
    /// good.perplexity < bad.perplexity
    /// ```
    #[rhai_fn(name = "score", return_raw)]
    pub fn score_continuation(
        ctx: NativeCallContext,
        lm: &mut Model,
        prompt: &str,
        continuation: &str,
    ) -> RhaiResult<Generation> {
        given(lm, Some(prompt.into()), continuation).map_err(|error| error.raise(&ctx))
    }

    /// Says how surprising each token of an answer is in a conversation that `lm.chat` made.
    #[rhai_fn(name = "score", return_raw)]
    pub fn score_answer(
        ctx: NativeCallContext,
        lm: &mut Model,
        chat: Chat,
        continuation: &str,
    ) -> RhaiResult<Generation> {
        given(lm, Some(chat.prompt()), continuation).map_err(|error| error.raise(&ctx))
    }

    /// The same output, shown by how surprising each of its tokens was.
    #[rhai_fn(name = "score", pure)]
    pub fn score_of_output(output: &mut Generation) -> Generation {
        output.as_score()
    }

    /// Of each token that is not input, the natural logarithm of the probability that the model gave it.
    #[rhai_fn(get = "log_probabilities", pure, return_raw)]
    pub fn log_probabilities(ctx: NativeCallContext, output: &mut Generation) -> RhaiResult<Array> {
        let scores = output.scores().map_err(|error| error.raise(&ctx))?;
        Ok(scores
            .iter()
            .map(|score| Dynamic::from_float(score.log_probability))
            .collect())
    }

    /// Of each token that is not input, the probability that the model gave it.
    #[rhai_fn(get = "probabilities", pure, return_raw)]
    pub fn probabilities(ctx: NativeCallContext, output: &mut Generation) -> RhaiResult<Array> {
        let scores = output.scores().map_err(|error| error.raise(&ctx))?;
        Ok(scores
            .iter()
            .map(|score| Dynamic::from_float(score.log_probability.exp()))
            .collect())
    }

    /// Of each token that is not input, its place among all tokens of the vocabulary; 1 is the most probable.
    #[rhai_fn(get = "ranks", pure, return_raw)]
    pub fn ranks(ctx: NativeCallContext, output: &mut Generation) -> RhaiResult<Array> {
        let scores = output.scores().map_err(|error| error.raise(&ctx))?;
        Ok(scores
            .iter()
            .map(|score| Dynamic::from_int(score.rank as INT))
            .collect())
    }

    /// The perplexity of the tokens that are not input: among how many equally probable ones the model would have
    /// been as surprised on average.
    #[rhai_fn(get = "perplexity", pure, return_raw)]
    pub fn perplexity(ctx: NativeCallContext, output: &mut Generation) -> RhaiResult<FLOAT> {
        let scores = output.scores().map_err(|error| error.raise(&ctx))?;
        let sum: f64 = scores.iter().map(|score| score.log_probability).sum();
        Ok((-sum / scores.len() as f64).exp())
    }
}

/// A text as if the model had written it: all but its first token, or what follows the prompt.
pub fn given(lm: &Model, prompt: Option<Prompt>, text: &str) -> Result<Generation, ScriptError> {
    let loaded = lm.loaded()?;
    let generation = ecco_models::Generation::of_text(&loaded, prompt, text).map_err(|error| {
        let hint = match &error {
            Error::NoWriting { .. } => {
                "lm.run(text) shows what it says of a text, lm.attribute(text) explains it"
            }
            Error::NoPrompt { .. } => "lm.score(\"what it reads\", \"what it writes\")",
            Error::NothingWritten { .. } => "give what follows: \"a prompt\", \" and its continuation\"",
            _ => return ScriptError::from(error),
        };
        ScriptError::from(error).with_hint(hint)
    })?;
    let text = loaded.tokenizer().decode(&generation.ids());
    Ok(Generation::new(lm, generation, text))
}
