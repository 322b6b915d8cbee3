//! Passes over a text in which some sources are replaced by the baseline's: what perturbation methods are made of.
//!
//! Every pass gives the values of all targets. In a decoder a replaced token changes nothing before it, so what is
//! before the first replaced one is taken from one pass over the text; so is what an encoder has read where only what is
//! written is replaced (see [`Passes::without`]).

use std::cell::RefCell;
use std::ops::Range;

use ecco_models::attention::{Cache, CrossMemory};
use ecco_models::host;
use ecco_models::model::Body;
use ecco_models::stack::Stack;
use ecco_models::tap::{Capture, ReportTap};
use ecco_models::{Config, Model};
use ndarray::{Array2, ArrayView2};
use tch::{Kind, Tensor};

use super::baseline::Baseline;
use super::objective::Objective;
use super::work::{Work, WorkTap};
use crate::error::Result;

/// A text and the baseline that stands in for parts of it.
pub(crate) struct Passes<'e, 'm> {
    explained: &'e Objective<'m>,
    x: Tensor,  // [1, source, size]
    x0: Tensor, // [1, source, size]
    /// The values of the first pass: see [`Passes::settle`].
    first: RefCell<Vec<f64>>,
}

impl<'e, 'm> Passes<'e, 'm> {
    pub(crate) fn new(explained: &'e Objective<'m>, baseline: &Baseline) -> Result<Self> {
        Ok(Self {
            explained,
            x: explained.embeddings(),
            x0: explained.baseline(baseline)?,
            first: RefCell::default(),
        })
    }

    /// Values, `(pass, target)`, of which those that differ from the first pass's by no more than rounding are that one: passes in
    /// batches of other sizes round otherwise, and what does not depend on a source must not get a share of that.
    fn settle(&self, values: &mut [f64]) {
        let n_targets = self.explained.targets().len();
        let mut first = self.first.borrow_mut();
        if first.is_empty() {
            first.extend(values.iter().take(n_targets));
        }
        let epsilon = match self.explained.model().stack().kind() {
            Kind::Double => f64::EPSILON,
            _ => f64::from(f32::EPSILON),
        };
        for pass in values.chunks_mut(n_targets.max(1)) {
            for (value, &first) in pass.iter_mut().zip(first.iter()) {
                if (*value - first).abs() <= ROUNDING * epsilon * first.abs() {
                    *value = first;
                }
            }
        }
    }

    pub(crate) fn n_sources(&self) -> usize {
        self.x.size()[1] as usize
    }

    /// How many sources each target has.
    pub(crate) fn n_sources_of_each(&self) -> Vec<usize> {
        let targets = self.explained.targets().iter();
        targets
            .map(|target| self.explained.n_sources_of(target))
            .collect()
    }

    /// The targets' values in passes that keep some sources and replace the others: `(pass, target)`.
    pub(crate) fn keeping(
        &self,
        kept: ArrayView2<bool>,
        work: &mut Work,
    ) -> ecco_models::error::Result<Array2<f64>> {
        let shape = (kept.nrows(), self.explained.targets().len());
        let at_once = self.texts_at_once(self.n_sources());
        let masks: Vec<bool> = kept.iter().copied().collect();
        let masks = host::tensor(&masks, self.x.device());
        let masks = masks.reshape([kept.nrows() as i64, kept.ncols() as i64, 1]);
        let mut values = Vec::new();
        for mask in masks.split(at_once as i64, 0) {
            let x = self.x.where_self(&mask, &self.x0); // [pass, source, size]
            values.push(self.explained.values(&x, &mut WorkTap(work))?); // [pass, target]
            work.advance(mask.size()[0] as u64)?;
        }
        let mut values = host::numbers(&Tensor::cat(&values, 0));
        self.settle(&mut values);
        Ok(Array2::from_shape_vec(shape, values).unwrap_or_else(|_| Array2::zeros(shape)))
    }

    /// The targets' values for the text as it is, and in passes that each replace a window of sources, in ascending
    /// order: `(target)` and `(window, target)`. NaN where a window begins behind a target's sources.
    pub(crate) fn without(
        &self,
        windows: &[Range<usize>],
        work: &mut Work,
    ) -> ecco_models::error::Result<(Vec<f64>, Array2<f64>)> {
        let n_targets = self.explained.targets().len();
        let beginnings = Prefix::new(self, work)?;
        let mut values = Array2::from_elem((windows.len(), n_targets), f64::NAN);
        let (mut found, mut places_of_each, mut done) = (Vec::new(), Vec::new(), 0);
        while let Some(first) = windows.get(done) {
            let (start, n) = (first.start, self.n_sources());
            let shared = beginnings.shared(start);
            // Small enough a batch that not much is computed twice, large enough for products.
            let at_once = self.texts_at_once(n - shared).min(n.div_ceil(8).max(8));
            let at_once = at_once.min(windows.len() - done);
            let windows = &windows[done..done + at_once];
            let x = self.replaced(windows, shared);
            let sees = |&target: &usize| {
                let target = &self.explained.targets()[target];
                self.explained.n_sources_of(target) > start
            };
            let places: Vec<usize> = (0..n_targets).filter(sees).collect();
            let targets: Vec<_> = places
                .iter()
                .map(|&place| self.explained.targets()[place])
                .collect();
            found.push(beginnings.values(&self.explained.only(&targets), &x, shared, work)?);
            places_of_each.push((done, places));
            done += at_once;
            work.advance(at_once as u64)?;
        }
        let all: Vec<&Tensor> = std::iter::once(&beginnings.full).chain(&found).collect();
        let mut numbers = host::numbers_of_all(&all);
        let mut full = numbers.remove(0);
        self.settle(&mut full);
        for ((first, places), found) in places_of_each.iter().zip(numbers) {
            for (i, found) in found.chunks(places.len().max(1)).enumerate() {
                for (&place, &found) in places.iter().zip(found) {
                    values[[first + i, place]] = found;
                }
            }
        }
        if let Some(values) = values.as_slice_mut() {
            self.settle(values);
        }
        Ok((full, values))
    }

    /// Texts without a window each, from the position `shared` on: `[window, source − shared, size]`.
    fn replaced(&self, windows: &[Range<usize>], shared: usize) -> Tensor {
        let length = (self.n_sources() - shared) as i64;
        let part = |x: &Tensor| x.narrow(1, shared as i64, length);
        let x = part(&self.x).repeat([windows.len() as i64, 1, 1]);
        for (row, window) in windows.iter().enumerate() {
            let (start, length) = ((window.start - shared) as i64, window.len() as i64);
            let stand_in = part(&self.x0).get(0).narrow(0, start, length);
            x.get(row as i64).narrow(0, start, length).copy_(&stand_in);
        }
        x
    }

    /// How many texts go through the model together: enough for large products, little enough for [`BATCH_BYTES`].
    fn texts_at_once(&self, n_positions: usize) -> usize {
        let per_text = bytes_per_text(self.explained.model(), n_positions, self.explained.rows().len());
        at_once_of(per_text)
    }
}

/// What rounding may make of a value that comes through a whole pass, in units of its last place.
const ROUNDING: f64 = 16.0;

/// How many of something of this size are computed together.
pub(crate) fn at_once_of(bytes: u64) -> usize {
    (BATCH_BYTES / bytes.max(1)).clamp(1, 64) as usize
}

/// Memory that a batch may take: more at once is no faster.
const BATCH_BYTES: u64 = 256 << 20;

/// How many texts go through one layer together.
pub(crate) fn at_once(stack: &Stack, n_positions: usize) -> usize {
    let numbers = n_positions * per_position(&stack.config, n_positions);
    at_once_of((numbers * stack.kind().elt_size_in_bytes()) as u64)
}

/// Numbers of one layer's tensors that live at once, by position.
fn per_position(config: &Config, n_positions: usize) -> usize {
    let seen = 3 * config.n_heads * n_positions;
    12 * config.hidden_size + 4 * config.intermediate_size + seen + config.work_of_mixers()
}

/// About what one text takes in a pass that keeps nothing: the tensors of one layer, and those of the head.
pub(crate) fn bytes_per_text(model: &Model, n_positions: usize, n_rows: usize) -> u64 {
    let config = model.config();
    let head = 3 * n_rows.max(1) * config.vocab_size;
    ((n_positions * per_position(config, n_positions) + head) * model.stack().kind().elt_size_in_bytes())
        as u64
}

/// What a pass over the whole text left, for passes that begin alike.
struct Prefix {
    /// The targets' values for the whole text, `[1, target]`.
    full: Tensor,
    left: PrefixState,
}

enum PrefixState {
    Nothing,
    /// What a decoder's layers keep, at all positions.
    Layers(Capture),
    /// What an encoder has read, and how many tokens that were.
    Read(Vec<CrossMemory>, usize),
}

impl Prefix {
    fn new(passes: &Passes, work: &mut Work) -> ecco_models::error::Result<Self> {
        let (explained, x) = (passes.explained, &passes.x);
        match explained.model().body() {
            Body::Decoder(_) => {
                let mut tap = ReportTap {
                    tap: Capture::new(Cache::SITES, None),
                    report: &mut |_| work.report(),
                };
                let full = explained.values(x, &mut tap)?;
                Ok(Self {
                    full,
                    left: PrefixState::Layers(tap.tap),
                })
            }
            Body::EncoderDecoder(_) => {
                let memories = explained.read(x, &mut WorkTap(work))?;
                let n_read = explained.input().ids.len();
                let before = x.narrow(1, n_read as i64, (passes.n_sources() - n_read) as i64);
                let full = explained.values_having_read(&memories, &before, &mut WorkTap(work))?;
                Ok(Self {
                    full,
                    left: PrefixState::Read(memories, n_read),
                })
            }
            Body::Encoder(_) => Ok(Self {
                full: explained.values(x, &mut WorkTap(work))?,
                left: PrefixState::Nothing,
            }),
        }
    }

    /// How many of the positions before `start` need not be computed again.
    fn shared(&self, start: usize) -> usize {
        match &self.left {
            PrefixState::Nothing => 0,
            PrefixState::Layers(_) => start,
            PrefixState::Read(_, n_read) if start >= *n_read => *n_read,
            PrefixState::Read(..) => 0,
        }
    }

    /// Values of texts that go on differently from `shared` on: `[text, target]`.
    fn values(
        &self,
        explained: &Objective,
        x: &Tensor,
        shared: usize,
        work: &mut Work,
    ) -> ecco_models::error::Result<Tensor> {
        let mut tap = WorkTap(work);
        match &self.left {
            _ if shared == 0 => explained.values(x, &mut tap),
            PrefixState::Nothing => explained.values(x, &mut tap),
            PrefixState::Layers(layers) => {
                let size = x.size();
                let (shared, length) = (shared as i64, size[1]);
                let stack = explained.model().stack();
                let sizes = [shared, size[0], shared + length];
                let kept_of = |layer: usize, x: &Tensor| stack.kept_of(layer, x);
                let mut cache = Cache::of_pass(&stack.config, layers, kept_of, sizes);
                explained.values_behind(x, &mut cache, &mut tap)
            }
            PrefixState::Read(memories, _) => explained.values_having_read(memories, x, &mut tap),
        }
    }
}

/// A target's value where nothing is left of its sources, and where all are; two passes.
pub(crate) fn ends(passes: &Passes, work: &mut Work) -> ecco_models::error::Result<(Vec<f64>, Vec<f64>)> {
    let n = passes.n_sources();
    let kept = Array2::from_shape_fn((2, n), |(row, _)| row == 0);
    let values = passes.keeping(kept.view(), work)?;
    Ok((values.row(0).to_vec(), values.row(1).to_vec()))
}
