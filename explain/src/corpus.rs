//! Every neuron (head, direction, feature of a dictionary) over many texts: where it is strongest, how often it is active, how its values are spread.
//!
//! The texts pass once, in batches of about equal length, and what is kept does not grow with them: of each neuron the `top`
//! strongest places (one a text), sums, a histogram, and of a sample the strongest place in each text and the value at each token. All
//! of it is merged in tensors where a layer is, and crosses to the host at the end.
//!
//! - here: what is asked; `reading`: the passes over the texts; `pieces`: texts as they are read; `sample`: what is drawn of them;
//!   `running`: what is kept of a layer; `stored`: that as numbers, to go on from; `found`: what comes of it; `nearest`: which units write alike;
//!   `again`: one neuron at every token of some texts; `units`: what else than neurons can be followed

mod again;
mod found;
mod nearest;
mod pieces;
mod reading;
mod running;
mod sample;
mod stored;
mod units;

use ecco_interpreter::{Watch, named};
use ecco_models::Model;
use ecco_models::run::Place;

use crate::error::{Error, Result};

pub use again::neuron_values;
pub use found::{Corpus, LayerNeurons, NeuronPlace};
pub use nearest::writing_cosines;
pub use pieces::{Piece, Pieces, pieces};
pub use reading::Reading;
pub use sample::Sample;
pub use stored::{Numbers, Stored, StoredLayer};
pub use units::Units;

named! {
/// Which values are the strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sign {
    /// The largest.
    #[default]
    Positive = "positive",
    /// The lowest.
    Negative = "negative",
    /// The furthest from 0.
    Both = "both",
}
}

#[derive(Debug, Clone, PartialEq)]
pub struct CorpusOptions {
    pub place: Place,
    pub units: Units,
    /// None: all.
    pub layers: Option<Vec<usize>>,
    /// Strongest places that are kept of each neuron.
    pub top: usize,
    pub sign: Sign,
    /// Texts in which each neuron's strongest place is kept, whatever it is: drawn at random.
    pub n_sample: usize,
    /// Tokens at which each neuron's value is kept, whatever it is: drawn at random.
    pub n_tokens: usize,
    pub seed: u64,
    /// Bytes for what is kept and for the numbers of a pass, beside the model. None: what is free.
    pub memory: Option<u64>,
}

/// Bins of a histogram.
pub const BINS: usize = 64;

/// One pass over the pieces. What an interrupt leaves is what was done by then.
///
/// # Errors
/// A place that is not there or has no value at each position, options out of bounds, no room.
pub fn corpus(model: &Model, pieces: Pieces, options: &CorpusOptions, watch: &mut Watch) -> Result<Corpus> {
    let mut reading = Reading::new(model, pieces, options)?;
    reading.read(model, watch, &mut |_| Ok::<(), Error>(()))?;
    reading.finish()
}
