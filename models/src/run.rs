//! One forward pass over a text, or over several side by side, for any kind of model.
//!
//! - [`Input`]: what is read, and what a decoder beside an encoder is given as written
//! - [`run`], [`Run`]: what the head says, and what was recorded on the way
//! - [`record`]: sites of another pass over the same
//! - [`Known`]: a pass that others go on from, from a layer on
//! - `batches`: which texts go together; `records`: [`Records`], what was recorded; `predictions`: [`Prediction`], the head's answer in words
//!
//! Texts of one batch are padded on the right. Nothing before looks at what comes after in a decoder; encoders, and
//! attention to one, get a mask. So each text has the same numbers as alone.

mod batches;
mod input;
mod known;
mod predictions;
mod records;
mod spans;

use std::cell::RefCell;
use std::ops::ControlFlow;

use ndarray::ArrayD;
use tch::{Device, Tensor};

use crate::config::Config;
use crate::device;
use crate::error::{Error, Result};
use crate::guard::guard;
use crate::host;
use crate::model::{Body, Model};
use crate::stack::{Marks, Stack};
use crate::tap::{Capture, ReportTap, Site, Tap, running, to_array};
use ecco_interpreter::{Progress, Watch};

pub use crate::site::Place;
pub use input::Input;
pub use known::{Known, known, resume};
pub use predictions::{Candidate, Prediction};
pub use records::Records;

/// What one pass over a batch told.
pub struct Run {
    inputs: Vec<Input>,
    order: Vec<usize>,
    /// The head's input, `[text, position, size]`.
    states: Tensor,
    predictions: Vec<Vec<Prediction>>,
    records: Records,
}

/// Numbers that a run keeps of all sites: below this, one pass keeps whatever may be asked for, and no second one is
/// needed for short texts. 64 MB in float32.
const MOST_NUMBERS: usize = 16 << 20;

/// Rows that go through the head together: each takes some tensors as wide as the vocabulary.
const HEAD_ROWS: usize = 50;

/// Rows that are scored together, without logits of all the vocabulary.
const SCORED_ROWS: usize = 512;

/// Passes over all of `inputs`, in batches of texts about equally long: [`Run::order`] says which are where. Each keeps the hidden states; where the texts are short, every other site
/// too (attention patterns grow with the square of a text's length, so they do not belong to what is always kept).
/// `top_k` is how many candidates a prediction names.
pub fn run(model: &Model, inputs: Vec<Input>, top_k: usize, watch: &mut Watch) -> Result<Vec<Run>> {
    let config = model.config();
    let everything = Place::all(config);
    let states = [Place::of(Site::ResidualBefore), Place::of(Site::FinalNorm)];
    let places: &[Place] = match numbers(config, &inputs, &everything) <= MOST_NUMBERS {
        true => &everything,
        false => &states,
    };
    ensure_room(config, &inputs, places)?;
    let batches = batches(model, &inputs);
    batches
        .into_iter()
        .map(|batch| one(model, &inputs, batch, places, top_k, watch))
        .collect()
}

/// Which inputs go through the model together.
pub fn batches(model: &Model, inputs: &[Input]) -> Vec<Vec<usize>> {
    batches::of(model.config(), model.stack().device(), inputs)
}

fn one(
    model: &Model,
    all: &[Input],
    order: Vec<usize>,
    places: &[Place],
    top_k: usize,
    watch: &mut Watch,
) -> Result<Run> {
    let inputs: Vec<Input> = order.iter().map(|&index| all[index].clone()).collect();
    guard(|| {
        let pass = pass(model, &inputs, places, None, watch)?;
        let records = Records::new(pass.captures, pass.n_layers, &inputs);
        let mut run = Run {
            predictions: Vec::new(),
            states: pass.states,
            inputs,
            order,
            records,
        };
        run.predictions = predictions::of(model, &run, top_k)?;
        model.ensure_unchanged()?;
        Ok(run)
    })
}

/// One pass over `inputs` for the sake of `places`, at some layers or all. The inputs are those of one [`Run`].
pub fn record(
    model: &Model,
    inputs: &[Input],
    places: &[Place],
    layers: Option<&[usize]>,
    watch: &mut Watch,
) -> Result<Records> {
    ensure_room(model.config(), inputs, places)?;
    guard(|| {
        let pass = pass(model, inputs, places, layers, watch)?;
        model.ensure_unchanged()?;
        Ok(Records::new(pass.captures, pass.n_layers, inputs))
    })
}

/// One pass over one input: the head's input, `[1, position, size]`. `tap` is at the stack whose head speaks.
pub fn forward(model: &Model, input: &Input, tap: &mut dyn Tap) -> Result<Tensor> {
    input.check(model)?;
    guard(|| {
        let read = input.embed(model.reader());
        match model.body() {
            Body::Decoder(decoder) => decoder.forward(&read, None, tap),
            Body::Encoder(encoder) => {
                let segments = input.segments(&encoder.stack);
                let marks = Marks {
                    segments: segments.as_ref(),
                    ..Marks::default()
                };
                encoder.forward(&read, marks, tap)
            }
            Body::EncoderDecoder(both) => {
                let read = both.read(&read, None, &mut FollowTap(&mut *tap))?;
                let written = both.decoder.embed(&input.target);
                both.decoder.forward_with(&written, None, Some(&read), tap)
            }
        }
    })
}

/// Sees nothing, and ends the pass when the other does.
struct FollowTap<'a>(&'a mut dyn Tap);

impl Tap for FollowTap<'_> {
    fn wants(&self, _: Site, _: usize) -> bool {
        false
    }
    fn visit(&mut self, _: Site, _: usize, value: Tensor) -> Tensor {
        value
    }
    fn proceed(&mut self, layer: usize) -> ControlFlow<()> {
        self.0.proceed(layer)
    }
}

/// Every place of this model with the lengths of its axes; `None` where these follow from the text. A pass over one
/// token tells, so the list has what is there and nothing else.
pub fn sites(model: &Model) -> Result<Vec<(Place, Vec<Option<usize>>)>> {
    let records = probe(model)?;
    let all = Place::all(model.config());
    let shape = |place: Place| {
        let tensors = records.tensors(place, None);
        let first = tensors.first()?;
        let widths = tensors.iter().map(|tensor| tensor.size()[2]);
        let is_even = widths.clone().min() == widths.max();
        let length = |axis: &&str| match *axis {
            "layer" => Some(tensors.len()),
            "head" | "key_head" => Some(first.size()[1] as usize),
            "head_dim" | "state" | "value" => Some(first.size()[3] as usize),
            "hidden" | "neuron" | "channel" | "expert" if is_even => Some(first.size()[2] as usize),
            _ => None,
        };
        Some((place, place.axes().iter().map(length).collect()))
    };
    guard(|| Ok(all.into_iter().filter_map(shape).collect()))
}

/// Every place of this model, recorded in a pass over one token: what there is, and how large.
pub fn probe(model: &Model) -> Result<Records> {
    let target = match model.body() {
        Body::EncoderDecoder(_) => vec![model.generation.decoder_start()?],
        _ => vec![],
    };
    let input = Input {
        ids: vec![0],
        target,
        ..Input::default()
    };
    let (inputs, all) = ([input], Place::all(model.config()));
    ensure_room(model.config(), &inputs, &all)?;
    guard(|| {
        // Shapes are asked for: the numbers stay where they are.
        let pass = pass(model, &inputs, &all, None, &mut ecco_interpreter::unwatched)?;
        Ok(Records::in_place(pass.captures, pass.n_layers, &inputs))
    })
}

impl Run {
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// Which of the inputs of [`run`] each of these is.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// What the head says of one of the texts: see [`Prediction`]. Empty for a model without a head.
    pub fn predictions(&self, text: usize) -> &[Prediction] {
        &self.predictions[text]
    }

    /// What was recorded on the way.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// What the head says of one of the texts, on the host: `(position, vocabulary)` for next and masked tokens,
    /// `(position, label)` for labels of each token (`(position)` where there is one), `(label)` for those of the text.
    ///
    /// # Errors
    /// [`Error::NoHead`] for a model that has none.
    pub fn logits(&self, model: &Model, text: usize) -> Result<ArrayD<f32>> {
        guard(|| on_host(model.config(), &self.head(model, text)?))
    }

    /// Of each token of each text but the first, the natural logarithm of its probability after those before it. All texts' rows go
    /// through the head side by side, which is then read once for many.
    ///
    /// # Errors
    /// A model that does not write from left to right, and an interrupt.
    pub fn log_probabilities(&self, model: &Model, watch: &mut Watch) -> Result<Vec<Vec<f64>>> {
        let writer = model.writer("a token's probability after those before it")?;
        let ids: Vec<&[u32]> = self.inputs.iter().map(Input::spoken).collect();
        let width = self.states.size()[1];
        let rows = ids.iter().enumerate().flat_map(|(text, ids)| {
            let next = ids.iter().skip(1).zip(text as i64 * width..);
            next.map(|(&id, row)| (row, id))
        });
        let (rows, next): (Vec<i64>, Vec<u32>) = rows.unzip();
        let n = next.len();
        let mut said = Vec::with_capacity(n);
        for (rows, next) in rows.chunks(SCORED_ROWS).zip(next.chunks(SCORED_ROWS)) {
            let own = guard(|| {
                let [own] = host::numbers_of_each([&writer.log_probabilities(&self.rows(rows), next)]);
                Ok(own)
            });
            said.extend(own?);
            let progress = Progress {
                label: "reading probabilities".into(),
                done: said.len() as u64,
                total: Some(n as u64),
                unit: "tokens",
            };
            if watch(&progress).is_break() {
                return Err(Error::Interrupted);
            }
        }
        let mut said = said.into_iter();
        let of_text = |ids: &[u32]| said.by_ref().take(ids.len().saturating_sub(1)).collect();
        Ok(ids.into_iter().map(of_text).collect())
    }

    /// What the head says of one of the texts: `[position, vocabulary]` and the like, see [`said`].
    fn head(&self, model: &Model, text: usize) -> Result<Tensor> {
        let length = self.inputs[text].spoken().len() as i64;
        let states = self.states.narrow(0, text as i64, 1).narrow(1, 0, length);
        Ok(said(model, &states)?.get(0))
    }

    /// The same at places, each a text and a position in it: `[place, vocabulary]`.
    fn head_at(&self, model: &Model, places: &[(usize, usize)]) -> Result<Tensor> {
        let width = self.states.size()[1];
        let rows: Vec<i64> = places
            .iter()
            .map(|&(text, position)| text as i64 * width + position as i64)
            .collect();
        Ok(said(model, &self.rows(&rows).unsqueeze(0))?.get(0))
    }

    /// The head's input at rows of all texts' positions, padding counted: `[row, size]`.
    fn rows(&self, rows: &[i64]) -> Tensor {
        let rows = host::index(rows, self.states.device());
        self.states.flatten(0, 1).index_select(0, &rows)
    }
}

/// What a head says of one text, as it is handed out: a single label of each token is `(position)`.
pub(crate) fn on_host(config: &Config, logits: &Tensor) -> Result<ArrayD<f32>> {
    match config.task.label() {
        Some(label) if !config.task.is_of_text() && label.names.len() == 1 => {
            to_array(&logits.squeeze_dim(-1))
        }
        _ => to_array(logits),
    }
}

/// What the head says of states `[text, position, size]`: `[text, position, vocabulary]` for next and masked tokens,
/// `[text, position, label]` for labels of each token, `[text, label]` for those of the text.
///
/// # Errors
/// [`Error::NoHead`] for a model that has none.
pub fn said(model: &Model, states: &Tensor) -> Result<Tensor> {
    let logits = match model.body() {
        Body::Decoder(decoder) => Some(decoder.logits(states)),
        Body::Encoder(encoder) => encoder.logits(states, None),
        Body::EncoderDecoder(both) => Some(both.decoder.logits(states)),
    };
    logits.ok_or_else(|| Error::NoHead {
        model: model.name().to_owned(),
    })
}

struct Pass {
    states: Tensor,
    captures: [Capture; 2],
    /// That were asked for: of each stack all, or 0.
    n_layers: [usize; 2],
}

/// Embeddings of a batch `[text, position, size]`, and where they are none: `[text, position]`, if anywhere.
fn embed<'a>(stack: &Stack, texts: impl Iterator<Item = &'a [u32]>) -> (Tensor, Option<Tensor>) {
    let texts: Vec<&[u32]> = texts.collect();
    let longest = texts.iter().map(|ids| ids.len()).max().unwrap_or(0);
    let padded = |ids: &&[u32]| [ids, vec![0; longest - ids.len()].as_slice()].concat();
    let ids: Vec<u32> = texts.iter().flat_map(padded).collect();
    let size = [texts.len() as i64, longest as i64];
    let embeddings = stack.embed(&ids).squeeze_dim(0).unflatten(0, size);
    if texts.iter().all(|ids| ids.len() == longest) {
        return (embeddings, None);
    }
    let is_none = texts
        .iter()
        .flat_map(|ids| (0..longest).map(|position| position >= ids.len()));
    let is_none: Vec<bool> = is_none.collect();
    let padding = host::tensor(&is_none, stack.device()).reshape(size);
    (embeddings, Some(padding))
}

fn pass(
    model: &Model,
    inputs: &[Input],
    places: &[Place],
    layers: Option<&[usize]>,
    watch: &mut Watch,
) -> Result<Pass> {
    let capture = |encoder: bool| {
        let wanted = places.iter().filter(|place| place.encoder == encoder);
        let sites: Vec<Site> = wanted.map(|place| place.site).collect();
        Capture::new(&sites, layers)
    };
    let mut done = 0;
    let n_layers = [
        model.config().n_layers,
        model.config().encoder.as_ref().map_or(0, |c| c.n_layers),
    ];
    let total = n_layers.iter().sum();
    let report = RefCell::new(|_: usize| {
        done += 1;
        watch(&running(done - 1, total))
    });
    let mut encoder = ReportTap {
        tap: capture(true),
        report: &mut |layer| (report.borrow_mut())(layer),
    };
    let mut own = ReportTap {
        tap: capture(false),
        report: &mut |layer| (report.borrow_mut())(layer),
    };
    let states = states(model, inputs, &mut own, &mut encoder)?;
    Ok(Pass {
        states,
        captures: [own.tap, encoder.tap],
        n_layers: if layers.is_none() { n_layers } else { [0, 0] },
    })
}

/// The head's input `[text, position, size]` of one pass over texts that stand side by side, padded on the right. There
/// is a tap on the stack whose head speaks, and one on an encoder beside it.
pub fn states(model: &Model, inputs: &[Input], own: &mut dyn Tap, encoder: &mut dyn Tap) -> Result<Tensor> {
    let (embeddings, padding) = match inputs {
        [one] => (one.embed(model.reader()), None),
        many => embed(model.reader(), many.iter().map(|input| input.ids.as_slice())),
    };
    match model.body() {
        Body::Decoder(decoder) => decoder.forward(&embeddings, None, own),
        Body::Encoder(encoder) => {
            let segments = input::segments(inputs, &encoder.stack);
            let marks = Marks {
                padding: padding.as_ref(),
                segments: segments.as_ref(),
            };
            encoder.forward(&embeddings, marks, own)
        }
        Body::EncoderDecoder(both) => {
            let memories = both.read(&embeddings, padding.as_ref(), encoder)?;
            let written = inputs.iter().map(|input| input.target.as_slice());
            let (embeddings, _) = embed(&both.decoder.stack, written);
            both.decoder.forward_with(&embeddings, None, Some(&memories), own)
        }
    }
}

fn numbers(config: &Config, inputs: &[Input], places: &[Place]) -> usize {
    let of = |input: &Input| -> usize {
        let (n, n_read) = (input.spoken().len(), input.ids.len());
        places.iter().map(|place| place.numbers(config, n, n_read)).sum()
    };
    inputs.iter().map(of).sum()
}

pub(crate) fn ensure_room(config: &Config, inputs: &[Input], places: &[Place]) -> Result<()> {
    // As the pass has them and, where they are looked at, as scripts do.
    let bytes = numbers(config, inputs, places).saturating_mul(2 * size_of::<f32>());
    let names: Vec<String> = places.iter().map(|place| place.name()).collect();
    let what = match names.as_slice() {
        [] | [_, _, _, ..] => "recording every site".to_owned(),
        names => format!("recording {}", names.join(" and ")),
    };
    device::ensure_room(Device::Cpu, bytes as u64, &what)
}

/// Where the mask stands among tokens, for a model that names what is behind it.
pub fn masked_positions(model: &Model, ids: &[u32]) -> Vec<usize> {
    let mask = model.tokenizer.mask().map(|mask| mask.id);
    let is_mask = |(position, id): (usize, &u32)| (Some(*id) == mask).then_some(position);
    ids.iter().enumerate().filter_map(is_mask).collect()
}
