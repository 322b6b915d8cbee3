//! How alike the layers of models are.

pub mod functions;
pub mod grid;

use ecco_scripting::Registry;
use rhai::exported_module;

use grid::SimilarityGrid;

/// Makes the topic known to scripts.
pub fn register(registry: &mut Registry) {
    registry.result::<SimilarityGrid>("SimilarityGrid", "grid");
    registry.table(&functions::SVCCA);
    registry.table(&functions::PWCCA);
    registry.table(&functions::CKA);
    registry.table(&functions::SIMILARITY);
    registry.module(exported_module!(functions::functions));
    registry
        .module_named("ecco")
        .combine(exported_module!(functions::ecco));
}
