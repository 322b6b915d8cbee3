//! Features made stronger or weaker in every pass, what the dictionary leaves out being kept.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use tch::Tensor;

use super::{Dictionary, flat, unflat};
use crate::edit::{Change, Edit, Part};
use crate::host::{self, bring};

/// What becomes of features.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FeatureChange {
    /// Their activations times this, and the value that stands there changed by what this makes of their writes:
    /// x + (factor − 1) Σ a_f W_dec\[f\].
    Scale(f64),
    /// The value is what the dictionary makes of it, without its error.
    Reconstruct,
}

/// A change of some features, at a place that their dictionary writes.
pub struct FeatureEdit {
    /// Whose features write there, that of this layer last.
    sources: Vec<Source>,
    /// The layer that is written.
    layer: usize,
    change: FeatureChange,
}

struct Source {
    dictionary: Rc<Dictionary>,
    /// `[feature]`
    features: Tensor,
    /// Of a transcoder what it reads in this pass.
    seen: Option<Rc<Seen>>,
}

/// What stood in a pass where a transcoder reads, until its features write.
#[derive(Default)]
pub struct Seen(RefCell<Option<Tensor>>);

impl Seen {
    pub(crate) fn keep(&self, value: &Tensor) {
        *self.0.borrow_mut() = Some(value.shallow_clone());
    }
}

/// Encodings that are computed at once: 64 MB in float32.
const MOST_NUMBERS: i64 = 16 << 20;

impl FeatureEdit {
    /// The edits that make this change: one in each layer that the features write in, of a transcoder with one more where it
    /// reads.
    pub fn edits(
        dictionary: &Rc<Dictionary>,
        features: &[usize],
        change: FeatureChange,
        positions: Option<Vec<Range<usize>>>,
    ) -> Vec<Edit> {
        let features: Vec<i64> = features.iter().map(|&feature| feature as i64).collect();
        let features = host::index(&features, dictionary.place().1);
        // What is put in the value's place is that of one layer, by all that write there.
        let (layers, sources) = match change {
            FeatureChange::Scale(_) => (dictionary.layers(), [].as_slice()),
            FeatureChange::Reconstruct => {
                let own = dictionary.writes.layer;
                (own..own + 1, dictionary.earlier())
            }
        };
        let place = dictionary.writes.place;
        let at = |place, layer, change: Change, positions| Edit {
            place,
            layer,
            part: Part::Whole,
            positions,
            change,
        };
        let mut edits = Vec::new();
        for layer in layers {
            let sources = sources.iter().chain([dictionary]).map(|dictionary| Source {
                dictionary: Rc::clone(dictionary),
                features: features.shallow_clone(),
                seen: dictionary.is_transcoder().then(Rc::default),
            });
            let sources: Vec<Source> = sources.collect();
            edits.extend(sources.iter().filter_map(|source| {
                let seen = Rc::clone(source.seen.as_ref()?);
                let reads = source.dictionary.reads;
                Some(at(reads.place, reads.layer, Change::Read(seen), None))
            }));
            let edit = Rc::new(Self {
                sources,
                layer,
                change,
            });
            edits.push(at(place, layer, Change::Features(edit), positions.clone()));
        }
        edits
    }

    /// Rows of the place that is written; `rows` says which of the pass's they are.
    pub(crate) fn changed(&self, part: &Tensor, rows: Option<&[i64]>) -> Tensor {
        let own = flat(part); // [batch, position, output]
        let mut all = match self.change {
            FeatureChange::Scale(_) => own.shallow_clone(),
            FeatureChange::Reconstruct => own.zeros_like(),
        };
        for (at, source) in self.sources.iter().enumerate() {
            let seen = source.seen.as_ref().and_then(|seen| seen.0.take());
            let read = match (seen, rows) {
                (None, _) => own.shallow_clone(),
                (Some(seen), None) => flat(&seen),
                (Some(seen), Some(rows)) => flat(&seen).index_select(1, &host::index(rows, seen.device())),
            }; // [batch, position, input]
            let dictionary = &source.dictionary;
            let read = bring(&read.flatten(0, 1), dictionary.place());
            let n_at_once = (MOST_NUMBERS / dictionary.n_features() as i64).max(1);
            let is_own = at + 1 == self.sources.len();
            let made = read.split(n_at_once, 0);
            let made: Vec<Tensor> = made.iter().map(|x| self.made(source, x, is_own)).collect();
            all = &all + bring(&Tensor::cat(&made, 0), (part.kind(), part.device())).view_as(&own);
        }
        unflat(&all, part)
    }

    /// What a source's features add, or come to: `[row, output]`. With those of the layer itself comes what stands whatever
    /// the features.
    fn made(&self, source: &Source, x: &Tensor, is_own: bool) -> Tensor {
        let dictionary = &source.dictionary;
        match self.change {
            FeatureChange::Scale(factor) => {
                let code = dictionary.encode_some(x, &source.features);
                let more = &code.activations * (factor - 1.0);
                dictionary.written(self.layer, &code, &more, Some(&source.features))
            }
            FeatureChange::Reconstruct if is_own => dictionary.decode(&dictionary.encode(x)),
            FeatureChange::Reconstruct => dictionary.writes_at(self.layer, x),
        }
    }
}
