//! What if a part were different: interventions, steering, patching.

pub mod intervene;
pub mod patch_map;
pub mod patching;
pub mod side_by_side;
pub mod steering;

use ecco_scripting::Registry;
use rhai::exported_module;

use patch_map::PatchMap;
use side_by_side::SideBySide;
use steering::SteeringVector;

/// Makes the topic known to scripts.
pub fn register(registry: &mut Registry) {
    registry.result::<SideBySide>("SideBySide", "sides");
    registry.result::<PatchMap>("PatchMap", "map");
    registry.result::<SteeringVector>("SteeringVector", "vector");
    registry.table(&intervene::INTERVENE_OPTIONS);
    registry.table(&intervene::COMPARE_OPTIONS);
    registry.table(&intervene::STEERING_OPTIONS);
    registry.table(&patching::PATCH_OPTIONS);
    registry.module(exported_module!(intervene::functions));
    registry.module(exported_module!(patching::functions));
}
