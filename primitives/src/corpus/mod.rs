//! Every neuron over many texts: `lm.corpus`, what it found, and one neuron of it.

mod gathering;
pub(crate) mod keeping;
mod neuron;
mod result;

use ecco_scripting::Registry;

use neuron::CorpusNeuron;
use result::Corpus;

/// Makes the topic known to scripts.
pub(crate) fn register(registry: &mut Registry) {
    registry.result::<Corpus>("Corpus", "corpus");
    registry.result::<CorpusNeuron>("CorpusNeuron", "dashboard");
    gathering::register(registry);
    result::register(registry);
}
