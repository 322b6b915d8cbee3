//! The curves of a position: layers across, shares up.

use std::fmt::Write;

use maud::{Markup, html};

use super::{ProbePlace, Probes};
use crate::kit::frame::Frame;
use crate::kit::{numbers, visible};

const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 120.0;
const LEFT: f64 = 34.0;
const ABOVE: f64 = 18.0;
const BELOW: f64 = 30.0;
const RIGHT: f64 = 12.0;
/// Positions that are drawn at most; the table has all.
pub(super) const MOST_PLOTS: usize = 12;

const WHOLE: (f64, f64) = (LEFT + WIDTH + RIGHT, ABOVE + HEIGHT + BELOW);

/// Inside of a page, whose theme gives the colours.
pub(super) fn plot(probes: &Probes, position: &str, places: &[&ProbePlace]) -> Markup {
    html! {
        svg viewBox={ "0 0 " (WHOLE.0) " " (WHOLE.1) } role="img" {
            title { "Accuracy by layer " (visible::plain(position, false)) }
            (inside(probes, position, places))
        }
    }
}

/// A picture of its own, on white.
pub(super) fn alone(probes: &Probes) -> String {
    let plots = probes.by_position();
    let plots = &plots[..plots.len().min(MOST_PLOTS)];
    let frame = Frame {
        title: super::TITLE,
        about: &probes.about(),
        says: "",
        meaning: "Blue: accuracy on texts left out. Orange: on shuffled labels. Dashed: the most frequent label.",
        style: "path{fill:none;stroke:#0072b2;stroke-width:2}path.control{stroke:#d55e00}path.majority{stroke:#656d76;\
                stroke-width:1.5;stroke-dasharray:4 3}path.axis{stroke:#d0d7de;stroke-width:1}circle{fill:#0072b2}\
                circle.control{fill:#d55e00}text{fill:#656d76}",
        size: (WHOLE.0, WHOLE.1 * plots.len() as f64),
    };
    frame.around(&html! {
        @for (at, (position, places)) in plots.iter().enumerate() {
            g transform={ "translate(0 " (WHOLE.1 * at as f64) ")" } { (inside(probes, position, places)) }
        }
    })
}

/// Where a layer stands, by its number, or by its place where it has none.
fn across(places: &[&ProbePlace]) -> Vec<f64> {
    let number = |(at, place): (usize, &&ProbePlace)| place.layer.unwrap_or(at) as f64;
    let numbers: Vec<f64> = places.iter().enumerate().map(number).collect();
    let (low, high) = numbers
        .iter()
        .fold((f64::MAX, f64::MIN), |(low, high), &x| (low.min(x), high.max(x)));
    let way = |&x: &f64| if high > low { (x - low) / (high - low) } else { 0.5 };
    numbers.iter().map(|x| LEFT + way(x) * WIDTH).collect()
}

fn up(share: f64) -> f64 {
    ABOVE + (1.0 - share.clamp(0.0, 1.0)) * HEIGHT
}

/// Where there is a number.
fn points(xs: &[f64], shares: &[f64]) -> Vec<Option<(f64, f64)>> {
    let point = |(&x, &share): (&f64, &f64)| share.is_finite().then(|| (x, up(share)));
    xs.iter().zip(shares).map(point).collect()
}

/// A line that breaks where there is no number.
fn line(points: &[Option<(f64, f64)>]) -> String {
    let (mut path, mut is_on) = (String::new(), false);
    for point in points {
        if let Some((x, y)) = point {
            let _ = write!(path, "{}{x:.1} {y:.1}", if is_on { "L" } else { "M" });
        }
        is_on = point.is_some();
    }
    path
}

fn inside(probes: &Probes, position: &str, places: &[&ProbePlace]) -> Markup {
    let xs = across(places);
    let shares = |of: &dyn Fn(&ProbePlace) -> f64| places.iter().map(|place| of(place)).collect::<Vec<f64>>();
    let found = points(&xs, &shares(&|place| place.accuracy));
    let control = points(&xs, &shares(&|place| place.control.unwrap_or(f64::NAN)));
    let (bottom, right) = (ABOVE + HEIGHT, LEFT + WIDTH);
    let ends = match places {
        [] | [_] => vec![(places.first(), "middle", LEFT + WIDTH / 2.0)],
        [first, .., last] => vec![(Some(first), "start", LEFT), (Some(last), "end", right)],
    };
    let name = visible::cut(&visible::plain(position, false), 40);
    html! {
        @if !name.is_empty() { text x=(LEFT) y="10" { (name) } }
        @for tick in [0.0, 0.5, 1.0] {
            text x=(LEFT - 4.0) y=(up(tick) + 3.0) text-anchor="end" { (numbers::short(tick)) }
            path class="axis" d={ "M" (LEFT) " " (up(tick)) "H" (right) } {}
        }
        @for (place, anchor, x) in ends {
            @if let Some(layer) = place.and_then(|place| place.layer) {
                text x=(x) y=(bottom + 12.0) text-anchor=(anchor) { (layer) }
            }
        }
        text x=(LEFT + WIDTH / 2.0) y=(bottom + 25.0) text-anchor="middle" { "layer" }
        @if probes.majority.is_finite() {
            path class="majority" d=(format!("M{LEFT} {:.1}H{right}", up(probes.majority))) {}
        }
        path class="control" d=(line(&control)) {}
        path class="found" d=(line(&found)) {}
        @for (x, y) in control.iter().flatten() { circle class="control" cx=(format!("{x:.1}")) cy=(format!("{y:.1}")) r="2" {} }
        @for (x, y) in found.iter().flatten() { circle cx=(format!("{x:.1}")) cy=(format!("{y:.1}")) r="2.5" {} }
    }
}
