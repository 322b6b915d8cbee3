//! Factors of activations: `run_nmf`, `run_pca`, `run_ica` of an output or a run, `ecco::nmf` and so on of several.

use ecco_explain::ica::IcaOptions;
use ecco_explain::nmf::NmfOptions;
use ecco_interpreter::Explorable;
use ecco_models::Site;
use rhai::plugin::*;
use rhai::{Array, Engine, FLOAT, FuncRegistration, INT, Map};

use crate::factors::factorization::{self, Count, Factorization, Stability, Wanted};
use crate::text::capture::Where;
use crate::text::generation::Generation;
use crate::text::passage::Passage;
use crate::text::run::Run;
use ecco_scripting::errors::{ErrorKind, RhaiResult, ScriptError};
use ecco_scripting::options::{OptionKind, OptionSpec, OptionTable, Options, option};
use ecco_scripting::result::rich::Rich;
use ecco_scripting::session::{State, state_of};
use ecco_scripting::tensor::Tensor;

const SITE: OptionSpec = option(
    "site",
    OptionKind::Such(&["mlp_inner", "residual_after", "encoder_mlp_inner"]),
    "\"mlp_inner\"",
    "where activations are taken: one of lm.sites() with a value at each position",
);
const LAYERS: OptionSpec = option(
    "layers",
    OptionKind::Ints,
    "all layers",
    "these layers, counted from 0",
);
const FROM: OptionSpec = option(
    "from_layer",
    OptionKind::Int(0),
    "0",
    "the first layer, counted from 0",
);
const TO: OptionSpec = option(
    "to_layer",
    OptionKind::Int(1),
    "all layers",
    "the first layer left out",
);
const SEED: OptionSpec = option(
    "seed",
    OptionKind::Int(0),
    "0",
    "of the random start; the same as scikit-learn's random_state",
);

const NMF: &[OptionSpec] = &[
    option(
        "n_components",
        OptionKind::CountOr(&["auto"]),
        "10",
        "how many factors, at most one per position; \"auto\" takes the number that predicts held-out neurons and \
         positions best",
    ),
    option(
        "max_components",
        OptionKind::Int(1),
        "32",
        "with \"auto\": no more than these are tried",
    ),
    SITE,
    LAYERS,
    FROM,
    TO,
    option("max_iter", OptionKind::Int(1), "500", "sweeps at most"),
    SEED,
];

const PCA: &[OptionSpec] = &[
    option(
        "n_components",
        OptionKind::Int(1),
        "10",
        "how many components, at most one per position",
    ),
    SITE,
    LAYERS,
    FROM,
    TO,
];

const ICA: &[OptionSpec] = &[
    option(
        "n_components",
        OptionKind::Int(1),
        "10",
        "how many components, at most one less than positions",
    ),
    SITE,
    LAYERS,
    FROM,
    TO,
    option("max_iter", OptionKind::Int(1), "200", "steps at most"),
    SEED,
];

const fn table(primitive: &'static str, options: &'static [OptionSpec]) -> OptionTable {
    OptionTable { primitive, options }
}

pub const OUTPUT_NMF: OptionTable = table("Generation.run_nmf", NMF);
pub const RUN_NMF: OptionTable = table("Run.run_nmf", NMF);
pub const ECCO_NMF: OptionTable = table("ecco::nmf", NMF);
pub const OUTPUT_PCA: OptionTable = table("Generation.run_pca", PCA);
pub const RUN_PCA: OptionTable = table("Run.run_pca", PCA);
pub const ECCO_PCA: OptionTable = table("ecco::pca", PCA);
pub const OUTPUT_ICA: OptionTable = table("Generation.run_ica", ICA);
pub const RUN_ICA: OptionTable = table("Run.run_ica", ICA);
pub const ECCO_ICA: OptionTable = table("ecco::ica", ICA);

pub const STABILITY: OptionTable = table(
    "Factorization.stability",
    &[option(
        "seeds",
        OptionKind::Int(1),
        "5",
        "how many other seeds the factors are looked for from",
    )],
);

const TABLES: [&OptionTable; 6] = [
    &OUTPUT_NMF,
    &RUN_NMF,
    &OUTPUT_PCA,
    &RUN_PCA,
    &OUTPUT_ICA,
    &RUN_ICA,
];

/// What the options of a method ask for.
type Reader = fn(&Options) -> Wanted;

/// A method: its name among members, its reader, and what its documentation says.
struct Member {
    name: &'static str,
    read: Reader,
    docs: &'static str,
}

const MEMBERS: [Member; 3] = [
    Member {
        name: "run_nmf",
        read: nmf,
        docs: r#"/// Groups the neurons into factors that fire together: non-negative matrix factorization of the activations, with
/// what is negative taken as 0.
///
/// Example:
/// ```rhai
/// let nmf = output.run_nmf(#{n_components: 10});
/// nmf.explore()
/// ```"#,
    },
    Member {
        name: "run_pca",
        read: pca,
        docs: r#"/// The principal components of the activations: the directions along which they vary most from position to
/// position. Components have signs.
///
/// Example:
/// ```rhai
/// output.run_pca(#{n_components: 5}).explained_variance_ratio
/// ```"#,
    },
    Member {
        name: "run_ica",
        read: ica,
        docs: r#"/// The independent components of the activations (FastICA): signals over the positions that are as far from a normal
/// distribution as possible. Components have signs; these and their order mean nothing.
///
/// Example:
/// ```rhai
/// output.run_ica(#{n_components: 5})
/// ```"#,
    },
];

/// Makes the methods known as members of outputs and runs.
pub fn register(engine: &mut Engine) {
    register_members::<Generation>(engine, "Generation");
    register_members::<Run>(engine, "Run");
}

fn register_members<T: Clone + 'static>(engine: &mut Engine, of: &str)
where
    for<'a> Passage: From<&'a T>,
{
    for Member { name, read, docs } in MEMBERS {
        let receiver = format!("result: &mut {of}");
        let member = |params: &[&str]| {
            let info = [&[receiver.as_str()], params, &["RhaiResult<Factorization>"]].concat();
            FuncRegistration::new(name)
                .with_purity(true)
                .with_comments(docs.lines())
                .with_params_info(info)
        };
        let Some(table) = TABLES
            .into_iter()
            .find(|table| table.primitive == format!("{of}.{name}"))
        else {
            continue;
        };
        let made = move |ctx: &NativeCallContext, of: &mut T, options: &Map| {
            let sources = vec![Passage::from(&*of)];
            run(&state_of(ctx), sources, table, options, read).map_err(|error| error.raise(ctx))
        };
        member(&[]).register_into_engine(
            engine,
            move |ctx: NativeCallContext, of: &mut T| -> RhaiResult<Factorization> {
                made(&ctx, of, &Map::new())
            },
        );
        member(&["options: Map"]).register_into_engine(
            engine,
            move |ctx: NativeCallContext, of: &mut T, options: Map| -> RhaiResult<Factorization> {
                made(&ctx, of, &options)
            },
        );
    }
}

#[export_module]
pub mod ecco {
    use super::*;

    /// Non-negative factors of several texts together: outputs of `lm.generate` or runs of `lm.run`, of one model. A
    /// factor that is active in two of them is the same group of neurons.
    ///
    /// Example:
    /// ```rhai
    /// let nmf = ecco::nmf(lm.run(["one text", "another text"]));
    /// ```
    #[rhai_fn(name = "nmf", return_raw, volatile)]
    pub fn nmf(ctx: NativeCallContext, outputs: Array) -> RhaiResult<Factorization> {
        super::several(&ctx, &outputs, &ECCO_NMF, &Map::new(), super::nmf)
    }

    /// Non-negative factors of several texts together, with options.
    ///
    /// Example:
    /// ```rhai
    /// let nmf = ecco::nmf([output_1, output_2], #{n_components: "auto", layers: [1, 2]});
    /// nmf.held_out
    /// ```
    #[rhai_fn(name = "nmf", return_raw, volatile)]
    pub fn nmf_with(ctx: NativeCallContext, outputs: Array, options: Map) -> RhaiResult<Factorization> {
        super::several(&ctx, &outputs, &ECCO_NMF, &options, super::nmf)
    }

    /// Principal components of several texts together.
    #[rhai_fn(name = "pca", return_raw, volatile)]
    pub fn pca(ctx: NativeCallContext, outputs: Array) -> RhaiResult<Factorization> {
        super::several(&ctx, &outputs, &ECCO_PCA, &Map::new(), super::pca)
    }

    /// Principal components of several texts together, with options.
    #[rhai_fn(name = "pca", return_raw, volatile)]
    pub fn pca_with(ctx: NativeCallContext, outputs: Array, options: Map) -> RhaiResult<Factorization> {
        super::several(&ctx, &outputs, &ECCO_PCA, &options, super::pca)
    }

    /// Independent components of several texts together.
    #[rhai_fn(name = "ica", return_raw, volatile)]
    pub fn ica(ctx: NativeCallContext, outputs: Array) -> RhaiResult<Factorization> {
        super::several(&ctx, &outputs, &ECCO_ICA, &Map::new(), super::ica)
    }

    /// Independent components of several texts together, with options.
    #[rhai_fn(name = "ica", return_raw, volatile)]
    pub fn ica_with(ctx: NativeCallContext, outputs: Array, options: Map) -> RhaiResult<Factorization> {
        super::several(&ctx, &outputs, &ECCO_ICA, &options, super::ica)
    }
}

#[export_module]
pub mod functions {
    use super::*;

    /// Shows the factors: where each one is active, which tokens it belongs to, and the neurons it consists of.
    #[rhai_fn(name = "explore", pure, return_raw)]
    pub fn explore(ctx: NativeCallContext, factors: &mut Factorization) -> RhaiResult<Rich> {
        let view = factors.view().map_err(|error| error.raise(&ctx))?;
        Ok(Rich::new(view.bundle()))
    }

    /// How the factors were found: `NMF`, `PCA` or `ICA`.
    #[rhai_fn(get = "method", pure)]
    pub fn method(factors: &mut Factorization) -> String {
        factors.method().to_owned()
    }

    /// How many factors there are.
    #[rhai_fn(get = "n_components", pure)]
    pub fn n_components(factors: &mut Factorization) -> INT {
        factors.n_components() as INT
    }

    /// Where each factor is active: a tensor (component, position), texts one after the other.
    #[rhai_fn(get = "components", pure)]
    pub fn components(factors: &mut Factorization) -> Tensor {
        factors.components()
    }

    /// Which neurons a factor consists of: a tensor (component, neuron), layers one after the other.
    #[rhai_fn(get = "neurons", pure)]
    pub fn neurons(factors: &mut Factorization) -> Tensor {
        factors.neurons()
    }

    /// The reconstruction error: the Frobenius norm of what the factors leave unexplained.
    #[rhai_fn(get = "error", pure)]
    pub fn error(factors: &mut Factorization) -> FLOAT {
        factors.error()
    }

    /// The reconstruction error relative to the norm of the activations: 0 exact, 1 nothing explained.
    #[rhai_fn(get = "relative_error", pure)]
    pub fn relative_error(factors: &mut Factorization) -> FLOAT {
        factors.relative_error()
    }

    /// Sweeps or steps that were done; `()` for principal components.
    #[rhai_fn(get = "n_iter", pure)]
    pub fn n_iter(factors: &mut Factorization) -> Dynamic {
        let n_iter = factors.n_iter();
        n_iter.map_or(Dynamic::UNIT, |n_iter| Dynamic::from_int(n_iter as INT))
    }

    /// Each principal component's share of the whole variance; `()` for other factors.
    #[rhai_fn(get = "explained_variance_ratio", pure)]
    pub fn explained_variance_ratio(factors: &mut Factorization) -> Dynamic {
        let shares = factors.explained_variance_ratio();
        shares.map_or(Dynamic::UNIT, |shares| {
            let shares = shares.iter().map(|&share| Dynamic::from_float(share));
            Dynamic::from_array(shares.collect())
        })
    }

    /// With `n_components: "auto"`, the error of predicting held-out neurons at held-out positions for each number that
    /// was tried, as maps with `n_components`, `error` (relative, squared) and `spread` (its standard error); else `()`.
    #[rhai_fn(get = "held_out", pure)]
    pub fn held_out(factors: &mut Factorization) -> Dynamic {
        factors.choice().map_or(Dynamic::UNIT, |choice| {
            let tried = choice.curve.iter().map(|held| {
                Dynamic::from_map(Map::from([
                    ("n_components".into(), Dynamic::from_int(held.n_components as INT)),
                    ("error".into(), Dynamic::from_float(held.error)),
                    ("spread".into(), Dynamic::from_float(held.spread)),
                ]))
            });
            Dynamic::from_array(tried.collect())
        })
    }

    /// The `n` neurons that weigh most in a factor, as maps with `layer`, `neuron` and `weight`.
    ///
    /// Example:
    /// ```rhai
    /// nmf.top_neurons(3, 10)
    /// ```
    #[rhai_fn(name = "top_neurons", pure, return_raw)]
    pub fn top_neurons(
        ctx: NativeCallContext,
        factors: &mut Factorization,
        factor: INT,
        n: INT,
    ) -> RhaiResult<Array> {
        let n = super::count(n).map_err(|error| error.raise(&ctx))?;
        factors.top_neurons(factor, n).map_err(|error| error.raise(&ctx))
    }

    /// The `n` tokens where a factor is strongest, as the view shows them, as maps with `text` (which of several),
    /// `position`, `token` and `value`.
    ///
    /// Example:
    /// ```rhai
    /// nmf.top_tokens(3, 10)
    /// ```
    #[rhai_fn(name = "top_tokens", pure, return_raw)]
    pub fn top_tokens(
        ctx: NativeCallContext,
        factors: &mut Factorization,
        factor: INT,
        n: INT,
    ) -> RhaiResult<Array> {
        let n = super::count(n).map_err(|error| error.raise(&ctx))?;
        factors.top_tokens(factor, n).map_err(|error| error.raise(&ctx))
    }

    /// The same factors in another output or run, or in several: which neurons belong to a factor stays, where it is
    /// active is found anew.
    ///
    /// Example:
    /// ```rhai
    /// nmf.transform(lm.run("another text"))
    /// ```
    #[rhai_fn(name = "transform", pure, return_raw)]
    pub fn transform(
        ctx: NativeCallContext,
        factors: &mut Factorization,
        output: Dynamic,
    ) -> RhaiResult<Factorization> {
        let sources = Passage::some(&output).map_err(|error| error.raise(&ctx))?;
        let made = factors.transform(&state_of(&ctx), sources);
        made.map_err(|error| error.raise(&ctx))
    }

    /// Looks for the same number of factors from 5 other seeds and pairs each with its counterpart: the closer the
    /// cosines are to 1, the less the factors are an accident of the start.
    #[rhai_fn(name = "stability", pure, return_raw)]
    pub fn stability(ctx: NativeCallContext, factors: &mut Factorization) -> RhaiResult<Stability> {
        super::stability(&state_of(&ctx), factors, &Map::new()).map_err(|error| error.raise(&ctx))
    }

    /// The same with another number of seeds.
    ///
    /// Example:
    /// ```rhai
    /// nmf.stability(#{seeds: 10}).by_factor
    /// ```
    #[rhai_fn(name = "stability", pure, return_raw)]
    pub fn stability_with(
        ctx: NativeCallContext,
        factors: &mut Factorization,
        options: Map,
    ) -> RhaiResult<Stability> {
        super::stability(&state_of(&ctx), factors, &options).map_err(|error| error.raise(&ctx))
    }

    /// The cosine of each factor with its counterpart from each seed: a tensor (component, seed).
    #[rhai_fn(get = "cosines", pure)]
    pub fn cosines(stability: &mut Stability) -> Tensor {
        stability.cosines()
    }

    /// The mean cosine of each factor over the seeds.
    #[rhai_fn(get = "by_factor", pure)]
    pub fn by_factor(stability: &mut Stability) -> Array {
        stability
            .by_factor()
            .into_iter()
            .map(Dynamic::from_float)
            .collect()
    }

    /// The mean cosine over factors and seeds.
    #[rhai_fn(get = "mean", pure)]
    pub fn mean(stability: &mut Stability) -> FLOAT {
        stability.mean()
    }
}

fn count(n: INT) -> Result<usize, ScriptError> {
    usize::try_from(n).ok().filter(|&n| n > 0).ok_or_else(|| {
        let message = format!("n is {n}: ask for at least 1");
        ScriptError::new(ErrorKind::Value, message)
    })
}

fn several(
    ctx: &NativeCallContext,
    outputs: &Array,
    table: &'static OptionTable,
    options: &Map,
    read: Reader,
) -> RhaiResult<Factorization> {
    let made = Passage::all(outputs).and_then(|sources| run(&state_of(ctx), sources, table, options, read));
    made.map_err(|error| error.raise(ctx))
}

fn run(
    state: &State,
    sources: Vec<Passage>,
    table: &'static OptionTable,
    options: &Map,
    read: Reader,
) -> Result<Factorization, ScriptError> {
    let options = table.read(options)?;
    let at = Where::read(&options, Site::MlpInner, &sources[0])?;
    factorization::run(state, sources, at, read(&options))
}

fn nmf(options: &Options) -> Wanted {
    let defaults = NmfOptions::default();
    let count = match (options.usize("n_components"), options.text("n_components")) {
        (Some(asked), _) => Count::Exactly(asked),
        (None, Some(_)) => Count::Auto(options.usize("max_components").unwrap_or(32)),
        (None, None) => Count::Usual,
    };
    Wanted::Nmf {
        options: NmfOptions {
            max_iter: options.usize("max_iter").unwrap_or(defaults.max_iter),
            seed: options.u64("seed").unwrap_or(defaults.seed),
            ..defaults
        },
        count,
    }
}

fn pca(options: &Options) -> Wanted {
    Wanted::Pca(options.usize("n_components"))
}

fn ica(options: &Options) -> Wanted {
    let defaults = IcaOptions::default();
    let settings = IcaOptions {
        max_iter: options.usize("max_iter").unwrap_or(defaults.max_iter),
        seed: options.u64("seed").unwrap_or(defaults.seed),
        ..defaults
    };
    Wanted::Ica(settings, options.usize("n_components"))
}

fn stability(state: &State, factors: &Factorization, options: &Map) -> Result<Stability, ScriptError> {
    let options = STABILITY.read(options)?;
    factors.stability(state, options.usize("seeds").unwrap_or(5))
}
