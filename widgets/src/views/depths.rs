//! What each layer would say if it were the last (logit lens): three views of the same numbers.
//!
//! - [`LayerPredictions`](super::LayerPredictions): the most probable tokens at one place, by layer
//! - [`RankMap`](super::RankMap): the ranks of chosen tokens, by layer
//! - [`LensMap`](super::LensMap): the best token of each layer at several places, with entropy and distance to the output

use serde::Serialize;
use serde_json::{Value, json};

use crate::kit::Token;
use crate::kit::{numbers, visible};

/// What one layer says at one place.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reading {
    /// The most probable tokens, best first.
    pub top: Vec<(Token, f32)>,
    /// Rank and probability of the token that stands there, if one does.
    pub chosen: Option<(u32, f32)>,
    /// In nats.
    pub entropy: f32,
    /// Kullback–Leibler divergence of the output from this, in nats.
    pub divergence: f32,
}

impl Reading {
    pub(crate) fn json(&self) -> Value {
        let top = self.top.iter().map(|(token, probability)| {
            json!({"text": token.text, "id": token.id, "probability": numbers::rounded(*probability)})
        });
        let mut data = json!({
            "top": top.collect::<Value>(),
            "entropy": numbers::rounded(self.entropy),
            "divergence": numbers::rounded(self.divergence),
        });
        if let Some((rank, probability)) = self.chosen {
            data["rank"] = rank.into();
            data["probability"] = numbers::rounded(probability);
        }
        data
    }
}

/// What scripts of a page have besides: tokens as they are shown.
pub(crate) fn with_labels(mut data: Value, readings: &[Vec<Reading>]) -> Value {
    let labels = |reading: &Reading| {
        let top = reading.top.iter().take(5).map(|(token, _)| visible::label(token));
        top.collect::<Vec<_>>()
    };
    let row = |row: &Vec<Reading>| row.iter().map(labels).collect::<Vec<_>>();
    data["labels"] = json!(readings.iter().map(row).collect::<Vec<_>>());
    data
}

/// How many columns of a table go into a page, at so many cells at most; and what is said where that is not all.
pub(crate) fn columns_shown(n_columns: usize, n_rows: usize, most_cells: usize) -> (usize, Option<String>) {
    let n = n_columns.min((most_cells / n_rows.max(1)).max(1));
    let note = format!("the first {n} of {n_columns} columns are shown; the data has all");
    (n, (n < n_columns).then_some(note))
}

/// How the states were read.
pub(crate) fn way(raw: bool) -> &'static str {
    if raw {
        "logit lens without the final norm"
    } else {
        "logit lens"
    }
}
