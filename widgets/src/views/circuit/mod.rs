//! A circuit: some edges between a model's parts, as a graph by layer.

#[cfg(test)]
mod tests;

mod picture;

use maud::html;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Explorable;
use crate::kit::document::Document;
use crate::kit::page::{self, Component, note};
use crate::kit::{document, numbers, visible};

/// Some edges between a model's parts, and what they do without the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Circuit {
    /// The model's name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How the edges were chosen, for people: "20 edges by edge attribution patching".
    pub chosen: String,
    /// What is watched: "logit of \" Paris\" less that of \" Rome\"".
    pub answer: String,
    /// How much of the difference of the answers is left where all other edges carry what is in the corrupted text.
    pub faithfulness: f64,
    /// The same where these edges carry what is in the corrupted text and the others what is in the clean one.
    pub without: f64,
    /// The parts, from the input to the logits.
    pub nodes: Vec<CircuitNode>,
    /// The connections, those that the answer needs most first.
    pub edges: Vec<CircuitEdge>,
}

/// A part of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CircuitNode {
    /// "input", "a3.h1", "m3", "logits"
    pub name: String,
    /// Parts of one row stand side by side: 0 the input, then attention and MLP of each layer.
    pub row: usize,
}

/// A connection of two parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CircuitEdge {
    /// The number of the part that writes.
    pub from: usize,
    /// The number of the part that reads.
    pub to: usize,
    /// A head reads by its queries, keys or values: "q", "k", "v"; other parts have "".
    pub by: String,
    /// In units of the answer.
    pub score: f64,
}

const COMPONENT: Component = Component {
    tag: "ecco-circuit",
    view: "circuit-1",
    css: include_str!("view.css"),
    js: include_str!("view.js"),
};
const TITLE: &str = "Circuit";
/// Edges named in a console, and drawn.
const MOST_LINES: usize = 12;
const MOST_DRAWN: usize = 500;

impl Circuit {
    /// The first edges whose parts are there. The script draws on the same.
    fn drawn(&self) -> impl Iterator<Item = &CircuitEdge> {
        let n = self.nodes.len();
        let is_there = move |edge: &&CircuitEdge| edge.from < n && edge.to < n;
        self.edges.iter().filter(is_there).take(MOST_DRAWN)
    }

    fn name(&self, node: usize) -> String {
        self.nodes
            .get(node)
            .map_or_else(String::new, |node| visible::plain(&node.name, false))
    }

    fn edge(&self, edge: &CircuitEdge) -> String {
        let by = match edge.by.as_str() {
            "" => String::new(),
            by => format!(".{}", visible::plain(by, false)),
        };
        format!("{} → {}{by}", self.name(edge.from), self.name(edge.to))
    }

    fn about(&self) -> String {
        format!(
            "{} · {}",
            visible::plain(&self.chosen, false),
            visible::plain(&self.answer, false)
        )
    }

    /// What it does: `faithfulness 0.93 · without it 0.12 of the difference is left`.
    fn does(&self) -> String {
        format!(
            "faithfulness {} · without it {} of the difference is left · {} parts, {} edges",
            numbers::fraction(self.faithfulness),
            numbers::fraction(self.without),
            self.nodes.len(),
            self.edges.len()
        )
    }
}

impl Document for Circuit {
    const TYPE: &'static str = "circuit";
}

impl Explorable for Circuit {
    fn text(&self) -> String {
        let mut text = format!("{TITLE} · {}\n{}", self.about(), self.does());
        for edge in self.edges.iter().take(MOST_LINES) {
            text.push_str(&format!(
                "\n{:<18}{:>9}",
                self.edge(edge),
                numbers::short(edge.score)
            ));
        }
        if self.edges.len() > MOST_LINES {
            text.push_str(&format!("\n… {} more", self.edges.len() - MOST_LINES));
        }
        text
    }

    fn svg(&self) -> Option<String> {
        (!self.edges.is_empty()).then(|| picture::alone(self))
    }

    fn html(&self) -> Option<String> {
        let content = html! {
            div class="ecco circuit" {
                div class="head" { b { (TITLE) } " " span { (self.about()) } }
                @if self.edges.is_empty() { (note("no edges to show: none of those that were asked for leads from the input to the logits")) }
                div class="does" { (self.does()) }
                @if self.edges.len() > MOST_DRAWN { (note(&format!("the first {MOST_DRAWN} of {} edges are drawn; the data has all", self.edges.len()))) }
                @if !self.edges.is_empty() { div class="graph wide" style=(page::DRAWN) { (picture::graph(self)) } }
                div class="readout" role="status" { "Orange adds to the answer, blue takes away; wider is more." }
            }
        };
        Some(COMPONENT.render(&content, self))
    }

    fn json(&self) -> Option<Value> {
        document::json(self)
    }

    fn alt_text(&self) -> Option<String> {
        Some(format!(
            "A circuit of {} parts and {} edges, faithfulness {}",
            self.nodes.len(),
            self.edges.len(),
            numbers::fraction(self.faithfulness)
        ))
    }
}
