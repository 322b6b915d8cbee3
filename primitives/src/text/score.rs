//! `lm.score`: how probable a model finds a text that you give, and everything else that can be asked of an output.

use ecco_models::run::Input;
use ecco_models::{Error, Prompt};
use ecco_scripting::session::watched;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members};
use rhai::{Array, Dynamic, FLOAT, INT};

use super::chat::{Chat, TextOrChat, strings};
use super::generation::Generation;
use super::outputs::{KEPT, Outputs, Parts};
use super::reading;
use super::run::of_text;
use crate::models::model::Model;

pub(crate) fn register(registry: &mut Registry) {
    members! { registry, [Model];
        /// Reads a text that you give, and says how surprising each of its tokens is to the model; the first has nothing
        /// before it. The result can do what an output of `generate` can: `saliency`, `activations`, `run_nmf` …
        ///
        /// Example:
        /// ```rhai
        /// lm.score("The capital of France is Paris.").perplexity
        /// ```
        fn score(lm: &Model, text: &str) -> Generation { given(lm, None, text) }

        /// Says how surprising each token of a continuation is after a prompt; for an encoder–decoder each token of what
        /// it could have written; in a conversation that `lm.chat` made, each token of an answer.
        ///
        /// Example:
        /// ```rhai
        /// let good = lm.score("The capital of France is", " Paris.");
        /// let bad = lm.score("The capital of France is", " London.");
        /// good.perplexity < bad.perplexity
        /// ```
        fn score(lm: &Model, prompt: &str, continuation: &str) -> Generation {
            given(lm, Some(prompt.into()), continuation)
        }

        fn score(lm: &Model, chat: Chat, continuation: &str) -> Generation {
            given(lm, Some(chat.prompt()), continuation)
        }

        /// Of several texts, those about equally long side by side; the numbers are those of each alone. The result is a list
        /// whose `table` has a row for each.
        ///
        /// Example:
        /// ```rhai
        /// lm.score(["The keys are here.", "The keys is here."]).table.sort("perplexity")
        /// ```
        volatile fn score(lm: &Model, texts: Array) -> Outputs { score_each(lm, None, &texts) }

        /// Of several prompts, each with a continuation of its own.
        ///
        /// Example:
        /// ```rhai
        /// lm.score(pairs.column("prompt"), pairs.column("continuation"))
        /// ```
        volatile fn score(lm: &Model, prompts: Array, continuations: Array) -> Outputs {
            score_each(lm, Some(&prompts), &continuations)
        }
    }
    members! { registry, [Generation];
        /// The same output, shown by how surprising each of its tokens was.
        fn score(output: &Generation) -> Generation { Ok(output.as_score()) }

        /// Of each token that is not input, the natural logarithm of the probability that the model gave it.
        get log_probabilities(output: &Generation) -> Array {
            Ok(output.scores()?.iter().map(|score| Dynamic::from_float(score.log_probability)).collect())
        }

        /// Of each token that is not input, the probability that the model gave it.
        get probabilities(output: &Generation) -> Array {
            Ok(output.scores()?.iter().map(|score| Dynamic::from_float(score.log_probability.exp())).collect())
        }

        /// Of each token that is not input, its place among all tokens of the vocabulary; 1 is the most probable, and `()`
        /// says that the model's probabilities are no numbers.
        get ranks(output: &Generation) -> Array {
            Ok(output.scores()?.iter().map(|score| rank(score.rank)).collect())
        }

        /// The perplexity of the tokens that are not input: among how many equally probable ones the model would have
        /// been as surprised on average.
        get perplexity(output: &Generation) -> FLOAT {
            let scores = output.scores()?;
            let sum: f64 = scores.iter().map(|score| score.log_probability).sum();
            Ok((-sum / scores.len() as f64).exp())
        }
    }
}

/// For scripts: where there is no number, there is no rank.
pub(crate) fn rank(rank: usize) -> Dynamic {
    match rank {
        0 => Dynamic::UNIT,
        rank => Dynamic::from_int(rank as INT),
    }
}

/// Texts, and the prompts before them where there are some. What is done when it is interrupted is kept in
/// `lm.last_outputs`.
fn score_each(lm: &Model, prompts: Option<&Array>, texts: &Array) -> Result<Outputs, ScriptError> {
    let (loaded, state) = (lm.loaded()?, lm.state()?);
    if texts.is_empty() {
        return Err(ScriptError::new(ErrorKind::Value, "the list of texts is empty")
            .with_hint("lm.score([\"one text\", \"another\"])"));
    }
    let texts: Vec<(Option<TextOrChat>, String)> = match prompts {
        Some(prompts) => pairs(lm, prompts, texts)?
            .into_iter()
            .map(|(prompt, text)| (Some(prompt), text))
            .collect(),
        None => strings(texts)?.into_iter().map(|text| (None, text)).collect(),
    };
    let mut all = Vec::new();
    for (at, (prompt, text)) in texts.iter().enumerate() {
        state.check_interrupt()?;
        let prompt = prompt.as_ref().map(TextOrChat::prompt);
        all.push(given(lm, prompt, text).map_err(|error| of_text(error, at))?);
    }
    let from = |output: &Generation| if output.is_pair() { 1 } else { output.n_input() };
    let inputs: Vec<(Input, usize)> = all.iter().map(|output| (output.input(), from(output))).collect();
    let mut parts = Parts::new(all.len());
    let ended = watched(&state, lm.verbose, |watch| {
        ecco_explain::score::score_each(&loaded, &inputs, watch, &mut |at, scores| {
            all[at].has_scores(scores);
            parts.put(at, all[at].clone());
        })
    });
    let outputs = parts.keep(lm);
    state.check_interrupt().map_err(|error| error.with_hint(KEPT))?;
    ended?;
    let no_number = |output: &Generation| -> Result<bool, ScriptError> {
        let scores = output.scores()?;
        Ok(scores.iter().any(|score| score.log_probability.is_nan()))
    };
    let without = outputs
        .all()
        .iter()
        .map(no_number)
        .collect::<Result<Vec<_>, _>>()?;
    reading::about_numbers(lm, !without.contains(&true))?;
    Ok(outputs)
}

/// Prompts, each with its continuation.
///
/// # Errors
/// Not as many of the ones as of the others; what is no text.
pub(crate) fn pairs(
    lm: &Model,
    prompts: &Array,
    continuations: &Array,
) -> Result<Vec<(TextOrChat, String)>, ScriptError> {
    let (prompts, continuations) = (TextOrChat::all(lm, prompts)?, strings(continuations)?);
    match (prompts.len(), continuations.len()) {
        (n, m) if n == m => Ok(prompts.into_iter().zip(continuations).collect()),
        (n, m) => {
            let message = format!("there are {n} prompts and {m} continuations");
            Err(ScriptError::new(ErrorKind::Value, message).with_hint("give one for each prompt"))
        }
    }
}

/// A text as if the model had written it: all but its first token, or what follows the prompt.
pub(crate) fn given(lm: &Model, prompt: Option<Prompt>, text: &str) -> Result<Generation, ScriptError> {
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
    reading::about_prompt(lm, prompt.unwrap_or(Prompt::Text(text)))?;
    let n_written = generation.decoder_ids().len();
    match generation.start_id {
        Some(_) => reading::about_length(lm, generation.n_input, n_written)?,
        None => reading::about_length(lm, n_written, 0)?,
    }
    let text = loaded.tokenizer().decode(&generation.ids());
    Ok(Generation::new(lm, generation, text))
}
