//! Inside the model: what each layer would say, what each part wrote to a logit, what heads look at, candidates.

use rhai::plugin::*;
use rhai::{Array, FLOAT, INT, Map};

use crate::inside::attention::{Attention, Between};
use crate::inside::candidates::Candidates;
use crate::inside::lens::{Lens, LensOptions};
use crate::inside::parts::{By, LogitAttribution};
use crate::models::model::Model;
use crate::text::generation::Generation;
use crate::text::run::Run;
use crate::text::run_functions;
use crate::text::subject::Subject;
use crate::text::token::token;
use ecco_scripting::errors::{ErrorKind, RhaiResult, ScriptError};
use ecco_scripting::options::Word;
use ecco_scripting::options::{OptionKind, OptionSpec, OptionTable, Options, option};
use ecco_scripting::tensor::Tensor;

const POSITION: OptionSpec = option(
    "position",
    OptionKind::Int(0),
    "the first generated token; of a run the first mask, or what follows",
    "the position whose token is predicted",
);
const RAW: OptionSpec = option(
    "raw",
    OptionKind::Bool,
    "false",
    "leave the final norm out, as the Python library does",
);
const EMBEDDING: OptionSpec = option(
    "embedding",
    OptionKind::Bool,
    "false",
    "also what the stream says before the first layer",
);
const LAYER: OptionSpec = option(
    "layer",
    OptionKind::Int(0),
    "all layers",
    "one layer only, counted from 0",
);

const PREDICTIONS: &[OptionSpec] = &[
    POSITION,
    option("topk", OptionKind::Int(1), "10", "how many tokens of each layer"),
    LAYER,
    RAW,
    EMBEDDING,
];
const RANKINGS: &[OptionSpec] = &[LAYER, RAW, EMBEDDING];
const WATCH: &[OptionSpec] = &[
    option(
        "watch",
        OptionKind::Tokens,
        "needed",
        "the tokens to rank: texts that are one token each, or their numbers",
    ),
    option(
        "position",
        OptionKind::Int(0),
        "the last generated token; of a run the first mask, or what follows",
        "the position where they might stand",
    ),
    LAYER,
    RAW,
    EMBEDDING,
];
const LENS: &[OptionSpec] = &[
    option(
        "positions",
        OptionKind::Ints,
        "all generated tokens; of a run all",
        "positions whose tokens are predicted",
    ),
    option(
        "topk",
        OptionKind::Int(1),
        "5",
        "how many candidates each cell has",
    ),
    option("raw", OptionKind::Bool, "false", "leave the final norm out"),
    option(
        "embedding",
        OptionKind::Bool,
        "true",
        "also what the stream says before the first layer",
    ),
];
const LOGIT: &[OptionSpec] = &[
    POSITION,
    option(
        "target",
        OptionKind::Token,
        "the token that stands there",
        "the token whose logit it is: its text or its number",
    ),
    option(
        "contrast",
        OptionKind::Token,
        "none",
        "explain how much larger the logit is than this token's",
    ),
    option(
        "by",
        OptionKind::OneOf(&["layer", "head", "neuron"]),
        "\"layer\"",
        "which parts are shown; all are there",
    ),
    option("topk", OptionKind::Int(1), "20", "how many neurons are named"),
];
const ATTENTION: &[OptionSpec] = &[
    option(
        "layer",
        OptionKind::Int(0),
        "0; numbers of all",
        "the layer that is shown first",
    ),
    option(
        "head",
        OptionKind::Int(0),
        "the mean of heads; numbers of all",
        "the head that is shown first",
    ),
    option(
        "of",
        OptionKind::OneOf(Between::NAMES),
        "\"own\"; of two stacks \"cross\"",
        "a stack's attention to itself, a decoder's to the encoder, or the encoder's",
    ),
];
const CANDIDATES: &[OptionSpec] = &[option("topk", OptionKind::Int(1), "10", "how many")];

macro_rules! tables {
    ($($name:ident $of:literal $options:ident;)*) => {
        $(pub const $name: OptionTable = OptionTable { primitive: $of, options: $options };)*
    };
}

tables! {
    PREDICTIONS_OF_OUTPUT "Generation.layer_predictions" PREDICTIONS;
    PREDICTIONS_OF_RUN "Run.layer_predictions" PREDICTIONS;
    RANKINGS_OF_OUTPUT "Generation.rankings" RANKINGS;
    RANKINGS_OF_RUN "Run.rankings" RANKINGS;
    WATCH_OF_OUTPUT "Generation.rankings_watch" WATCH;
    WATCH_OF_RUN "Run.rankings_watch" WATCH;
    LENS_OF_OUTPUT "Generation.lens" LENS;
    LENS_OF_RUN "Run.lens" LENS;
    LOGIT_OF_OUTPUT "Generation.logit_attribution" LOGIT;
    LOGIT_OF_RUN "Run.logit_attribution" LOGIT;
    ATTENTION_OF_OUTPUT "Generation.attention" ATTENTION;
    ATTENTION_OF_RUN "Run.attention" ATTENTION;
    CANDIDATES_OF_OUTPUT "Generation.candidates" CANDIDATES;
    CANDIDATES_OF_RUN "Run.candidates" CANDIDATES;
}

pub const PREDICT_OPTIONS: OptionTable = OptionTable {
    primitive: "Model.predict",
    options: run_functions::RUN_OPTIONS.options,
};

#[export_module]
pub mod functions {
    use super::*;

    /// The most probable tokens after each layer, were it the last (logit lens): each layer's residual stream goes
    /// through the final norm and the head. Shown, it is a table of layers; the last one is what the model says.
    ///
    /// Example:
    /// ```rhai
    /// output.layer_predictions()
    /// ```
    #[rhai_fn(name = "layer_predictions", pure, return_raw)]
    pub fn layer_predictions(ctx: NativeCallContext, output: &mut Generation) -> RhaiResult<Lens> {
        super::predictions(
            Subject::of_generation(output),
            &PREDICTIONS_OF_OUTPUT,
            &Map::new(),
        )
        .map_err(|error| error.raise(&ctx))
    }

    /// The same with options. `raw: true` leaves out the final norm.
    ///
    /// Example:
    /// ```rhai
    /// output.layer_predictions(#{position: 25, topk: 5})
    /// ```
    #[rhai_fn(name = "layer_predictions", pure, return_raw)]
    pub fn layer_predictions_with(
        ctx: NativeCallContext,
        output: &mut Generation,
        options: Map,
    ) -> RhaiResult<Lens> {
        super::predictions(Subject::of_generation(output), &PREDICTIONS_OF_OUTPUT, &options)
            .map_err(|error| error.raise(&ctx))
    }

    /// The most probable tokens after each layer at a mask, or for what follows the text.
    #[rhai_fn(name = "layer_predictions", pure, return_raw)]
    pub fn run_layer_predictions(ctx: NativeCallContext, run: &mut Run) -> RhaiResult<Lens> {
        super::predictions(Subject::of_run(run), &PREDICTIONS_OF_RUN, &Map::new())
            .map_err(|error| error.raise(&ctx))
    }

    #[rhai_fn(name = "layer_predictions", pure, return_raw)]
    pub fn run_layer_predictions_with(
        ctx: NativeCallContext,
        run: &mut Run,
        options: Map,
    ) -> RhaiResult<Lens> {
        super::predictions(Subject::of_run(run), &PREDICTIONS_OF_RUN, &options)
            .map_err(|error| error.raise(&ctx))
    }

    /// The ranks of the generated tokens after each layer (layer × token); 1 is the most probable one.
    ///
    /// Example:
    /// ```rhai
    /// output.rankings()
    /// ```
    #[rhai_fn(name = "rankings", pure, return_raw)]
    pub fn rankings(ctx: NativeCallContext, output: &mut Generation) -> RhaiResult<Lens> {
        super::ranks(Subject::of_generation(output), &RANKINGS_OF_OUTPUT, &Map::new())
            .map_err(|error| error.raise(&ctx))
    }

    #[rhai_fn(name = "rankings", pure, return_raw)]
    pub fn rankings_with(ctx: NativeCallContext, output: &mut Generation, options: Map) -> RhaiResult<Lens> {
        super::ranks(Subject::of_generation(output), &RANKINGS_OF_OUTPUT, &options)
            .map_err(|error| error.raise(&ctx))
    }

    /// The ranks of the text's own tokens after each layer.
    #[rhai_fn(name = "rankings", pure, return_raw)]
    pub fn run_rankings(ctx: NativeCallContext, run: &mut Run) -> RhaiResult<Lens> {
        super::ranks(Subject::of_run(run), &RANKINGS_OF_RUN, &Map::new()).map_err(|error| error.raise(&ctx))
    }

    #[rhai_fn(name = "rankings", pure, return_raw)]
    pub fn run_rankings_with(ctx: NativeCallContext, run: &mut Run, options: Map) -> RhaiResult<Lens> {
        super::ranks(Subject::of_run(run), &RANKINGS_OF_RUN, &options).map_err(|error| error.raise(&ctx))
    }

    /// The ranks of chosen tokens at one position after each layer: texts that are one token each, or numbers.
    ///
    /// Example:
    /// ```rhai
    /// output.rankings_watch(#{watch: [" is", " are"]})
    /// ```
    #[rhai_fn(name = "rankings_watch", pure, return_raw)]
    pub fn rankings_watch(ctx: NativeCallContext, output: &mut Generation, options: Map) -> RhaiResult<Lens> {
        super::watch(Subject::of_generation(output), &WATCH_OF_OUTPUT, &options)
            .map_err(|error| error.raise(&ctx))
    }

    /// The ranks of chosen tokens at a mask, or for what follows the text.
    ///
    /// Example:
    /// ```rhai
    /// lm.run("The keys to the cabinet").rankings_watch(#{watch: [" is", " are"]})
    /// ```
    #[rhai_fn(name = "rankings_watch", pure, return_raw)]
    pub fn run_rankings_watch(ctx: NativeCallContext, run: &mut Run, options: Map) -> RhaiResult<Lens> {
        super::watch(Subject::of_run(run), &WATCH_OF_RUN, &options).map_err(|error| error.raise(&ctx))
    }

    /// What each layer would say at several places, with the entropy of it (in nats), the Kullback–Leibler divergence
    /// of the output from it (in nats), and the rank and probability of the token that stands there.
    ///
    /// Example:
    /// ```rhai
    /// output.lens()
    /// ```
    #[rhai_fn(name = "lens", pure, return_raw)]
    pub fn lens(ctx: NativeCallContext, output: &mut Generation) -> RhaiResult<Lens> {
        super::lens_map(Subject::of_generation(output), &LENS_OF_OUTPUT, &Map::new())
            .map_err(|error| error.raise(&ctx))
    }

    #[rhai_fn(name = "lens", pure, return_raw)]
    pub fn lens_with(ctx: NativeCallContext, output: &mut Generation, options: Map) -> RhaiResult<Lens> {
        super::lens_map(Subject::of_generation(output), &LENS_OF_OUTPUT, &options)
            .map_err(|error| error.raise(&ctx))
    }

    /// What each layer would say at the places of a text that was read.
    #[rhai_fn(name = "lens", pure, return_raw)]
    pub fn run_lens(ctx: NativeCallContext, run: &mut Run) -> RhaiResult<Lens> {
        super::lens_map(Subject::of_run(run), &LENS_OF_RUN, &Map::new()).map_err(|error| error.raise(&ctx))
    }

    #[rhai_fn(name = "lens", pure, return_raw)]
    pub fn run_lens_with(ctx: NativeCallContext, run: &mut Run, options: Map) -> RhaiResult<Lens> {
        super::lens_map(Subject::of_run(run), &LENS_OF_RUN, &options).map_err(|error| error.raise(&ctx))
    }

    /// The ranks of the tokens: a tensor (layer, token); of a lens (layer, position).
    #[rhai_fn(get = "ranks", pure, return_raw)]
    pub fn lens_ranks(ctx: NativeCallContext, lens: &mut Lens) -> RhaiResult<Tensor> {
        lens.tensor("ranks").map_err(|error| error.raise(&ctx))
    }

    /// Probabilities: of layer predictions (layer, candidate), of rankings (layer, token), of a lens those of the
    /// text's tokens (layer, position).
    #[rhai_fn(get = "probabilities", pure, return_raw)]
    pub fn lens_probabilities(ctx: NativeCallContext, lens: &mut Lens) -> RhaiResult<Tensor> {
        lens.tensor("probabilities").map_err(|error| error.raise(&ctx))
    }

    /// The entropy of what each layer says, −Σ p ln p in nats: a tensor (layer); of a lens (layer, position).
    #[rhai_fn(get = "entropy", pure, return_raw)]
    pub fn lens_entropy(ctx: NativeCallContext, lens: &mut Lens) -> RhaiResult<Tensor> {
        lens.tensor("entropy").map_err(|error| error.raise(&ctx))
    }

    /// The Kullback–Leibler divergence of the output from what each layer says, Σ q ln (q / p) in nats, 0 at the last
    /// layer: a tensor (layer); of a lens (layer, position).
    #[rhai_fn(get = "divergence", pure, return_raw)]
    pub fn lens_divergence(ctx: NativeCallContext, lens: &mut Lens) -> RhaiResult<Tensor> {
        lens.tensor("divergence").map_err(|error| error.raise(&ctx))
    }

    /// The texts of the most probable tokens: for each layer, at each position, best first.
    #[rhai_fn(get = "top_tokens", pure, return_raw)]
    pub fn lens_top_tokens(ctx: NativeCallContext, lens: &mut Lens) -> RhaiResult<Array> {
        let nested = |texts: Vec<String>| Dynamic::from_array(texts.into_iter().map(Dynamic::from).collect());
        let tokens = lens.top_tokens().map_err(|error| error.raise(&ctx))?;
        let row = |row: Vec<Vec<String>>| Dynamic::from_array(row.into_iter().map(nested).collect());
        Ok(tokens.into_iter().map(row).collect())
    }

    /// How much each part of the model wrote to the logit of the token at a position (direct logit attribution): the
    /// embedding, each layer's attention and MLP, each head, each neuron. With the deviation that the final norm divides
    /// by taken as it was, the parts sum to the logit.
    ///
    /// Example:
    /// ```rhai
    /// output.logit_attribution()
    /// ```
    #[rhai_fn(name = "logit_attribution", pure, return_raw)]
    pub fn logit_attribution(
        ctx: NativeCallContext,
        output: &mut Generation,
    ) -> RhaiResult<LogitAttribution> {
        super::logit(Subject::of_generation(output), &LOGIT_OF_OUTPUT, &Map::new())
            .map_err(|error| error.raise(&ctx))
    }

    /// The same of another token, or of the difference between two: why this and not that.
    ///
    /// Example:
    /// ```rhai
    /// output.logit_attribution(#{target: " Denmark", contrast: " Iceland", by: "head"})
    /// ```
    #[rhai_fn(name = "logit_attribution", pure, return_raw)]
    pub fn logit_attribution_with(
        ctx: NativeCallContext,
        output: &mut Generation,
        options: Map,
    ) -> RhaiResult<LogitAttribution> {
        super::logit(Subject::of_generation(output), &LOGIT_OF_OUTPUT, &options)
            .map_err(|error| error.raise(&ctx))
    }

    /// How much each part wrote to the logit of a token that might follow a text, or of one in it.
    ///
    /// Example:
    /// ```rhai
    /// lm.run("The keys to the cabinet").logit_attribution(#{target: " are", contrast: " is"})
    /// ```
    #[rhai_fn(name = "logit_attribution", pure, return_raw)]
    pub fn run_logit_attribution(
        ctx: NativeCallContext,
        run: &mut Run,
        options: Map,
    ) -> RhaiResult<LogitAttribution> {
        super::logit(Subject::of_run(run), &LOGIT_OF_RUN, &options).map_err(|error| error.raise(&ctx))
    }

    /// The logit, or the difference of two, that the parts sum to: before a cap, where the model has one.
    #[rhai_fn(get = "logit", pure, return_raw)]
    pub fn parts_logit(ctx: NativeCallContext, parts: &mut LogitAttribution) -> RhaiResult<FLOAT> {
        let found = parts.found().map_err(|error| error.raise(&ctx))?;
        Ok(found.logit)
    }

    /// The sum of all parts: the logit, up to rounding.
    #[rhai_fn(name = "sum", pure, return_raw)]
    pub fn parts_sum(ctx: NativeCallContext, parts: &mut LogitAttribution) -> RhaiResult<FLOAT> {
        let found = parts.found().map_err(|error| error.raise(&ctx))?;
        Ok(found.sum())
    }

    /// What the embedding wrote.
    #[rhai_fn(get = "embedding", pure, return_raw)]
    pub fn parts_embedding(ctx: NativeCallContext, parts: &mut LogitAttribution) -> RhaiResult<FLOAT> {
        let found = parts.found().map_err(|error| error.raise(&ctx))?;
        Ok(found.embedding)
    }

    /// What no layer wrote: the biases of the head, and of the norms on the stream.
    #[rhai_fn(get = "bias", pure, return_raw)]
    pub fn parts_bias(ctx: NativeCallContext, parts: &mut LogitAttribution) -> RhaiResult<FLOAT> {
        let found = parts.found().map_err(|error| error.raise(&ctx))?;
        Ok(found.bias)
    }

    /// What each layer's attention, its attention to an encoder where there is one, and its MLP wrote: a tensor
    /// (layer, part).
    #[rhai_fn(get = "parts", pure, return_raw)]
    pub fn parts_of_layers(ctx: NativeCallContext, parts: &mut LogitAttribution) -> RhaiResult<Tensor> {
        parts.parts().map_err(|error| error.raise(&ctx))
    }

    /// What each head wrote: a tensor (layer, head).
    #[rhai_fn(get = "heads", pure, return_raw)]
    pub fn parts_heads(ctx: NativeCallContext, parts: &mut LogitAttribution) -> RhaiResult<Tensor> {
        parts.heads().map_err(|error| error.raise(&ctx))
    }

    /// What each neuron wrote: a tensor (layer, neuron).
    #[rhai_fn(get = "neurons", pure, return_raw)]
    pub fn parts_neurons(ctx: NativeCallContext, parts: &mut LogitAttribution) -> RhaiResult<Tensor> {
        parts.neurons().map_err(|error| error.raise(&ctx))
    }

    /// The neurons that wrote most, either way: maps with `layer`, `neuron`, `activation`, `part`.
    #[rhai_fn(get = "top_neurons", pure, return_raw)]
    pub fn parts_top_neurons(ctx: NativeCallContext, parts: &mut LogitAttribution) -> RhaiResult<Array> {
        parts.top_neurons().map_err(|error| error.raise(&ctx))
    }

    /// What heads look at, as a view: a map of all heads, and the tokens with the weights of one query. The numbers
    /// are `output.attention`, a tensor.
    ///
    /// Example:
    /// ```rhai
    /// output.attention(#{layer: 3, head: 5})
    /// ```
    #[rhai_fn(name = "attention", pure, return_raw)]
    pub fn attention_with(
        ctx: NativeCallContext,
        output: &mut Generation,
        options: Map,
    ) -> RhaiResult<Attention> {
        let asked = super::asked(&ATTENTION_OF_OUTPUT, &options).map_err(|error| error.raise(&ctx))?;
        Attention::of_generation(output, asked.0, asked.1, asked.2).map_err(|error| error.raise(&ctx))
    }

    #[rhai_fn(name = "attention", pure, return_raw)]
    pub fn attention(ctx: NativeCallContext, output: &mut Generation) -> RhaiResult<Attention> {
        Attention::of_generation(output, None, None, None).map_err(|error| error.raise(&ctx))
    }

    /// What heads look at in a text that was read. The numbers are `run.attention`, a tensor.
    #[rhai_fn(name = "attention", pure, return_raw)]
    pub fn run_attention_with(ctx: NativeCallContext, run: &mut Run, options: Map) -> RhaiResult<Attention> {
        let asked = super::asked(&ATTENTION_OF_RUN, &options).map_err(|error| error.raise(&ctx))?;
        Attention::of_run(run, asked.0, asked.1, asked.2).map_err(|error| error.raise(&ctx))
    }

    #[rhai_fn(name = "attention", pure, return_raw)]
    pub fn run_attention(ctx: NativeCallContext, run: &mut Run) -> RhaiResult<Attention> {
        Attention::of_run(run, None, None, None).map_err(|error| error.raise(&ctx))
    }

    /// The most probable tokens at a position, and the rank of the one that stands there. The probabilities are those
    /// of the model itself, before temperature and the like.
    ///
    /// Example:
    /// ```rhai
    /// output.candidates(output.n_input_tokens)
    /// ```
    #[rhai_fn(name = "candidates", pure, return_raw)]
    pub fn candidates(
        ctx: NativeCallContext,
        output: &mut Generation,
        position: INT,
    ) -> RhaiResult<Candidates> {
        super::at(
            &Subject::of_generation(output),
            position,
            &CANDIDATES_OF_OUTPUT,
            &Map::new(),
        )
        .map_err(|error| error.raise(&ctx))
    }

    #[rhai_fn(name = "candidates", pure, return_raw)]
    pub fn candidates_with(
        ctx: NativeCallContext,
        output: &mut Generation,
        position: INT,
        options: Map,
    ) -> RhaiResult<Candidates> {
        super::at(
            &Subject::of_generation(output),
            position,
            &CANDIDATES_OF_OUTPUT,
            &options,
        )
        .map_err(|error| error.raise(&ctx))
    }

    /// The most probable tokens at a position of a text that was read.
    #[rhai_fn(name = "candidates", pure, return_raw)]
    pub fn run_candidates(ctx: NativeCallContext, run: &mut Run, position: INT) -> RhaiResult<Candidates> {
        super::at(&Subject::of_run(run), position, &CANDIDATES_OF_RUN, &Map::new())
            .map_err(|error| error.raise(&ctx))
    }

    #[rhai_fn(name = "candidates", pure, return_raw)]
    pub fn run_candidates_with(
        ctx: NativeCallContext,
        run: &mut Run,
        position: INT,
        options: Map,
    ) -> RhaiResult<Candidates> {
        super::at(&Subject::of_run(run), position, &CANDIDATES_OF_RUN, &options)
            .map_err(|error| error.raise(&ctx))
    }

    /// What the model says of a text, as a table: the tokens that might follow, those behind each mask, or labels.
    ///
    /// Example:
    /// ```rhai
    /// lm.predict("The capital of France is")
    /// ```
    #[rhai_fn(name = "predict", return_raw, volatile)]
    pub fn predict(ctx: NativeCallContext, lm: &mut Model, text: &str) -> RhaiResult<Candidates> {
        super::said(lm, text, &Map::new()).map_err(|error| error.raise(&ctx))
    }

    #[rhai_fn(name = "predict", return_raw, volatile)]
    pub fn predict_with(
        ctx: NativeCallContext,
        lm: &mut Model,
        text: &str,
        options: Map,
    ) -> RhaiResult<Candidates> {
        super::said(lm, text, &options).map_err(|error| error.raise(&ctx))
    }
}

fn lens_options(options: &Options, top_k: usize, embedding: bool) -> LensOptions {
    LensOptions {
        layer: options.usize("layer"),
        top_k: options.usize("topk").unwrap_or(top_k),
        raw: options.bool("raw").unwrap_or(false),
        embedding: options.bool("embedding").unwrap_or(embedding),
    }
}

fn predictions(subject: Subject, table: &'static OptionTable, options: &Map) -> Result<Lens, ScriptError> {
    let options = table.read(options)?;
    Lens::predictions(
        subject,
        options.usize("position"),
        &lens_options(&options, 10, false),
    )
}

fn ranks(subject: Subject, table: &'static OptionTable, options: &Map) -> Result<Lens, ScriptError> {
    let options = table.read(options)?;
    Lens::ranks(subject, &lens_options(&options, 1, false))
}

fn watch(subject: Subject, table: &'static OptionTable, options: &Map) -> Result<Lens, ScriptError> {
    let options = table.read(options)?;
    let words = options
        .words("watch")
        .filter(|words| !words.is_empty())
        .ok_or_else(|| {
            ScriptError::new(ErrorKind::Option, "there is no token to watch")
                .with_hint("name some: #{watch: [\" is\", \" are\"]}")
        })?;
    let loaded = subject.model.loaded()?;
    let tokens = words
        .iter()
        .map(|word| token(word, &loaded, "watch"))
        .collect::<Result<_, _>>()?;
    Lens::watch(
        subject,
        tokens,
        options.usize("position"),
        &lens_options(&options, 1, false),
    )
}

fn lens_map(subject: Subject, table: &'static OptionTable, options: &Map) -> Result<Lens, ScriptError> {
    let options = table.read(options)?;
    Lens::map(
        subject,
        options.usizes("positions"),
        &lens_options(&options, 5, true),
    )
}

fn logit(
    subject: Subject,
    table: &'static OptionTable,
    options: &Map,
) -> Result<LogitAttribution, ScriptError> {
    let options = table.read(options)?;
    let loaded = subject.model.loaded()?;
    let token = |name: &'static str| {
        let word = options.words(name).and_then(<[Word]>::first);
        word.map(|word| crate::text::token::token(word, &loaded, name))
            .transpose()
    };
    let by = match options.text("by") {
        Some("head") => By::Head,
        Some("neuron") => By::Neuron,
        _ => By::Layer,
    };
    let (target, contrast) = (token("target")?, token("contrast")?);
    let top_k = options.usize("topk").unwrap_or(20);
    LogitAttribution::new(subject, options.usize("position"), target, contrast, by, top_k)
}

type Asked = (Option<Between>, Option<usize>, Option<usize>);

fn asked(table: &'static OptionTable, options: &Map) -> Result<Asked, ScriptError> {
    let options = table.read(options)?;
    let between = options.text("of").and_then(Between::parse);
    Ok((between, options.usize("layer"), options.usize("head")))
}

fn at(
    subject: &Subject,
    position: INT,
    table: &'static OptionTable,
    options: &Map,
) -> Result<Candidates, ScriptError> {
    let options = table.read(options)?;
    let position = usize::try_from(position).map_err(|_| {
        let message = format!("there is no position {position}: positions are counted from 0");
        ScriptError::new(ErrorKind::Index, message)
    })?;
    Candidates::at(subject, position, options.usize("topk").unwrap_or(10))
}

fn said(lm: &Model, text: &str, options: &Map) -> Result<Candidates, ScriptError> {
    let options = PREDICT_OPTIONS.read(options)?;
    let mut runs = crate::text::run::run(
        lm,
        &[text.into()],
        options.texts("target"),
        options.usize("topk").unwrap_or(5),
    )?;
    Candidates::said(&runs.remove(0))
}
