//! Dictionaries, sparse autoencoders and transcoders: read or trained, a text in their features, what an answer owes to these.

mod attribution;
pub(crate) mod dictionary;
mod features;
mod training;

use ecco_scripting::Registry;

use attribution::FeatureAttribution;
use dictionary::Dictionary;
use features::Features;

/// Makes the topic known to scripts.
pub(crate) fn register(registry: &mut Registry) {
    registry.value::<Dictionary>("Dictionary", "dictionary");
    registry.result::<Features>("Features", "features");
    registry.result::<FeatureAttribution>("FeatureAttribution", "owed");
    dictionary::register(registry);
    training::register(registry);
    features::register(registry);
    attribution::register(registry);
}
