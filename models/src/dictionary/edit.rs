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

/// A change of some features, at the place that their dictionary writes.
pub struct FeatureEdit {
    dictionary: Rc<Dictionary>,
    /// `[feature]`
    features: Tensor,
    change: FeatureChange,
    /// Of a transcoder what it reads in this pass.
    seen: RefCell<Option<Tensor>>,
}

/// Encodings that are computed at once: 64 MB in float32.
const MOST_NUMBERS: i64 = 16 << 20;

impl FeatureEdit {
    /// The edits that make this change: of a transcoder one more where it reads.
    pub fn edits(
        dictionary: &Rc<Dictionary>,
        features: &[usize],
        change: FeatureChange,
        positions: Option<Vec<Range<usize>>>,
    ) -> Vec<Edit> {
        let features: Vec<i64> = features.iter().map(|&feature| feature as i64).collect();
        let edit = Rc::new(Self {
            dictionary: Rc::clone(dictionary),
            features: host::index(&features, dictionary.place().1),
            change,
            seen: RefCell::new(None),
        });
        let at = |spot: super::Spot, change: Change, positions| Edit {
            place: spot.place,
            layer: spot.layer,
            part: Part::Whole,
            positions,
            change,
        };
        let reading = dictionary.is_transcoder();
        let reading = reading.then(|| at(dictionary.reads, Change::Read(Rc::clone(&edit)), None));
        let writing = at(dictionary.writes, Change::Features(edit), positions);
        reading.into_iter().chain([writing]).collect()
    }

    /// Keeps what a transcoder reads until its layer writes.
    pub(crate) fn read(&self, value: &Tensor) {
        *self.seen.borrow_mut() = Some(value.shallow_clone());
    }

    /// Rows of the place that is written; `rows` says which of the pass's they are.
    pub(crate) fn changed(&self, part: &Tensor, rows: Option<&[i64]>) -> Tensor {
        let own = flat(part); // [batch, position, output]
        let read = match (self.seen.take(), rows) {
            (None, _) => own.shallow_clone(),
            (Some(seen), None) => flat(&seen),
            (Some(seen), Some(rows)) => flat(&seen).index_select(1, &host::index(rows, seen.device())),
        }; // [batch, position, input]
        let read = bring(&read.flatten(0, 1), self.dictionary.place());
        let n_at_once = (MOST_NUMBERS / self.dictionary.n_features() as i64).max(1);
        let made: Vec<Tensor> = read.split(n_at_once, 0).iter().map(|x| self.made(x)).collect();
        let made = bring(&Tensor::cat(&made, 0), (part.kind(), part.device())).view_as(&own);
        let changed = match self.change {
            FeatureChange::Scale(_) => own + made,
            FeatureChange::Reconstruct => made,
        };
        unflat(&changed, part)
    }

    /// What is added, or what stands in the value's place: `[row, output]`.
    fn made(&self, x: &Tensor) -> Tensor {
        match self.change {
            FeatureChange::Scale(factor) => {
                let code = self.dictionary.encode_some(x, &self.features);
                let more = &code.activations * (factor - 1.0);
                self.dictionary.written(&code, &more, Some(&self.features))
            }
            FeatureChange::Reconstruct => self.dictionary.decode(&self.dictionary.encode(x)),
        }
    }
}
