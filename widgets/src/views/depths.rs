//! What each layer would say if it were the last (logit lens): three views of the same numbers.
//!
//! - [`LayerPredictions`](super::LayerPredictions): the most probable tokens at one place, by layer
//! - [`RankMap`](super::RankMap): the ranks of chosen tokens, by layer
//! - [`LensMap`](super::LensMap): the best token of each layer at several places, with entropy and distance to the output

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::kit::{Candidate, StoredCandidate, Token, candidates};

/// What one layer says at one place.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Reading {
    /// The most probable tokens, best first.
    #[serde(serialize_with = "candidates")]
    #[schemars(with = "Vec<Candidate<'_>>")]
    pub top: Vec<(Token, f32)>,
    /// Rank and probability of the token that stands there, if one does.
    #[serde(flatten, serialize_with = "standing")]
    #[schemars(with = "Option<Standing>")]
    pub chosen: Option<(u32, f32)>,
    /// Of what it says, in nats.
    pub entropy: f32,
    /// Kullback–Leibler divergence of the output from this, in nats.
    pub divergence: f32,
}

/// The same as it is read from a document.
#[derive(Deserialize)]
struct StoredReading {
    top: Vec<StoredCandidate>,
    rank: Option<u32>,
    probability: Option<f32>,
    entropy: f32,
    divergence: f32,
}

impl<'de> Deserialize<'de> for Reading {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = StoredReading::deserialize(deserializer)?;
        let probability = stored.probability.unwrap_or(f32::NAN);
        Ok(Self {
            top: stored.top.into_iter().map(Into::into).collect(),
            chosen: stored.rank.map(|rank| (rank, probability)),
            entropy: stored.entropy,
            divergence: stored.divergence,
        })
    }
}

/// A token's standing among all of the vocabulary.
#[derive(Serialize, JsonSchema)]
struct Standing {
    /// 1 is the most probable token; 0 says that the probabilities are no numbers.
    rank: u32,
    /// In 0..=1.
    probability: f32,
}

fn standing<S: Serializer>(chosen: &Option<(u32, f32)>, serializer: S) -> Result<S::Ok, S::Error> {
    let standing = chosen.map(|(rank, probability)| Standing { rank, probability });
    standing.serialize(serializer)
}

/// `raw` as documents have it: whether the final norm was applied.
pub(crate) fn final_norm<S: Serializer>(raw: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(!raw)
}

/// The other way round.
pub(crate) fn raw<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    bool::deserialize(deserializer).map(|final_norm| !final_norm)
}

/// How many columns of a table go into a page, at so many cells at most; and what is said where that is not all.
pub(crate) fn columns_shown(n_columns: usize, n_rows: usize, most_cells: usize) -> (usize, Option<String>) {
    let n = n_columns.min((most_cells / n_rows.max(1)).max(1));
    let note = format!("the first {n} of {n_columns} columns are shown; the data has all");
    (n, (n < n_columns).then_some(note))
}

/// A lens that was fitted on texts: of each layer a map to what the last layer's stream would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FittedLensName {
    Jacobian,
    Relevance,
    Tuned,
}

impl FittedLensName {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Jacobian => "Jacobian lens",
            Self::Relevance => "Relevance lens",
            Self::Tuned => "Tuned lens",
        }
    }
}

/// How the states were read.
pub(crate) fn way(raw: bool, fitted: Option<FittedLensName>) -> &'static str {
    match fitted {
        _ if raw => "logit lens without the final norm",
        None => "logit lens",
        Some(FittedLensName::Jacobian) => "Jacobian lens",
        Some(FittedLensName::Relevance) => "relevance lens",
        Some(FittedLensName::Tuned) => "tuned lens",
    }
}
