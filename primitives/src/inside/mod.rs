//! Inside the model: what each layer would say, what each part wrote to a logit, what heads look at, candidates.

pub mod attention;
pub mod candidates;
pub mod lens;
mod lens_members;
pub mod parts;
mod top_k;

use ecco_scripting::Registry;

use attention::Attention;
use candidates::Candidates;
use lens::Lens;
use parts::LogitAttribution;

/// Makes the topic known to scripts.
pub fn register(registry: &mut Registry) {
    registry.result::<Lens>("Lens", "lens");
    registry.result::<LogitAttribution>("LogitAttribution", "parts");
    registry.result::<Attention>("Attention", "attention");
    registry.result::<Candidates>("Candidates", "candidates");
    lens_members::register(registry);
    parts::register(registry);
    attention::register(registry);
    candidates::register(registry);
    top_k::register(registry);
}
