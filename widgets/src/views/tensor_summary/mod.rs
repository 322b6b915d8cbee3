//! A tensor: shape, named axes, range and spread of its values, and all of its axes in one picture.

mod picture;
#[cfg(test)]
mod tests;

use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::Explorable;
use crate::kit::Histogram;
use crate::kit::boxes::legend;
use crate::kit::document::Document;
use crate::kit::page::{Component, note};
use crate::kit::{document, numbers, page, visible};

/// A tensor at a glance.
#[derive(Debug, Clone, PartialEq, Default, Serialize, JsonSchema)]
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
    /// How many values are no number.
    pub n_nan: usize,
    /// How many are infinite.
    pub n_infinite: usize,
    /// The first few values in memory order.
    pub preview: Vec<f32>,
    /// How the finite values are spread; missing where there are none, or all are the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub histogram: Option<Histogram>,
    /// What the picture shows; missing for a single value and for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cells: Option<TensorCells>,
    /// All values, nested as the axes are; of a tensor with more than 10,000 only in a file that it is saved to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

/// The values of a picture: of long axes those at both ends.
#[derive(Debug, Clone, PartialEq, Default, Serialize, JsonSchema)]
pub struct TensorCells {
    /// By axis: which of its places are shown, in order.
    pub places: Vec<Vec<usize>>,
    /// The size that has the deepest colour: the largest, but no more than three times the root of the mean square of all.
    pub deepest: f64,
    /// The values there, the last axis running fastest; missing where `data` has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<f32>>,
    /// Which of the values, counted in that order, are infinite and above 0.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub infinite: Vec<usize>,
    /// The same of those below 0.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub minus_infinite: Vec<usize>,
}

/// Cells of a picture, and places of one axis.
pub const MOST_CELLS: usize = 10_000;
const MOST_PLACES: usize = 1024;

const COMPONENT: Component = Component {
    tag: "ecco-tensor",
    view: "tensor-1",
    css: concat!(
        include_str!("../../kit/card.css"),
        include_str!("../../kit/histogram.css"),
        include_str!("view.css")
    ),
    js: include_str!("view.js"),
};

/// Which places of each axis a picture has: all where they are few, else as many of the longest axes left out of their middle
/// as it takes.
pub fn places(shape: &[usize]) -> Vec<Vec<usize>> {
    let mut kept: Vec<usize> = shape.iter().map(|&n| n.min(MOST_PLACES)).collect();
    while kept.iter().fold(1, |n: usize, &k| n.saturating_mul(k)) > MOST_CELLS {
        match kept.iter_mut().max() {
            Some(longest) => *longest -= 1,
            None => break,
        }
    }
    let ends = |(&n, &kept): (&usize, &usize)| {
        let first = kept.div_ceil(2);
        (0..first).chain(n - (kept - first)..n).collect()
    };
    shape.iter().zip(&kept).map(ends).collect()
}

impl TensorSummary {
    /// `layer 6 × neuron 3,072 × position 43`.
    fn shape_text(&self) -> String {
        let axis = |(i, n): (usize, &usize)| match self.axes.get(i).filter(|name| !name.is_empty()) {
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

    /// `3 values are NaN, 1 is infinite`; `None` where all are finite.
    pub fn not_finite(&self) -> Option<String> {
        let said = [(self.n_nan, "NaN"), (self.n_infinite, "infinite")];
        let said = said.iter().filter(|(n, _)| *n > 0).map(|(n, what)| {
            let verb = if *n == 1 { "value is" } else { "values are" };
            format!("{} {verb} {what}", numbers::count(*n as u64))
        });
        Some(said.collect::<Vec<_>>().join(", ")).filter(|said| !said.is_empty())
    }

    /// What an axis is called: its name, or its number.
    fn axis_name(&self, axis: usize) -> String {
        match self.axes.get(axis).filter(|name| !name.is_empty()) {
            Some(name) => visible::cut(&visible::plain(name, false), 24),
            None => format!("axis {axis}"),
        }
    }

    /// Of each axis that is not shown whole what is shown of it.
    fn folds(&self, cells: &TensorCells) -> Vec<String> {
        let fold = |(axis, places): (usize, &Vec<usize>)| {
            let n = *self.shape.get(axis)?;
            let gap = places.windows(2).find(|pair| pair[0] + 1 != pair[1]);
            let count = numbers::count(n as u64);
            match (gap, places.last()) {
                (Some(&[from, to]), Some(last)) => Some(format!(
                    "{} 0–{from} and {to}–{last} of {count}",
                    self.axis_name(axis)
                )),
                (None, Some(last)) if last + 1 < n => {
                    Some(format!("{} 0–{last} of {count}", self.axis_name(axis)))
                }
                _ => None,
            }
        };
        cells.places.iter().enumerate().filter_map(fold).collect()
    }

    fn content(&self) -> Markup {
        html! {
            div class={ "ecco card tensor" @if self.min.is_some_and(|min| min < 0.0) { " diverging" } } {
                div class="head" { b { (self.name_text()) } " " span { (self.kind_text()) } @if let Some(cells) = &self.cells { (self.scale(cells)) } }
                @if let Some(said) = self.not_finite() { (note(&said)) }
                dl {
                    @for (name, value) in self.facts() {
                        div class=[matches!(name, "shape" | "values").then_some("row")] { dt { (name) } dd { (numbers::minus(&value)) } }
                    }
                }
                @if let Some(histogram) = &self.histogram { (histogram.html("values")) }
                @if let Some(cells) = &self.cells {
                    div class="picture" style=(page::DRAWN) { (picture::inside(self, cells)) }
                    @if let folds = self.folds(cells) && !folds.is_empty() { p class="about" { "shown: " (folds.join("; ")) } }
                    div class="readout" aria-live="polite" {}
                }
            }
        }
    }

    fn scale(&self, cells: &TensorCells) -> Markup {
        let [low, high] = self.ends(cells);
        legend(&low, &high)
    }

    /// What the two ends of the colours are.
    fn ends(&self, cells: &TensorCells) -> [String; 2] {
        let largest = [self.min, self.max]
            .into_iter()
            .flatten()
            .fold(0.0, |a: f64, b| a.max(b.abs()));
        let size = numbers::short(cells.deepest);
        let is_cut = largest > cells.deepest;
        let (least, most) = if is_cut { ("≤ −", "≥ ") } else { ("−", "") };
        match self.min.is_some_and(|min| min < 0.0) {
            true => [format!("{least}{size}"), format!("{most}{size}")],
            false => ["0".to_owned(), format!("{most}{size}")],
        }
    }

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
        if let Some(said) = self.not_finite() {
            text.push_str(&format!("\n{said}"));
        }
        if !self.preview.is_empty() {
            text.push_str(&format!("\n{}", self.preview_text()));
        }
        if let Some(histogram) = &self.histogram {
            text.push_str(&format!("\n{}", histogram.text()));
        }
        text
    }

    fn svg(&self) -> Option<String> {
        Some(picture::alone(self, self.cells.as_ref()?))
    }

    fn html(&self) -> Option<String> {
        Some(match self.cells {
            Some(_) => COMPONENT.render(&self.content(), self),
            None => page::still(include_str!("../../kit/card.css"), &self.content()),
        })
    }

    fn json(&self) -> Option<Value> {
        document::json(self)
    }

    fn alt_text(&self) -> Option<String> {
        self.cells.as_ref()?;
        Some(format!("Values of a tensor ({}) as colours", self.shape_text()))
    }
}
