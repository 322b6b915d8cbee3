//! Which tokens what a model says came from, and whether that can be trusted.

mod comparison;
mod comparison_members;
mod computed;
mod faithfulness;
pub(crate) mod generate;
pub(crate) mod one_target;
mod saliency;
pub(crate) mod saliency_members;
mod saliency_options;
mod target_names;
mod targets;

use ecco_scripting::Registry;

use comparison::Comparison;
use faithfulness::Faithfulness;
use saliency::Saliency;

/// Makes the topic known to scripts.
pub(crate) fn register(registry: &mut Registry) {
    registry.result::<Saliency>("Saliency", "saliency");
    registry.result::<Faithfulness>("Faithfulness", "faithfulness");
    registry.result::<Comparison>("Comparison", "comparison");
    generate::register(registry);
    saliency_members::register(registry);
    faithfulness::register(registry);
    comparison_members::register(registry);
}
