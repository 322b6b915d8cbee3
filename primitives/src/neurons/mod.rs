//! Neurons over texts.

pub(crate) mod activity;
pub(crate) mod top;

use ecco_scripting::Registry;

use activity::Activity;
use top::TopNeurons;

/// Makes the topic known to scripts.
pub(crate) fn register(registry: &mut Registry) {
    registry.result::<Activity>("Activity", "activity");
    registry.result::<TopNeurons>("TopNeurons", "neurons");
    activity::register(registry);
    top::register(registry);
}
