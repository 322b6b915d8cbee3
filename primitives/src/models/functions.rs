//! `ecco::…`: loading models and listing the resident ones; what a model tells about itself.

use std::rc::Rc;

use ecco_models::LoadOptions;
use rhai::plugin::*;
use rhai::{Array, INT, Map};

use crate::models::model::{Model, ModelList, Recording, Resident, Residents};
use crate::text::generation::Generation;
use ecco_scripting::errors::{ErrorKind, RhaiResult, ScriptError, nearest};
use ecco_scripting::options::{OptionKind, OptionTable, Options, option};
use ecco_scripting::result::Show;
use ecco_scripting::session::watched;
use ecco_scripting::session::{State, state_of};

pub const LOAD_OPTIONS: OptionTable = OptionTable {
    primitive: "ecco::from_pretrained",
    options: &[
        option(
            "activations",
            OptionKind::Bool,
            "false",
            "record the MLPs' activations with every `generate`",
        ),
        option(
            "hidden_states",
            OptionKind::Bool,
            "false",
            "record the hidden states with every `generate`",
        ),
        option(
            "attention",
            OptionKind::Bool,
            "false",
            "record the attention patterns with every `generate`",
        ),
        option(
            "activations_layer_nums",
            OptionKind::Ints,
            "all layers",
            "layers whose activations are recorded, counted from 0, in rising order",
        ),
        option(
            "device",
            OptionKind::Such(&["cpu", "cuda", "cuda:1", "auto"]),
            "\"cuda\" where there is a GPU",
            "where its weights are kept and it computes; \"auto\": on one GPU where there is room, else its layers in \
             order on several and the processor",
        ),
        option(
            "dtype",
            OptionKind::OneOf(&["float32", "float16", "bfloat16"]),
            "as the file has it",
            "type of the weights",
        ),
        option(
            "revision",
            OptionKind::Text,
            "\"main\"",
            "branch, tag or commit of a hub model",
        ),
        option(
            "verbose",
            OptionKind::Bool,
            "true",
            "show tokens and progress while working",
        ),
    ],
};

#[export_module]
pub mod ecco {
    use super::*;

    /// Loads a language model and keeps it resident: `"demo"`, which is inside the kernel; a Hugging Face
    /// folder; or a hub id such as `"distilgpt2"`, from the cache that Python's `huggingface_hub` uses or
    /// downloaded into it. Asked for again, the resident one comes at once.
    ///
    /// Example:
    /// ```rhai
    /// let lm = ecco::from_pretrained("demo");
    /// ```
    #[rhai_fn(name = "from_pretrained", return_raw, volatile)]
    pub fn from_pretrained(ctx: NativeCallContext, name_or_folder: &str) -> RhaiResult<Model> {
        load(&state_of(&ctx), name_or_folder, &Map::new()).map_err(|error| error.raise(&ctx))
    }

    /// Loads a language model with options.
    ///
    /// Activations, hidden states and attention can always be read from an output; recording them with
    /// every `generate` keeps them when the model is unloaded.
    ///
    /// Example:
    /// ```rhai
    /// let lm = ecco::from_pretrained("distilgpt2", #{activations: true});
    /// ```
    #[rhai_fn(name = "from_pretrained", return_raw, volatile)]
    pub fn from_pretrained_with(
        ctx: NativeCallContext,
        name_or_folder: &str,
        options: Map,
    ) -> RhaiResult<Model> {
        load(&state_of(&ctx), name_or_folder, &options).map_err(|error| error.raise(&ctx))
    }

    /// The models that are resident, with their memory.
    #[rhai_fn(volatile)]
    pub fn models(ctx: NativeCallContext) -> ModelList {
        let residents = state_of(&ctx).kept::<Residents>().0.borrow().clone();
        let handle = |resident| Model::new(resident, Recording::default(), true);
        ModelList {
            models: residents.into_iter().map(handle).collect(),
        }
    }
}

#[export_module]
pub mod functions {
    use super::*;

    /// The name it was loaded by.
    #[rhai_fn(get = "name", pure)]
    pub fn name(lm: &mut Model) -> String {
        lm.card().name.clone()
    }

    /// The architecture: `model_type`, `n_layers`, `hidden_size`, `n_heads`, `intermediate_size`,
    /// `vocab_size`, `context_length`.
    #[rhai_fn(get = "config", pure)]
    pub fn config(lm: &mut Model) -> Map {
        let card = lm.card();
        let size = |value: usize| Dynamic::from_int(value as INT);
        Map::from([
            ("model_type".into(), card.model_type.clone().into()),
            ("n_layers".into(), size(card.n_layers)),
            ("hidden_size".into(), size(card.hidden_size)),
            ("n_heads".into(), size(card.n_heads)),
            ("intermediate_size".into(), size(lm.intermediate_size())),
            ("vocab_size".into(), size(card.vocab_size)),
            ("context_length".into(), size(card.context_length)),
        ])
    }

    /// Where it is: `cpu`, `cuda:0`; of a model on several devices all of them, `cuda:0 + cuda:1 + cpu`, the first with
    /// what is no layer's.
    #[rhai_fn(get = "device", pure)]
    pub fn device(lm: &mut Model) -> String {
        lm.card().device.clone()
    }

    /// The device of each layer, of an encoder–decoder the decoder's.
    #[rhai_fn(get = "layer_devices", pure, return_raw)]
    pub fn layer_devices(ctx: NativeCallContext, lm: &mut Model) -> RhaiResult<Array> {
        let loaded = lm.loaded().map_err(|error| error.raise(&ctx))?;
        Ok(loaded.layer_devices().into_iter().map(Dynamic::from).collect())
    }

    /// The type of its weights: `float32`.
    #[rhai_fn(get = "dtype", pure)]
    pub fn dtype(lm: &mut Model) -> String {
        lm.card().dtype.clone()
    }

    /// Bytes that its weights take; 0 once it is unloaded.
    #[rhai_fn(get = "memory", pure)]
    pub fn memory(lm: &mut Model) -> INT {
        if lm.is_loaded() {
            lm.card().memory_bytes as INT
        } else {
            0
        }
    }

    /// How many parameters it has.
    #[rhai_fn(get = "n_parameters", pure)]
    pub fn n_parameters(lm: &mut Model) -> INT {
        lm.card().n_parameters as INT
    }

    /// Whether it is resident.
    #[rhai_fn(get = "is_loaded", pure)]
    pub fn is_loaded(lm: &mut Model) -> bool {
        lm.is_loaded()
    }

    /// The output of the last `generate`, also when that was interrupted.
    #[rhai_fn(get = "last_output", pure, return_raw)]
    pub fn last_output(ctx: NativeCallContext, lm: &mut Model) -> RhaiResult<Generation> {
        let none = || {
            let error = ScriptError::new(ErrorKind::Value, "this model has not generated anything yet");
            error.with_hint("lm.generate(text, #{generate: 20})").raise(&ctx)
        };
        lm.last_output().ok_or_else(none)
    }

    /// Frees the model's memory. Outputs keep what was recorded or computed.
    #[rhai_fn(name = "unload", pure)]
    pub fn unload(lm: &mut Model) {
        lm.unload();
    }

    /// The number of models.
    #[rhai_fn(name = "len", pure)]
    pub fn len(models: &mut ModelList) -> INT {
        models.models.len() as INT
    }

    /// One of the models, counted from 0.
    #[rhai_fn(index_get, pure, return_raw)]
    pub fn at(ctx: NativeCallContext, models: &mut ModelList, index: INT) -> RhaiResult<Model> {
        let found = usize::try_from(index)
            .ok()
            .and_then(|index| models.models.get(index));
        found.cloned().ok_or_else(|| {
            let message = format!("there is no model {index}: {} are resident", models.models.len());
            ScriptError::new(ErrorKind::Index, message).raise(&ctx)
        })
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn model_text(lm: &mut Model) -> String {
        Show::line(lm)
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn models_text(models: &mut ModelList) -> String {
        models
            .models
            .iter()
            .map(Show::line)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

fn load(state: &Rc<State>, name: &str, options: &Map) -> Result<Model, ScriptError> {
    let options = LOAD_OPTIONS.read(options)?;
    let wanted = LoadOptions {
        device: options.text("device").map(str::to_owned),
        dtype: options.text("dtype").map(str::to_owned),
        revision: options.text("revision").map(str::to_owned),
    };
    let verbose = options.bool("verbose").unwrap_or(true);
    if name.trim().is_empty() {
        return Err(ScriptError::new(ErrorKind::Value, "the model's name is empty")
            .with_hint("\"demo\", a Hugging Face folder, or a hub id such as \"distilgpt2\""));
    }
    let residents = state.kept::<Residents>();
    let known = residents
        .0
        .borrow()
        .iter()
        .find(|resident| resident.serves(name, &wanted))
        .cloned();
    let resident = match known {
        Some(resident) => resident,
        None => {
            let loaded = watched(state, verbose, |watch| ecco_models::load(name, &wanted, watch));
            let model = loaded.map_err(|error| misspelt(name, error.into()))?;
            let resident = Rc::new(Resident::new(model, wanted, state));
            residents.0.borrow_mut().push(Rc::clone(&resident));
            resident
        }
    };
    let recording = recording(&options, resident.card().n_layers)?;
    Ok(Model::new(resident, recording, verbose))
}

fn recording(options: &Options, n_layers: usize) -> Result<Recording, ScriptError> {
    let layers = options.usizes("activations_layer_nums");
    if let Some(layers) = &layers {
        check_layers(layers, n_layers).map_err(|message| {
            ScriptError::new(ErrorKind::Value, message).pointing_at("activations_layer_nums")
        })?;
    }
    let is_set = |name| options.bool(name).unwrap_or(false);
    Ok(Recording {
        activations: is_set("activations"),
        hidden_states: is_set("hidden_states"),
        attention: is_set("attention"),
        layers,
    })
}

/// The activations' first axis has the layers in the model's order, so that is how they must be named.
fn check_layers(layers: &[usize], n_layers: usize) -> Result<(), String> {
    if layers.is_empty() {
        return Err("activations_layer_nums names no layer".to_owned());
    }
    if let Some(layer) = layers.iter().find(|&&layer| layer >= n_layers) {
        let last = n_layers - 1;
        return Err(format!(
            "there is no layer {layer}: the model has layers 0 to {last}"
        ));
    }
    match layers.windows(2).find(|pair| pair[0] >= pair[1]) {
        Some(pair) if pair[0] == pair[1] => Err(format!("layer {} is named twice", pair[0])),
        Some(pair) => Err(format!(
            "layer {} is named after layer {}: name them in rising order",
            pair[1], pair[0]
        )),
        None => Ok(()),
    }
}

/// A model that cannot be loaded may be one that is here under another spelling.
fn misspelt(name: &str, error: ScriptError) -> ScriptError {
    if error.kind == ErrorKind::Interrupt || error.kind == ErrorKind::Memory || error.at.is_some() {
        return error;
    }
    let here = ecco_models::hub::cached_models();
    let here = std::iter::once("demo").chain(here.iter().map(String::as_str));
    let Some(meant) = nearest(name, here) else {
        return error;
    };
    let hint = match &error.hint {
        Some(hint) => format!("did you mean \"{meant}\"? Otherwise: {hint}"),
        None => format!("did you mean \"{meant}\"?"),
    };
    error.with_hint(hint)
}
