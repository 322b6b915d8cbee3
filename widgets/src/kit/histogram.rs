//! How values are spread: counts in bins, drawn by their logarithms.

use maud::{Markup, html};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page::DRAWN;
use super::{numbers, spark};

/// Counts in bins of equal width.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Histogram {
    /// Where the first bin begins.
    pub start: f64,
    /// Where the last one ends.
    pub end: f64,
    /// Values in each.
    pub counts: Vec<u64>,
}

/// Height of the drawing.
const HEIGHT: f32 = 44.0;

impl Histogram {
    /// Shares of the fullest bin by their logarithms: most values are near 0, and the others are what matters.
    fn heights(&self) -> Vec<f32> {
        let logarithm = |count: u64| (count as f32 + 1.0).ln();
        let most = self.counts.iter().copied().max().unwrap_or(0);
        let height = |&count: &u64| logarithm(count) / logarithm(most).max(f32::MIN_POSITIVE);
        self.counts.iter().map(height).collect()
    }

    /// `what` is counted: "tokens".
    pub(crate) fn html(&self, what: &str) -> Markup {
        let heights = self.heights();
        html! {
            div class="histogram" {
                div style=(DRAWN) { svg viewBox={ "0 0 " (heights.len()) " " (HEIGHT) } preserveAspectRatio="none" role="img" {
                    title { "How many " (what) " have which values, by the logarithm" }
                    path d=(spark::area(&heights, HEIGHT)) {}
                } }
                div class="ends" {
                    span { (numbers::short(self.start)) }
                    span { (what) " by value, logarithmic" }
                    span { (numbers::short(self.end)) }
                }
            }
        }
    }

    /// `−3 ▁▂█▁ 12`
    pub(crate) fn text(&self) -> String {
        let [start, end] = [self.start, self.end].map(numbers::short);
        format!("{start} {} {end}", spark::blocks(&self.heights()))
    }
}
