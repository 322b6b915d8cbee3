//! Models as scripts hold them: loading, what a model tells about itself, which are resident.

pub mod functions;
pub mod model;

use ecco_scripting::Registry;
use rhai::exported_module;

use model::{Model, ModelList};

/// Makes the topic known to scripts.
pub fn register(registry: &mut Registry) {
    registry.value::<Model>("Model", "lm");
    registry.value::<ModelList>("ModelList", "models");
    registry.table(&functions::LOAD_OPTIONS);
    registry.module(exported_module!(functions::functions));
    registry
        .module_named("ecco")
        .combine(exported_module!(functions::ecco));
    registry.engine.register_iterator::<ModelList>();
    registry.model_names(ecco_models::hub::cached_models);
}
