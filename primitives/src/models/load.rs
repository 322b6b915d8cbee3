//! `ecco::…`: loading models and listing the resident ones.

use std::rc::Rc;
use std::time::Instant;

use ecco_interpreter::{Watch, named};
use ecco_models::device::About;
use ecco_models::holders::Holder;
use ecco_scripting::options::{Choice, OptionKind, OptionValue};
use ecco_scripting::session::{State, watched_saying};
use ecco_scripting::{ErrorKind, Registry, ScriptError, errors::nearest, functions, options};
use rhai::{Array, Dynamic, INT, Map};

use super::model::{Model, ModelList, Recording};
use super::resident::{Resident, Residents};

options! {
    /// What `from_pretrained` can be told.
    pub struct LoadOptions {
        /// record the MLPs' activations with every `generate`
        activations: bool = false,
        /// record the hidden states with every `generate`
        hidden_states: bool = false,
        /// record the attention patterns with every `generate`
        attention: bool = false,
        /// layers whose activations are recorded, counted from 0, in rising order
        activations_layer_nums: Option<Vec<usize>> = "all layers",
        /// where its weights are kept and it computes; "auto": on one GPU where there is room, else its layers in order
        /// on several and the processor
        device: Option<DeviceName> = "\"cuda\" where there is a GPU",
        /// type of the weights; "stored": blocks of few bits, and on the processor float16 and bfloat16, stay as their file
        /// has them, and become float32 when they are used
        dtype: Option<Choice<WeightType>> = "as the file has it",
        /// folder or hub id (`"owner/name"`, or `"owner/name@revision"`) of an adapter for it, as PEFT saves LoRA;
        /// `lm.adapter` turns it off and on
        adapter: Option<String> = "none",
        /// branch, tag or commit of a hub model
        revision: Option<String> = "\"main\"",
        /// seconds without use after which it is set aside: its memory is given back, and when it is used next it comes
        /// back by itself, out of its files
        idle: Option<usize> [1..] = "never",
        /// show tokens and progress while working
        verbose: bool = true,
    }
}

named! {
    /// A type that weights are brought to, or none.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum WeightType {
        Float32 = "float32",
        Float16 = "float16",
        BFloat16 = "bfloat16",
        Stored = "stored",
    }
}

/// A device as libtorch names it, or `auto`.
#[derive(Debug, Clone)]
pub(super) struct DeviceName(String);

impl OptionValue for DeviceName {
    const KIND: OptionKind = OptionKind::Such(&["cpu", "cuda", "cuda:1", "auto"]);

    fn of(value: &Dynamic) -> Option<Self> {
        String::of(value).map(Self)
    }
}

pub(super) fn register(registry: &mut Registry) {
    functions! { registry, "ecco";
        /// Loads a language model and keeps it resident: `"demo"`, which is inside the kernel; a Hugging Face
        /// folder; a GGUF file; or a hub id such as `"distilgpt2"`, from the cache that Python's `huggingface_hub`
        /// uses or downloaded into it. A GGUF file of a model on the hub is named behind its id:
        /// `"owner/name/model.gguf"`. Asked for again, the resident one comes at once.
        ///
        /// Activations, hidden states and attention can always be read from an output; recording them with
        /// every `generate` keeps them when the model is unloaded.
        ///
        /// Example:
        /// ```rhai
        /// let lm = ecco::from_pretrained("demo");
        /// let lm = ecco::from_pretrained("distilgpt2", #{activations: true});
        /// ```
        fn from_pretrained(state, name_or_folder: &str; options: LoadOptions) -> Model {
            load(&state, name_or_folder, options)
        }

        /// The models that are resident, with their memory.
        fn models(state) -> ModelList {
            let residents = state.kept::<Residents>().0.borrow().clone();
            let handle = |resident| Model::new(resident, Recording::default(), true);
            Ok(ModelList { models: residents.into_iter().map(handle).collect() })
        }

        /// Where a model can be, GPUs first, with the memory there in bytes: maps with `device`, `total`, `free` (over
        /// all programs), and `holders`, the kernels of yours on this machine that have models there, this one among them:
        /// maps with `process`, `bytes` and `models`. Of a GPU also what this session has there, `tensors`, `peak` (the most
        /// there was at a time) and `reserved` (with what is kept for the next tensors).
        ///
        /// Example:
        /// ```rhai
        /// ecco::devices()[0].free
        /// ```
        fn devices(_state) -> Array {
            let (devices, holders) = (ecco_models::device::devices()?, ecco_models::holders::holders());
            Ok(devices.iter().map(|about| Dynamic::from_map(described(about, &holders))).collect())
        }

        /// How often the session's work has waited so far for data to cross between the host and a model's device, and how
        /// many bytes that were: `to_host`, `bytes_to_host`, `to_device`, `bytes_to_device`. On a GPU each crossing waits for
        /// all that the GPU has still to do. On a processor nothing waits, but what would is counted: the
        /// most probable token is found where it lies, and one that is drawn crosses.
        ///
        /// Example:
        /// ```rhai
        /// let before = ecco::crossings();
        /// lm.generate("The keys", #{generate: 20});
        /// ecco::crossings().to_host - before.to_host
        /// ```
        fn crossings(_state) -> Map {
            let counted = ecco_models::host::crossings();
            let number = |n: u64| Dynamic::from_int(INT::try_from(n).unwrap_or(INT::MAX));
            Ok(Map::from([
                ("to_host".into(), number(counted.to_host)),
                ("bytes_to_host".into(), number(counted.bytes_to_host)),
                ("to_device".into(), number(counted.to_device)),
                ("bytes_to_device".into(), number(counted.bytes_to_device)),
            ]))
        }
    }
}

fn described(about: &About, holders: &[Holder]) -> Map {
    let bytes = |n: u64| Dynamic::from_int(INT::try_from(n).unwrap_or(INT::MAX));
    let known = |n: Option<u64>| n.map_or(Dynamic::UNIT, bytes);
    let mut map = Map::from([
        ("device".into(), about.device.clone().into()),
        ("total".into(), known(about.total)),
        ("free".into(), known(about.free)),
        ("holders".into(), holders_on(&about.device, holders).into()),
    ]);
    if let Some(tensors) = about.tensors {
        map.extend([
            ("tensors".into(), bytes(tensors.now)),
            ("peak".into(), bytes(tensors.peak)),
            ("reserved".into(), bytes(tensors.reserved)),
        ]);
    }
    map
}

fn holders_on(device: &str, holders: &[Holder]) -> Array {
    let there = holders.iter().filter_map(|holder| {
        let (bytes, names) = holder.on(device)?;
        let names: Array = names.into_iter().map(|name| name.to_owned().into()).collect();
        Some(Dynamic::from_map(Map::from([
            ("process".into(), Dynamic::from_int(holder.process.into())),
            (
                "bytes".into(),
                Dynamic::from_int(INT::try_from(bytes).unwrap_or(INT::MAX)),
            ),
            ("models".into(), names.into()),
        ])))
    });
    there.collect()
}

fn load(state: &Rc<State>, name: &str, options: LoadOptions) -> Result<Model, ScriptError> {
    let asked = ecco_models::LoadOptions {
        device: options.device.clone().map(|DeviceName(name)| name),
        dtype: options.dtype.map(|Choice(dtype)| dtype.name().to_owned()),
        revision: options.revision.clone(),
        adapter: options.adapter.clone(),
    };
    if name.trim().is_empty() {
        return Err(ScriptError::new(ErrorKind::Value, "the model's name is empty")
            .with_hint("\"demo\", a Hugging Face folder, or a hub id such as \"distilgpt2\""));
    }
    let residents = state.kept::<Residents>();
    let known = residents
        .0
        .borrow()
        .iter()
        .find(|resident| resident.serves(name, &asked))
        .cloned();
    let resident = match known {
        Some(resident) => resident,
        None => {
            let begun = Instant::now();
            let load = |watch: &mut Watch| {
                let model = ecco_models::load(name, &asked, watch)?;
                for notice in model.notices() {
                    state.notice(notice);
                }
                Ok(Resident::new(model, asked, state))
            };
            // `let lm = …;` shows nothing by itself.
            let loaded = watched_saying(
                state,
                options.verbose,
                load,
                |loaded: &Result<Resident, ecco_models::Error>| {
                    let card = loaded.as_ref().ok()?.card();
                    Some(format!(
                        "{} · {:.1} s",
                        card.in_a_line(),
                        begun.elapsed().as_secs_f64()
                    ))
                },
            );
            let resident = Rc::new(loaded.map_err(|error| misspelt(name, error.into()))?);
            residents.0.borrow_mut().push(Rc::clone(&resident));
            resident
        }
    };
    if let Some(seconds) = options.idle {
        resident.set_idle(seconds);
    }
    let verbose = options.verbose;
    let recording = recording(options, resident.card().n_layers)?;
    Ok(Model::new(resident, recording, verbose))
}

fn recording(options: LoadOptions, n_layers: usize) -> Result<Recording, ScriptError> {
    let layers = options.activations_layer_nums;
    if let Some(layers) = &layers {
        check_layers(layers, n_layers).map_err(|message| {
            ScriptError::new(ErrorKind::Value, message).pointing_at("activations_layer_nums")
        })?;
    }
    Ok(Recording {
        activations: options.activations,
        hidden_states: options.hidden_states,
        attention: options.attention,
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
