//! Neurons over texts: `top_neurons` and `neuron` of outputs and runs, `lm.neuron` of texts.

use ecco_explain::neurons::Reduction;
use ecco_models::Site;
use ecco_models::run::Place;
use rhai::plugin::*;
use rhai::{Array, Engine, FuncRegistration, INT, Map};

use crate::errors::{RhaiResult, ScriptError};
use crate::options::{self, OptionKind, OptionSpec, OptionTable, option};
use crate::values::capture::Where;
use crate::values::chat::Given;
use crate::values::generation::Generation;
use crate::values::model::Model;
use crate::values::neurons::{self, Activity, TopNeurons};
use crate::values::run::{self, Run};
use crate::values::source::Source;

const SITE: OptionSpec = option(
    "site",
    OptionKind::Such(&["mlp_inner", "mlp_pre", "residual_after"]),
    "\"mlp_inner\"",
    "where activations are taken: one of lm.sites() with a value at each position",
);

const TOP: &[OptionSpec] = &[
    option("n", OptionKind::Int(1), "10", "how many neurons"),
    option(
        "position",
        OptionKind::Int(i64::MIN),
        "all positions",
        "look at one position only; from the end if negative",
    ),
    option(
        "layer",
        OptionKind::Int(0),
        "all layers",
        "look at one layer only, counted from 0",
    ),
    option(
        "by",
        OptionKind::OneOf(&["max", "mean"]),
        "\"max\"",
        "what is compared over all positions",
    ),
    SITE,
];

const NEURON: &[OptionSpec] = &[SITE];

const fn table(primitive: &'static str, options: &'static [OptionSpec]) -> OptionTable {
    OptionTable { primitive, options }
}

pub const OUTPUT_TOP: OptionTable = table("Generation.top_neurons", TOP);
pub const RUN_TOP: OptionTable = table("Run.top_neurons", TOP);
pub const OUTPUT_NEURON: OptionTable = table("Generation.neuron", NEURON);
pub const RUN_NEURON: OptionTable = table("Run.neuron", NEURON);
pub const MODEL_NEURON: OptionTable = table("Model.neuron", NEURON);

const TOP_DOCS: &str = r#"/// The neurons that are most active, by their largest or mean activation over the positions, or at one position.
///
/// Example:
/// ```rhai
/// output.top_neurons(#{position: 5, layer: 2})
/// ```"#;

const NEURON_DOCS: &str = r#"/// The activation of one neuron over the text, token by token; layer and neuron are counted from 0.
///
/// Example:
/// ```rhai
/// output.neuron(2, 117)
/// ```"#;

/// Makes the members of outputs and runs known.
pub fn register(engine: &mut Engine) {
    register_members::<Generation>(engine, "Generation");
    register_members::<Run>(engine, "Run");
}

fn register_members<T: Into<Source> + Clone + 'static>(engine: &mut Engine, of: &'static str) {
    let receiver = format!("result: &mut {of}");
    let member = |name: &str, docs: &'static str, params: &[&str], returns: &str| {
        let info = [&[receiver.as_str()], params, &[returns]].concat();
        FuncRegistration::new(name)
            .with_purity(true)
            .with_comments(docs.lines())
            .with_params_info(info)
    };
    let returns = "RhaiResult<TopNeurons>";
    member("top_neurons", TOP_DOCS, &[], returns).register_into_engine(
        engine,
        move |ctx: NativeCallContext, result: &mut T| -> RhaiResult<TopNeurons> {
            top(of, result.clone().into(), &Map::new()).map_err(|error| error.raise(&ctx))
        },
    );
    member("top_neurons", TOP_DOCS, &["options: Map"], returns).register_into_engine(
        engine,
        move |ctx: NativeCallContext, result: &mut T, options: Map| -> RhaiResult<TopNeurons> {
            top(of, result.clone().into(), &options).map_err(|error| error.raise(&ctx))
        },
    );
    let (two, returns) = (["layer: INT", "neuron: INT"], "RhaiResult<Activity>");
    member("neuron", NEURON_DOCS, &two, returns).register_into_engine(
        engine,
        move |ctx: NativeCallContext, result: &mut T, layer: INT, neuron: INT| -> RhaiResult<Activity> {
            let sources = vec![result.clone().into()];
            one(of, sources, layer, neuron, &Map::new()).map_err(|error| error.raise(&ctx))
        },
    );
    let three = ["layer: INT", "neuron: INT", "options: Map"];
    member("neuron", NEURON_DOCS, &three, returns).register_into_engine(
        engine,
        move |ctx: NativeCallContext,
              result: &mut T,
              layer: INT,
              neuron: INT,
              options: Map|
              -> RhaiResult<Activity> {
            let sources = vec![result.clone().into()];
            one(of, sources, layer, neuron, &options).map_err(|error| error.raise(&ctx))
        },
    );
}

#[export_module]
pub mod functions {
    use super::*;

    /// The activation of one neuron over several texts, the text where it is most active first. Texts are strings,
    /// outputs or runs; layer and neuron are counted from 0.
    ///
    /// Example:
    /// ```rhai
    /// lm.neuron(2, 117, ["one text", "another text"])
    /// ```
    #[rhai_fn(name = "neuron", return_raw, volatile)]
    pub fn neuron(
        ctx: NativeCallContext,
        lm: &mut Model,
        layer: INT,
        neuron: INT,
        texts: Array,
    ) -> RhaiResult<Activity> {
        super::over(lm, layer, neuron, &texts, &Map::new()).map_err(|error| error.raise(&ctx))
    }

    /// The same at another site.
    ///
    /// Example:
    /// ```rhai
    /// lm.neuron(2, 117, ["one text", "another text"], #{site: "mlp_pre"})
    /// ```
    #[rhai_fn(name = "neuron", return_raw, volatile)]
    pub fn neuron_with(
        ctx: NativeCallContext,
        lm: &mut Model,
        layer: INT,
        neuron: INT,
        texts: Array,
        options: Map,
    ) -> RhaiResult<Activity> {
        super::over(lm, layer, neuron, &texts, &options).map_err(|error| error.raise(&ctx))
    }

    /// The values: a tensor (position), of several texts (text, position) with NaN behind the shorter ones.
    #[rhai_fn(get = "activations", pure)]
    pub fn activations(activity: &mut Activity) -> crate::values::tensor::Tensor {
        activity.tensor()
    }
}

fn read(primitive: &str, options: &Map) -> Result<options::Options, ScriptError> {
    match options::of_primitive(primitive) {
        Some(table) => table.read(options),
        None => Ok(options::Options::default()),
    }
}

fn top(of: &str, source: Source, options: &Map) -> Result<TopNeurons, ScriptError> {
    let options = read(&format!("{of}.top_neurons"), options)?;
    let at = Where::read(&options, Site::MlpInner, &source)?;
    let over = match options.text("by") {
        Some("mean") => Reduction::Mean,
        _ => Reduction::Max,
    };
    let n = options.usize("n").unwrap_or(10);
    neurons::top(source, &at, options.int("position"), over, n)
}

fn one(
    of: &str,
    sources: Vec<Source>,
    layer: INT,
    neuron: INT,
    options: &Map,
) -> Result<Activity, ScriptError> {
    let options = read(&format!("{of}.neuron"), options)?;
    let place = match options.text("site") {
        Some(name) => sources[0]
            .place(name)
            .map_err(|error| error.pointing_at("site"))?,
        None => Place::of(Site::MlpInner),
    };
    neurons::activity(sources, place, layer, neuron)
}

fn over(lm: &Model, layer: INT, neuron: INT, texts: &Array, options: &Map) -> Result<Activity, ScriptError> {
    let mut sources: Vec<Option<Source>> = texts.iter().map(Source::of).collect();
    let unread = texts.iter().zip(&sources).filter(|(_, source)| source.is_none());
    let unread = unread.map(|(value, _)| Given::of(value, "a list of strings, outputs or runs"));
    let unread: Vec<Given> = unread.collect::<Result<_, _>>()?;
    if !unread.is_empty() || texts.is_empty() {
        // An empty list is refused in the same words as by lm.run.
        let mut runs = run::run(lm, &unread, None, 1)?.into_iter();
        for source in sources.iter_mut().filter(|source| source.is_none()) {
            *source = runs.next().map(Source::from);
        }
    }
    one(
        "Model",
        sources.into_iter().flatten().collect(),
        layer,
        neuron,
        options,
    )
}
