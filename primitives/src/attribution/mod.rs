//! Which tokens what a model says came from, and whether that can be trusted.

pub mod checks;
pub mod comparison;
pub mod computed;
pub mod faithfulness;
pub mod functions;
pub mod saliency;
pub mod targets;

use ecco_scripting::Registry;
use rhai::exported_module;

use comparison::Comparison;
use faithfulness::Faithfulness;
use saliency::Saliency;

/// Makes the topic known to scripts.
pub fn register(registry: &mut Registry) {
    registry.result::<Saliency>("Saliency", "saliency");
    registry.result::<Faithfulness>("Faithfulness", "faithfulness");
    registry.result::<Comparison>("Comparison", "comparison");
    registry.table(&functions::SALIENCY_OPTIONS);
    registry.table(&functions::PRIMARY_OPTIONS);
    registry.table(&functions::ATTRIBUTE_OPTIONS);
    registry.table(&functions::RUN_SALIENCY_OPTIONS);
    registry.table(&checks::FAITHFULNESS_OPTIONS);
    registry.table(&checks::COMPARE_OPTIONS);
    registry.table(&checks::SALIENCY_COMPARE_OPTIONS);
    registry.module(exported_module!(functions::functions));
    registry.module(exported_module!(checks::functions));
}
