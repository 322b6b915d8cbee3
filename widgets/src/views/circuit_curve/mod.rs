//! What circuits of growing size do, beside random ones of as many edges.

#[cfg(test)]
mod tests;

mod picture;

use maud::html;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Explorable;
use crate::kit::document::Document;
use crate::kit::grid::{Cell, Grid, Heading, Scale};
use crate::kit::page::{self, Component, note};
use crate::kit::{document, numbers, visible};

/// What circuits of growing size do. Shares are of the difference of the answers: 0 as for the corrupted text, 1 as for the
/// clean one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CircuitCurve {
    /// The model's name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How edges were scored, for people: "edge attribution patching".
    pub method: String,
    /// What is watched.
    pub answer: String,
    /// How many edges the model has.
    pub n_edges: usize,
    /// By size, in order.
    pub circuits: Vec<CircuitSize>,
}

/// The circuit of the strongest edges, so many of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CircuitSize {
    /// How many edges were asked for.
    pub n: usize,
    /// How many are left of them without those that lead nowhere.
    pub kept: usize,
    /// The share that the circuit alone leaves.
    pub faithfulness: f64,
    /// The share that is left without it.
    pub without: f64,
    /// The shares that random circuits of as many edges leave.
    pub random: Vec<f64>,
}

const COMPONENT: Component = Component {
    tag: "ecco-circuit-curve",
    view: "circuit-curve-1",
    css: concat!(include_str!("../../kit/grid.css"), include_str!("view.css")),
    js: include_str!("view.js"),
};
const TITLE: &str = "Circuits by size";

impl CircuitSize {
    fn random(&self) -> Option<f64> {
        (!self.random.is_empty()).then(|| self.random.iter().sum::<f64>() / self.random.len() as f64)
    }
}

impl CircuitCurve {
    fn about(&self) -> String {
        format!(
            "{} · {} · {} edges in all",
            visible::plain(&self.method, false),
            visible::plain(&self.answer, false),
            numbers::count(self.n_edges as u64)
        )
    }

    fn grid(&self) -> Grid {
        let cell = |share: f64| Cell::text(numbers::fraction(share), share.clamp(-1.0, 1.0) as f32);
        let row = |size: &CircuitSize| {
            vec![
                Cell::text(size.kept.to_string(), 0.0),
                cell(size.faithfulness),
                cell(size.without),
                size.random().map_or_else(|| Cell::text("", 0.0), cell),
            ]
        };
        let columns = ["kept", "faithfulness", "without it", "random"];
        Grid {
            corner: "edges",
            columns: columns.into_iter().map(Heading::text).collect(),
            rows: self
                .circuits
                .iter()
                .map(|size| Heading::text(size.n.to_string()))
                .collect(),
            cells: self.circuits.iter().map(row).collect(),
            scale: Scale::Diverging,
        }
    }
}

impl Document for CircuitCurve {
    const TYPE: &'static str = "circuit_curve";
}

impl Explorable for CircuitCurve {
    fn text(&self) -> String {
        format!("{TITLE} · {}\n{}", self.about(), self.grid().text())
    }

    fn svg(&self) -> Option<String> {
        (!self.circuits.is_empty()).then(|| picture::alone(self))
    }

    fn html(&self) -> Option<String> {
        let content = html! {
            div class="ecco circuit-curve" {
                div class="head" { b { (TITLE) } " " span { (self.about()) } }
                @if self.circuits.is_empty() { (note("no sizes to show")) }
                @else {
                    div class="both" {
                        div class="plot" style=(page::DRAWN) { (picture::plot(self)) }
                        (self.grid().table())
                    }
                    p class="key" {
                        i class="found" { "—" } " the circuit alone  " i class="less" { "—" } " all without it  "
                        i class="random" { "- -" } " random circuits"
                    }
                }
            }
        };
        Some(COMPONENT.render(&content, self))
    }

    fn json(&self) -> Option<Value> {
        document::json(self)
    }

    fn alt_text(&self) -> Option<String> {
        let last = self.circuits.last()?;
        Some(format!("Faithfulness of circuits of up to {} edges", last.n))
    }
}
