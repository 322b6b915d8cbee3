//! `lm.score`: how probable a model finds a text that you give, and everything else that can be asked of an output.

use ecco_models::model::Body;
use ecco_models::run::Input;
use ecco_models::{Finish, Prompt, Token};
use rhai::plugin::*;
use rhai::{Array, FLOAT, INT};

use crate::models::model::Model;
use crate::text::chat::Chat;
use crate::text::generation::Generation;
use ecco_scripting::errors::{ErrorKind, RhaiResult, ScriptError};

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
    let (tokens, n_input, start_id) = match loaded.body() {
        Body::Decoder(_) => {
            let (ids, n_input) = continued(&loaded, prompt, text)?;
            loaded.check_ids(&ids)?;
            (loaded.tokenizer().tokens(&ids), n_input, None)
        }
        Body::EncoderDecoder(_) => written(&loaded, prompt, text)?,
        Body::Encoder(_) => {
            let message = format!(
                "{} reads a text and writes none, so it has no score",
                loaded.name()
            );
            return Err(ScriptError::new(ErrorKind::Value, message)
                .with_hint("lm.run(text) shows what it says of a text, lm.attribute(text) explains it"));
        }
    };
    if tokens.len() <= n_input {
        let message = match prompt {
            Some(_) => "the continuation is empty: there is nothing to score",
            None => "the text has no token with another before it: there is nothing to score",
        };
        return Err(ScriptError::new(ErrorKind::Value, message)
            .with_hint("give what follows: \"a prompt\", \" and its continuation\""));
    }
    let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
    let generation = ecco_models::Generation {
        tokens,
        n_input,
        start_id,
        finish: Finish::Given,
        seed: None,
    };
    Ok(Generation::new(lm, generation, loaded.tokenizer().decode(&ids)))
}

/// The ids of a prompt and its continuation, and how many are the prompt's. Together they are read as one text, so
/// that words come out as the model knows them, unless a token would reach over the border.
fn continued(
    model: &ecco_models::Model,
    prompt: Option<Prompt>,
    text: &str,
) -> Result<(Vec<u32>, usize), ScriptError> {
    let tokenizer = model.tokenizer();
    let prompt = prompt.filter(|prompt| !prompt.text().is_empty());
    let Some(prompt) = prompt else {
        return Ok((tokenizer.encode(text)?, 1));
    };
    let before = prompt.ids(tokenizer)?;
    let whole = format!("{}{text}", prompt.text());
    let whole = match prompt {
        Prompt::Text(_) => Prompt::Text(&whole),
        Prompt::Bare(_) => Prompt::Bare(&whole),
    };
    let whole = whole.ids(tokenizer)?;
    let ids = match whole.starts_with(&before) {
        true => whole,
        false => [before.clone(), tokenizer.encode_bare(text)?].concat(),
    };
    Ok((ids, before.len()))
}

fn written(
    model: &ecco_models::Model,
    prompt: Option<Prompt>,
    text: &str,
) -> Result<(Vec<Token>, usize, Option<u32>), ScriptError> {
    let Some(prompt) = prompt else {
        let message = format!("{} reads one text and writes another: give both", model.name());
        return Err(ScriptError::new(ErrorKind::Value, message)
            .with_hint("lm.score(\"what it reads\", \"what it writes\")"));
    };
    let input = Input::new(model, prompt, Some(text))?;
    let mut tokens = model.tokenizer().tokens(&input.ids);
    let n_input = tokens.len();
    tokens.extend(model.tokenizer().tokens(&input.target[1..]));
    Ok((tokens, n_input, input.target.first().copied()))
}
