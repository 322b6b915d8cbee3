//! Every neuron (head, direction, feature of a dictionary) over many texts: where it is strongest, how often it is active, how its values are spread.
//!
//! The texts pass once, in batches of about equal length, and what is kept does not grow with them: of each neuron the `top`
//! strongest places (one a text), sums, a histogram, and the strongest place in each text of a sample. All of it is merged in
//! tensors where a layer is, and crosses to the host at the end.
//!
//! - here: the pass over the texts; `pieces`: texts as they are read; `running`: what is kept of a layer; `found`: what comes
//!   of it; `again`: one neuron at every token of some texts; `units`: what else than neurons can be followed

mod again;
mod found;
mod pieces;
mod running;
mod units;

use ecco_interpreter::{Progress, Watch, named};
use ecco_models::device::ensure_room;
use ecco_models::guard::guard;
use ecco_models::run::{self, Input, Place};
use ecco_models::tap::Tap;
use ecco_models::{Model, Site};
use tch::{Device, Tensor};

use crate::error::{Result, refuse};
use crate::random::RandomState;
use crate::states::{pass, sizes, width};

pub use again::neuron_values;
pub use found::{Corpus, LayerNeurons, NeuronPlace};
pub use pieces::{Piece, Pieces, pieces};
use running::{Batch, Running};
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
    pub seed: u64,
}

/// Bins of a histogram.
pub const BINS: usize = 64;
/// Numbers of a site and layer that are worked on at once: some tensors as large are made of them.
const MOST_NUMBERS: usize = 2 << 20;

/// One pass over the pieces. What an interrupt leaves is what was done by then.
///
/// # Errors
/// A place that is not there or has no value at each position, options out of bounds, no room.
pub fn corpus(model: &Model, pieces: Pieces, options: &CorpusOptions, watch: &mut Watch) -> Result<Corpus> {
    let places = looked(model, options)?;
    if pieces.all.is_empty() {
        return Err(refuse("texts", "[]", "there is no token to look at"));
    }
    ensure_kept(&places, options)?;
    let sample = sampled(pieces.all.len(), options);
    let widest = places.iter().map(|of| of.n.max(of.width)).max().unwrap_or(1);
    let batches = batches(model, &pieces, widest);
    let total: usize = pieces.all.iter().map(Piece::n_counted).sum();
    let mut layers: Vec<Running> = Vec::new();
    let (mut done, mut read, mut is_whole) = (0, Vec::new(), true);
    for batch in batches {
        let progress = Progress {
            label: "reading texts".into(),
            done,
            total: Some(total as u64),
            unit: "tokens",
        };
        let of = |&at: &usize| &pieces.all[at];
        let inputs: Vec<Input> = batch.iter().map(|at| of(at).input.clone()).collect();
        let ended = guard(|| {
            let mut tap = Neurons {
                site: options.place.site,
                places: &places,
                options,
                batch: Batch::new(&batch, &pieces.all, &sample, options.place),
                layers: &mut layers,
                n_sample: sample.len(),
            };
            pass(model, &inputs, &mut tap, options.place.encoder, &mut || {
                watch(&progress)
            })
        });
        match ended {
            Err(ecco_models::Error::Interrupted) => {
                is_whole = false;
                break;
            }
            ended => ended?,
        }
        done += batch.iter().map(|at| of(at).n_counted() as u64).sum::<u64>();
        read.extend(batch);
    }
    let found = guard(|| Ok(layers.into_iter().map(Running::finish).collect()))?;
    Ok(Corpus {
        place: options.place,
        units: options.units.clone(),
        sign: options.sign,
        layers: found,
        pieces,
        sample,
        n_read: read.len(),
        n_tokens: done as usize,
        is_whole,
    })
}

/// A layer that is looked at.
struct Looked {
    layer: usize,
    /// Numbers that the site has there at each position.
    width: usize,
    /// Units that are made of them.
    n: usize,
}

fn looked(model: &Model, options: &CorpusOptions) -> Result<Vec<Looked>> {
    let place = options.place;
    let looked = |(layer, size): (usize, Vec<usize>)| {
        let width = width(&size);
        let n = options.units.n(place, layer, &size)?;
        Ok(Looked { layer, width, n })
    };
    let sizes = sizes(model, place, options.layers.as_deref())?;
    sizes.into_iter().map(looked).collect()
}

/// Asks for room for what is kept.
fn ensure_kept(places: &[Looked], options: &CorpusOptions) -> Result<()> {
    if options.top == 0 {
        return Err(refuse("top", 0, "keep at least one place of each neuron"));
    }
    let neurons: usize = places.iter().map(|of| of.n).sum();
    // A key, a value, a piece and a position for each place; a number and a position for each text of the sample; sums.
    let each = 16 * options.top + 8 * options.n_sample + 8 * (BINS + 1) + 28;
    // In tensors, and once more on the host.
    let bytes = 2 * (neurons as u64).saturating_mul(each as u64);
    let what = format!("what is kept of {neurons} {}s", options.units.name());
    Ok(ensure_room(Device::Cpu, bytes, &what)?)
}

/// Pieces of the sample, in order.
fn sampled(n: usize, options: &CorpusOptions) -> Vec<usize> {
    let mut sample = RandomState::new(options.seed as u32).shuffled(n);
    sample.truncate(options.n_sample);
    sample.sort_unstable();
    sample
}

/// Batches of about equal length that are small enough for the widest layer.
fn batches(model: &Model, pieces: &Pieces, widest: usize) -> Vec<Vec<usize>> {
    let inputs: Vec<Input> = pieces.all.iter().map(|piece| piece.input.clone()).collect();
    let split = |batch: Vec<usize>| {
        let longest = batch
            .iter()
            .map(|&at| inputs[at].ids.len().max(inputs[at].target.len()));
        let each = longest.max().unwrap_or(1).saturating_mul(widest);
        let n = (MOST_NUMBERS / each.max(1)).max(1);
        batch.chunks(n).map(<[usize]>::to_vec).collect::<Vec<_>>()
    };
    run::batches(model, &inputs).into_iter().flat_map(split).collect()
}

/// Takes what is kept of each layer's values as they pass.
struct Neurons<'a> {
    site: Site,
    places: &'a [Looked],
    options: &'a CorpusOptions,
    batch: Batch,
    /// As far as the first pass has come.
    layers: &'a mut Vec<Running>,
    n_sample: usize,
}

impl Tap for Neurons<'_> {
    fn wants(&self, site: Site, layer: usize) -> bool {
        site == self.site && self.places.iter().any(|of| of.layer == layer)
    }

    fn visit(&mut self, site: Site, layer: usize, value: Tensor) -> Tensor {
        if let Some(at) = self
            .places
            .iter()
            .position(|of| of.layer == layer)
            .filter(|_| site == self.site)
        {
            let values = self.options.units.values(layer, &value);
            if at == self.layers.len() {
                let number = (self.options.place.axes()[0] == "layer").then_some(layer);
                self.layers
                    .push(Running::new(number, &values, self.options, self.n_sample));
            }
            self.layers[at].add(&values, &self.batch);
        }
        value
    }
}
