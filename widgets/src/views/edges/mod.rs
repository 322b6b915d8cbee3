//! Edges between a model's parts, the strongest first.

#[cfg(test)]
mod tests;

use maud::html;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Explorable;
use crate::kit::document::Document;
use crate::kit::grid::{Cell, Grid, Heading, Scale};
use crate::kit::page::{Component, note};
use crate::kit::{document, numbers, visible};

/// Scores of the edges between a model's parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Edges {
    /// The model's name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// For people: "edge attribution patching".
    pub method: String,
    /// What is watched: "logit of \" Paris\" less that of \" Rome\"".
    pub answer: String,
    /// The answer to the clean text.
    pub clean: f64,
    /// The answer to the corrupted text.
    pub corrupted: f64,
    /// How many edges have a score.
    pub n_edges: usize,
    /// The strongest of them, the largest absolute score first.
    pub edges: Vec<ScoredEdge>,
    /// Pearson's correlation of scores and measured changes, where some were measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation: Option<f64>,
    /// What all edges from the embeddings make of the difference, where that is promised to be all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sum: Option<f64>,
}

/// From what one part writes to what another reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScoredEdge {
    /// What writes: "input", "a3.h1", "m3".
    pub from: String,
    /// What reads: "a3.q1", "a3.k0", "a3.v0", "m3", "logits".
    pub to: String,
    /// In units of the answer.
    pub score: f64,
    /// By how much the answer changes with that edge patched, where that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<f64>,
}

const COMPONENT: Component = Component {
    tag: "ecco-edges",
    view: "edges-1",
    css: concat!(include_str!("../../kit/grid.css"), include_str!("view.css")),
    js: include_str!("view.js"),
};
const TITLE: &str = "Edges";
/// Rows of a page, and of a console.
const MOST_ROWS: usize = 200;
const MOST_LINES: usize = 10;

impl Edges {
    fn share(&self, score: f64) -> f64 {
        score / (self.clean - self.corrupted)
    }

    fn has_measured(&self) -> bool {
        self.edges.iter().any(|edge| edge.measured.is_some())
    }

    fn grid(&self) -> Grid {
        let peak = self.edges.iter().map(|edge| edge.score.abs());
        let peak = peak.filter(|size| size.is_finite()).fold(0.0, f64::max);
        let cell = |value: f64| {
            let strength = if peak > 0.0 {
                (value / peak).clamp(-1.0, 1.0)
            } else {
                0.0
            };
            Cell::text(numbers::short(value), strength as f32)
        };
        let mut columns = vec!["score", "of the difference"];
        columns.extend(self.has_measured().then_some("measured"));
        let row = |edge: &ScoredEdge| {
            let mut cells = vec![
                cell(edge.score),
                Cell::text(numbers::share(self.share(edge.score)), 0.0),
            ];
            if self.has_measured() {
                cells.push(edge.measured.map_or_else(|| Cell::text("", 0.0), cell));
            }
            cells
        };
        let shown = || self.edges.iter().take(MOST_ROWS);
        Grid {
            corner: "edge",
            columns: columns.into_iter().map(Heading::text).collect(),
            rows: shown().map(|edge| Heading::text(edge.name())).collect(),
            cells: shown().map(row).collect(),
            scale: Scale::Diverging,
        }
    }

    fn about(&self) -> String {
        let answer = visible::plain(&self.answer, false);
        let (clean, corrupted) = (numbers::short(self.clean), numbers::short(self.corrupted));
        let method = visible::plain(&self.method, false);
        format!("{method} · {answer}: {corrupted} corrupted, {clean} clean")
    }

    fn notes(&self) -> Vec<String> {
        match self.n_edges {
            0 => vec!["no edges to show".to_owned()],
            _ => vec![],
        }
    }

    /// How many there are, and what checks the scores.
    fn checks(&self) -> Vec<String> {
        let mut checks = Vec::new();
        let n = self.edges.len().min(MOST_ROWS);
        if self.n_edges > n {
            checks.push(format!(
                "The {n} strongest of {} edges.",
                numbers::count(self.n_edges as u64)
            ));
        }
        if let Some(correlation) = self.correlation {
            let n = self.edges.iter().filter(|edge| edge.measured.is_some()).count();
            checks.push(format!("r = {correlation:.2} with {n} edges patched indeed."));
        }
        if let Some(sum) = self.sum {
            checks.push(format!(
                "Edges from the embeddings sum to {} of the difference, which is {}.",
                numbers::short(sum),
                numbers::short(self.clean - self.corrupted)
            ));
        }
        checks
    }
}

impl ScoredEdge {
    fn name(&self) -> String {
        format!(
            "{} → {}",
            visible::plain(&self.from, false),
            visible::plain(&self.to, false)
        )
    }
}

impl Document for Edges {
    const TYPE: &'static str = "edges";
}

impl Explorable for Edges {
    fn text(&self) -> String {
        let mut text = format!("{TITLE} · {}", self.about());
        for edge in self.edges.iter().take(MOST_LINES) {
            let measured = edge.measured.map_or_else(String::new, |measured| {
                format!("   measured {}", numbers::short(measured))
            });
            let share = numbers::share(self.share(edge.score));
            text.push_str(&format!(
                "\n{:<18}{:>9} {share:>6}{measured}",
                edge.name(),
                numbers::short(edge.score)
            ));
        }
        if self.n_edges > MOST_LINES {
            text.push_str(&format!("\n… of {} edges", numbers::count(self.n_edges as u64)));
        }
        for line in self.checks().into_iter().filter(|line| !line.starts_with("The ")) {
            text.push_str(&format!("\n{line}"));
        }
        text
    }

    fn svg(&self) -> Option<String> {
        self.grid().picture(TITLE, &self.about())
    }

    fn html(&self) -> Option<String> {
        let content = html! {
            div class="ecco edges" {
                div class="head" { b { (TITLE) } " " span { (self.about()) } }
                @for text in self.notes() { (note(&text)) }
                (self.grid().region(TITLE))
                @for line in self.checks() { div class="check" { (line) } }
            }
        };
        Some(COMPONENT.render(&content, self))
    }

    fn json(&self) -> Option<Value> {
        document::json(self)
    }

    fn alt_text(&self) -> Option<String> {
        let first = self.edges.first()?;
        Some(format!(
            "Scores of {} edges, the strongest {} with {}",
            self.n_edges,
            first.name(),
            numbers::short(first.score)
        ))
    }
}
