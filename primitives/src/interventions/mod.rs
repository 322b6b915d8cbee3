//! What if a part were different: interventions, steering, patching, and another model's parts.

pub(crate) mod answer;
mod asking;
mod attribution_patching;
mod causal_trace;
mod compare;
mod intervene;
mod model_diff;
pub(crate) mod patch_map;
mod patch_maps;
mod patching;
mod patchscope;
pub(crate) mod side_by_side;
pub(crate) mod steering;

use ecco_scripting::Registry;

use attribution_patching::AttributionPatching;
use model_diff::ModelDiff;
use patch_map::PatchMap;
use patch_maps::PatchMaps;
use side_by_side::SideBySide;
use steering::SteeringVector;

/// Makes the topic known to scripts.
pub(crate) fn register(registry: &mut Registry) {
    registry.result::<SideBySide>("SideBySide", "sides");
    registry.result::<PatchMap>("PatchMap", "map");
    registry.result::<PatchMaps>("PatchMaps", "map");
    registry.result::<AttributionPatching>("AttributionPatching", "estimate");
    registry.result::<ModelDiff>("ModelDiff", "diff");
    registry.result::<SteeringVector>("SteeringVector", "vector");
    intervene::register(registry);
    model_diff::register(registry);
    compare::register(registry);
    side_by_side::register(registry);
    steering::register(registry);
    patching::register(registry);
    patch_maps::register(registry);
    causal_trace::register(registry);
    patchscope::register(registry);
    patch_map::register(registry);
    attribution_patching::register(registry);
}
