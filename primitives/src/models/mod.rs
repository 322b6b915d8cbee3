//! Models as scripts hold them: loading, what a model tells about itself, which are resident.

mod asking;
mod load;
pub(crate) mod model;
mod model_members;
mod resident;
pub(crate) mod sites;
mod weights;

use ecco_scripting::Registry;

use model::{Model, ModelList};

/// Makes the topic known to scripts.
pub(crate) fn register(registry: &mut Registry) {
    registry.value::<Model>("Model", "lm");
    registry.value::<ModelList>("ModelList", "models");
    load::register(registry);
    model_members::register(registry);
    weights::register(registry);
    registry.rest(resident::rest);
    registry.model_names(ecco_models::hub::cached_models);
}
