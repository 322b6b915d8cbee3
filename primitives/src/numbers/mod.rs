//! What of linear algebra and chance needs libtorch or the numbers of numpy: decompositions, systems, clusters, maps,
//! random tensors.

mod algebra;
mod cluster;
mod points;
mod projection;
mod random;

use ecco_scripting::Registry;
use rhai::exported_module;

/// Makes the topic known to scripts.
pub(crate) fn register(registry: &mut Registry) {
    registry.module(exported_module!(algebra::functions));
    cluster::register(registry);
    projection::register(registry);
    random::register(registry);
}
