//! The graph: a row for what stands side by side, the input below, the logits above.

use maud::{Markup, html};

use super::{Circuit, CircuitEdge};
use crate::kit::frame::Frame;
use crate::kit::{numbers, visible};

const NODE_W: f64 = 58.0;
const NODE_H: f64 = 22.0;
/// From one node to the next, across and down.
const STEP_X: f64 = 76.0;
const STEP_Y: f64 = 50.0;
const MARGIN: f64 = 10.0;
/// As many as a node is wide.
const MOST_LETTERS: usize = 8;
/// How far edges past the nodes of their own column go aside.
const ASIDE: f64 = 46.0;

/// Where the middles of nodes are, and how large it all is. Heads stand left of the MLPs, which have a column of their own.
struct Layout {
    places: Vec<(f64, f64)>,
    rows: Vec<usize>,
    width: f64,
    height: f64,
}

impl Layout {
    fn of(circuit: &Circuit) -> Self {
        let mut rows: Vec<usize> = circuit.nodes.iter().map(|node| node.row).collect();
        rows.sort_unstable();
        rows.dedup();
        let in_row = |row: usize| circuit.nodes.iter().filter(move |node| node.row == row).count();
        let is_mlp = |row: usize| row > 0 && row.is_multiple_of(2);
        let heads = rows.iter().filter(|&&row| !is_mlp(row)).map(|&row| in_row(row));
        let heads_w = (heads.max().unwrap_or(1).max(3) - 1) as f64 * STEP_X;
        let width = 2.0 * (MARGIN + ASIDE) + NODE_W + heads_w + 1.4 * STEP_X;
        let height = 2.0 * MARGIN + NODE_H + rows.len().saturating_sub(1) as f64 * STEP_Y;
        let mut n_placed = vec![0; rows.len()];
        let left = MARGIN + ASIDE + NODE_W / 2.0;
        let place = |node: &super::CircuitNode| {
            let at = rows.iter().position(|&row| row == node.row).unwrap_or(0);
            let (i, n) = (n_placed[at] as f64, in_row(node.row) as f64);
            n_placed[at] += 1;
            let x = match is_mlp(node.row) {
                true => left + heads_w + 1.4 * STEP_X + i * STEP_X,
                false => left + heads_w / 2.0 + (i - (n - 1.0) / 2.0) * STEP_X,
            };
            (x, height - MARGIN - NODE_H / 2.0 - at as f64 * STEP_Y)
        };
        let places = circuit.nodes.iter().map(place).collect();
        Self {
            places,
            rows: circuit.nodes.iter().map(|node| node.row).collect(),
            width,
            height,
        }
    }

    /// With straight pieces in the place of curves, as PDF has it.
    fn pieces(&self, edge: &CircuitEdge) -> String {
        const N: usize = 16;
        let [from, first, second, to] = self.handles(edge);
        let at = |step: usize| {
            let t = step as f64 / N as f64;
            let of = |a: f64, b: f64, c: f64, d: f64| {
                let u = 1.0 - t;
                u * u * u * a + 3.0 * u * u * t * b + 3.0 * u * t * t * c + t * t * t * d
            };
            let (x, y) = (
                of(from.0, first.0, second.0, to.0),
                of(from.1, first.1, second.1, to.1),
            );
            format!("{x:.1} {y:.1}")
        };
        let rest: String = (1..=N).map(|step| format!("L{}", at(step))).collect();
        format!("M{}{rest}", at(0))
    }

    fn path(&self, edge: &CircuitEdge) -> String {
        let [from, first, second, to] = self.handles(edge);
        format!(
            "M{:.1} {:.1}C{:.1} {:.1} {:.1} {:.1} {:.1} {:.1}",
            from.0, from.1, first.0, first.1, second.0, second.1, to.0, to.1
        )
    }

    /// Of a cubic curve: its ends, with their handles between.
    fn handles(&self, edge: &CircuitEdge) -> [(f64, f64); 4] {
        let ((x1, y1), (middle, y2)) = (self.places[edge.from], self.places[edge.to]);
        // A head's three inputs stand side by side.
        let x2 = middle
            + NODE_W
                * match edge.by.as_str() {
                    "q" => -0.28,
                    "v" => 0.28,
                    _ => 0.0,
                };
        // Past nodes that stand between: around them, heads on the left and MLPs on the right.
        let is_between = |&(x, y): &(f64, f64)| y < y1 && y > y2 && (x - x1).abs() < NODE_W;
        let aside = match (x1 - middle).abs() < NODE_W && self.places.iter().any(is_between) {
            false => 0.0,
            true if self.rows[edge.from].is_multiple_of(2) && self.rows[edge.from] > 0 => ASIDE,
            true => -ASIDE,
        };
        let (y1, y2) = (y1 - NODE_H / 2.0, y2 + NODE_H / 2.0);
        let bend = ((y1 - y2) / 2.0).max(12.0);
        // A cubic curve goes three quarters of the way that its handles go.
        let aside = aside * 4.0 / 3.0;
        [
            (x1, y1),
            (x1 + aside, y1 - bend),
            (x2 + aside, y2 + bend),
            (x2, y2),
        ]
    }
}

/// Inside of a page, whose theme gives the colours.
pub(super) fn graph(circuit: &Circuit) -> Markup {
    let layout = Layout::of(circuit);
    html! {
        svg width=(layout.width) height=(layout.height) viewBox={ "0 0 " (layout.width) " " (layout.height) } role="group"
            aria-label="circuit" { (inside(circuit, &layout, Layout::path)) }
    }
}

/// A picture of its own, on white.
pub(super) fn alone(circuit: &Circuit) -> String {
    let layout = Layout::of(circuit);
    let frame = Frame {
        title: super::TITLE,
        about: &circuit.about(),
        says: &circuit.does(),
        meaning: "Orange adds to the answer, blue takes away; wider is more.",
        style: "path{fill:none}path.more{stroke:#d55e00}path.less{stroke:#0072b2}rect.box{fill:#fff;stroke:#656d76}text{fill:#1f2328}",
        size: (layout.width, layout.height),
    };
    frame.around(&html! { g font-size="11" { (inside(circuit, &layout, Layout::pieces)) } })
}

fn inside(circuit: &Circuit, layout: &Layout, line: fn(&Layout, &CircuitEdge) -> String) -> Markup {
    let sizes = circuit.drawn().map(|edge| edge.score.abs());
    let peak = sizes
        .filter(|size| size.is_finite())
        .fold(f64::MIN_POSITIVE, f64::max);
    let width = |edge: &CircuitEdge| match edge.score.is_finite() {
        true => 1.0 + 5.0 * (edge.score.abs() / peak).sqrt(),
        false => 1.0,
    };
    html! {
        // The strongest last, above the others.
        @for edge in circuit.drawn().collect::<Vec<_>>().into_iter().rev() {
            path class=(if edge.score < 0.0 { "less" } else { "more" }) d=(line(layout, edge))
                stroke-width=(format!("{:.1}", width(edge))) {
                title { (circuit.edge(edge)) " " (numbers::short(edge.score)) }
            }
        }
        @for (node, (x, y)) in layout.places.iter().enumerate() {
            g class="node" transform={ "translate(" (x) " " (y) ")" } {
                rect class="box" x=(-NODE_W / 2.0) y=(-NODE_H / 2.0) width=(NODE_W) height=(NODE_H) rx="5" {}
                text x="0" y="4" text-anchor="middle" { (visible::cut(&circuit.name(node), MOST_LETTERS)) }
            }
        }
    }
}
