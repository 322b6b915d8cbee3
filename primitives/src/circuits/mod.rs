//! Gradients inside the model, heads and weights: what an answer owes to what stands at a site, what each head does, and what parts of a model write, read in the vocabulary.

mod gradient;
pub(crate) mod heads;
pub(crate) mod site_attribution;
pub(crate) mod vocabulary;
mod written;

use ecco_scripting::Registry;

use heads::HeadScores;
use site_attribution::SiteAttribution;
use vocabulary::Vocabulary;

/// Makes the topic known to scripts.
pub(crate) fn register(registry: &mut Registry) {
    registry.result::<HeadScores>("HeadScores", "heads");
    registry.result::<Vocabulary>("Vocabulary", "vocabulary");
    registry.result::<SiteAttribution>("SiteAttribution", "attribution");
    gradient::register(registry);
    site_attribution::register(registry);
    heads::register(registry);
    vocabulary::register(registry);
}
