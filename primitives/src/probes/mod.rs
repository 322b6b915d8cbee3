//! Linear probes: what can be read off states by a plane.

mod concept;
pub(crate) mod labels;
mod options;
mod probing;
mod result;

use ecco_scripting::Registry;

use result::Probes;

/// Makes the topic known to scripts.
pub(crate) fn register(registry: &mut Registry) {
    registry.result::<Probes>("Probes", "probes");
    probing::register(registry);
    concept::register(registry);
    result::register(registry);
}
