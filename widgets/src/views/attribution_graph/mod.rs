//! How an answer came about: tokens, heads and neurons as a graph, layer over layer, position by position.

#[cfg(test)]
mod tests;

mod exchange;
mod layout;
mod picture;

use maud::{Markup, html};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Explorable;
use crate::kit::Token;
use crate::kit::document::Document;
use crate::kit::page::{self, Component, note};
use crate::kit::{document, names, numbers, visible};

pub use exchange::Unreadable;

/// What of an answer comes from where, on which way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AttributionGraph {
    /// The model's name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What is explained: "logit of \" Paris\"".
    pub answer: String,
    /// The answer as a number.
    pub value: f64,
    /// The columns.
    pub tokens: Vec<Token>,
    /// Tokens first, the answer last; each stands behind those that it may owe something.
    pub nodes: Vec<GraphNode>,
    /// What nodes owe to nodes: of each node the largest edges into it, which together have 98 % of all by absolute values.
    pub edges: Vec<GraphEdge>,
    /// Names for several nodes together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GraphGroup>,
    /// Heads, neurons and active features at positions that the pass has.
    pub n_parts: usize,
    /// The share of their scores' absolute values that nodes have.
    pub kept: f64,
    /// Of what goes into nodes, each as much as it matters, the share that comes from nodes and tokens.
    pub completeness: f64,
    /// Of what comes in at the ends, tokens and parts that are no nodes, the share of the tokens.
    pub replacement: f64,
    /// Of what comes in at the ends, the share that dictionaries leave out; of graphs with features.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<f64>,
    /// Pearson's r of scores and measured effects, where some were measured.
    pub correlation: Option<f64>,
}

/// A token, head, neuron or feature, what a dictionary leaves out, or the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GraphNode {
    /// What it is.
    pub kind: GraphNodeKind,
    /// "L3 h1", "L3 n2048", "L3 f512", "L3 error"; of tokens their text, of the answer what is said.
    pub name: String,
    /// A neuron's, head's or feature's number; of a token, and of the answer where it is one, the token's.
    pub index: Option<usize>,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// How far up it stands: tokens 0, heads of layer l at 2 l + 1, its MLP above them, the answer above all.
    pub row: usize,
    /// Its column.
    pub position: usize,
    /// A neuron's or feature's activation; of others in units of the answer.
    pub value: f64,
    /// What of the answer comes through it, on all ways.
    pub score: f64,
    /// What of its value comes from parts that are no nodes, and along edges that are left out.
    pub others: f64,
    /// What of its value comes from biases and positions.
    pub constant: f64,
    /// The share of the answer that goes through it, by absolute sizes.
    pub influence: f64,
    /// By how much the answer falls when what stands there is 0, where that was measured.
    pub measured: Option<f64>,
    /// Tokens that it raises most where it writes, best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub promotes: Vec<String>,
    /// Tokens that it lowers most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suppresses: Vec<String>,
}

/// What a node of the graph is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GraphNodeKind {
    /// A token's embedding.
    Token,
    /// What a head writes at a position.
    Head,
    /// A neuron at a position.
    Neuron,
    /// A feature of a dictionary at a position.
    Feature,
    /// What a dictionary leaves out at a position.
    Error,
    /// What is explained.
    Answer,
}

/// What of a node's value comes from another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GraphEdge {
    /// The number of the node that gives.
    pub from: usize,
    /// The number of the node that gets.
    pub to: usize,
    /// In units of the value of the one that gets.
    #[serde(serialize_with = "single")]
    pub weight: f64,
}

/// Nodes under one name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GraphGroup {
    /// What people call them.
    pub name: String,
    /// Their numbers.
    pub nodes: Vec<usize>,
}

/// Edges are many.
fn single<S: serde::Serializer>(weight: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f32(*weight as f32)
}

const COMPONENT: Component = Component {
    tag: "ecco-attribution-graph",
    view: "attribution-graph-1",
    css: include_str!("view.css"),
    js: include_str!("view.js"),
};
const TITLE: &str = "Attribution graph";
/// Nodes named in a console, and tokens named of each.
const MOST_LINES: usize = 12;
const MOST_PROMOTED: usize = 4;

impl AttributionGraph {
    fn about(&self) -> String {
        format!(
            "{} = {}",
            visible::plain(&self.answer, false),
            numbers::short(self.value)
        )
    }

    /// Heads, neurons and features.
    fn n_nodes(&self) -> usize {
        use GraphNodeKind::{Answer, Error, Token};
        let is_part = |node: &&GraphNode| !matches!(node.kind, Token | Error | Answer);
        self.nodes.iter().filter(is_part).count()
    }

    /// `12 of 4,608 parts carry 90% of the scores · completeness 0.93 · replacement 0.81`
    fn says(&self) -> String {
        let mut says = match self.n_parts {
            0 => format!("{} nodes", self.n_nodes()),
            n => format!(
                "{} of {} parts carry {} of the scores",
                self.n_nodes(),
                numbers::count(n as u64),
                numbers::share(self.kept)
            ),
        };
        let figures = [
            ("completeness", Some(self.completeness)),
            ("replacement", Some(self.replacement)),
            ("errors", self.error),
        ];
        for (name, value) in figures.iter().filter_map(|(name, value)| Some((name, (*value)?))) {
            says.push_str(&format!(" · {name} {}", numbers::fraction(value)));
        }
        if let Some(r) = self.correlation {
            says.push_str(&format!(
                " · scores and measured effects: r = {}",
                numbers::fraction(r)
            ));
        }
        says
    }

    /// `of the answer 6.1 comes from these nodes, 1.2 from other parts, 2.5 from biases and positions`
    fn made_of(&self) -> Option<String> {
        let at = self.nodes.len().checked_sub(1)?;
        let answer = &self.nodes[at];
        let known: f64 = self
            .edges
            .iter()
            .filter(|edge| edge.to == at)
            .map(|edge| edge.weight)
            .sum();
        (answer.kind == GraphNodeKind::Answer).then(|| {
            format!(
                "of the answer {} comes straight from these nodes, {} from other parts, {} from biases and positions",
                numbers::short(known),
                numbers::short(answer.others),
                numbers::short(answer.constant)
            )
        })
    }

    fn name(&self, at: usize) -> String {
        let node = &self.nodes[at];
        match (&node.label, node.kind) {
            (Some(label), _) => visible::plain(label, false),
            (None, GraphNodeKind::Token) => self.column(node.position),
            (None, _) => visible::plain(&node.name, false),
        }
    }

    /// A token; one that stands in the text twice with its position.
    fn column(&self, position: usize) -> String {
        let Some(token) = self.tokens.get(position) else {
            return String::new();
        };
        let label = visible::label(token);
        let same = self.tokens.iter().filter(|other| visible::label(other) == label);
        match same.count() {
            1 => label,
            _ => label + &names::position(position),
        }
    }

    /// The largest scores first, without the answer.
    fn ranked(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.nodes.len())
            .filter(|&at| self.nodes[at].kind != GraphNodeKind::Answer)
            .collect();
        order.sort_by(|&a, &b| self.nodes[b].score.abs().total_cmp(&self.nodes[a].score.abs()));
        order
    }

    fn line(&self, at: usize) -> String {
        let node = &self.nodes[at];
        let name = match node.kind {
            GraphNodeKind::Token => self.name(at),
            _ => format!("{} at {}", self.name(at), self.column(node.position)),
        };
        let promotes: Vec<String> = node
            .promotes
            .iter()
            .take(MOST_PROMOTED)
            .map(|token| visible::plain(token, false))
            .collect();
        let line = format!(
            "{:<32}{:>9}{:>8}  {}",
            visible::cut(&name, 31),
            numbers::signed(node.score),
            numbers::share(node.influence),
            promotes.join(" ")
        );
        line.trim_end().to_owned()
    }

    fn content(&self) -> Markup {
        let drawn = self.is_drawn();
        html! {
            div class="ecco attribution-graph" data-labels=(visible::exceptions(self.labelled().iter())) {
                div class="head" { b { (TITLE) } " " span { (self.about()) } }
                div class="does" { (self.says()) @if let Some(made_of) = self.made_of() { br; (made_of) } }
                @if !drawn { (note("there is nothing to draw: the graph has no nodes")) }
                @if drawn {
                    div class="graph" style=(page::DRAWN) { (picture::graph(self)) }
                    div class="legend-line" {
                        span { "circles are neurons or features, diamonds heads, triangles what dictionaries leave out; orange adds to the answer, blue takes away; larger is more" }
                    }
                    div class="readout" role="status" { (picture::strongest(self)) }
                }
            }
        }
    }

    /// All that stands as a token in it.
    fn labelled(&self) -> Vec<Token> {
        let promoted = self
            .nodes
            .iter()
            .flat_map(|node| node.promotes.iter().chain(&node.suppresses));
        let promoted = promoted.map(|text| Token {
            text: text.clone(),
            id: 0,
            part: None,
        });
        self.tokens.iter().cloned().chain(promoted).collect()
    }

    fn is_drawn(&self) -> bool {
        self.nodes.len() > 1
    }
}

impl Document for AttributionGraph {
    const TYPE: &'static str = "attribution_graph";
}

impl Explorable for AttributionGraph {
    fn text(&self) -> String {
        let mut text = format!("{TITLE} · {}\n{}", self.about(), self.says());
        if let Some(made_of) = self.made_of() {
            text.push_str(&format!("\n{made_of}"));
        }
        let ranked = self.ranked();
        if !ranked.is_empty() {
            text.push_str(&format!(
                "\n{:<32}{:>9}{:>8}  promotes",
                "node", "score", "through"
            ));
        }
        for &at in ranked.iter().take(MOST_LINES) {
            text.push_str(&format!("\n{}", self.line(at)));
        }
        if ranked.len() > MOST_LINES {
            text.push_str(&format!("\n… {} more", ranked.len() - MOST_LINES));
        }
        text
    }

    fn svg(&self) -> Option<String> {
        self.is_drawn().then(|| picture::alone(self))
    }

    fn html(&self) -> Option<String> {
        Some(COMPONENT.render(&self.content(), self))
    }

    fn json(&self) -> Option<Value> {
        document::json(self)
    }

    fn alt_text(&self) -> Option<String> {
        Some(format!(
            "An attribution graph of {} with {} nodes",
            visible::plain(&self.answer, false),
            self.nodes.len()
        ))
    }
}
