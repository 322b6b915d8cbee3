//! Input saliency: how much each earlier token contributed to each generated one.

use serde::Serialize;

use crate::tokens::Token;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SaliencyStyle {
    #[default]
    Minimal,
    /// A bar and a percentage in each box.
    Detailed,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Saliency {
    pub tokens: Vec<Token>,
    pub n_input: usize,
    pub style: SaliencyStyle,
    /// Method for people: "gradient × input".
    pub method: String,
    /// Row k belongs to token `n_input + k` and has `n_input + k` values that sum to 1.
    pub scores: Vec<Vec<f32>>,
}
