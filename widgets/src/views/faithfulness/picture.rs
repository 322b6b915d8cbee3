//! Deletion and insertion curves: inside of a page, where its theme gives the colours, and as a picture of their own.

use std::fmt::Write;

use maud::{Markup, html};

use crate::Faithfulness;
use crate::kit::frame::Frame;
use crate::kit::visible;

const WIDTH: f32 = 260.0;
const HEIGHT: f32 = 110.0;
/// Room for what stands beside the axes.
const LEFT: f32 = 40.0;
const BELOW: f32 = 30.0;
const ABOVE: f32 = 18.0;

const TITLES: [(&str, &str); 2] = [
    ("deletion", "share of sources gone, the highest first"),
    ("insertion", "share of sources there, the highest first"),
];

/// A line through values at fractions of the width; it breaks where there is no number.
fn line(steps: &[f32], values: &[f32], highest: f32) -> String {
    let mut path = String::new();
    let mut is_on = false;
    for (step, value) in steps.iter().zip(values) {
        if !(value.is_finite() && step.is_finite()) {
            is_on = false;
            continue;
        }
        let (x, y) = (
            LEFT + step * WIDTH,
            ABOVE + (1.0 - (value / highest).clamp(0.0, 1.0)) * HEIGHT,
        );
        let _ = write!(path, "{}{x:.1} {y:.1}", if is_on { "L" } else { "M" });
        is_on = true;
    }
    path
}

/// Deletion (0) or insertion (1), the mean over the targets; classes give the colours.
pub(super) fn plot(view: &Faithfulness, which: usize) -> Markup {
    let (width, height) = (LEFT + WIDTH + 8.0, ABOVE + HEIGHT + BELOW);
    html! {
        svg viewBox={ "0 0 " (width) " " (height) } role="img" {
            title { (TITLES[which].0) " curve of the " (view.of) }
            (inside(view, which))
        }
    }
}

/// Both, on white.
pub(super) fn picture(view: &Faithfulness, about: &str) -> String {
    let step = LEFT + WIDTH + 20.0;
    let frame = Frame {
        title: "Faithfulness",
        about,
        says: "",
        meaning: "Solid: the sources that the method puts highest go (left) or come (right) first. Dashed: random orders.",
        style: "path{fill:none;stroke:#0072b2;stroke-width:2}path.random{stroke:#656d76;stroke-width:1.5;stroke-dasharray:4 3}\
                path.axis{stroke:#d0d7de;stroke-width:1}text{fill:#656d76}",
        size: ((2.0 * step).into(), (ABOVE + HEIGHT + BELOW).into()),
    };
    frame.around(&html! { (inside(view, 0)) g transform={ "translate(" (step) " 0)" } { (inside(view, 1)) } })
}

fn inside(view: &Faithfulness, which: usize) -> Markup {
    let (mean, highest) = (view.mean(), view.highest());
    let (bottom, right) = (ABOVE + HEIGHT, LEFT + WIDTH);
    html! {
        text x=(LEFT) y="11" { (TITLES[which].0) @if !view.of.is_empty() { ": " (visible::plain(&view.of, false)) } }
        text x=(LEFT - 4.0) y=(ABOVE + 8.0) text-anchor="end" { (crate::kit::numbers::short(highest.into())) }
        text x=(LEFT - 4.0) y=(bottom) text-anchor="end" { "0" }
        text x=(LEFT) y=(bottom + 12.0) { "0" }
        text x=(right) y=(bottom + 12.0) text-anchor="end" { "1" }
        text x=(LEFT + WIDTH / 2.0) y=(bottom + 24.0) text-anchor="middle" { (TITLES[which].1) }
        path class="axis" d={ "M" (LEFT) " " (ABOVE) "V" (bottom) "H" (right) } {}
        @if let Some(random) = &mean.random { path class="random" d=(line(&view.steps, &random[which], highest)) {} }
        path class="found" d=(line(&view.steps, &mean.found[which], highest)) {}
    }
}
