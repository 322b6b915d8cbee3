//! `lm.run`: one forward pass, and everything that happened in it.

use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members};
use rhai::{Array, Dynamic, INT, Map};

use super::chat::{Chat, TextOrChat};
use super::run::{self, Run, RunOptions};
use super::vocabulary::{is_ids, text_of_ids};
use crate::models::model::Model;

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Model];
        /// Runs the model once over a text, without generating: any kind of model. The result shows what the model
        /// says of the text, and holds what happened inside. In the place of a text there may be a conversation that
        /// `lm.chat` made.
        ///
        /// An encoder–decoder reads the text with its encoder; `target` is what its decoder has written so far. Without
        /// one, the decoder has only the token that it starts with, and predicts the first one it would write.
        ///
        /// Example:
        /// ```rhai
        /// let run = lm.run("The capital of France is");
        /// run.predictions[0].token
        /// ```
        volatile fn run(lm: &Model, text: &str; options: RunOptions) -> Run { one(lm, text.into(), options) }

        volatile fn run(lm: &Model, chat: Chat; options: RunOptions) -> Run { one(lm, chat.into(), options) }

        /// Of several texts side by side: an array with one run for each, whose numbers are those of the text alone. A
        /// text may be given as its tokens' numbers; an array of nothing but numbers is one text, and one run.
        ///
        /// Example:
        /// ```rhai
        /// let runs = lm.run(["It was good.", "It was bad."]);
        /// runs.map(|run| run.predictions[0])
        /// lm.run(lm.tokenize("It was good.").ids)
        /// ```
        volatile fn run(lm: &Model, texts: Array; options: RunOptions) -> Dynamic { several(lm, &texts, options) }

        /// Of embeddings in the place of a text's: a tensor (position, hidden) of 32-bit floats, as the model's own table of
        /// tokens has them, before positions are added. The run has logits, predictions, hidden states, what `run.at` records,
        /// and its lens; what is about tokens says that there are none. Embeddings of tokens give the numbers of these tokens.
        ///
        /// Example:
        /// ```rhai
        /// let rows = lm.weight("token_embedding.weight").pick(lm.tokenize("The keys to the").ids, 0);
        /// lm.run(rows * 0.5).predictions[0].token
        /// ```
        volatile fn run(lm: &Model, embeddings: Tensor; options: RunOptions) -> Run {
            run::of_embeddings(lm, &embeddings, &options)
        }

        /// What can be captured of a run by `run.at(name)`: a map from names to axes. Axes without a number are as long
        /// as the text. The names are the same for all models; `encoder_…` are those of an encoder that stands beside a
        /// decoder. `…_before`, `…_mid` and `…_after` are the residual stream, `…_input` what a half of a layer reads
        /// (normalised, where the model does that first), `…_output` what it adds to the stream; `cross_…` is the
        /// decoder's attention to the encoder. `mlp_pre` are the MLP's inner values before the non-linearity, `mlp_inner`
        /// those after it, times `mlp_up` where the MLP is gated. In a layer with a short convolution in the place of
        /// attention `convolution_input` is what that is of, and `attention_output` what it adds. In one that carries
        /// a state from position to position `recurrent_state` is the state that each position reads and `recurrent_output` what
        /// it reads.
        ///
        /// Example:
        /// ```rhai
        /// lm.sites()
        /// ```
        fn sites(lm: &Model) -> Map { run::sites(lm) }
    }
    of_text(registry);
    of_inside(registry);
}

fn one(lm: &Model, text: TextOrChat, options: RunOptions) -> Result<Run, ScriptError> {
    Ok(run::run(lm, &[text], options)?.remove(0))
}

fn several(lm: &Model, texts: &Array, options: RunOptions) -> Result<Dynamic, ScriptError> {
    if is_ids(texts) {
        return Ok(Dynamic::from(one(lm, text_of_ids(lm, texts)?.into(), options)?));
    }
    let runs = run::run(lm, &TextOrChat::all(lm, texts)?, options)?;
    Ok(Dynamic::from_array(runs.into_iter().map(Dynamic::from).collect()))
}

/// What was read, and what the model says.
fn of_text(registry: &mut Registry) {
    members! { registry, [Run];
        /// The text that was read.
        get text(run: &Run) -> String {
            run.ensure_tokens()?;
            Ok(run.source().to_owned())
        }

        /// The texts of the tokens that were read.
        get tokens(run: &Run) -> Array {
            run.ensure_tokens()?;
            Ok(run.tokens().iter().map(|token| token.text.clone().into()).collect())
        }

        /// The tokens' numbers in the vocabulary.
        get token_ids(run: &Run) -> Array {
            run.ensure_tokens()?;
            Ok(run.tokens().iter().map(|token| Dynamic::from_int(INT::from(token.id))).collect())
        }

        /// Of an encoder–decoder: the tokens that the decoder was given as written, the one it starts with first.
        /// Empty for other models.
        get target_tokens(run: &Run) -> Array {
            Ok(run.target_tokens().iter().map(|token| token.text.clone().into()).collect())
        }

        /// What the model says, as an array of maps. Of a model that writes: one entry, for the token that follows. Of
        /// one for masked tokens: one entry for each mask. Both have `position`, `token`, `token_id`, `probability`, and
        /// in `top` the most probable candidates. Of a detector of replaced tokens: `position`, `token` and the
        /// `probability` that it was replaced. Of a classifier: `label` and `probability`, the most probable first; they
        /// sum to 1 unless the model was made for several labels at once; of a regression or a choice `label` and `value`. Of a
        /// classifier of tokens: one entry for each that stands for text, with `position`, `token`, `label`, `probability`
        /// and `top`. Of a model that answers: the best spans of the second text of a pair, with `start`, `end` (the last
        /// token), `answer` and `score`, as transformers' pipeline has them.
        ///
        /// Example:
        /// ```rhai
        /// lm.run("Paris is the [MASK] of France.", #{topk: 3}).predictions[0].top
        /// ```
        get predictions(run: &Run) -> Array { run.predictions() }

        /// What the head gives: a tensor (position, vocabulary); of a detector of replaced tokens (position), of a
        /// classifier (label), in the order of its configuration; of one of tokens, and of answers' `start` and `end`,
        /// (position, label).
        get logits(run: &Run) -> Tensor { run.logits() }

        /// Of each token but the first, the natural logarithm of the probability that the model gave it after those before it: of the
        /// same pass, as `lm.score` has it of a pass of its own.
        ///
        /// Example:
        /// ```rhai
        /// ecco::tensor(run.log_probabilities).sum(0)
        /// ```
        get log_probabilities(run: &Run) -> Array {
            Ok(run.log_probabilities()?.iter().copied().map(Dynamic::from_float).collect())
        }
    }
}

/// What happened inside.
fn of_inside(registry: &mut Registry) {
    members! { registry, [Run];
        /// What passed by one of the model's sites, at all layers or at one, counted from 0: `lm.sites()` names them. A
        /// short text has all of them from the first pass (64 MB at most for the texts of one call); of a longer one
        /// each is recorded in another pass when it is first asked for.
        ///
        /// Example:
        /// ```rhai
        /// run.at("head_outputs")
        /// run.at("mlp_inner", 2)
        /// ```
        fn at(run: &Run, site: &str) -> Tensor { run.at_name(site, None) }

        fn at(run: &Run, site: &str, layer: INT) -> Tensor {
            let layer = usize::try_from(layer).map_err(|_| {
                let message = format!("there is no layer {layer}: layers are counted from 0");
                ScriptError::new(ErrorKind::Index, message)
            })?;
            run.at_name(site, Some(layer))
        }
    }
}
