//! The token that all views share.

use serde::Serialize;

/// A token as every view shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Token {
    /// The token's own text with leading spaces kept. A character that is split over several tokens
    /// stands whole in each of them (see `part`).
    pub text: String,
    pub id: u32,
    /// Which part of a split character this is: `(1, 4)` is the first of four.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<(u8, u8)>,
}
