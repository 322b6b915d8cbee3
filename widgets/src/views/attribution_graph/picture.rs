//! The graph as a picture.

use maud::{Markup, html};

use super::layout::{LEFT, Layout};
use super::{AttributionGraph, GraphEdge, GraphNodeKind};
use crate::kit::frame::Frame;
use crate::kit::{numbers, visible};

/// Edges that are drawn where nothing is chosen.
pub(super) const MOST_DRAWN: usize = 150;
const MOST_LETTERS: usize = 12;
const N_STRONGEST: usize = 3;

impl AttributionGraph {
    /// The edges through which most of the answer goes, the largest first, with their shares.
    pub(super) fn main_edges(&self) -> Vec<(usize, f64)> {
        let mut sizes: Vec<f64> = self.nodes.iter().map(|node| node.others.abs()).collect();
        for edge in self.there() {
            sizes[edge.to] += edge.weight.abs();
        }
        let share = |edge: &GraphEdge| self.nodes[edge.to].influence * edge.weight.abs() / sizes[edge.to];
        let mut edges: Vec<(usize, f64)> = self
            .edges
            .iter()
            .enumerate()
            .filter(|(_, edge)| self.is_there(edge) && sizes[edge.to] > 0.0)
            .map(|(at, edge)| (at, share(edge)))
            .filter(|(_, share)| share.is_finite())
            .collect();
        edges.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        edges
    }

    fn is_there(&self, edge: &GraphEdge) -> bool {
        edge.from < self.nodes.len() && edge.to < self.nodes.len()
    }

    fn there(&self) -> impl Iterator<Item = &GraphEdge> {
        self.edges.iter().filter(|edge| self.is_there(edge))
    }
}

/// Inside of a page, whose theme gives the colours.
pub(super) fn graph(graph: &AttributionGraph) -> Markup {
    let layout = Layout::of(graph);
    html! {
        svg width=(layout.width.round()) height=(layout.height.round()) viewBox={ "0 0 " (layout.width.round()) " " (layout.height.round()) }
            role="group" aria-label="attribution graph" { (inside(graph, &layout)) }
    }
}

/// What is strongest, for a page without a script.
pub(super) fn strongest(graph: &AttributionGraph) -> String {
    let parts = graph
        .ranked()
        .into_iter()
        .filter(|&at| graph.nodes[at].kind != GraphNodeKind::Token);
    let told: Vec<String> = parts
        .take(N_STRONGEST)
        .map(|at| {
            let node = &graph.nodes[at];
            format!(
                "{} at {} {}",
                graph.name(at),
                graph.column(node.position),
                numbers::signed(node.score)
            )
        })
        .collect();
    format!("Strongest: {}", told.join(", "))
}

/// A picture of its own, on white.
pub(super) fn alone(graph: &AttributionGraph) -> String {
    let layout = Layout::of(graph);
    let paints = [("up", "#e58a3c"), ("down", "#4a9fd1"), ("none", "#fff")];
    let shapes = ["rect", "circle", "path"];
    let node = |(class, fill): (&str, &str)| {
        let rule = |shape: &str| format!("{shape}.{class}{{fill:{fill};stroke:#1f2328;stroke-width:.5}}");
        shapes.map(rule).concat()
    };
    let style = format!(
        "path{{fill:none}}path.more{{stroke:#e8a46f}}path.less{{stroke:#7ab6dc}}path.row{{stroke:#d0d7de}}text{{fill:#1f2328}}text.row{{fill:#656d76}}{}",
        paints.map(node).concat()
    );
    let frame = Frame {
        title: super::TITLE,
        about: &graph.about(),
        says: &graph.says(),
        meaning: "Orange adds to the answer, blue takes away; larger is more.",
        style: &style,
        size: (layout.width, layout.height),
    };
    frame.around(&inside(graph, &layout))
}

fn inside(graph: &AttributionGraph, layout: &Layout) -> Markup {
    let drawn: Vec<(usize, f64)> = graph.main_edges().into_iter().take(MOST_DRAWN).collect();
    let peak = drawn.first().map_or(1.0, |first| first.1);
    let answer = graph.nodes.iter().map(|node| node.row).max().unwrap_or(0);
    let right = layout.width - 4.0;
    html! {
        g class="rows" {
            @for &(row, y) in &layout.rows {
                @if row > 0 && row < answer {
                    path class="row" d=(format!("M{} {}L{} {1}", LEFT - 6.0, fine(y), fine(right))) {}
                    text class="row" x=(LEFT - 10.0) y=(fine(y + 3.5)) text-anchor="end" {
                        "L" ((row - 1) / 2) (if row.is_multiple_of(2) { " mlp" } else { " att" })
                    }
                }
            }
        }
        // The strongest last, above the others.
        g class="edges" {
            @for (at, share) in drawn.iter().rev() {
                @let edge = &graph.edges[*at];
                path class=(sign(edge.weight)) d=(path(layout, edge)) stroke-width=(format!("{:.1}", 0.5 + 3.0 * (share / peak.max(f64::MIN_POSITIVE)).sqrt())) {}
            }
        }
        @for (at, node) in graph.nodes.iter().enumerate() {
            @let (x, y) = layout.places[at];
            g class={ "node " (sign(node.score)) } transform={ "translate(" (fine(x)) " " (fine(y)) ")" } {
                (shape(graph, layout, at))
                title { (graph.name(at)) " " (numbers::signed(node.score)) }
            }
        }
        @for (column, token) in graph.tokens.iter().enumerate() {
            @let (x, width) = layout.columns[column];
            text class="token" x=(fine(x)) y=(fine(layout.height - 20.0)) text-anchor="middle" {
                (visible::cut(&visible::label(token), ((width / 5.4) as usize).clamp(4, MOST_LETTERS)))
            }
            text class="row" x=(fine(x)) y=(fine(layout.height - 8.0)) text-anchor="middle" font-size="8" { (column) }
        }
    }
}

fn shape(graph: &AttributionGraph, layout: &Layout, at: usize) -> Markup {
    let node = &graph.nodes[at];
    let r = fine(layout.radii[at]);
    let class = match sign(node.score) {
        "more" => "up",
        "less" => "down",
        none => none,
    };
    html! {
        @match node.kind {
            GraphNodeKind::Token => rect class=(class) x=(-r) y=(-r) width=(2.0 * r) height=(2.0 * r) {},
            GraphNodeKind::Head => path class=(class) d=(format!("M0 {0}L{0} 0L0 -{0}L-{0} 0Z", fine(r * 1.25))) {},
            GraphNodeKind::Error => path class=(class) d=(format!("M0 -{0}L{0} {0}L-{0} {0}Z", r)) {},
            GraphNodeKind::Answer => {
                rect class=(class) x="-9" y="-7" width="18" height="14" rx="4" {}
                text y="-11" text-anchor=(if layout.places[at].0 > layout.width / 2.0 { "end" } else { "middle" }) x=(if layout.places[at].0 > layout.width / 2.0 { "14" } else { "0" }) {
                    (visible::cut(&graph.name(at), 40))
                }
            },
            _ => circle class=(class) cx="0" cy="0" r=(r) {},
        }
    }
}

fn path(layout: &Layout, edge: &GraphEdge) -> String {
    let ((x1, y1), (x2, y2)) = (layout.places[edge.from], layout.places[edge.to]);
    format!("M{} {}L{} {}", fine(x1), fine(y1), fine(x2), fine(y2))
}

/// A tenth of a pixel is enough.
fn fine(x: f64) -> f64 {
    (x * 10.0).round() / 10.0
}

fn sign(x: f64) -> &'static str {
    match x {
        x if x > 0.0 => "more",
        x if x < 0.0 => "less",
        _ => "none",
    }
}
