//! What each layer would say if it were the last (logit lens): three views of the same numbers.
//!
//! - [`LayerPredictions`]: the most probable tokens at one place, by layer
//! - [`RankMap`]: the ranks of chosen tokens, by layer
//! - [`LensMap`]: the best token of each layer at several places, with entropy and distance to the output

mod lens_map;
mod predictions;
mod rank_map;

use serde::Serialize;
use serde_json::{Value, json};

pub use lens_map::{LensColumn, LensMap};
pub use predictions::LayerPredictions;
pub use rank_map::{RankKind, RankMap};

use crate::tokens::Token;
use crate::{numbers, visible};

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
    fn json(&self) -> Value {
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
fn with_labels(mut data: Value, readings: &[Vec<Reading>]) -> Value {
    let labels = |reading: &Reading| {
        let top = reading.top.iter().take(5).map(|(token, _)| visible::label(token));
        top.collect::<Vec<_>>()
    };
    let row = |row: &Vec<Reading>| row.iter().map(labels).collect::<Vec<_>>();
    data["labels"] = json!(readings.iter().map(row).collect::<Vec<_>>());
    data
}

/// How the states were read.
fn way(raw: bool) -> &'static str {
    if raw {
        "logit lens without the final norm"
    } else {
        "logit lens"
    }
}
