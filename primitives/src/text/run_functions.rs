//! `lm.run`: one forward pass, and everything that happened in it.

use ecco_models::Site;
use ecco_models::run::Place;
use rhai::plugin::*;
use rhai::{Array, INT, Map};

use crate::models::model::Model;
use crate::text::chat::{Chat, Given};
use crate::text::run::{self, Run};
use ecco_scripting::errors::{ErrorKind, RhaiResult, ScriptError};
use ecco_scripting::options::{OptionKind, OptionTable, option};
use ecco_scripting::tensor::Tensor;

pub const RUN_OPTIONS: OptionTable = OptionTable {
    primitive: "Model.run",
    options: &[
        option(
            "target",
            OptionKind::Texts,
            "none",
            "encoder–decoders only: what the decoder has written so far; of a list of texts one for each, or one for all",
        ),
        option(
            "topk",
            OptionKind::Int(1),
            "5",
            "how many candidates each predicted token has",
        ),
    ],
};

#[export_module]
pub mod functions {
    use super::*;

    /// Runs the model once over a text, without generating: any kind of model. The result shows what the model
    /// says of the text, and holds what happened inside.
    ///
    /// Example:
    /// ```rhai
    /// let run = lm.run("The capital of France is");
    /// run.predictions[0].token
    /// ```
    #[rhai_fn(name = "run", return_raw, volatile)]
    pub fn run(ctx: NativeCallContext, lm: &mut Model, text: &str) -> RhaiResult<Run> {
        super::one(lm, text.into(), &Map::new()).map_err(|error| error.raise(&ctx))
    }

    /// Runs the model over a conversation that `lm.chat` made.
    #[rhai_fn(name = "run", return_raw, volatile)]
    pub fn run_chat(ctx: NativeCallContext, lm: &mut Model, chat: Chat) -> RhaiResult<Run> {
        super::one(lm, chat.into(), &Map::new()).map_err(|error| error.raise(&ctx))
    }

    #[rhai_fn(name = "run", return_raw, volatile)]
    pub fn run_chat_with(
        ctx: NativeCallContext,
        lm: &mut Model,
        chat: Chat,
        options: Map,
    ) -> RhaiResult<Run> {
        super::one(lm, chat.into(), &options).map_err(|error| error.raise(&ctx))
    }

    /// Runs the model with options.
    ///
    /// An encoder–decoder reads the text with its encoder; `target` is what its decoder has written so far. Without
    /// one, the decoder has only the token that it starts with, and predicts the first one it would write.
    ///
    /// Example:
    /// ```rhai
    /// lm.run("translate English to German: a house", #{target: "ein"})
    /// ```
    #[rhai_fn(name = "run", return_raw, volatile)]
    pub fn run_with(ctx: NativeCallContext, lm: &mut Model, text: &str, options: Map) -> RhaiResult<Run> {
        super::one(lm, text.into(), &options).map_err(|error| error.raise(&ctx))
    }

    /// Runs the model over several texts side by side: an array with one run for each, whose numbers are those
    /// of the text alone.
    ///
    /// Example:
    /// ```rhai
    /// let runs = lm.run(["It was good.", "It was bad."]);
    /// runs.map(|run| run.predictions[0])
    /// ```
    #[rhai_fn(name = "run", return_raw, volatile)]
    pub fn run_many(ctx: NativeCallContext, lm: &mut Model, texts: Array) -> RhaiResult<Array> {
        super::many(lm, &texts, &Map::new()).map_err(|error| error.raise(&ctx))
    }

    #[rhai_fn(name = "run", return_raw, volatile)]
    pub fn run_many_with(
        ctx: NativeCallContext,
        lm: &mut Model,
        texts: Array,
        options: Map,
    ) -> RhaiResult<Array> {
        super::many(lm, &texts, &options).map_err(|error| error.raise(&ctx))
    }

    /// What can be captured of a run by `run.at(name)`: a map from names to axes. Axes without a number are as long
    /// as the text. The names are the same for all models; `encoder_…` are those of an encoder that stands beside a
    /// decoder. `…_before`, `…_mid` and `…_after` are the residual stream, `…_input` what a half of a layer reads
    /// (normalised, where the model does that first), `…_output` what it adds to the stream; `cross_…` is the
    /// decoder's attention to the encoder. `mlp_pre` are the MLP's inner values before the non-linearity, `mlp_inner`
    /// those after it, times `mlp_up` where the MLP is gated.
    ///
    /// Example:
    /// ```rhai
    /// lm.sites()
    /// ```
    #[rhai_fn(name = "sites", pure, return_raw)]
    pub fn sites(ctx: NativeCallContext, lm: &mut Model) -> RhaiResult<Map> {
        run::sites(lm).map_err(|error| error.raise(&ctx))
    }

    /// The text that was read.
    #[rhai_fn(get = "text", pure)]
    pub fn text(run: &mut Run) -> String {
        run.source().to_owned()
    }

    /// The texts of the tokens that were read.
    #[rhai_fn(get = "tokens", pure)]
    pub fn tokens(run: &mut Run) -> Array {
        run.tokens()
            .iter()
            .map(|token| token.text.clone().into())
            .collect()
    }

    /// The tokens' numbers in the vocabulary.
    #[rhai_fn(get = "token_ids", pure)]
    pub fn token_ids(run: &mut Run) -> Array {
        let tokens = run.tokens().iter();
        tokens
            .map(|token| Dynamic::from_int(INT::from(token.id)))
            .collect()
    }

    /// Of an encoder–decoder: the tokens that the decoder was given as written, the one it starts with first.
    /// Empty for other models.
    #[rhai_fn(get = "target_tokens", pure)]
    pub fn target_tokens(run: &mut Run) -> Array {
        let tokens = run.target_tokens().iter();
        tokens.map(|token| token.text.clone().into()).collect()
    }

    /// What the model says, as an array of maps. Of a model that writes: one entry, for the token that follows. Of
    /// one for masked tokens: one entry for each mask. Both have `position`, `token`, `token_id`, `probability`, and
    /// in `top` the most probable candidates. Of a detector of replaced tokens: `position`, `token` and the
    /// `probability` that it was replaced. Of a classifier: `label` and `probability`, the most probable first; they
    /// sum to 1 unless the model was made for several labels at once.
    ///
    /// Example:
    /// ```rhai
    /// lm.run("Paris is the [MASK] of France.", #{topk: 3}).predictions[0].top
    /// ```
    #[rhai_fn(get = "predictions", pure, return_raw)]
    pub fn predictions(ctx: NativeCallContext, run: &mut Run) -> RhaiResult<Array> {
        run.predictions().map_err(|error| error.raise(&ctx))
    }

    /// What the head gives: a tensor (position, vocabulary); of a detector of replaced tokens (position), of a
    /// classifier (label), in the order of its configuration.
    #[rhai_fn(get = "logits", pure, return_raw)]
    pub fn logits(ctx: NativeCallContext, run: &mut Run) -> RhaiResult<Tensor> {
        run.logits().map_err(|error| error.raise(&ctx))
    }

    /// The residual stream before each layer and, last, after the final norm: a tensor (layer + 1, position,
    /// hidden), as transformers has it. Of an encoder–decoder the decoder's.
    #[rhai_fn(get = "hidden_states", pure, return_raw)]
    pub fn hidden_states(ctx: NativeCallContext, run: &mut Run) -> RhaiResult<Tensor> {
        run.hidden_states().map_err(|error| error.raise(&ctx))
    }

    /// How much each position attends to each: a tensor (layer, head, query, key). Of an encoder–decoder the
    /// decoder's to itself; `run.at("cross_pattern")` is its attention to the text,
    /// `run.at("encoder_attention_pattern")` the encoder's.
    #[rhai_fn(get = "attention", pure, return_raw)]
    pub fn attention(ctx: NativeCallContext, run: &mut Run) -> RhaiResult<Tensor> {
        run.at(Place::of(Site::AttentionPattern), None)
            .map_err(|error| error.raise(&ctx))
    }

    /// The MLPs' inner values after the non-linearity: a tensor (layer, neuron, position).
    #[rhai_fn(get = "activations", pure, return_raw)]
    pub fn activations(ctx: NativeCallContext, run: &mut Run) -> RhaiResult<Tensor> {
        run.at(Place::of(Site::MlpInner), None)
            .map_err(|error| error.raise(&ctx))
    }

    /// What passed by one of the model's sites, at all layers: `lm.sites()` names them. A short text has all of
    /// them from the first pass (64 MB at most for the texts of one call); of a longer one each is recorded in
    /// another pass when it is first asked for.
    ///
    /// Example:
    /// ```rhai
    /// run.at("head_outputs")
    /// ```
    #[rhai_fn(name = "at", pure, return_raw)]
    pub fn at(ctx: NativeCallContext, run: &mut Run, site: &str) -> RhaiResult<Tensor> {
        run.at_name(site, None).map_err(|error| error.raise(&ctx))
    }

    /// What passed by a site at one layer, counted from 0.
    ///
    /// Example:
    /// ```rhai
    /// run.at("mlp_inner", 2)
    /// ```
    #[rhai_fn(name = "at", pure, return_raw)]
    pub fn at_layer(ctx: NativeCallContext, run: &mut Run, site: &str, layer: INT) -> RhaiResult<Tensor> {
        super::at_layer(run, site, layer).map_err(|error| error.raise(&ctx))
    }
}

fn one(lm: &Model, text: Given, options: &Map) -> Result<Run, ScriptError> {
    let mut runs = with_options(lm, &[text], options)?;
    Ok(runs.remove(0))
}

fn many(lm: &Model, texts: &Array, options: &Map) -> Result<Array, ScriptError> {
    let text = |value| Given::of(value, "a list of strings");
    let texts: Vec<Given> = texts.iter().map(text).collect::<Result<_, _>>()?;
    let runs = with_options(lm, &texts, options)?;
    Ok(runs.into_iter().map(Dynamic::from).collect())
}

fn with_options(lm: &Model, texts: &[Given], options: &Map) -> Result<Vec<Run>, ScriptError> {
    let options = RUN_OPTIONS.read(options)?;
    run::run(
        lm,
        texts,
        options.texts("target"),
        options.usize("topk").unwrap_or(5),
    )
}

fn at_layer(run: &Run, site: &str, layer: INT) -> Result<Tensor, ScriptError> {
    match usize::try_from(layer) {
        Ok(layer) => run.at_name(site, Some(layer)),
        Err(_) => {
            let message = format!("there is no layer {layer}: layers are counted from 0");
            Err(ScriptError::new(ErrorKind::Index, message))
        }
    }
}
