//! `lm.intervene` and what goes with it: steering vectors, texts side by side.

mod entries;

use std::rc::Rc;

use ecco_explain::intervention::compile;
use ecco_explain::intervention::steering::{SteeringOptions, TextPosition, steering};
use ecco_models::Site;
use ecco_models::run::{Input, Place};
use rhai::plugin::*;
use rhai::{Array, FLOAT, INT, Map};

use super::generate::generated;
use crate::errors::{ErrorKind, RhaiResult, ScriptError};
use crate::options::{OptionKind, OptionTable, Options, option};
use crate::values::generation::Generation;
use crate::values::model::Model;
use crate::values::run::place;
use crate::values::show;
use crate::values::side_by_side::SideBySide;
use crate::values::steering::SteeringVector;
use crate::values::tensor::Tensor;
use crate::watch::watched;

const ENTRIES: OptionKind = OptionKind::Any("an array of maps");

pub const INTERVENE_OPTIONS: OptionTable = OptionTable {
    primitive: "Model.intervene",
    options: &[
        option(
            "ablate",
            ENTRIES,
            "none",
            "what is set to `to`: \"zero\" (the default), a number, or \"mean\", that of the texts `over`",
        ),
        option("scale", ENTRIES, "none", "what is multiplied by `factor`"),
        option(
            "add",
            ENTRIES,
            "none",
            "what `factor` times a `vector` (or a `number`) is added to",
        ),
        option(
            "patch",
            ENTRIES,
            "none",
            "what gets the same positions' values of another run, `from`",
        ),
    ],
};

pub const COMPARE_OPTIONS: OptionTable = OptionTable {
    primitive: "Model.compare",
    options: &[option(
        "intervene",
        OptionKind::Any("a map as lm.intervene takes it"),
        "this handle's interventions, against the untouched model",
        "what is changed in the second text; all other options are those of `generate`",
    )],
};

pub const STEERING_OPTIONS: OptionTable = OptionTable {
    primitive: "Model.steering_vector",
    options: &[
        option(
            "site",
            OptionKind::Text,
            "\"residual_after\"",
            "where the texts are compared: one of lm.sites()",
        ),
        option(
            "layer",
            OptionKind::Int(0),
            "the one in the middle",
            "at which layer",
        ),
        option(
            "at",
            OptionKind::OneOf(&["last", "mean"]),
            "\"last\"",
            "the last token of each text, or the mean over all of its tokens",
        ),
        option(
            "unit",
            OptionKind::Bool,
            "false",
            "a vector of length 1, in place of the difference itself",
        ),
    ],
};

#[export_module]
pub mod functions {
    use super::*;

    /// A view on the model that changes what happens inside, in every pass: what it generates, its runs, and what
    /// is explained of them are those of the changed model. The model itself stays as it is, and the weights are
    /// shared. More interventions can follow: `edited.intervene(…)`.
    ///
    /// Each of the four options is an array of entries. An entry says where: `layer` or `layers` (otherwise all),
    /// `neurons` of the MLP, `head` or `heads`, or any `site` of `lm.sites()`, there perhaps only some of `hidden` or a
    /// `direction`; and at which `positions` (a number, an array, or a range such as `3..5`), counted from the start of
    /// the text and on through what is generated, otherwise at all. `ablate` entries may say what is put there: `to` is
    /// `"zero"`, a number, or `"mean"` with the texts it is `over`. `scale` entries have a `factor`, `add` entries a
    /// `vector` or a `number` and perhaps a `factor`, `patch` entries a run that the values come `from`.
    ///
    /// They are made in the order ablate, scale, add, patch, and later entries see what earlier ones left.
    ///
    /// Example:
    /// ```rhai
    /// let edited = lm.intervene(#{ablate: [#{layer: 1, neurons: [3, 7]}, #{layer: 0, head: 2}]});
    /// edited.generate("The countries are:", #{generate: 10})
    /// ```
    #[rhai_fn(name = "intervene", return_raw, volatile)]
    pub fn intervene(ctx: NativeCallContext, lm: &mut Model, interventions: Map) -> RhaiResult<Model> {
        super::intervene(lm, &interventions).map_err(|error| error.raise(&ctx))
    }

    /// What this handle changes in every pass, a line each. Empty for a model as it was loaded.
    #[rhai_fn(get = "interventions", pure)]
    pub fn interventions(lm: &mut Model) -> Array {
        lm.interventions()
            .iter()
            .map(|line| line.clone().into())
            .collect()
    }

    /// The same model without interventions.
    #[rhai_fn(get = "untouched", pure)]
    pub fn untouched_model(lm: &mut Model) -> Model {
        lm.untouched()
    }

    /// The direction in which texts differ from others: the mean of what a site holds at their last token, less
    /// the mean for the others. It can be added: `lm.intervene(#{add: [#{vector: v, factor: 2.0}]})` adds it where it
    /// comes from.
    ///
    /// Example:
    /// ```rhai
    /// let v = lm.steering_vector(["It was good", "I love it"], ["It was bad", "I hate it"]);
    /// lm.intervene(#{add: [#{vector: v, factor: 4.0}]}).generate("It was", #{generate: 8})
    /// ```
    #[rhai_fn(name = "steering_vector", return_raw, volatile)]
    pub fn steering_vector(
        ctx: NativeCallContext,
        lm: &mut Model,
        positive: Array,
        negative: Array,
    ) -> RhaiResult<SteeringVector> {
        super::steer(lm, &positive, &negative, &Map::new()).map_err(|error| error.raise(&ctx))
    }

    /// A steering vector with options.
    ///
    /// Example:
    /// ```rhai
    /// lm.steering_vector(["good"], ["bad"], #{layer: 2, site: "residual_after", unit: true})
    /// ```
    #[rhai_fn(name = "steering_vector", return_raw, volatile)]
    pub fn steering_vector_with(
        ctx: NativeCallContext,
        lm: &mut Model,
        positive: Array,
        negative: Array,
        options: Map,
    ) -> RhaiResult<SteeringVector> {
        super::steer(lm, &positive, &negative, &options).map_err(|error| error.raise(&ctx))
    }

    /// Generates from a text twice, untouched and under this handle's interventions, with the model's default settings.
    ///
    /// Example:
    /// ```rhai
    /// lm.intervene(#{ablate: [#{layer: 1, head: 2}]}).compare("The countries are:")
    /// ```
    #[rhai_fn(name = "compare", return_raw, volatile)]
    pub fn compare_plainly(ctx: NativeCallContext, lm: &mut Model, text: &str) -> RhaiResult<SideBySide> {
        super::compare(lm, text, &Map::new()).map_err(|error| error.raise(&ctx))
    }

    /// Generates from a text twice, untouched and under interventions, with the same options and the same seed, and
    /// shows both side by side. Beside each token of the second text stands how far apart the two models' predictions
    /// were there, given the same tokens before it: KL(untouched ‖ intervened) = Σ p ln(p / q), in nats.
    ///
    /// Example:
    /// ```rhai
    /// lm.compare("The countries are:", #{intervene: #{ablate: [#{layer: 1, site: "mlp_output"}]}, generate: 10})
    /// ```
    #[rhai_fn(name = "compare", return_raw, volatile)]
    pub fn compare(
        ctx: NativeCallContext,
        lm: &mut Model,
        text: &str,
        options: Map,
    ) -> RhaiResult<SideBySide> {
        super::compare(lm, text, &options).map_err(|error| error.raise(&ctx))
    }

    /// Shows two outputs that continue the same text side by side: see `lm.compare`. The one whose model is under
    /// interventions counts as the changed one.
    ///
    /// Example:
    /// ```rhai
    /// let edited = lm.intervene(#{scale: [#{layer: 0, head: 1, factor: 3.0}]});
    /// edited.generate("It was", #{generate: 8}).compare(lm.generate("It was", #{generate: 8}))
    /// ```
    #[rhai_fn(name = "compare", pure, return_raw)]
    pub fn compare_outputs(
        ctx: NativeCallContext,
        output: &mut Generation,
        other: Generation,
    ) -> RhaiResult<SideBySide> {
        SideBySide::new(output, &other).map_err(|error| error.raise(&ctx))
    }

    /// KL(untouched ‖ intervened) of the predictions, in nats: a tensor (token), for each token of the second text
    /// from the first one that is predicted.
    #[rhai_fn(get = "kl", pure, return_raw)]
    pub fn kl(ctx: NativeCallContext, pair: &mut SideBySide) -> RhaiResult<Tensor> {
        pair.kl().map_err(|error| error.raise(&ctx))
    }

    /// The mean of the generated tokens' KL; `()` where none was generated.
    #[rhai_fn(get = "mean_kl", pure, return_raw)]
    pub fn mean_kl(ctx: NativeCallContext, pair: &mut SideBySide) -> RhaiResult<Dynamic> {
        let view = pair.view().map_err(|error| error.raise(&ctx))?;
        Ok(view
            .mean_kl()
            .map_or(Dynamic::UNIT, |kl| Dynamic::from_float(FLOAT::from(kl))))
    }

    /// The first position at which the two texts differ; `()` where they are the same.
    #[rhai_fn(get = "first_difference", pure, return_raw)]
    pub fn first_difference(ctx: NativeCallContext, pair: &mut SideBySide) -> RhaiResult<Dynamic> {
        let view = pair.view().map_err(|error| error.raise(&ctx))?;
        Ok(view
            .first_difference()
            .map_or(Dynamic::UNIT, |at| Dynamic::from_int(at as INT)))
    }

    /// The output of the untouched model, or the first one.
    #[rhai_fn(get = "untouched", pure)]
    pub fn untouched(pair: &mut SideBySide) -> Generation {
        pair.untouched().clone()
    }

    /// The output under interventions, or the second one.
    #[rhai_fn(get = "intervened", pure)]
    pub fn intervened(pair: &mut SideBySide) -> Generation {
        pair.intervened().clone()
    }

    /// The vector: a tensor (hidden), or (neuron).
    #[rhai_fn(get = "vector", pure)]
    pub fn vector(steering: &mut SteeringVector) -> Tensor {
        steering.tensor()
    }

    /// The length of the difference between the texts' means.
    #[rhai_fn(get = "norm", pure)]
    pub fn norm(steering: &mut SteeringVector) -> FLOAT {
        steering.steering.norm
    }

    /// The mean length of what the site holds, for choosing a factor.
    #[rhai_fn(get = "typical_norm", pure)]
    pub fn typical_norm(steering: &mut SteeringVector) -> FLOAT {
        steering.steering.typical
    }

    /// The site it comes from.
    #[rhai_fn(get = "site", pure)]
    pub fn site(steering: &mut SteeringVector) -> String {
        steering.steering.options.place.name()
    }

    /// The layer it comes from.
    #[rhai_fn(get = "layer", pure)]
    pub fn layer(steering: &mut SteeringVector) -> INT {
        steering.steering.options.layer as INT
    }
}

fn intervene(lm: &Model, map: &Map) -> Result<Model, ScriptError> {
    let options = INTERVENE_OPTIONS.read(map)?;
    let mut interventions = Vec::new();
    for (list, _) in entries::LISTS {
        if let Some(value) = options.any(list) {
            interventions.extend(entries::of_list(lm, list, value)?);
        }
    }
    if interventions.is_empty() {
        return Err(ScriptError::new(ErrorKind::Value, "no intervention is named")
            .with_hint("for example: lm.intervene(#{ablate: [#{layer: 2, neurons: [1, 5]}]})"));
    }
    let (loaded, state) = (lm.loaded()?, lm.state()?);
    let edits = watched(&state, lm.verbose, |watch| {
        compile(&loaded, &interventions, watch)
    });
    let lines = interventions.iter().map(|one| one.label()).collect();
    Ok(lm.changed(edits?, lines))
}

fn steer(
    lm: &Model,
    positive: &Array,
    negative: &Array,
    options: &Map,
) -> Result<SteeringVector, ScriptError> {
    let options = STEERING_OPTIONS.read(options)?;
    let (loaded, state) = (lm.loaded()?, lm.state()?);
    let texts = |texts: &Array| -> Result<Vec<String>, ScriptError> {
        let text = |value: &Dynamic| match value.as_immutable_string_ref() {
            Ok(text) => Ok(text.to_string()),
            Err(_) => show::expected("lists of strings", value),
        };
        texts.iter().map(text).collect()
    };
    let (positive, negative) = (texts(positive)?, texts(negative)?);
    let read = |texts: &[String]| -> Result<Vec<Input>, ScriptError> {
        let read = |text: &String| Input::new(&loaded, text, None).map_err(ScriptError::from);
        texts.iter().map(read).collect()
    };
    let wanted = SteeringOptions {
        place: site(lm, &options, Site::ResidualAfter)?,
        layer: options.usize("layer").unwrap_or((lm.card().n_layers - 1) / 2),
        at: match options.text("at") {
            Some("mean") => TextPosition::Mean,
            _ => TextPosition::Last,
        },
        unit: options.bool("unit").unwrap_or(false),
    };
    let (above, below) = (read(&positive)?, read(&negative)?);
    let found = watched(&state, lm.verbose, |watch| {
        steering(&loaded, &above, &below, &wanted, watch)
    })?;
    Ok(SteeringVector {
        steering: Rc::new(found),
        positive: positive.into(),
        negative: negative.into(),
    })
}

/// The option `site`, or the usual one.
pub fn site(lm: &Model, options: &Options, usual: Site) -> Result<Place, ScriptError> {
    match options.text("site") {
        Some(name) => place(lm, name).map_err(|error| error.pointing_at("site")),
        None => Ok(Place::of(usual)),
    }
}

fn compare(lm: &Model, text: &str, options: &Map) -> Result<SideBySide, ScriptError> {
    let mut rest = options.clone();
    let (before, after) = match rest.remove("intervene") {
        Some(value) => match value.as_map_ref() {
            Ok(map) => (lm.plain(), intervene(lm, &map)?),
            Err(_) => {
                let message = format!(
                    "option `intervene` takes a map as lm.intervene takes it; got {}",
                    show::brief(&value)
                );
                return Err(ScriptError::new(ErrorKind::Option, message).pointing_at("intervene"));
            }
        },
        None if !lm.interventions().is_empty() => (lm.untouched(), lm.plain()),
        None => {
            return Err(ScriptError::new(
                ErrorKind::Value,
                "there is nothing to compare: the model is untouched",
            )
            .with_hint(
                "lm.compare(text, #{intervene: #{ablate: […]}, generate: 20}), or edited.compare(text, …)",
            ));
        }
    };
    let one = generated(&before, text.into(), &rest, false)?;
    // What is drawn is drawn by the same numbers.
    if let Some(seed) = one.seed() {
        rest.insert("seed".into(), Dynamic::from_int(seed as INT));
    }
    let other = generated(&after, text.into(), &rest, false)?;
    SideBySide::new(&one, &other)
}
