//! `lm.patch_map`: which part of a model carries what makes two texts differ.

use std::rc::Rc;

use ecco_explain::intervention::patching::{PatchAxis, PatchOptions, patch_map};
use ecco_explain::{Quantity, Target};
use ecco_models::Site;
use ecco_models::config::{Label, Task};
use ecco_models::run::{Input, Prediction, masked_positions, run};
use rhai::plugin::*;
use rhai::{FLOAT, Map};

use super::intervene::site;
use crate::errors::{ErrorKind, RhaiResult, ScriptError};
use crate::options::{OptionKind, OptionTable, Options, option};
use crate::values::generation::token_sequence;
use crate::values::model::Model;
use crate::values::patch_map::PatchMap;
use crate::values::tensor::Tensor;
use crate::values::words::Word;
use crate::watch::watched;

pub const PATCH_OPTIONS: OptionTable = OptionTable {
    primitive: "Model.patch_map",
    options: &[
        option(
            "target",
            OptionKind::Token,
            "what the model says of the clean text, and of the corrupted one as contrast",
            "the token (or label) whose answer is watched",
        ),
        option(
            "contrast",
            OptionKind::Token,
            "none",
            "less the answer for this one",
        ),
        option(
            "metric",
            OptionKind::OneOf(&["probability", "logit", "log_probability"]),
            "\"logit\" with a contrast, else \"probability\"",
            "what counts as the answer",
        ),
        option(
            "position",
            OptionKind::Int(0),
            "behind the last token; the mask",
            "of the token that is predicted",
        ),
        option(
            "site",
            OptionKind::Text,
            "\"residual_before\"",
            "what is patched: one of lm.sites(), no attention pattern",
        ),
        option(
            "by",
            OptionKind::OneOf(&["position", "head"]),
            "\"head\" for head_outputs, else \"position\"",
            "what is patched at once: all of a position, or one head at all positions",
        ),
        option(
            "written",
            OptionKind::Text,
            "only the token that it starts with",
            "encoder–decoders only: what the decoder has written so far",
        ),
    ],
};

#[export_module]
pub mod functions {
    use super::*;

    /// Which part of the model carries what makes two texts differ. The corrupted text is read once for each layer
    /// and position (or head), with that part's values put in from the clean text: how much of the clean answer
    /// comes back, 0 as for the corrupted text and 1 as for the clean one. The texts need as many tokens as each other.
    ///
    /// Without options the answer is the logit of what the model says of the clean text less that of what it says of the
    /// corrupted one.
    ///
    /// Example:
    /// ```rhai
    /// lm.patch_map("1. Austria\n2. Belgium\n3.", "1. Sweden\n2. Belgium\n3.")
    /// ```
    #[rhai_fn(name = "patch_map", return_raw, volatile)]
    pub fn patch_map(
        ctx: NativeCallContext,
        lm: &mut Model,
        clean: &str,
        corrupted: &str,
    ) -> RhaiResult<PatchMap> {
        super::map(lm, clean, corrupted, &Map::new()).map_err(|error| error.raise(&ctx))
    }

    /// Activation patching with options.
    ///
    /// Example:
    /// ```rhai
    /// lm.patch_map("The capital of France is", "The capital of Italy is",
    ///     #{target: " Paris", contrast: " Rome", site: "head_outputs"})
    /// ```
    #[rhai_fn(name = "patch_map", return_raw, volatile)]
    pub fn patch_map_with(
        ctx: NativeCallContext,
        lm: &mut Model,
        clean: &str,
        corrupted: &str,
        options: Map,
    ) -> RhaiResult<PatchMap> {
        super::map(lm, clean, corrupted, &options).map_err(|error| error.raise(&ctx))
    }

    /// How much of the clean answer comes back: a tensor (layer, position) or (layer, head).
    #[rhai_fn(get = "restored", pure)]
    pub fn restored(map: &mut PatchMap) -> Tensor {
        map.restored()
    }

    /// The answers themselves with each part patched: a tensor (layer, position) or (layer, head).
    #[rhai_fn(get = "answers", pure)]
    pub fn answers(map: &mut PatchMap) -> Tensor {
        map.answers()
    }

    /// The answer to the clean text.
    #[rhai_fn(get = "clean", pure)]
    pub fn clean(map: &mut PatchMap) -> FLOAT {
        map.map.clean
    }

    /// The answer to the corrupted text.
    #[rhai_fn(get = "corrupted", pure)]
    pub fn corrupted(map: &mut PatchMap) -> FLOAT {
        map.map.corrupted
    }
}

fn map(lm: &Model, clean: &str, corrupted: &str, options: &Map) -> Result<PatchMap, ScriptError> {
    let options = PATCH_OPTIONS.read(options)?;
    let (loaded, state) = (lm.loaded()?, lm.state()?);
    let written = options.text("written");
    let [clean, corrupted] = [clean, corrupted].map(|text| Input::new(&loaded, text, written));
    let (clean, corrupted) = (clean?, corrupted?);
    let place = site(lm, &options, Site::ResidualBefore)?;
    let by = match options.text("by") {
        Some("head") => PatchAxis::Head,
        Some(_) => PatchAxis::Position,
        None if place.site == Site::HeadOutputs => PatchAxis::Head,
        None => PatchAxis::Position,
    };
    let (target, answer) = target(&loaded, &clean, &corrupted, &options)?;
    let wanted = PatchOptions { place, by, target };
    let map = watched(&state, lm.verbose, |watch| {
        patch_map(&loaded, &clean, &corrupted, &wanted, watch)
    })?;
    let shown = |input: &Input| {
        let ids = match place.encoder {
            true => &input.ids,
            false => input.spoken(),
        };
        let tokens = loaded.tokenizer().tokens(ids);
        token_sequence(&tokens, tokens.len(), false).tokens.into()
    };
    Ok(PatchMap {
        map: Rc::new(map),
        answer: answer.into(),
        corrupted: shown(&corrupted),
        clean: shown(&clean),
    })
}

/// What is watched, and the same for people.
fn target(
    model: &ecco_models::Model,
    clean: &Input,
    corrupted: &Input,
    options: &Options,
) -> Result<(Target, String), ScriptError> {
    let position = position(model, corrupted, options)?;
    let named = |name: &str| {
        let word = options.words(name).and_then(<[Word]>::first);
        word.map(|word| id(model, name, word)).transpose()
    };
    let (id, contrast) = match named("target")? {
        Some(id) => (id, named("contrast")?),
        None => {
            let said = best(model, clean, position)?;
            let other = named("contrast")?
                .map_or_else(|| best(model, corrupted, position).map(Some), |id| Ok(Some(id)))?;
            (said, other.filter(|other| *other != said))
        }
    };
    let quantity = match (options.text("metric").and_then(Quantity::parse), contrast) {
        (Some(quantity), _) => quantity,
        (None, Some(_)) => Quantity::Logit,
        (None, None) => Quantity::Probability,
    };
    let target = match position {
        Some(position) => Target::token(position, id),
        None => Target::label(id as usize),
    };
    let target = Target {
        contrast,
        ..target.of(quantity)
    };
    let name = |id: u32| match &model.config().task {
        Task::Label(Label { names, .. }) => names.get(id as usize).map(|name| format!("{name:?}")),
        _ => model
            .tokenizer()
            .tokens(&[id])
            .pop()
            .map(|token| format!("{:?}", token.text)),
    };
    let name = |id: u32| name(id).unwrap_or_else(|| id.to_string());
    let of = quantity.name().replace('_', " ");
    let answer = match contrast {
        Some(contrast) => format!("{of} of {} less that of {}", name(id), name(contrast)),
        None => format!("{of} of {}", name(id)),
    };
    Ok((target, answer))
}

/// The position of the token that is predicted; none for labels.
fn position(
    model: &ecco_models::Model,
    input: &Input,
    options: &Options,
) -> Result<Option<usize>, ScriptError> {
    let given = options.usize("position");
    match &model.config().task {
        Task::Label(_) => match given {
            Some(_) => Err(ScriptError::new(
                ErrorKind::Value,
                "labels are of the whole text: give no position",
            )
            .pointing_at("position")),
            None => Ok(None),
        },
        Task::MaskedToken(_) => match (given, &masked_positions(model, &input.ids)[..]) {
            (Some(position), _) => Ok(Some(position)),
            (None, [one]) => Ok(Some(*one)),
            (None, masks) => {
                let message = format!(
                    "the text has {} masks, so it is not clear which token is meant",
                    masks.len()
                );
                Err(ScriptError::new(ErrorKind::Value, message).with_hint("say its position: #{position: 4}"))
            }
        },
        _ => Ok(Some(given.unwrap_or(input.spoken().len()))),
    }
}

/// What a model says itself: the most probable token or label.
fn best(model: &ecco_models::Model, input: &Input, position: Option<usize>) -> Result<u32, ScriptError> {
    let runs = run(model, vec![input.clone()], 1, &mut ecco_interpreter::unwatched)?;
    let said = runs.first().map_or(&[][..], |run| run.predictions(0));
    let missing = || {
        ScriptError::new(ErrorKind::Value, "it is not clear which answer is meant")
            .with_hint("name it: #{target: \" Paris\", contrast: \" Rome\"}")
    };
    let found = said.iter().find_map(|said| match (said, position) {
        (
            Prediction::Token {
                position: at,
                candidates,
            },
            Some(position),
        ) if *at == position => candidates.first().map(|best| best.token.id),
        (Prediction::Label { name, .. }, None) => label(model, name),
        _ => None,
    });
    found.ok_or_else(missing)
}

fn label(model: &ecco_models::Model, name: &str) -> Option<u32> {
    match &model.config().task {
        Task::Label(Label { names, .. }) => names.iter().position(|known| known == name).map(|at| at as u32),
        _ => None,
    }
}

/// A token as scripts name it, or a label by its name.
fn id(model: &ecco_models::Model, option: &str, word: &Word) -> Result<u32, ScriptError> {
    let (Task::Label(Label { names, .. }), Word::Text(name)) = (&model.config().task, word) else {
        return match (&model.config().task, word) {
            (Task::Label(_), Word::Id(number)) => Ok(*number),
            _ => Ok(word.token(model, option)?.id),
        };
    };
    label(model, name).ok_or_else(|| {
        ScriptError::new(ErrorKind::Value, format!("there is no label {name:?}"))
            .pointing_at(option)
            .with_hint(format!("the model has {}", names.join(", ")))
    })
}
