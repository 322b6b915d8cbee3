//! The logit lens: what the head says of the residual stream before it is done (nostalgebraist 2020; Belrose et al.
//! 2023, 2303.08112).
//!
//! The stream after i layers goes through the final norm and the head as if it were the last: p_i = softmax(W norm(x_i)).
//! For a masked language model the head's own layer comes before W; for an encoder–decoder it is the decoder's stream.
//! Only the positions that are asked for go through the head, all layers of some positions in one product.
//!
//! - here: passes; `reading`: what logits say; `jacobian`, `tuned`: maps between the stream and the norm, fitted on texts; `fit`: what they gain; `maps`: these in numbers

mod fit;
mod jacobian;
mod maps;
mod reading;
mod tuned;

use ecco_interpreter::{Progress, Watch};
use ecco_models::config::{self, Task};
use ecco_models::guard::guard;
use ecco_models::host::bring;
use ecco_models::lens::FittedLens;
use ecco_models::model::Body;
use ecco_models::run::{self, Input, forward};
use ecco_models::stack::apply;
use ecco_models::tap::NoTap;
use ecco_models::{Model, Site, device, host};
use tch::{Kind, Tensor};

use crate::error::{Error, Result, refuse};
use crate::rows::Rows;

pub use fit::{LensComparison, LensFit, compare};
pub use jacobian::{JacobianOptions, jacobian};
pub use maps::{direction, maps, sizes};
pub use reading::{Reading, TokenTrack};
pub use tuned::{TunedOptions, tuned};

/// What is asked of a lens.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Positions of the sequence whose states are read. A model that writes says at each what follows.
    pub rows: Vec<usize>,
    /// After how many layers: 0 for the stream before the first, `n_layers` for the output.
    pub depths: Vec<usize>,
    /// How many of the most probable tokens are named.
    pub top_k: usize,
    /// Tokens whose rank and probability are wanted: for each row its own.
    pub watch: Vec<Vec<u32>>,
    /// Without the final norm, as the Python library does it. The output itself is read as ever.
    pub raw: bool,
}

/// What the head says of each depth (first index) at each row (second).
#[derive(Debug, Clone, PartialEq)]
pub struct Lens {
    pub depths: Vec<usize>,
    pub readings: Vec<Vec<Reading>>,
}

/// Memory that the logits of one product may take on a host.
const MOST_BYTES: u64 = 256 << 20;
/// Tensors as wide as the vocabulary that are there at once.
const WIDE_TENSORS: usize = 5;

/// Reads the stream of one pass over `input`.
///
/// # Errors
/// A model whose head does not speak of tokens; a row, depth or token that is not there.
pub fn lens(model: &Model, input: &Input, question: &Question, watch: &mut Watch) -> Result<Lens> {
    lens_by(model, input, question, None, watch)
}

/// The same by a lens that was fitted: its maps stand before the final norm. The output is read as ever.
///
/// # Errors
/// As of [`lens`]; a lens of a model of another width, and a depth that it has no map for.
pub fn lens_by(
    model: &Model,
    input: &Input,
    question: &Question,
    fitted: Option<&FittedLens>,
    watch: &mut Watch,
) -> Result<Lens> {
    let texts = [(input.clone(), question.clone())];
    let mut found = None;
    lens_each(model, &texts, fitted, watch, &mut |_, lens| found = Some(lens))?;
    found.ok_or(Error::NothingGenerated)
}

/// The same of several texts, each with a question of its own about the same depths: those about equally long pass side by
/// side, and the numbers are those of each alone, up to rounding. `on_text` is given them with the text's place, as soon as
/// they are there.
///
/// # Errors
/// As of [`lens_by`], before anything is computed; of an interrupt, when some texts were given already.
pub fn lens_each(
    model: &Model,
    texts: &[(Input, Question)],
    fitted: Option<&FittedLens>,
    watch: &mut Watch,
    on_text: &mut dyn FnMut(usize, Lens),
) -> Result<()> {
    for (input, question) in texts {
        check(model, input, question)?;
        if let Some(fitted) = fitted {
            check_fitted(model, question, fitted)?;
        }
        let first = &texts[0].1;
        let asked = |of: &Question| (of.depths.clone(), of.top_k, of.raw);
        if asked(question) != asked(first) {
            let reason = "texts that are read together are asked about the same depths";
            return Err(refuse("depths", format!("{:?}", question.depths), reason));
        }
    }
    let inputs: Vec<Input> = texts.iter().map(|(input, _)| input.clone()).collect();
    for batch in run::batches(model, &inputs) {
        let some: Vec<&(Input, Question)> = batch.iter().map(|&at| &texts[at]).collect();
        let found = together(model, &some, fitted, watch)?;
        batch.iter().zip(found).for_each(|(&at, lens)| on_text(at, lens));
    }
    Ok(())
}

/// Of texts that pass side by side.
fn together(
    model: &Model,
    texts: &[&(Input, Question)],
    fitted: Option<&FittedLens>,
    watch: &mut Watch,
) -> Result<Vec<Lens>> {
    let each = || texts.iter().map(|(_, question)| question);
    let Some(Question { depths, top_k, .. }) = each().next() else {
        return Ok(vec![]);
    };
    let of = |readings: Vec<Vec<Reading>>| Lens {
        depths: depths.clone(),
        readings,
    };
    if depths.is_empty() {
        return Ok(each().map(|_| of(vec![])).collect());
    }
    let places: Vec<(usize, usize)> = each()
        .enumerate()
        .flat_map(|(text, question)| question.rows.iter().map(move |&row| (text, row)))
        .collect();
    let watched: Vec<Vec<u32>> = each().flat_map(|question| question.watch.clone()).collect();
    let asked = Question {
        watch: watched,
        ..texts[0].1.clone()
    };
    let n_rows = places.len();
    let row_bytes =
        (depths.len() + 1) * model.config().vocab_size * Kind::Float.elt_size_in_bytes() * WIDE_TENSORS;
    let device = model.stack().device();
    let per_chunk = (device::step_bytes(device, MOST_BYTES) as usize / row_bytes).clamp(1, n_rows.max(1));
    device::ensure_room(device, (row_bytes * per_chunk) as u64, "the logit lens")?;
    let mut readings = guard(|| {
        let (states, output) = passed(model, texts, &places, watch)?;
        let mut readings = vec![Vec::new(); depths.len()];
        for start in (0..n_rows).step_by(per_chunk) {
            let rows = start..(start + per_chunk).min(n_rows);
            let progress = Progress {
                label: "reading the layers".into(),
                done: start as u64,
                total: Some(n_rows as u64),
                unit: "positions",
            };
            if watch(&progress).is_break() {
                return Err(ecco_models::Error::Interrupted);
            }
            let part = |x: &Tensor, axis| x.narrow(axis, start as i64, rows.len() as i64);
            let (states, output) = (part(&states, 1), part(&output, 0));
            let (before, output) = logits(model, &states, &output, &asked, fitted)?;
            let watched = &asked.watch[rows];
            let mut before = before
                .map_or(vec![], |before| reading::read(&before, &output, watched, *top_k))
                .into_iter();
            let own = match depths.contains(&model.config().n_layers) {
                true => reading::read_output(&output, watched, *top_k),
                false => vec![],
            };
            for (&depth, readings) in depths.iter().zip(&mut readings) {
                match depth == model.config().n_layers {
                    true => readings.extend_from_slice(&own),
                    false => readings.extend(before.next().unwrap_or_default()),
                }
            }
        }
        Ok(readings)
    })?;
    // By depth, then by text.
    let mut rest: Vec<_> = readings.iter_mut().map(|of_depth| of_depth.drain(..)).collect();
    let found = each().map(|question| {
        let n = question.rows.len();
        of(rest
            .iter_mut()
            .map(|of_depth| of_depth.by_ref().take(n).collect())
            .collect())
    });
    Ok(found.collect())
}

/// The stream at these places (text, row) after so many layers, `[depth, row, hidden]`, and the head's input there, `[row, size]`.
fn passed(
    model: &Model,
    texts: &[&(Input, Question)],
    places: &[(usize, usize)],
    watch: &mut Watch,
) -> ecco_models::error::Result<(Tensor, Tensor)> {
    let sites = [Site::ResidualBefore, Site::ResidualAfter];
    let (mut tap, output) = match texts {
        [(input, question)] => {
            let mut tap = Rows::new(&sites, &question.rows, model.stack(), watch);
            let output = forward(model, input, &mut tap)?;
            (tap, output)
        }
        several => {
            let inputs: Vec<Input> = several.iter().map(|(input, _)| input.clone()).collect();
            let mut tap = Rows::of_several(&sites, places, model.stack(), watch);
            let output = run::states(model, &inputs, &mut tap, &mut NoTap)?;
            (tap, output)
        }
    };
    let output = tap.of(&output); // [row, size]
    let state = |depth: usize| {
        let (site, layer) = match depth {
            0 => (Site::ResidualBefore, 0),
            depth => (Site::ResidualAfter, depth - 1),
        };
        tap.get(site, layer)
            .map(|rows| bring(rows, model.stack().place()))
    };
    let states: Vec<Tensor> = texts[0]
        .1
        .depths
        .iter()
        .filter_map(|&depth| state(depth))
        .collect();
    Ok((Tensor::stack(&states, 0), output))
}

fn check(model: &Model, input: &Input, question: &Question) -> Result<()> {
    let config = model.config();
    match &config.task {
        Task::NextToken | Task::MaskedToken(_) => {}
        Task::States => {
            let model = model.name().to_owned();
            return Err(ecco_models::Error::NoHead { model }.into());
        }
        task => {
            return Err(Error::NoTokens {
                what: "the logit lens",
                model: model.name().to_owned(),
                says: match task.reading() {
                    config::Reading::Each if !task.is_of_text() => "whether tokens were replaced",
                    config::Reading::Place => "where an answer is",
                    _ => "labels",
                },
            });
        }
    }
    let n = input.spoken().len();
    if let Some(row) = question.rows.iter().find(|row| **row >= n) {
        let reason = format!("the model has read {n} tokens, 0 to {}", n.saturating_sub(1));
        return Err(refuse("position", row, reason));
    }
    if let Some(depth) = question.depths.iter().find(|depth| **depth > config.n_layers) {
        let reason = format!("the model has {} layers", config.n_layers);
        return Err(refuse("layer", depth, reason));
    }
    let mut watched = question.watch.iter().flatten();
    if let Some(id) = watched.find(|id| **id as usize >= config.vocab_size) {
        let reason = format!("the vocabulary has {} tokens", config.vocab_size);
        return Err(refuse("token id", id, reason));
    }
    match question.watch.len() == question.rows.len() {
        true => Ok(()),
        false => Err(refuse(
            "watch",
            format!("for {} positions", question.watch.len()),
            format!("{} positions are read", question.rows.len()),
        )),
    }
}

fn check_fitted(model: &Model, question: &Question, fitted: &FittedLens) -> Result<()> {
    let config = model.config();
    if fitted.width() != config.hidden_size {
        let value = format!("{} numbers wide", fitted.width());
        let reason = format!("the stream of {} has {}", model.name(), config.hidden_size);
        return Err(refuse("lens", value, reason));
    }
    let has = |depth: &usize| *depth == config.n_layers || fitted.at(*depth).is_some();
    match question.depths.iter().find(|depth| !has(depth)) {
        Some(depth) => {
            let reason = "the fitted lens has no map for the stream after so many layers";
            Err(refuse("depth", depth, reason))
        }
        None => Ok(()),
    }
}

/// Of states `[depth, row, hidden]` after so many layers, those of the last apart, and of the output, which is made of the head's
/// input `[row, size]` in the pass: both `[.., row, vocabulary]`. The output goes through the head as in any other pass, so
/// that it is the same to the last bit; all others together, where there are any.
fn logits(
    model: &Model,
    states: &Tensor,
    output: &Tensor,
    Question { depths, raw, .. }: &Question,
    fitted: Option<&FittedLens>,
) -> ecco_models::error::Result<(Option<Tensor>, Tensor)> {
    let read_out = |x: &Tensor, raw: bool| match model.body() {
        Body::Decoder(decoder) => decoder.read_out(x, raw),
        Body::EncoderDecoder(both) => both.decoder.read_out(x, raw),
        Body::Encoder(_) if raw => x.shallow_clone(),
        Body::Encoder(encoder) => apply(&encoder.stack.final_norm, x),
    };
    let head = |x: &Tensor| match model.body() {
        Body::Decoder(decoder) => Ok(decoder.logits(x)),
        Body::EncoderDecoder(both) => Ok(both.decoder.logits(x)),
        Body::Encoder(encoder) => encoder.logits(x, None).ok_or_else(|| ecco_models::Error::NoHead {
            model: model.name().to_owned(),
        }),
    };
    let n = depths.len() as i64;
    let output = head(output)?.unsqueeze(0);
    let is_output = |depth: usize| depth == model.config().n_layers;
    let index: Vec<i64> = (0..n).filter(|&at| !is_output(depths[at as usize])).collect();
    let before = match index.is_empty() {
        true => return Ok((None, output)),
        false => states.index_select(0, &host::index(&index, states.device())),
    };
    // transformers hands out the last state after the norm, so the Python library, too, reads that one right.
    let before = match fitted {
        Some(fitted) => {
            let translated = index.iter().zip(before.unbind(0)).map(|(&at, x)| {
                let translator = fitted.at(depths[at as usize]);
                translator.map_or(x.shallow_clone(), |translator| translator.translate(&x))
            });
            Tensor::stack(&translated.collect::<Vec<_>>(), 0)
        }
        None => before,
    };
    let before = head(&read_out(&before, *raw))?;
    Ok((Some(before), output))
}
