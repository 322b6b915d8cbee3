//! The token that all views share.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A token as every view shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Token {
    /// The token's own text with leading spaces kept. A character that is split over several tokens
    /// stands whole in each of them (see `part`).
    pub text: String,
    /// Its number in the vocabulary; 0 for what is no token (a label, a word).
    pub id: u32,
    /// Which part of a split character this is: `(1, 4)` is the first of four.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<(u8, u8)>,
}

/// A token and how probable it is.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Candidate<'a> {
    #[serde(flatten)]
    token: &'a Token,
    /// In 0..=1.
    probability: f32,
}

impl<'a> From<&'a (Token, f32)> for Candidate<'a> {
    fn from((token, probability): &'a (Token, f32)) -> Self {
        let probability = *probability;
        Self { token, probability }
    }
}

/// The same as it is read from a document.
#[derive(Deserialize)]
pub(crate) struct StoredCandidate {
    text: String,
    id: u32,
    part: Option<(u8, u8)>,
    probability: f32,
}

impl From<StoredCandidate> for (Token, f32) {
    fn from(stored: StoredCandidate) -> Self {
        let StoredCandidate {
            text,
            id,
            part,
            probability,
        } = stored;
        (Token { text, id, part }, probability)
    }
}

/// Pairs of a token and a probability, for `serialize_with`.
pub(crate) fn candidates<S: Serializer>(pairs: &[(Token, f32)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(pairs.iter().map(Candidate::from))
}

/// The same pairs of a document, for `deserialize_with`.
pub(crate) fn stored_candidates<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<(Token, f32)>, D::Error> {
    let stored: Vec<StoredCandidate> = Vec::deserialize(deserializer)?;
    Ok(stored.into_iter().map(Into::into).collect())
}
