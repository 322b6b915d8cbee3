//! Which tokens what a model says came from: `saliency`, `primary_attributions`, `lm.attribute`.

use std::rc::Rc;

use ecco_explain::{Aggregation, AttributionOptions, Baseline, Combine, Grouping, Method};
use ecco_models::Prompt;
use ecco_models::run::Input;
use ecco_widgets::{SaliencyStyle, Unit};
use rhai::plugin::*;
use rhai::{Array, INT, Map};

use crate::attribution::saliency::{By, Saliency};
use crate::attribution::targets::wanted;
use crate::models::model::Model;
use crate::text::chat::Chat;
use crate::text::generation::Generation;
use crate::text::passage::Passage;
use crate::text::run::Run;
use crate::text::score::given;
use ecco_scripting::errors::{ErrorKind, RhaiResult, ScriptError};
use ecco_scripting::options::{OptionKind, OptionSpec, OptionTable, Options, joined, option};
use ecco_scripting::tensor::Tensor;

/// Names of the attribution methods.
pub const METHODS: &[&str] = Method::ALL_NAMES;

/// What every attribution can be told.
const N_OPTIONS: usize = TARGET_OPTIONS.len() + HOW_OPTIONS.len();
const OPTIONS: [OptionSpec; N_OPTIONS] = joined(TARGET_OPTIONS, HOW_OPTIONS);

/// What is explained.
pub const TARGET_OPTIONS: &[OptionSpec] = &[
    option(
        "target",
        OptionKind::Targets,
        "what was written; else the most probable token or label",
        "what is explained: any token of the vocabulary, a label, or an array of such; an entry may be a map \
         `#{target, contrast, position}`",
    ),
    option(
        "contrast",
        OptionKind::Token,
        "none",
        "explains why the target and not this: their difference",
    ),
    option(
        "position",
        OptionKind::IntOrInts,
        "where the target was written first, else the first place after the input; every mask",
        "where the target stands or would stand, counted as the widget counts; several explain several places",
    ),
    option(
        "of",
        OptionKind::OneOf(&["probability", "logit", "log_probability", "entropy"]),
        "\"probability\"",
        "which number about the target; entropy is of all tokens or labels together",
    ),
];

/// How, and how it is shown.
const HOW_OPTIONS: &[OptionSpec] = &[
    option(
        "method",
        OptionKind::OneOf(METHODS),
        "\"grad_x_input\"",
        "how contributions are computed; docs/methods has a page for each",
    ),
    option(
        "n_steps",
        OptionKind::Int(1),
        "50",
        "steps of the path of integrated gradients",
    ),
    option(
        "n_samples",
        OptionKind::Int(1),
        "the method's own",
        "passes of LIME and KernelSHAP, draws of gradient SHAP and SmoothGrad",
    ),
    option(
        "noise",
        OptionKind::Float,
        "0.1",
        "of gradient SHAP: the deviation of what is added, by that of the text's embeddings",
    ),
    option(
        "sigma",
        OptionKind::Float,
        "0.15",
        "of SmoothGrad: the deviation of what is added, by that of the text's embeddings",
    ),
    option(
        "window",
        OptionKind::Int(1),
        "1",
        "neighbouring tokens that occlusion takes away together",
    ),
    option(
        "seed",
        OptionKind::Int(0),
        "0",
        "of what a method draws at random",
    ),
    option(
        "baseline",
        OptionKind::Such(&["zero", "pad", "mask", "mean"]),
        "\"zero\"",
        "what stands for nothing: these embeddings at every token, or a text of no more tokens",
    ),
    option(
        "aggregation",
        OptionKind::OneOf(&["l2", "l1", "sum", "mean"]),
        "\"l2\"; \"sum\" where there is a contrast",
        "how the numbers along an embedding become one: \"sum\" and \"mean\" keep the sign",
    ),
    option(
        "by",
        OptionKind::OneOf(&["token", "word", "line", "sentence"]),
        "\"token\"",
        "what has one score; tokens' scores are combined",
    ),
    option(
        "spans",
        OptionKind::Spans,
        "none",
        "tokens that have one score together, as pairs [from, to], the end left out; the tokens between are spans too",
    ),
    option(
        "combine",
        OptionKind::OneOf(&["sum", "mean", "max"]),
        "\"sum\"",
        "how tokens' scores become that of a word, line, sentence or span",
    ),
    option(
        "ignore_tokens",
        OptionKind::IntOrInts,
        "none",
        "positions whose contribution is left out; the other shares are brought to a sum of 1",
    ),
    option(
        "style",
        OptionKind::OneOf(&["minimal", "detailed"]),
        "\"minimal\"",
        "colours alone, or a bar and a number for each token",
    ),
];

pub const SALIENCY_OPTIONS: OptionTable = OptionTable {
    primitive: "Generation.saliency",
    options: &OPTIONS,
};

const ATTR_METHOD: &[OptionSpec] = &[option(
    "attr_method",
    OptionKind::OneOf(METHODS),
    "\"grad_x_input\"",
    "the name the Python library has for `method`",
)];

pub const PRIMARY_OPTIONS: OptionTable = OptionTable {
    primitive: "Generation.primary_attributions",
    options: &PRIMARY,
};
const PRIMARY: [OptionSpec; N_OPTIONS + 1] = joined(ATTR_METHOD, &OPTIONS);

pub const ATTRIBUTE_OPTIONS: OptionTable = OptionTable {
    primitive: "Model.attribute",
    options: &OPTIONS,
};

pub const RUN_SALIENCY_OPTIONS: OptionTable = OptionTable {
    primitive: "Run.saliency",
    options: &OPTIONS,
};

#[export_module]
pub mod functions {
    use super::*;

    /// Input saliency: how much each earlier token contributed to each generated one. It is computed when
    /// it is first shown or read.
    #[rhai_fn(name = "saliency", pure, return_raw)]
    pub fn saliency(ctx: NativeCallContext, output: &mut Generation) -> RhaiResult<Saliency> {
        of_output(output, &Map::new(), &SALIENCY_OPTIONS).map_err(|error| error.raise(&ctx))
    }

    /// Input saliency by another method, of another target, in words, in another style.
    ///
    /// Example:
    /// ```rhai
    /// output.saliency(#{style: "detailed", method: "integrated_gradients"})
    /// ```
    #[rhai_fn(name = "saliency", pure, return_raw)]
    pub fn saliency_with(
        ctx: NativeCallContext,
        output: &mut Generation,
        options: Map,
    ) -> RhaiResult<Saliency> {
        of_output(output, &options, &SALIENCY_OPTIONS).map_err(|error| error.raise(&ctx))
    }

    /// The name the Python library has for `saliency`.
    #[rhai_fn(name = "primary_attributions", pure, return_raw)]
    pub fn primary_attributions(ctx: NativeCallContext, output: &mut Generation) -> RhaiResult<Saliency> {
        of_output(output, &Map::new(), &PRIMARY_OPTIONS).map_err(|error| error.raise(&ctx))
    }

    /// The name the Python library has for `saliency`, with the names of its options.
    ///
    /// Example:
    /// ```rhai
    /// output.primary_attributions(#{attr_method: "ig", style: "detailed"})
    /// ```
    #[rhai_fn(name = "primary_attributions", pure, return_raw)]
    pub fn primary_attributions_with(
        ctx: NativeCallContext,
        output: &mut Generation,
        options: Map,
    ) -> RhaiResult<Saliency> {
        of_output(output, &options, &PRIMARY_OPTIONS).map_err(|error| error.raise(&ctx))
    }

    /// Explains what a model says of a text: the most probable next token, label, or token behind each mask.
    ///
    /// Example:
    /// ```rhai
    /// lm.attribute("The capital of France is")
    /// ```
    #[rhai_fn(name = "attribute", return_raw)]
    pub fn attribute(ctx: NativeCallContext, lm: &mut Model, text: &str) -> RhaiResult<Saliency> {
        of_text(lm, text.into(), &Map::new()).map_err(|error| error.raise(&ctx))
    }

    /// Explains what a model would answer first in a conversation that `lm.chat` made.
    #[rhai_fn(name = "attribute", return_raw)]
    pub fn attribute_chat(ctx: NativeCallContext, lm: &mut Model, chat: Chat) -> RhaiResult<Saliency> {
        of_text(lm, chat.prompt(), &Map::new()).map_err(|error| error.raise(&ctx))
    }

    #[rhai_fn(name = "attribute", return_raw)]
    pub fn attribute_chat_with(
        ctx: NativeCallContext,
        lm: &mut Model,
        chat: Chat,
        options: Map,
    ) -> RhaiResult<Saliency> {
        of_text(lm, chat.prompt(), &options).map_err(|error| error.raise(&ctx))
    }

    /// Explains each token of an answer that you give.
    #[rhai_fn(name = "attribute", return_raw)]
    pub fn attribute_answer(
        ctx: NativeCallContext,
        lm: &mut Model,
        chat: Chat,
        continuation: &str,
    ) -> RhaiResult<Saliency> {
        of_continuation(lm, chat.prompt(), continuation, &Map::new()).map_err(|error| error.raise(&ctx))
    }

    #[rhai_fn(name = "attribute", return_raw)]
    pub fn attribute_answer_with(
        ctx: NativeCallContext,
        lm: &mut Model,
        chat: Chat,
        continuation: &str,
        options: Map,
    ) -> RhaiResult<Saliency> {
        of_continuation(lm, chat.prompt(), continuation, &options).map_err(|error| error.raise(&ctx))
    }

    /// Explains what a model says of a text, or could say: any token of the vocabulary, any label.
    ///
    /// Example:
    /// ```rhai
    /// lm.attribute("The capital of France is", #{target: " Paris", contrast: " London"})
    /// ```
    #[rhai_fn(name = "attribute", return_raw)]
    pub fn attribute_with(
        ctx: NativeCallContext,
        lm: &mut Model,
        text: &str,
        options: Map,
    ) -> RhaiResult<Saliency> {
        of_text(lm, text.into(), &options).map_err(|error| error.raise(&ctx))
    }

    /// Explains each token of a continuation that you give; for an encoder–decoder what it would have written.
    #[rhai_fn(name = "attribute", return_raw)]
    pub fn attribute_continuation(
        ctx: NativeCallContext,
        lm: &mut Model,
        prompt: &str,
        continuation: &str,
    ) -> RhaiResult<Saliency> {
        of_continuation(lm, prompt.into(), continuation, &Map::new()).map_err(|error| error.raise(&ctx))
    }

    /// Explains a continuation, with options.
    ///
    /// Example:
    /// ```rhai
    /// lm.attribute("The capital of France is", " Paris.", #{method: "occlusion"})
    /// ```
    #[rhai_fn(name = "attribute", return_raw)]
    pub fn attribute_continuation_with(
        ctx: NativeCallContext,
        lm: &mut Model,
        prompt: &str,
        continuation: &str,
        options: Map,
    ) -> RhaiResult<Saliency> {
        of_continuation(lm, prompt.into(), continuation, &options).map_err(|error| error.raise(&ctx))
    }

    /// Explains what the model says of the text that it has read.
    #[rhai_fn(name = "saliency", pure, return_raw)]
    pub fn run_saliency(ctx: NativeCallContext, run: &mut Run) -> RhaiResult<Saliency> {
        build(run.passage(), &Map::new(), &RUN_SALIENCY_OPTIONS).map_err(|error| error.raise(&ctx))
    }

    /// Explains what the model says of the text, or could say.
    ///
    /// Example:
    /// ```rhai
    /// lm.run("It was good.").saliency(#{target: "positive", by: "word"})
    /// ```
    #[rhai_fn(name = "saliency", pure, return_raw)]
    pub fn run_saliency_with(ctx: NativeCallContext, run: &mut Run, options: Map) -> RhaiResult<Saliency> {
        build(run.passage(), &options, &RUN_SALIENCY_OPTIONS).map_err(|error| error.raise(&ctx))
    }

    /// The scores: a tensor (generated token or target, position or word …), zero where a position comes after the
    /// target. Shares that sum to 1 in each row; with `aggregation: "sum"` contributions with their sign.
    #[rhai_fn(get = "scores", pure, return_raw)]
    pub fn scores(ctx: NativeCallContext, saliency: &mut Saliency) -> RhaiResult<Tensor> {
        saliency.tensor().map_err(|error| error.raise(&ctx))
    }

    /// Each token's contribution with its sign, in units of what is explained: a tensor (target, position). Where the
    /// method promises completeness, a row sums to the difference from the baseline.
    #[rhai_fn(get = "contributions", pure, return_raw)]
    pub fn contributions(ctx: NativeCallContext, saliency: &mut Saliency) -> RhaiResult<Tensor> {
        saliency.contributions().map_err(|error| error.raise(&ctx))
    }

    /// What is explained, as a number for each target: its probability, or what `of` says.
    #[rhai_fn(get = "values", pure, return_raw)]
    pub fn values(ctx: NativeCallContext, saliency: &mut Saliency) -> RhaiResult<Array> {
        let attribution = saliency.attribution().map_err(|error| error.raise(&ctx))?;
        Ok(attribution
            .values
            .iter()
            .map(|&value| Dynamic::from_float(value))
            .collect())
    }

    /// The targets: an array of maps with `token` (or label), `position`, and `contrast` where there is one.
    #[rhai_fn(get = "targets", pure, return_raw)]
    pub fn targets(ctx: NativeCallContext, saliency: &mut Saliency) -> RhaiResult<Array> {
        let named = saliency.target_names().map_err(|error| error.raise(&ctx))?;
        let map = |target: &ecco_widgets::saliency::Target| {
            let position = target
                .position
                .map_or(Dynamic::UNIT, |at| Dynamic::from_int(at as INT));
            let mut map = Map::from([
                ("token".into(), target.name.text.clone().into()),
                ("position".into(), position),
            ]);
            if let Some(contrast) = &target.contrast {
                map.insert("contrast".into(), contrast.text.clone().into());
            }
            Dynamic::from_map(map)
        };
        Ok(named.iter().map(map).collect())
    }

    /// Whether contributions add up to what the method promises: for each target a map with `promised`, `error`
    /// and `relative`; `()` where it promises nothing.
    #[rhai_fn(get = "completeness", pure, return_raw)]
    pub fn completeness(ctx: NativeCallContext, saliency: &mut Saliency) -> RhaiResult<Array> {
        let attribution = saliency.attribution().map_err(|error| error.raise(&ctx))?;
        let map = |found: &Option<ecco_explain::Completeness>| {
            found.map_or(Dynamic::UNIT, |found| {
                let numbers = [
                    ("promised", found.promised),
                    ("error", found.error),
                    ("relative", found.relative),
                ];
                Dynamic::from_map(numbers.map(|(name, number)| (name.into(), number.into())).into())
            })
        };
        Ok(attribution.completeness.iter().map(map).collect())
    }

    /// The method, for people.
    #[rhai_fn(get = "method", pure)]
    pub fn method(saliency: &mut Saliency) -> String {
        saliency.options.method.label().to_owned()
    }
}

fn of_output(
    output: &Generation,
    options: &Map,
    table: &'static OptionTable,
) -> Result<Saliency, ScriptError> {
    build(output.passage(), options, table)
}

fn of_text(lm: &Model, text: Prompt, options: &Map) -> Result<Saliency, ScriptError> {
    let loaded = lm.loaded()?;
    let input = Input::new(&loaded, text, None)?;
    build(Passage::of_text(lm, input)?, options, &ATTRIBUTE_OPTIONS)
}

fn of_continuation(
    lm: &Model,
    prompt: Prompt,
    continuation: &str,
    options: &Map,
) -> Result<Saliency, ScriptError> {
    let text = given(lm, Some(prompt), continuation)?;
    build(text.passage(), options, &ATTRIBUTE_OPTIONS)
}

fn build(passage: Passage, options: &Map, table: &'static OptionTable) -> Result<Saliency, ScriptError> {
    let options = table.read(options)?;
    with_options(passage, &options)
}

/// A saliency of what was written, by one method.
pub fn with_method(passage: &Passage, method: &str) -> Result<Saliency, ScriptError> {
    let options = Map::from([("method".into(), method.into())]);
    build(passage.clone(), &options, &SALIENCY_OPTIONS)
}

/// What the options say; nothing is computed yet.
pub fn with_options(passage: Passage, options: &Options) -> Result<Saliency, ScriptError> {
    let style = match options.text("style") {
        Some("detailed") => SaliencyStyle::Detailed,
        _ => SaliencyStyle::Minimal,
    };
    let ignored = options.usizes("ignore_tokens").unwrap_or_default();
    let n = passage.tokens().len();
    if let Some(position) = ignored.iter().find(|&&position| position >= n) {
        let message = format!("there is no token {position} to ignore: the text has {n}, numbered from 0");
        return Err(ScriptError::new(ErrorKind::Value, message).pointing_at("ignore_tokens"));
    }
    let saliency = Saliency {
        wanted: wanted(&passage, options)?,
        options: attribution_options(&passage, options)?,
        by: by(options)?,
        style,
        ignored: Rc::new(ignored),
        passage,
    };
    saliency.groups().map_err(|error| error.pointing_at("spans"))?;
    Ok(saliency)
}

fn attribution_options(passage: &Passage, options: &Options) -> Result<AttributionOptions, ScriptError> {
    let defaults = AttributionOptions::default();
    if options.text("method").is_some() && options.text("attr_method").is_some() {
        let message = "method and attr_method are the same option: give one of them";
        return Err(ScriptError::new(ErrorKind::Option, message).pointing_at("attr_method"));
    }
    let method = options.text("method").or(options.text("attr_method"));
    let has_contrast = options.words("contrast").is_some()
        || options
            .targets("target")
            .unwrap_or_default()
            .iter()
            .any(|target| target.contrast.is_some());
    let aggregation = options.text("aggregation").and_then(Aggregation::parse);
    Ok(AttributionOptions {
        method: method.and_then(Method::parse).unwrap_or(defaults.method),
        n_steps: options.usize("n_steps").unwrap_or(defaults.n_steps),
        n_samples: options.usize("n_samples"),
        noise: options.float("noise").unwrap_or(defaults.noise),
        sigma: options.float("sigma").unwrap_or(defaults.sigma),
        window: options.usize("window").unwrap_or(defaults.window),
        seed: options.u64("seed").unwrap_or(defaults.seed),
        baseline: match options.text("baseline") {
            Some(text) => baseline(passage, text)?,
            None => defaults.baseline,
        },
        // Without a sign nobody sees which of the two a token speaks for.
        aggregation: aggregation.unwrap_or(if has_contrast {
            Aggregation::Sum
        } else {
            defaults.aggregation
        }),
    })
}

/// One of the names, or a text.
pub fn baseline(passage: &Passage, text: &str) -> Result<Baseline, ScriptError> {
    match Baseline::parse(text) {
        Some(named) => Ok(named),
        None => Ok(Baseline::Text(
            passage.model().loaded()?.tokenizer().encode(text)?,
        )),
    }
}

fn by(options: &Options) -> Result<By, ScriptError> {
    let combine = options
        .text("combine")
        .and_then(Combine::parse)
        .unwrap_or_default();
    let (unit, grouping) = match (options.text("by"), options.spans("spans")) {
        (Some(_), Some(_)) => {
            let message = "`by` and `spans` both say what has one score: give one of them";
            return Err(ScriptError::new(ErrorKind::Option, message).pointing_at("spans"));
        }
        (None, Some(spans)) => (Unit::Span, Some(Grouping::Tokens(spans.to_vec()))),
        (Some("word"), _) => (Unit::Word, Some(Grouping::Words)),
        (Some("line"), _) => (Unit::Line, Some(Grouping::Lines)),
        (Some("sentence"), _) => (Unit::Sentence, Some(Grouping::Sentences)),
        _ => (Unit::Token, None),
    };
    Ok(By {
        unit,
        grouping,
        combine,
    })
}
