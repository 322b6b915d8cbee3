//! What a model tells about itself, and a list of models.

use ecco_scripting::result::Show;
use ecco_scripting::{ErrorKind, Registry, RhaiResult, ScriptError, members, options};
use rhai::{Array, Dynamic, FuncRegistration, INT, Map};

use super::model::{Model, ModelList};

options! {
    /// What `lm.adapter` can be told.
    struct AdapterOptions {
        /// how much of the adapter the model has: 0 nothing, 1 all; below and above is extrapolated
        scale: f64 = 1.0,
    }
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Model];
        /// The name it was loaded by.
        get name(lm: &Model) -> String { Ok(lm.card().name.clone()) }

        /// The architecture: `model_type`, `n_layers`, `hidden_size`, `n_heads`, `intermediate_size`,
        /// `vocab_size`, `context_length`.
        get config(lm: &Model) -> Map { Ok(config(lm)) }

        /// Where it is: `cpu`, `cuda:0`; of a model on several devices all of them, `cuda:0 + cuda:1 + cpu`, the first
        /// with what is no layer's.
        get device(lm: &Model) -> String { Ok(lm.card().device.clone()) }

        /// The device of each layer, of an encoder–decoder the decoder's.
        get layer_devices(lm: &Model) -> Array {
            Ok(lm.loaded()?.layer_devices().into_iter().map(Dynamic::from).collect())
        }

        /// The type of its weights: `float32`.
        get dtype(lm: &Model) -> String { Ok(lm.card().dtype.clone()) }

        /// SHA-256 of its files, in hexadecimal digits: the same weights, configuration and vocabulary have the same, wherever they
        /// lie. An adapter's own stands behind a `+`. All weights are read for it.
        get digest(lm: &Model) -> String { Ok(lm.loaded()?.digest()) }

        /// Bytes that its weights take; 0 once it is unloaded, and while it is set aside.
        get memory(lm: &Model) -> INT { Ok(lm.memory_bytes() as INT) }

        /// How many parameters it has.
        get n_parameters(lm: &Model) -> INT { Ok(lm.card().n_parameters as INT) }

        /// The same model with a share of its adapter: `scale` 0 is the model without it, 1 as it was trained, 0.5 half
        /// of the way between their weights. It shares the weights: what an adapter adds to linear layers is computed
        /// beside them. `lm.compare(text)` sets it beside the model without its adapter.
        ///
        /// Example:
        /// ```rhai
        /// let tuned = ecco::from_pretrained("meta-llama/Llama-3.2-1B", #{adapter: "my-lora"});
        /// let base = tuned.adapter(#{scale: 0.0});
        /// base.generate("Once upon a time", #{generate: 5})
        /// ```
        fn adapter(lm: &Model; options: AdapterOptions) -> Model { lm.with_share(options.scale) }

        /// Whether it is resident.
        get is_loaded(lm: &Model) -> bool { Ok(lm.is_loaded()) }

        /// Frees the model's memory. Outputs keep what was recorded or computed.
        fn unload(lm: &Model) -> () {
            lm.unload();
            Ok(())
        }

        fn to_string(lm: &Model) -> String { Ok(lm.line()) }

        fn to_debug(lm: &Model) -> String { Ok(lm.line()) }
    }
    of_list(registry);
}

fn config(lm: &Model) -> Map {
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

fn of_list(registry: &mut Registry) {
    registry.engine.register_iterator::<ModelList>();
    FuncRegistration::new_index_getter()
        .with_purity(true)
        .with_comments(["/// One of the models, counted from 0."])
        .with_params_info(["models: &mut ModelList", "index: INT", "Model"])
        .register_into_engine(
            registry.engine,
            |models: &mut ModelList, index: INT| -> RhaiResult<Model> { Ok(models.at(index)?) },
        );
    members! { registry, [ModelList];
        /// The number of models.
        fn len(models: &ModelList) -> INT { Ok(models.models.len() as INT) }

        fn to_string(models: &ModelList) -> String { Ok(models.lines()) }

        fn to_debug(models: &ModelList) -> String { Ok(models.lines()) }
    }
}

impl ModelList {
    fn at(&self, index: INT) -> Result<Model, ScriptError> {
        let found = usize::try_from(index)
            .ok()
            .and_then(|index| self.models.get(index));
        found.cloned().ok_or_else(|| {
            let message = format!("there is no model {index}: {} are resident", self.models.len());
            ScriptError::new(ErrorKind::Index, message)
        })
    }

    fn lines(&self) -> String {
        let lines: Vec<String> = self.models.iter().map(Show::line).collect();
        lines.join("\n")
    }
}
