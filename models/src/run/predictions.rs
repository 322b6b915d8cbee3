//! The head's answer in words.

use tch::Kind;

use super::{Run, masked_positions};
use crate::config::{Label, Task};
use crate::error::Result;
use crate::host;
use crate::model::Model;
use crate::tap::to_array;
use crate::tokenizer::Token;

/// What a head says.
#[derive(Debug, Clone, PartialEq)]
pub enum Prediction {
    /// The token that follows (at the position behind the last), or the one behind a mask: the most probable ones,
    /// best first.
    Token {
        position: usize,
        candidates: Vec<Candidate>,
    },
    /// How probable it is that a token was replaced.
    Replaced { position: usize, probability: f32 },
    /// A label of the whole text, the most probable first. The probabilities sum to 1 unless `independent`.
    Label {
        name: String,
        probability: f32,
        independent: bool,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    pub token: Token,
    pub probability: f32,
}

/// Predictions by text; only the rows that they need go through the head.
pub(super) fn of(model: &Model, run: &Run, top_k: usize) -> Result<Vec<Vec<Prediction>>> {
    let texts = 0..run.inputs().len();
    texts
        .map(|text| match &model.config().task {
            Task::NextToken => {
                let last = run.inputs()[text].spoken().len() - 1;
                candidates(model, run, text, &[last], 1, top_k)
            }
            Task::MaskedToken(_) => {
                let masks = masked_positions(model, &run.inputs()[text].ids);
                candidates(model, run, text, &masks, 0, top_k)
            }
            Task::Replaced(_) => replaced(model, run, text),
            Task::Label(label) => labels(model, run, text, label),
            Task::States => Ok(vec![]),
        })
        .collect()
}

/// Of the tokens `ahead` of the positions.
fn candidates(
    model: &Model,
    run: &Run,
    text: usize,
    positions: &[usize],
    ahead: usize,
    top_k: usize,
) -> Result<Vec<Prediction>> {
    if positions.is_empty() {
        return Ok(vec![]);
    }
    let logits = run.head(model, text, Some(positions))?; // [position, vocabulary]
    let probabilities = logits.softmax(-1, Kind::Float);
    let k = top_k.min(model.config().vocab_size);
    // By their logits: probabilities that round to 0 have no order.
    let (_, ids) = logits.topk(k as i64, -1, true, true);
    let probabilities = probabilities.gather(-1, &ids, false);
    let [probabilities, ids] = host::numbers_of_each([&probabilities, &ids]);
    let row = |(row, &position): (usize, &usize)| {
        let of_row = |values: &[f64]| values[row * k..(row + 1) * k].to_vec();
        let candidate = |(id, probability): (f64, f64)| Candidate {
            token: model.tokenizer.tokens(&[id as u32]).remove(0),
            probability: probability as f32,
        };
        let ranked = of_row(&ids).into_iter().zip(of_row(&probabilities));
        Prediction::Token {
            position: position + ahead,
            candidates: ranked.map(candidate).collect(),
        }
    };
    Ok(positions.iter().enumerate().map(row).collect())
}

fn replaced(model: &Model, run: &Run, text: usize) -> Result<Vec<Prediction>> {
    let probabilities = to_array(&run.head(model, text, None)?.sigmoid())?; // (position)
    let each = probabilities.iter().enumerate();
    Ok(each
        .map(|(position, &probability)| Prediction::Replaced {
            position,
            probability,
        })
        .collect())
}

fn labels(model: &Model, run: &Run, text: usize, label: &Label) -> Result<Vec<Prediction>> {
    let logits = run.head(model, text, None)?; // [label]
    let probabilities = match label.independent {
        true => logits.sigmoid(),
        false => logits.softmax(-1, Kind::Float),
    };
    let (logits, probabilities) = (to_array(&logits)?, to_array(&probabilities)?);
    let each = logits.iter().zip(&probabilities);
    let mut labels: Vec<(&String, (&f32, &f32))> = label.names.iter().zip(each).collect();
    // By their logits: probabilities that round to 0 or 1 have no order.
    labels.sort_by(|(_, (a, _)), (_, (b, _))| b.total_cmp(a));
    let prediction = |(name, (_, &probability)): (&String, (&f32, &f32))| Prediction::Label {
        name: name.clone(),
        probability,
        independent: label.independent,
    };
    Ok(labels.into_iter().map(prediction).collect())
}
