//! Neurons over texts.

pub mod activity;
pub mod functions;

use ecco_scripting::Registry;
use rhai::exported_module;

use activity::{Activity, TopNeurons};

/// Makes the topic known to scripts.
pub fn register(registry: &mut Registry) {
    registry.result::<Activity>("Activity", "activity");
    registry.result::<TopNeurons>("TopNeurons", "neurons");
    registry.table(&functions::OUTPUT_TOP);
    registry.table(&functions::RUN_TOP);
    registry.table(&functions::OUTPUT_NEURON);
    registry.table(&functions::RUN_NEURON);
    registry.table(&functions::MODEL_NEURON);
    registry.module(exported_module!(functions::functions));
    functions::register(registry.engine);
}
