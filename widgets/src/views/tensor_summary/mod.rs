//! A tensor at a glance: shape, named axes, range, first values.

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
            .map(|v| numbers::short(f64::from(*v)))
            .collect();
        let n: usize = self.shape.iter().fold(1, |n, axis| n.saturating_mul(*axis));
        format!(
            "[{}{}]",
            values.join(", "),
            if n > values.len() { ", …" } else { "" }
        )
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let number = |name, value: Option<f64>| value.map(|value| (name, numbers::short(value)));
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
            range.filter_map(|(name, value)| value.map(|value| format!("{name} {}", numbers::short(value))));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> TensorSummary {
        TensorSummary {
            name: "activations".into(),
            shape: vec![6, 3072, 43],
            axes: ["layer", "neuron", "position"].map(str::to_owned).to_vec(),
            dtype: "float32".into(),
            min: Some(-0.170_040_75),
            max: Some(11.25),
            mean: Some(f64::NAN),
            preview: vec![0.5, -0.125, f32::INFINITY],
        }
    }

    #[test]
    fn a_tensor_in_a_console() {
        let text = "activations (layer 6 × neuron 3,072 × position 43) float32\nmin -0.17  max 11.25  mean NaN\n[0.5, -0.125, inf, …]";
        assert_eq!(summary().text(), text);
    }

    #[test]
    fn an_empty_one_and_a_scalar() {
        let empty = TensorSummary {
            shape: vec![0],
            axes: vec![],
            min: None,
            max: None,
            mean: None,
            preview: vec![],
            ..summary()
        };
        assert_eq!(empty.text(), "activations (0) float32");
        assert_eq!(
            TensorSummary {
                shape: vec![],
                ..empty
            }
            .text(),
            "activations (scalar) float32"
        );
    }

    #[test]
    fn numbers_that_json_lacks_become_null() {
        let json = summary().json().unwrap();
        assert!(json["mean"].is_null() && json["preview"][2].is_null());
        assert!(summary().html().unwrap().contains("<dt>shape</dt>"));
    }

    #[test]
    fn a_tensor_without_a_name_is_called_one_once() {
        let head = |name: &str| {
            let html = TensorSummary {
                name: name.into(),
                ..summary()
            }
            .html()
            .unwrap();
            html.split("class=\"head\">")
                .nth(1)
                .unwrap()
                .split("</div>")
                .next()
                .unwrap()
                .to_owned()
        };
        assert_eq!(
            head("activations"),
            "<b>activations</b> <span>float32 tensor</span>"
        );
        assert_eq!(head("tensor"), "<b>tensor</b> <span>float32</span>");
    }
}
