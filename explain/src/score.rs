//! How probable a model finds the tokens of a text that stands already: one teacher-forced pass. Of several texts, those about
//! equally long pass together.

use std::cell::RefCell;

use ecco_interpreter::Watch;
use ecco_models::Model;
use ecco_models::guard::guard;
use ecco_models::host;
use ecco_models::model::Body;
use ecco_models::run::{self, Input};
use ecco_models::tap::{NoTap, ReportTap};
use tch::{Kind, Tensor};

use crate::attribution::work::{Work, WorkTap};
use crate::error::{Error, Result};

/// What a model thought of a token before it read it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenScore {
    /// Natural logarithm.
    pub log_probability: f64,
    /// How many tokens of the vocabulary are more probable, plus 1; 0 where the probabilities are no numbers.
    pub rank: usize,
    /// The most probable token there, and its probability.
    pub best: (u32, f64),
}

/// Rows that go through the head together: reading its weight is most of the work for a few, and each takes some
/// tensors as wide as the vocabulary.
const HEAD_ROWS: i64 = 50;

/// Scores of the tokens of [`Input::spoken`] from position `from` on, at least 1.
///
/// # Errors
/// For a model that does not write from left to right, and a text that it cannot take.
pub fn score(model: &Model, input: &Input, from: usize, watch: &mut Watch) -> Result<Vec<TokenScore>> {
    input.check(model)?;
    let spoken = input.spoken();
    if from == 0 || from >= spoken.len() {
        return Err(Error::NothingGenerated);
    }
    let (before, chosen) = (&spoken[..spoken.len() - 1], &spoken[from..]);
    let mut work = Work::new(
        watch,
        format!("scores of {} tokens", chosen.len()),
        "tokens",
        chosen.len() as u64,
    );
    Ok(guard(|| {
        let states = states(model, input, before, &mut work)?; // [position, size]
        let states = states.narrow(0, from as i64 - 1, chosen.len() as i64);
        said(model, &states, chosen, &mut work)
    })?)
}

/// The same of several texts, each from a position of its own on; the numbers are those of each alone, up to rounding.
/// `on_text` is given them with the text's place, as soon as they are there.
///
/// # Errors
/// As of [`score`], before anything is computed; of an interrupt, when some texts were given already.
pub fn score_each(
    model: &Model,
    texts: &[(Input, usize)],
    watch: &mut Watch,
    on_text: &mut dyn FnMut(usize, Vec<TokenScore>),
) -> Result<()> {
    let mut read = Vec::new();
    for (input, from) in texts {
        input.check(model)?;
        if *from == 0 || *from >= input.spoken().len() {
            return Err(Error::NothingGenerated);
        }
        read.push(without_last(input));
    }
    let n_chosen = |(input, from): &(Input, usize)| input.spoken().len() - from;
    let total: usize = texts.iter().map(n_chosen).sum();
    let label = format!("scores of {} texts", texts.len());
    let mut work = Work::new(watch, label, "tokens", total as u64);
    for batch in run::batches(model, &read) {
        let together: Vec<Input> = batch.iter().map(|at| read[*at].clone()).collect();
        let chosen = |at: &usize| &texts[*at].0.spoken()[texts[*at].1..];
        let ids: Vec<u32> = batch.iter().flat_map(chosen).copied().collect();
        let scores = guard(|| {
            let states = states_together(model, &together, &mut work)?; // [text, position, size]
            let rows = batch.iter().enumerate().map(|(row, at)| {
                let (from, n) = (texts[*at].1, chosen(at).len());
                states.get(row as i64).narrow(0, from as i64 - 1, n as i64)
            });
            let states = Tensor::cat(&rows.collect::<Vec<_>>(), 0); // [token, size]
            said(model, &states, &ids, &mut work)
        })?;
        let mut scores = scores.into_iter();
        for at in &batch {
            on_text(*at, scores.by_ref().take(chosen(at).len()).collect());
        }
    }
    Ok(())
}

/// What was read before the last token was known.
fn without_last(input: &Input) -> Input {
    let mut read = input.clone();
    match read.target.is_empty() {
        true => read.ids.pop(),
        false => read.target.pop(),
    };
    read
}

/// The head's input of several texts side by side.
fn states_together(model: &Model, inputs: &[Input], work: &mut Work) -> ecco_models::error::Result<Tensor> {
    let work = RefCell::new(work);
    let mut report = |_: usize| work.borrow_mut().report();
    let mut of_encoder = |_: usize| work.borrow_mut().report();
    let mut own = ReportTap {
        tap: NoTap,
        report: &mut report,
    };
    let mut encoder = ReportTap {
        tap: NoTap,
        report: &mut of_encoder,
    };
    run::states(model, inputs, &mut own, &mut encoder)
}

/// What the head says of the tokens that follow states `[token, size]`.
fn said(
    model: &Model,
    states: &Tensor,
    chosen: &[u32],
    work: &mut Work,
) -> ecco_models::error::Result<Vec<TokenScore>> {
    let mut scores = Vec::new();
    for (states, ids) in states
        .split(HEAD_ROWS, 0)
        .iter()
        .zip(chosen.chunks(HEAD_ROWS as usize))
    {
        scores.extend(of_rows(&model.writer("a score")?.logits(states), ids));
        work.advance(ids.len() as u64)?;
    }
    Ok(scores)
}

/// The head's input at the tokens `before`.
fn states(
    model: &Model,
    input: &Input,
    before: &[u32],
    work: &mut Work,
) -> ecco_models::error::Result<Tensor> {
    let states = match model.body() {
        Body::EncoderDecoder(both) => {
            let memories = both.read(&both.encoder.embed(&input.ids), None, &mut WorkTap(work))?;
            let written = both.decoder.embed(before);
            both.decoder
                .forward_with(&written, None, Some(&memories), &mut WorkTap(work))?
        }
        _ => {
            let decoder = model.decoder("a score")?;
            decoder.forward(&decoder.embed(before), None, &mut WorkTap(work))?
        }
    };
    Ok(states.squeeze_dim(0))
}

fn of_rows(logits: &Tensor, ids: &[u32]) -> Vec<TokenScore> {
    let logits = match logits.kind() {
        Kind::Double => logits.shallow_clone(),
        _ => logits.to_kind(Kind::Float),
    };
    let index: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
    let index = host::tensor(&index, logits.device()).unsqueeze(1);
    let own = logits.gather(1, &index, false); // [row, 1]
    let more_probable = logits.gt_tensor(&own).sum_dim_intlist(-1, false, Kind::Int64);
    let log = logits.log_softmax(-1, None::<Kind>);
    let best_ids = logits.argmax(-1, true); // [row, 1]
    let best = log.gather(1, &best_ids, false);
    let own = log.gather(1, &index, false);
    let [own, ranks, best, best_ids] = host::numbers_of_each([&own, &more_probable, &best, &best_ids]);
    let score = |row: usize| TokenScore {
        log_probability: own[row],
        rank: if own[row].is_nan() {
            0
        } else {
            ranks[row] as usize + 1
        },
        best: (best_ids[row] as u32, best[row].exp()),
    };
    (0..ids.len()).map(score).collect()
}
