//! Whether an attribution can be trusted: `faithfulness`, `compare_methods`.

use ecco_explain::{FaithfulnessOptions, Method};
use rhai::plugin::*;
use rhai::{Array, FLOAT, Map};

use crate::attribution::comparison::{Comparison, REFEREE, figure_map};
use crate::attribution::faithfulness::Faithfulness;
use crate::attribution::functions::{METHODS, TARGET_OPTIONS, baseline, with_options};
use crate::attribution::saliency::Saliency;
use crate::text::generation::Generation;
use ecco_scripting::errors::{ErrorKind, RhaiResult, ScriptError};
use ecco_scripting::options::{OptionKind, OptionSpec, OptionTable, Options, joined, option};

pub const FAITHFULNESS_OPTIONS: OptionTable = OptionTable {
    primitive: "Saliency.faithfulness",
    options: &[
        option(
            "fractions",
            OptionKind::Floats,
            "[0.1, 0.2, 0.5]",
            "of the tokens, for comprehensiveness, sufficiency and log-odds",
        ),
        option(
            "n_steps",
            OptionKind::Int(1),
            "10",
            "steps of the deletion and insertion curves",
        ),
        option(
            "n_random",
            OptionKind::Int(0),
            "5",
            "random orders that are measured beside",
        ),
        option("seed", OptionKind::Int(0), "0", "of the random orders"),
        option(
            "baseline",
            OptionKind::Such(&["zero", "pad", "mask", "mean"]),
            "the saliency's",
            "what stands in for tokens that are taken away",
        ),
    ],
};

const COMPARISON_OPTIONS: &[OptionSpec] = &[
    option(
        "referee",
        OptionKind::OneOf(METHODS),
        "\"occlusion\"",
        "the method that the others are measured by; it is added where it is missing",
    ),
    option(
        "k",
        OptionKind::Int(1),
        "5",
        "how many of the highest tokens are held together",
    ),
    option(
        "faithfulness",
        OptionKind::Bool,
        "true",
        "measure each method by what the model does without the tokens it puts highest",
    ),
    option(
        "baseline",
        OptionKind::Such(&["zero", "pad", "mask", "mean"]),
        "\"zero\"",
        "what stands for nothing, in methods that need it and in the measurement",
    ),
    option(
        "aggregation",
        OptionKind::OneOf(&["l2", "l1", "sum", "mean"]),
        "\"l2\"; \"sum\" where there is a contrast",
        "how the numbers along an embedding become one",
    ),
    option(
        "n_steps",
        OptionKind::Int(1),
        "50",
        "steps of integrated gradients",
    ),
    option(
        "n_samples",
        OptionKind::Int(1),
        "each method's own",
        "passes of sampling methods",
    ),
    option("seed", OptionKind::Int(0), "0", "of what is drawn at random"),
];

const ALL: [OptionSpec; TARGET_OPTIONS.len() + COMPARISON_OPTIONS.len()] =
    joined(TARGET_OPTIONS, COMPARISON_OPTIONS);

pub const COMPARE_OPTIONS: OptionTable = OptionTable {
    primitive: "Generation.compare_methods",
    options: &ALL,
};

pub const SALIENCY_COMPARE_OPTIONS: OptionTable = OptionTable {
    primitive: "Saliency.compare_methods",
    options: COMPARISON_OPTIONS,
};

#[export_module]
pub mod functions {
    use super::*;

    /// Measures whether a saliency says what the model uses: what its targets lose when the tokens that it puts
    /// highest go, and what they keep with those alone, against random orders. It is measured when first shown or
    /// read; from then on the saliency shows it too.
    #[rhai_fn(name = "faithfulness", pure, return_raw)]
    pub fn faithfulness(ctx: NativeCallContext, saliency: &mut Saliency) -> RhaiResult<Faithfulness> {
        of_saliency(saliency, &Map::new()).map_err(|error| error.raise(&ctx))
    }

    /// Measures whether a saliency says what the model uses, with options.
    ///
    /// Example:
    /// ```rhai
    /// output.saliency().faithfulness(#{n_random: 20})
    /// ```
    #[rhai_fn(name = "faithfulness", pure, return_raw)]
    pub fn faithfulness_with(
        ctx: NativeCallContext,
        saliency: &mut Saliency,
        options: Map,
    ) -> RhaiResult<Faithfulness> {
        of_saliency(saliency, &options).map_err(|error| error.raise(&ctx))
    }

    /// The figures as a map, means over the targets: `comprehensiveness`, `sufficiency`, `log_odds`, `deletion`,
    /// `insertion`.
    #[rhai_fn(get = "figures", pure, return_raw)]
    pub fn figures(ctx: NativeCallContext, faithfulness: &mut Faithfulness) -> RhaiResult<Map> {
        let measured = faithfulness.measured().map_err(|error| error.raise(&ctx))?;
        Ok(figure_map(&measured.figures()))
    }

    /// The same figures of random orders; `()` where none were measured.
    #[rhai_fn(get = "random", pure, return_raw)]
    pub fn random(ctx: NativeCallContext, faithfulness: &mut Faithfulness) -> RhaiResult<Dynamic> {
        let measured = faithfulness.measured().map_err(|error| error.raise(&ctx))?;
        let random = measured.random();
        Ok(random.map_or(Dynamic::UNIT, |random| figure_map(&random).into()))
    }

    /// Compares gradient × input and integrated gradients with occlusion.
    #[rhai_fn(name = "compare_methods", pure, return_raw)]
    pub fn compare(ctx: NativeCallContext, output: &mut Generation) -> RhaiResult<Comparison> {
        of_output(output, None, &Map::new()).map_err(|error| error.raise(&ctx))
    }

    /// Compares attribution methods on the same targets: how far each agrees with the referee, how faithful it is,
    /// what it costs.
    ///
    /// Example:
    /// ```rhai
    /// output.compare_methods(["grad_x_input", "ig", "occlusion"])
    /// ```
    #[rhai_fn(name = "compare_methods", pure, return_raw)]
    pub fn compare_these(
        ctx: NativeCallContext,
        output: &mut Generation,
        methods: Array,
    ) -> RhaiResult<Comparison> {
        of_output(output, Some(&methods), &Map::new()).map_err(|error| error.raise(&ctx))
    }

    /// Compares attribution methods, with options.
    ///
    /// Example:
    /// ```rhai
    /// output.compare_methods(["gradient", "lime"], #{target: " Denmark", contrast: " Iceland"})
    /// ```
    #[rhai_fn(name = "compare_methods", pure, return_raw)]
    pub fn compare_with(
        ctx: NativeCallContext,
        output: &mut Generation,
        methods: Array,
        options: Map,
    ) -> RhaiResult<Comparison> {
        of_output(output, Some(&methods), &options).map_err(|error| error.raise(&ctx))
    }

    /// Compares methods on a saliency's own text and targets.
    ///
    /// Example:
    /// ```rhai
    /// lm.attribute("It was good.").compare_methods(["gradient", "ig"])
    /// ```
    #[rhai_fn(name = "compare_methods", pure, return_raw)]
    pub fn compare_saliency(
        ctx: NativeCallContext,
        saliency: &mut Saliency,
        methods: Array,
    ) -> RhaiResult<Comparison> {
        of_targets(saliency, &methods, &Map::new()).map_err(|error| error.raise(&ctx))
    }

    #[rhai_fn(name = "compare_methods", pure, return_raw)]
    pub fn compare_saliency_with(
        ctx: NativeCallContext,
        saliency: &mut Saliency,
        methods: Array,
        options: Map,
    ) -> RhaiResult<Comparison> {
        of_targets(saliency, &methods, &options).map_err(|error| error.raise(&ctx))
    }

    /// The table as an array of maps, the referee first: `method`, `spearman`, `kendall`, `top_k`, `same_first` with
    /// the referee, `seconds`, and the figures of faithfulness where they were measured.
    #[rhai_fn(get = "rows", pure, return_raw)]
    pub fn rows(ctx: NativeCallContext, comparison: &mut Comparison) -> RhaiResult<Array> {
        comparison.rows().map_err(|error| error.raise(&ctx))
    }
}

fn of_saliency(saliency: &Saliency, options: &Map) -> Result<Faithfulness, ScriptError> {
    let options = FAITHFULNESS_OPTIONS.read(options)?;
    let defaults = FaithfulnessOptions::default();
    let how = FaithfulnessOptions {
        fractions: options
            .floats("fractions")
            .map_or(defaults.fractions, <[FLOAT]>::to_vec),
        n_steps: options.usize("n_steps").unwrap_or(defaults.n_steps),
        n_random: options.usize("n_random").unwrap_or(defaults.n_random),
        seed: options.u64("seed").unwrap_or(defaults.seed),
        baseline: match options.text("baseline") {
            Some(text) => baseline(&saliency.passage, text)?,
            None => saliency.options.baseline.clone(),
        },
    };
    how.check()?;
    Ok(Faithfulness {
        saliency: saliency.clone(),
        options: how,
    })
}

fn of_output(output: &Generation, methods: Option<&Array>, options: &Map) -> Result<Comparison, ScriptError> {
    let options = COMPARE_OPTIONS.read(options)?;
    let methods = match methods {
        Some(methods) => named_methods(methods)?,
        None => vec![Method::GradXInput, Method::IntegratedGradients],
    };
    let first = with_options(output.passage(), &options)?;
    compare(&first, methods, &options)
}

fn of_targets(saliency: &Saliency, methods: &Array, options: &Map) -> Result<Comparison, ScriptError> {
    let options = SALIENCY_COMPARE_OPTIONS.read(options)?;
    let mut first = with_options(saliency.passage.clone(), &options)?;
    first.wanted = saliency.wanted.clone();
    if options.text("aggregation").is_none() {
        first.options.aggregation = saliency.options.aggregation;
    }
    if options.text("baseline").is_none() {
        first.options.baseline = saliency.options.baseline.clone();
    }
    compare(&first, named_methods(methods)?, &options)
}

fn named_methods(methods: &Array) -> Result<Vec<Method>, ScriptError> {
    let mut all = Vec::new();
    for name in methods {
        let Ok(text) = name.as_immutable_string_ref() else {
            return ecco_scripting::result::show::expected("an array of methods' names", name);
        };
        let method = Method::parse(&text).ok_or_else(|| {
            let message = format!("there is no method \"{}\"", &*text);
            let error =
                ScriptError::new(ErrorKind::Value, message).with_nearest(&text, METHODS.iter().copied());
            match error.hint {
                Some(_) => error,
                None => error.with_hint(format!("methods are {}", METHODS.join(", "))),
            }
        })?;
        if !all.contains(&method) {
            all.push(method);
        }
    }
    Ok(all)
}

/// `first` says the text, the targets and the options that all methods share.
fn compare(first: &Saliency, mut methods: Vec<Method>, options: &Options) -> Result<Comparison, ScriptError> {
    let referee = options.text("referee").and_then(Method::parse).unwrap_or(REFEREE);
    if !methods.contains(&referee) {
        methods.push(referee);
    }
    if methods.len() < 2 {
        let message = format!("there is nothing to compare {} with", referee.name());
        return Err(ScriptError::new(ErrorKind::Value, message)
            .with_hint("output.compare_methods([\"grad_x_input\", \"integrated_gradients\"])"));
    }
    let place = methods.iter().position(|&method| method == referee).unwrap_or(0);
    let shared = first.options.baseline.clone();
    let saliency = |&method: &Method| {
        let mut one = first.clone();
        one.options.method = method;
        // Methods without a baseline would refuse one that is meant for the others.
        one.options.baseline = match method.has_baseline() {
            true => shared.clone(),
            false => Default::default(),
        };
        one
    };
    let faithfulness = options
        .bool("faithfulness")
        .unwrap_or(true)
        .then(|| FaithfulnessOptions {
            seed: first.options.seed,
            baseline: shared.clone(),
            ..FaithfulnessOptions::default()
        });
    let saliencies = methods.iter().map(saliency).collect();
    Ok(Comparison::new(
        saliencies,
        place,
        options.usize("k").unwrap_or(5),
        faithfulness,
    ))
}
