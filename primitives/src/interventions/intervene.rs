//! `lm.intervene`: a view on a model that changes what happens inside.

mod entries;
mod swap;
mod values;

use ecco_explain::intervention::compile;
use rhai::{Array, Dynamic};

use crate::models::model::Model;
use ecco_scripting::options::{OptionKind, OptionValue};
use ecco_scripting::session::watched;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members, options};

/// Interventions of a handle. Each pass makes all of them, and each handle has a copy of those before.
const MOST: usize = 1_000;

options! {
    /// What `intervene` can be told.
    pub struct InterveneOptions {
        /// what is set to `to`: "zero" (the default), a number, or "mean", that of the texts `over`
        ablate: Option<Entries> = "none",
        /// what is multiplied by `factor`
        scale: Option<Entries> = "none",
        /// what `factor` times a `vector` (or a `number`) is added to
        add: Option<Entries> = "none",
        /// what gets the same positions' values of another run, `from`
        patch: Option<Entries> = "none",
        /// two `tokens` whose coordinates along the directions of a fitted `lens` are exchanged
        swap: Option<Entries> = "none",
    }
}

/// Maps, looked at one by one: what is wrong with one has its own hint.
#[derive(Debug, Clone)]
pub(super) struct Entries(Dynamic);

impl OptionValue for Entries {
    const KIND: OptionKind = OptionKind::Any("an array of maps");

    fn of(value: &Dynamic) -> Option<Self> {
        Some(Self(value.clone()))
    }
}

/// A handle that makes these changes after those of `lm`.
///
/// # Errors
/// Entries that say nothing or what is not there; what a mean over texts says.
pub(super) fn intervene(lm: &Model, options: &InterveneOptions) -> Result<Model, ScriptError> {
    let lists: [(&str, &Option<Entries>, entries::Reader); 5] = [
        ("ablate", &options.ablate, entries::ablate),
        ("scale", &options.scale, entries::scale),
        ("add", &options.add, entries::add),
        ("patch", &options.patch, entries::patch),
        ("swap", &options.swap, swap::swap),
    ];
    let mut interventions = Vec::new();
    for (list, value, read) in lists {
        if let Some(Entries(value)) = value {
            interventions.extend(entries::of_list(lm, list, value, read)?);
        }
    }
    if interventions.is_empty() {
        return Err(ScriptError::new(ErrorKind::Value, "no intervention is named")
            .with_hint("for example: lm.intervene(#{ablate: [#{layer: 2, neurons: [1, 5]}]})"));
    }
    check_number(lm.interventions().len() + interventions.len())?;
    let (loaded, state) = (lm.loaded()?, lm.state()?);
    let edits = watched(&state, lm.verbose, |watch| {
        compile(&loaded, &interventions, watch)
    });
    let lines = interventions.iter().map(|one| one.label()).collect();
    Ok(lm.changed(edits?, lines))
}

fn check_number(n: usize) -> Result<(), ScriptError> {
    if n <= MOST {
        return Ok(());
    }
    let message = format!("these would be {n} interventions: a handle has at most {MOST}");
    Err(ScriptError::new(ErrorKind::Value, message)
        .with_hint("one entry may name many places: #{layers: [0, 1], neurons: [1, 5, 7]}"))
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Model];
        /// A view on the model that changes what happens inside, in every pass: what it generates, its runs, and what
        /// is explained of them are those of the changed model. The model itself stays as it is, and the weights are
        /// shared. More interventions can follow, up to 1,000: `edited.intervene(…)`.
        ///
        /// Each of the options is an array of entries. An entry says where: `layer` or `layers` (otherwise all),
        /// `neurons` of the MLP, `head` or `heads`, or any `site` of `lm.sites()`, there perhaps only some of `hidden` or a
        /// `direction`; and at which `positions` (a number, an array, or a range such as `3..5`), counted from the start of
        /// the text and on through what is generated, otherwise at all. `ablate` entries may say what is put there: `to` is
        /// `"zero"`, a number, or `"mean"` with the texts it is `over`. `scale` entries have a `factor`, `add` entries a
        /// `vector` or a `number` and perhaps a `factor`, `patch` entries a run that the values come `from`.
        ///
        /// Of a dictionary `dictionary` and `features` take the part's place: `ablate` takes out what they write, `scale`
        /// multiplies it, `add` adds `factor` times what a unit of each writes; the dictionary's error is kept. An `ablate`
        /// entry with a dictionary and no features takes the error out.
        ///
        /// A `swap` entry has a fitted `lens`, a `layer`, two `tokens` and perhaps `positions`: in the stream after the layer their coordinates
        /// along the lens's directions are exchanged, and the rest stays.
        ///
        /// They are made in the order ablate, scale, add, patch, swap, and later entries see what earlier ones left.
        ///
        /// Example:
        /// ```rhai
        /// let edited = lm.intervene(#{ablate: [#{layer: 1, neurons: [3, 7]}, #{layer: 0, head: 2}]});
        /// edited.generate("The countries are:", #{generate: 10})
        /// ```
        volatile fn intervene(lm: &Model; options!: InterveneOptions) -> Model { intervene(lm, &options) }

        /// What this handle changes in every pass, a line each. Empty for a model as it was loaded.
        get interventions(lm: &Model) -> Array {
            Ok(lm.interventions().iter().map(|line| line.clone().into()).collect())
        }

        /// The same model without interventions.
        get untouched(lm: &Model) -> Model { Ok(lm.untouched()) }
    }
}
