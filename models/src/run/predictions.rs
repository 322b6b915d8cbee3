//! The head's answer in words.

use tch::{Kind, Tensor};

use super::{HEAD_ROWS, Run, masked_positions, spans};
use crate::config::{Label, LabelOf, Reading, Task};
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
    /// The labels of a token, the most probable first. Tokens that stand for no text have none.
    TokenLabel {
        position: usize,
        labels: Vec<(String, f32)>,
    },
    /// A part of the text that may be the answer, the best first.
    Span {
        /// Its first and last token.
        start: usize,
        end: usize,
        /// The product of the probabilities that it starts and that it ends there, among the tokens where it may.
        score: f32,
        text: String,
    },
    /// A label of the whole text, the most probable first. The probabilities sum to 1 unless `independent`.
    Label {
        name: String,
        probability: f32,
        independent: bool,
    },
    /// A value of the whole text, in the order of the configuration.
    Value { name: String, value: f32 },
}

#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    pub token: Token,
    pub probability: f32,
}

/// Predictions by text; only the rows that they need go through the head.
pub(super) fn of(model: &Model, run: &Run, top_k: usize) -> Result<Vec<Vec<Prediction>>> {
    let each = run.inputs().iter().enumerate();
    let label = match &model.config().task {
        Task::NextToken => {
            let last = each.map(|(text, input)| (text, input.spoken().len() - 1));
            return candidates(model, run, &last.collect::<Vec<_>>(), 1, top_k);
        }
        Task::MaskedToken(_) => {
            let masks = each.flat_map(|(text, input)| {
                let positions = masked_positions(model, &input.ids);
                positions.into_iter().map(move |position| (text, position))
            });
            return candidates(model, run, &masks.collect::<Vec<_>>(), 0, top_k);
        }
        Task::States => return Ok(vec![vec![]; run.inputs().len()]),
        Task::Label(label) => label,
    };
    each.map(|(text, _)| match (label.of, label.reading) {
        (LabelOf::Token, Reading::Place) => spans::of(model, run, text, top_k),
        (LabelOf::Token, Reading::Each) => replaced(model, run, text),
        (LabelOf::Token, _) => token_labels(model, run, text, label, top_k),
        _ => labels(model, run, text, label),
    })
    .collect()
}

/// Of the tokens `ahead` of places: a text and a position in it. All texts' rows go through the head together, which is read once.
fn candidates(
    model: &Model,
    run: &Run,
    places: &[(usize, usize)],
    ahead: usize,
    top_k: usize,
) -> Result<Vec<Vec<Prediction>>> {
    let mut predictions = vec![vec![]; run.inputs().len()];
    for places in places.chunks(HEAD_ROWS) {
        let said = of_rows(model, &run.head_at(model, places)?, top_k);
        for (&(text, position), candidates) in places.iter().zip(said) {
            predictions[text].push(Prediction::Token {
                position: position + ahead,
                candidates,
            });
        }
    }
    Ok(predictions)
}

/// The most probable tokens by logits `[row, vocabulary]`.
fn of_rows(model: &Model, logits: &Tensor, top_k: usize) -> Vec<Vec<Candidate>> {
    let probabilities = logits.softmax(-1, Kind::Float);
    let k = top_k.min(model.config().vocab_size);
    // By their logits: probabilities that round to 0 have no order.
    let (_, ids) = logits.topk(k as i64, -1, true, true);
    let probabilities = probabilities.gather(-1, &ids, false);
    let [probabilities, ids] = host::numbers_of_each([&probabilities, &ids]);
    let row = |row: usize| {
        let of_row = |values: &[f64]| values[row * k..(row + 1) * k].to_vec();
        let candidate = |(id, probability): (f64, f64)| Candidate {
            token: model.tokenizer.tokens(&[id as u32]).remove(0),
            probability: probability as f32,
        };
        let ranked = of_row(&ids).into_iter().zip(of_row(&probabilities));
        ranked.map(candidate).collect()
    };
    (0..logits.size()[0] as usize).map(row).collect()
}

fn replaced(model: &Model, run: &Run, text: usize) -> Result<Vec<Prediction>> {
    let probabilities = to_array(&run.head(model, text)?.sigmoid())?; // (position, 1)
    let each = probabilities.iter().enumerate();
    Ok(each
        .map(|(position, &probability)| Prediction::Replaced {
            position,
            probability,
        })
        .collect())
}

fn token_labels(
    model: &Model,
    run: &Run,
    text: usize,
    label: &Label,
    top_k: usize,
) -> Result<Vec<Prediction>> {
    let logits = run.head(model, text)?; // [position, label]
    let probabilities = logits.softmax(-1, Kind::Float);
    let k = top_k.min(label.names.len());
    let (_, ids) = logits.topk(k as i64, -1, true, true);
    let probabilities = probabilities.gather(-1, &ids, false);
    let [probabilities, ids] = host::numbers_of_each([&probabilities, &ids]);
    let tokens = run.inputs()[text].ids.iter().enumerate();
    let said = tokens.filter(|(_, id)| !model.tokenizer.is_special(**id));
    let prediction = |(position, _): (usize, &u32)| {
        let row = position * k..(position + 1) * k;
        let ranked = ids[row.clone()].iter().zip(&probabilities[row]);
        Prediction::TokenLabel {
            position,
            labels: ranked
                .map(|(&id, &probability)| (label.names[id as usize].clone(), probability as f32))
                .collect(),
        }
    };
    Ok(said.map(prediction).collect())
}

fn labels(model: &Model, run: &Run, text: usize, label: &Label) -> Result<Vec<Prediction>> {
    let logits = run.head(model, text)?; // [label]
    let probabilities = match label.reading {
        Reading::Each => logits.sigmoid(),
        Reading::Value => {
            let each = label.names.iter().zip(to_array(&logits)?);
            return Ok(each
                .map(|(name, value)| Prediction::Value {
                    name: name.clone(),
                    value,
                })
                .collect());
        }
        Reading::OneOf | Reading::Place => logits.softmax(-1, Kind::Float),
    };
    let (logits, probabilities) = (to_array(&logits)?, to_array(&probabilities)?);
    let each = logits.iter().zip(&probabilities);
    let mut labels: Vec<(&String, (&f32, &f32))> = label.names.iter().zip(each).collect();
    // By their logits: probabilities that round to 0 or 1 have no order.
    labels.sort_by(|(_, (a, _)), (_, (b, _))| b.total_cmp(a));
    let prediction = |(name, (_, &probability)): (&String, (&f32, &f32))| Prediction::Label {
        name: name.clone(),
        probability,
        independent: label.reading == Reading::Each,
    };
    Ok(labels.into_iter().map(prediction).collect())
}
