//! Inside the model: what each layer would say, as it is and by lenses that are fitted, what each part wrote to a logit, what heads look at, candidates.

pub(crate) mod attention;
pub(crate) mod candidates;
mod choices;
pub(crate) mod fitted_lens;
pub(crate) mod lens;
mod lens_members;
pub(crate) mod parts;
mod top_k;

use ecco_scripting::Registry;

use attention::Attention;
use candidates::Candidates;
use fitted_lens::FittedLens;
use lens::Lens;
use parts::LogitAttribution;

/// Makes the topic known to scripts.
pub(crate) fn register(registry: &mut Registry) {
    registry.result::<Lens>("Lens", "lens");
    registry.result::<FittedLens>("FittedLens", "fitted");
    registry.result::<LogitAttribution>("LogitAttribution", "parts");
    registry.result::<Attention>("Attention", "attention");
    registry.result::<Candidates>("Candidates", "candidates");
    lens_members::register(registry);
    fitted_lens::register(registry);
    parts::register(registry);
    attention::register(registry);
    candidates::register(registry);
    choices::register(registry);
    top_k::register(registry);
}
