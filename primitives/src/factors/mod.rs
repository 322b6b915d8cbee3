//! Factors of activations: which neurons fire together, and where.

pub(crate) mod factorization;
mod members;
mod methods;
pub(crate) mod stability;

use ecco_scripting::Registry;

use factorization::Factorization;
use stability::Stability;

/// Makes the topic known to scripts.
pub(crate) fn register(registry: &mut Registry) {
    registry.result::<Factorization>("Factorization", "factors");
    registry.result::<Stability>("Stability", "stability");
    methods::register(registry);
    members::register(registry);
    stability::register(registry);
}
