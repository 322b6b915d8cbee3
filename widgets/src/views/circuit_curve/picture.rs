//! The curves: sizes across by their logarithm, shares up.

use std::fmt::Write;

use maud::{Markup, html};

use super::{CircuitCurve, CircuitSize};
use crate::kit::frame::Frame;
use crate::kit::numbers;

const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 150.0;
const LEFT: f64 = 40.0;
const ABOVE: f64 = 12.0;
const BELOW: f64 = 32.0;
/// Shares that are drawn at least and at most: curves leave the picture beyond.
const WIDEST: (f64, f64) = (-1.0, 2.0);

struct Scale {
    sizes: (f64, f64),
    shares: (f64, f64),
}

impl Scale {
    fn of(curve: &CircuitCurve) -> Self {
        let sizes = curve
            .circuits
            .iter()
            .map(|circuit| (circuit.n.max(1) as f64).ln());
        let shares = curve.circuits.iter().flat_map(|circuit| {
            [circuit.faithfulness, circuit.without]
                .into_iter()
                .chain(circuit.random())
        });
        let shares = shares.filter(|share| share.is_finite());
        let shares = shares.fold((0.0, 1.0), |(low, high): (f64, f64), share| {
            (low.min(share), high.max(share))
        });
        Self {
            sizes: sizes.fold((f64::MAX, f64::MIN), |(low, high), size| {
                (low.min(size), high.max(size))
            }),
            shares: (shares.0.max(WIDEST.0), shares.1.min(WIDEST.1)),
        }
    }

    fn x(&self, n: usize) -> f64 {
        let (low, high) = self.sizes;
        let way = if high > low {
            ((n.max(1) as f64).ln() - low) / (high - low)
        } else {
            0.5
        };
        LEFT + way * WIDTH
    }

    fn y(&self, share: f64) -> f64 {
        let (low, high) = self.shares;
        ABOVE + (high - share.clamp(low, high)) / (high - low) * HEIGHT
    }

    /// A line that breaks where there is no number.
    fn line(&self, curve: &CircuitCurve, of: impl Fn(&CircuitSize) -> Option<f64>) -> String {
        let (mut path, mut is_on) = (String::new(), false);
        for circuit in &curve.circuits {
            let Some(share) = of(circuit).filter(|share| share.is_finite()) else {
                is_on = false;
                continue;
            };
            let _ = write!(
                path,
                "{}{:.1} {:.1}",
                if is_on { "L" } else { "M" },
                self.x(circuit.n),
                self.y(share)
            );
            is_on = true;
        }
        path
    }
}

/// Inside of a page, whose theme gives the colours.
pub(super) fn plot(curve: &CircuitCurve) -> Markup {
    let (width, height) = (LEFT + WIDTH + 12.0, ABOVE + HEIGHT + BELOW);
    html! {
        svg viewBox={ "0 0 " (width) " " (height) } role="img" {
            title { "Faithfulness by the number of edges" }
            (inside(curve))
        }
    }
}

/// A picture of its own, on white.
pub(super) fn alone(curve: &CircuitCurve) -> String {
    let frame = Frame {
        title: super::TITLE,
        about: &curve.about(),
        says: "",
        meaning: "Blue: the circuit alone. Orange: all without it. Dashed: random circuits.",
        style: "path{fill:none;stroke:#0072b2;stroke-width:2}path.less{stroke:#d55e00}path.random{stroke:#656d76;stroke-width:1.5;\
                stroke-dasharray:4 3}path.axis{stroke:#d0d7de;stroke-width:1}text{fill:#656d76}",
        size: (LEFT + WIDTH, ABOVE + HEIGHT + BELOW),
    };
    frame.around(&inside(curve))
}

fn inside(curve: &CircuitCurve) -> Markup {
    let scale = Scale::of(curve);
    let (bottom, right) = (ABOVE + HEIGHT, LEFT + WIDTH);
    let (low, high) = scale.shares;
    let mut ticks = vec![0.0, 1.0];
    ticks.extend(
        [low, high]
            .into_iter()
            .filter(|end| !(-0.15..=1.15).contains(end)),
    );
    let sizes = [curve.circuits.first(), curve.circuits.last()];
    html! {
        @for tick in ticks {
            text x=(LEFT - 4.0) y=(scale.y(tick) + 3.0) text-anchor="end" { (numbers::short(tick)) }
            path class="axis" d={ "M" (LEFT) " " (scale.y(tick)) "H" (right) } {}
        }
        path class="axis" d={ "M" (LEFT) " " (ABOVE) "V" (bottom) } {}
        @for (circuit, anchor) in sizes.into_iter().flatten().zip(["start", "end"]) {
            text x=(scale.x(circuit.n)) y=(bottom + 12.0) text-anchor=(anchor) { (circuit.n) }
        }
        text x=(LEFT + WIDTH / 2.0) y=(bottom + 26.0) text-anchor="middle" { "edges, by their logarithm" }
        path class="random" d=(scale.line(curve, CircuitSize::random)) {}
        path class="less" d=(scale.line(curve, |circuit| Some(circuit.without))) {}
        path class="found" d=(scale.line(curve, |circuit| Some(circuit.faithfulness))) {}
    }
}
