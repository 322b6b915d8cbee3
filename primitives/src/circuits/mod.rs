//! Heads and weights: what each head does, and what parts of a model write, read in the vocabulary.

pub(crate) mod heads;
pub(crate) mod vocabulary;
mod written;

use ecco_scripting::Registry;

use heads::HeadScores;
use vocabulary::Vocabulary;

/// Makes the topic known to scripts.
pub(crate) fn register(registry: &mut Registry) {
    registry.result::<HeadScores>("HeadScores", "heads");
    registry.result::<Vocabulary>("Vocabulary", "vocabulary");
    heads::register(registry);
    vocabulary::register(registry);
}
