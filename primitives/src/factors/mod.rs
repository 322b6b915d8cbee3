//! Factors of activations: which neurons fire together, and where.

pub mod factorization;
pub mod functions;

use ecco_scripting::Registry;
use rhai::exported_module;

use factorization::{Factorization, Stability};

/// Makes the topic known to scripts.
pub fn register(registry: &mut Registry) {
    registry.result::<Factorization>("Factorization", "factors");
    registry.result::<Stability>("Stability", "stability");
    registry.table(&functions::OUTPUT_NMF);
    registry.table(&functions::RUN_NMF);
    registry.table(&functions::ECCO_NMF);
    registry.table(&functions::OUTPUT_PCA);
    registry.table(&functions::RUN_PCA);
    registry.table(&functions::ECCO_PCA);
    registry.table(&functions::OUTPUT_ICA);
    registry.table(&functions::RUN_ICA);
    registry.table(&functions::ECCO_ICA);
    registry.table(&functions::STABILITY);
    registry.module(exported_module!(functions::functions));
    registry
        .module_named("ecco")
        .combine(exported_module!(functions::ecco));
    functions::register(registry.engine);
}
