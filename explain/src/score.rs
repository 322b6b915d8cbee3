//! How probable a model finds the tokens of a text that stands already: one teacher-forced pass.

use ecco_interpreter::Watch;
use ecco_models::Model;
use ecco_models::guard::guard;
use ecco_models::host;
use ecco_models::model::Body;
use ecco_models::run::Input;
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
        let mut scores = Vec::new();
        for (states, ids) in states
            .split(HEAD_ROWS, 0)
            .iter()
            .zip(chosen.chunks(HEAD_ROWS as usize))
        {
            scores.extend(of_rows(&logits(model, states)?, ids));
            work.advance(ids.len() as u64)?;
        }
        Ok(scores)
    })?)
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

fn logits(model: &Model, states: &Tensor) -> ecco_models::error::Result<Tensor> {
    Ok(match model.body() {
        Body::EncoderDecoder(both) => both.decoder.logits(states),
        _ => model.decoder("a score")?.logits(states),
    })
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
