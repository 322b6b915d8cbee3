//! What of linear algebra and chance needs libtorch or the numbers of numpy: decompositions, systems, random tensors.

mod algebra;
mod random;

use ecco_scripting::Registry;
use rhai::exported_module;

/// Makes the topic known to scripts.
pub(crate) fn register(registry: &mut Registry) {
    registry.module(exported_module!(algebra::functions));
    random::register(registry);
}
