//! How alike the layers of models are.

pub(crate) mod grid;
mod methods;

use ecco_scripting::Registry;

use grid::SimilarityGrid;

/// Makes the topic known to scripts.
pub(crate) fn register(registry: &mut Registry) {
    registry.result::<SimilarityGrid>("SimilarityGrid", "grid");
    methods::register(registry);
    grid::register(registry);
}
