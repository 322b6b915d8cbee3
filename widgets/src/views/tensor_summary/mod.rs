//! A tensor at a glance: shape, named axes, range, first values.

#[cfg(test)]
mod tests;

use maud::html;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::Explorable;
use crate::kit::document::Document;
use crate::kit::{document, numbers, page, visible};

/// A tensor at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TensorSummary {
    /// "activations".
    pub name: String,
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// Names of the axes: "layer", "neuron", "position". May be empty.
    pub axes: Vec<String>,
    /// "float32".
    pub dtype: String,
    /// The smallest value; `null` for an empty tensor.
    pub min: Option<f64>,
    /// The same of the largest value.
    pub max: Option<f64>,
    /// The same of their mean.
    pub mean: Option<f64>,
    /// The first few values in memory order.
    pub preview: Vec<f32>,
    /// All values, nested as the axes are; of a tensor with more than 10,000 only in a file that it is saved to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

impl TensorSummary {
    /// `layer 6 × neuron 3,072 × position 43`.
    fn shape_text(&self) -> String {
        let axis = |(i, n): (usize, &usize)| match self.axes.get(i) {
            Some(name) => format!("{} {}", visible::plain(name, false), numbers::count(*n as u64)),
            None => numbers::count(*n as u64),
        };
        let axes: Vec<String> = self.shape.iter().enumerate().map(axis).collect();
        if axes.is_empty() {
            "scalar".to_owned()
        } else {
            axes.join(" × ")
        }
    }

    fn preview_text(&self) -> String {
        let values: Vec<String> = self
            .preview
            .iter()
            .map(|v| numbers::code(f64::from(*v)))
            .collect();
        let n: usize = self.shape.iter().fold(1, |n, axis| n.saturating_mul(*axis));
        format!(
            "[{}{}]",
            values.join(", "),
            if n > values.len() { ", …" } else { "" }
        )
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let number = |name, value: Option<f64>| value.map(|value| (name, numbers::code(value)));
        let mut facts = vec![("shape", self.shape_text())];
        facts.extend(
            [
                number("min", self.min),
                number("max", self.max),
                number("mean", self.mean),
            ]
            .into_iter()
            .flatten(),
        );
        if !self.preview.is_empty() {
            facts.push(("values", self.preview_text()));
        }
        facts
    }
}

impl Document for TensorSummary {
    const TYPE: &'static str = "tensor";
}

impl Explorable for TensorSummary {
    fn text(&self) -> String {
        let range = [("min", self.min), ("max", self.max), ("mean", self.mean)].into_iter();
        let range =
            range.filter_map(|(name, value)| value.map(|value| format!("{name} {}", numbers::code(value))));
        let mut text = format!(
            "{} ({}) {}",
            self.name_text(),
            self.shape_text(),
            visible::plain(&self.dtype, false)
        );
        let range: Vec<String> = range.collect();
        if !range.is_empty() {
            text.push_str(&format!("\n{}", range.join("  ")));
        }
        if !self.preview.is_empty() {
            text.push_str(&format!("\n{}", self.preview_text()));
        }
        text
    }

    fn html(&self) -> Option<String> {
        let content = html! {
            div class="ecco card" {
                div class="head" { b { (self.name_text()) } " " span { (self.kind_text()) } }
                dl {
                    @for (name, value) in self.facts() {
                        div class=[matches!(name, "shape" | "values").then_some("row")] { dt { (name) } dd { (value) } }
                    }
                }
            }
        };
        Some(page::still(include_str!("../../kit/card.css"), &content))
    }

    fn json(&self) -> Option<Value> {
        document::json(self)
    }
}

impl TensorSummary {
    fn name_text(&self) -> String {
        visible::plain(&self.name, false)
    }

    /// `float32 tensor`; the word once where that is its name, too.
    fn kind_text(&self) -> String {
        let dtype = visible::plain(&self.dtype, false);
        if self.name == "tensor" {
            dtype
        } else {
            format!("{dtype} tensor")
        }
    }
}
