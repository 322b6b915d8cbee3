//! A corpus while it is read, pass after pass.

use ecco_interpreter::{Progress, Watch};
use ecco_models::device::ensure_room;
use ecco_models::error::format_bytes;
use ecco_models::guard::guard;
use ecco_models::run::{self, Input, Place};
use ecco_models::tap::Tap;
use ecco_models::{Model, Site};
use tch::{Device, Tensor};

use super::found::Corpus;
use super::pieces::Pieces;
use super::running::{Batch, Running};
use super::sample::Sample;
use super::units::{Placed, Units};
use super::{BINS, CorpusOptions};
use crate::error::{Error, Result, refuse};
use crate::states::{pass, sizes, width};

/// Numbers of a site and layer that are worked on at once: some tensors as large are made of them.
const MOST_NUMBERS: usize = 2 << 20;
/// Bytes of these for each.
const WORK: u64 = 40;

/// Texts that are read, and what was found in them so far.
pub struct Reading {
    pub(super) options: CorpusOptions,
    pub(super) pieces: Pieces,
    pub(super) places: Vec<Looked>,
    pub(super) sample: Sample,
    /// Pieces that pass together, in the order of the passes.
    pub(super) batches: Vec<Vec<usize>>,
    /// As far as the first pass has come. Where a pass was interrupted, the first layers have taken it in.
    pub(super) layers: Vec<Running>,
}

/// A layer that is looked at.
pub(super) struct Looked {
    pub layer: usize,
    /// Numbers that the site has there at each position.
    width: usize,
    /// Units that are made of them.
    pub n: usize,
}

impl Reading {
    /// Nothing is read yet.
    ///
    /// # Errors
    /// A place that is not there or has no value at each position, options out of bounds, no room.
    pub fn new(model: &Model, pieces: Pieces, options: &CorpusOptions) -> Result<Self> {
        let places = looked(model, options)?;
        if pieces.all.is_empty() {
            return Err(refuse("texts", "[]", "there is no token to look at"));
        }
        let most = ensure_kept(&places, options, pieces.bytes())?;
        let widest = places.iter().map(|of| of.n.max(of.width)).max().unwrap_or(1);
        Ok(Self {
            options: options.clone(),
            sample: Sample::new(&pieces, options),
            batches: batches(model, &pieces, widest, most),
            layers: Vec::new(),
            places,
            pieces,
        })
    }

    pub fn pieces(&self) -> &Pieces {
        &self.pieces
    }

    pub fn units(&self) -> &Units {
        &self.options.units
    }

    /// Passes that all layers have taken in.
    pub fn n_passes(&self) -> usize {
        let least = self.layers.iter().map(|layer| layer.n_passes).min();
        match self.layers.len() == self.places.len() {
            true => least.unwrap_or(0),
            false => 0,
        }
    }

    /// Whether all texts were read.
    pub fn is_whole(&self) -> bool {
        self.n_passes() == self.batches.len()
    }

    /// Goes on to the end, or to an interrupt. `after` is asked after each pass.
    ///
    /// # Errors
    /// Those of the model and of `after`.
    pub fn read<E: From<Error>>(
        &mut self,
        model: &Model,
        watch: &mut Watch,
        after: &mut dyn FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        let total = self.n_counted(self.batches.len());
        let units = self.options.units.clone();
        let units = Placed::new(&units);
        for number in self.n_passes()..self.batches.len() {
            let progress = Progress {
                label: "reading texts".into(),
                done: self.n_counted(number) as u64,
                total: Some(total as u64),
                unit: "tokens",
            };
            let mut layers = std::mem::take(&mut self.layers);
            let ended = self.pass(
                model,
                &units,
                (number, &self.batches[number]),
                &mut layers,
                &mut || watch(&progress),
            );
            self.layers = layers;
            match ended {
                Err(Error::Model(ecco_models::Error::Interrupted)) => return Ok(()),
                ended => ended?,
            }
            after(self)?;
        }
        Ok(())
    }

    /// What the layers take in of the pass of a number; those that have taken it in already see nothing.
    fn pass(
        &self,
        model: &Model,
        units: &Placed,
        (number, batch): (usize, &[usize]),
        layers: &mut Vec<Running>,
        ask: &mut dyn FnMut() -> std::ops::ControlFlow<()>,
    ) -> Result<()> {
        let inputs: Vec<Input> = batch
            .iter()
            .map(|&at| self.pieces.all[at].input.clone())
            .collect();
        Ok(guard(|| {
            let mut tap = Neurons {
                reading: self,
                units,
                number,
                batch: Batch::new(batch, &self.pieces.all, &self.sample, self.options.place),
                layers,
            };
            pass(model, &inputs, &mut tap, self.options.place.encoder, ask)
        })?)
    }

    /// What tells the model, with all that is changed in it, and what is followed from others: the sum of each unit's values in
    /// the first text that is read.
    ///
    /// # Errors
    /// Those of the model.
    pub fn check(&self, model: &Model) -> Result<Vec<f64>> {
        let mut layers = Vec::new();
        let first = self.batches.first().and_then(|batch| batch.first());
        let batch: Vec<usize> = first.copied().into_iter().collect();
        let units = Placed::new(&self.options.units);
        self.pass(model, &units, (0, &batch), &mut layers, &mut || {
            std::ops::ControlFlow::Continue(())
        })?;
        Ok(guard(|| Ok(layers.iter().flat_map(Running::sums).collect()))?)
    }

    /// Tokens of the first passes.
    fn n_counted(&self, n_passes: usize) -> usize {
        let of = |&at: &usize| self.pieces.all[at].n_counted();
        self.batches[..n_passes].iter().flatten().map(of).sum()
    }

    /// What was found by now.
    ///
    /// # Errors
    /// Those of the device.
    pub fn finish(self) -> Result<Corpus> {
        let n_passes = self.n_passes();
        Ok(Corpus {
            place: self.options.place,
            n_read: self.batches[..n_passes].iter().map(Vec::len).sum(),
            n_tokens: self.n_counted(n_passes),
            is_whole: self.is_whole(),
            layers: guard(|| Ok(self.layers.into_iter().map(Running::finish).collect()))?,
            units: self.options.units,
            sign: self.options.sign,
            pieces: self.pieces,
            sample: self.sample,
        })
    }
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

/// Asks for room for what is kept, and gives how many numbers of a layer there is room for in a pass.
fn ensure_kept(places: &[Looked], options: &CorpusOptions, of_texts: u64) -> Result<usize> {
    if options.top == 0 {
        return Err(refuse("top", 0, "keep at least one place of each neuron"));
    }
    let neurons: usize = places.iter().map(|of| of.n).sum();
    // A key, a value, a piece and a position for each place; a number and a position for each text of the sample, a number for
    // each token of it; sums.
    let each = 16 * options.top + 8 * options.n_sample + 4 * options.n_tokens + 8 * (BINS + 1) + 28;
    // In tensors, and once more on the host.
    let bytes = (2 * (neurons as u64).saturating_mul(each as u64)).saturating_add(of_texts);
    let what = format!(
        "what is kept of {neurons} {}s and of the texts' tokens",
        options.units.name()
    );
    let least = WORK * places.iter().map(|of| of.n.max(of.width)).max().unwrap_or(1) as u64;
    let most = match options.memory {
        Some(memory) if memory < bytes.saturating_add(least) => {
            let reason = format!(
                "{what} takes {}; keep less by `top`, `sample`, `sample_tokens`, `layers`",
                format_bytes(bytes + least)
            );
            return Err(refuse("memory", format_bytes(memory), reason));
        }
        Some(memory) => ((memory - bytes) / WORK).min(MOST_NUMBERS as u64) as usize,
        None => MOST_NUMBERS,
    };
    ensure_room(Device::Cpu, bytes, &what)?;
    Ok(most)
}

/// Batches of about equal length that are small enough for the widest layer.
fn batches(model: &Model, pieces: &Pieces, widest: usize, most: usize) -> Vec<Vec<usize>> {
    let inputs: Vec<Input> = pieces.all.iter().map(|piece| piece.input.clone()).collect();
    let split = |batch: Vec<usize>| {
        let longest = batch
            .iter()
            .map(|&at| inputs[at].ids.len().max(inputs[at].target.len()));
        let each = longest.max().unwrap_or(1).saturating_mul(widest);
        let n = (most / each.max(1)).max(1);
        batch.chunks(n).map(<[usize]>::to_vec).collect::<Vec<_>>()
    };
    run::batches(model, &inputs).into_iter().flat_map(split).collect()
}

/// Takes what is kept of each layer's values as they pass.
struct Neurons<'a> {
    reading: &'a Reading,
    units: &'a Placed<'a>,
    number: usize,
    batch: Batch,
    layers: &'a mut Vec<Running>,
}

impl Tap for Neurons<'_> {
    fn wants(&self, site: Site, layer: usize) -> bool {
        let Reading { options, places, .. } = self.reading;
        site == options.place.site && places.iter().any(|of| of.layer == layer)
    }

    fn visit(&mut self, site: Site, layer: usize, value: Tensor) -> Tensor {
        let Reading { options, places, .. } = self.reading;
        let place = places.iter().position(|of| of.layer == layer);
        if let Some(at) = place.filter(|_| site == options.place.site) {
            let values = self.units.values(layer, &value);
            if at == self.layers.len() {
                let number = numbered(options.place, layer);
                let (n, device) = (values.size()[2], values.device());
                self.layers
                    .push(Running::new(number, (n, device), options, &self.reading.sample));
            }
            let running = &mut self.layers[at];
            if running.n_passes == self.number {
                running.add(&values, &self.batch);
            }
        }
        value
    }
}

/// A layer's number, where the place is a layer's.
pub(super) fn numbered(place: Place, layer: usize) -> Option<usize> {
    (place.axes()[0] == "layer").then_some(layer)
}
