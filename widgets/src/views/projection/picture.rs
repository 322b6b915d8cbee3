//! The points: one scale for both axes, so that distances are those of the plane, and names where there is room.

use maud::{Markup, html};

use super::{Colouring, MOST_GROUPS, Projection};
use crate::kit::page::DRAWN;
use crate::kit::{colour, visible};

const WIDTH: f64 = 600.0;
const MOST_HEIGHT: f64 = 440.0;
const LEAST_HEIGHT: f64 = 160.0;
const MARGIN: f64 = 18.0;
const BELOW: f64 = 20.0;
/// Names in a picture, points that are tried for one, and the size of a letter.
const MOST_NAMES: usize = 80;
const MOST_TRIED: usize = 500;
const LETTER: (f64, f64) = (5.4, 11.0);

/// Where points are drawn.
pub(super) struct Frame {
    low: (f64, f64),
    /// Pixels of a unit.
    scale: f64,
    /// Beside the points, on either side.
    aside: (f64, f64),
    pub height: f64,
}

impl Frame {
    /// None where there is no point.
    pub(super) fn of(map: &Projection) -> Option<Self> {
        let drawn = map.drawn();
        let ends = |values: &[f32]| {
            let values = drawn.iter().map(|&at| f64::from(values[at]));
            values.fold((f64::MAX, f64::MIN), |(low, high), value| {
                (low.min(value), high.max(value))
            })
        };
        if drawn.is_empty() {
            return None;
        }
        let ((left, right), (bottom, top)) = (ends(&map.x), ends(&map.y));
        let (wide, high) = (right - left, top - bottom);
        let inner = (WIDTH - 2.0 * MARGIN, MOST_HEIGHT - 2.0 * MARGIN);
        let scale = (inner.0 / wide).min(inner.1 / high);
        let scale = if scale.is_finite() { scale } else { 1.0 };
        let height = (high * scale + 2.0 * MARGIN).max(LEAST_HEIGHT);
        Some(Self {
            low: (left, bottom),
            scale,
            aside: ((WIDTH - wide * scale) / 2.0, (height - high * scale) / 2.0),
            height,
        })
    }

    pub(super) fn at(&self, x: f32, y: f32) -> (f64, f64) {
        let across = self.aside.0 + (f64::from(x) - self.low.0) * self.scale;
        let up = self.aside.1 + (f64::from(y) - self.low.1) * self.scale;
        (across, self.height - up)
    }

    /// The same as shares of the frame, from the left and from the top.
    pub(super) fn share(&self, x: f32, y: f32) -> (f64, f64) {
        let (x, y) = self.at(x, y);
        ((x / WIDTH).clamp(0.0, 1.0), (y / self.height).clamp(0.0, 1.0))
    }
}

/// The colour of a group's points.
pub(super) fn fill(group: usize) -> String {
    match group < MOST_GROUPS {
        true => colour::hex(colour::factor(group)),
        false => "#8b949e".to_owned(),
    }
}

/// A point: its shape goes with its colour, for those who see no colours and for paper.
pub(super) fn mark(group: usize, x: f64, y: f64, name: Option<&str>) -> Markup {
    let at = format!("M{x:.1} {y:.1}");
    let path = match group % 4 {
        1 if group < MOST_GROUPS => format!("{at}m-3.5 -3.5h7v7h-7z"),
        2 if group < MOST_GROUPS => format!("{at}m0 -4.6l4.4 8h-8.8z"),
        3 if group < MOST_GROUPS => format!("{at}m0 -5l5 5l-5 5l-5 -5z"),
        _ => {
            return html! { circle cx=(format!("{x:.1}")) cy=(format!("{y:.1}")) r="4" { @if let Some(name) = name { title { (name) } } } };
        }
    };
    html! { path d=(path) { @if let Some(name) = name { title { (name) } } } }
}

/// Names that lie on no other name or point and in the frame, with their places.
fn names(map: &Projection, frame: &Frame) -> Vec<(f64, f64, String)> {
    let drawn = map.drawn();
    let place = |at: usize| frame.at(map.x[at], map.y[at]);
    let all: Vec<(f64, f64)> = drawn.iter().map(|&at| place(at)).collect();
    let mut placed: Vec<(f64, f64, String)> = Vec::new();
    for &at in drawn.iter().step_by(drawn.len().div_ceil(MOST_TRIED).max(1)) {
        if placed.len() == MOST_NAMES {
            break;
        }
        let name = visible::cut(&map.name(at), 16);
        let (own_x, own_y) = place(at);
        let (x, y) = (own_x + 7.0, own_y + 3.5);
        let end = x + width(&name);
        let covers = |&(px, py): &(f64, f64)| px > own_x + 1.0 && px < end + 4.0 && (py - own_y).abs() < 8.0;
        let meets = |(other_x, other_y, other): &(f64, f64, String)| {
            (y - other_y).abs() < LETTER.1 && x < other_x + width(other) + 8.0 && other_x - 8.0 < end
        };
        if !name.is_empty() && end < WIDTH && !all.iter().any(covers) && !placed.iter().any(meets) {
            placed.push((x, y, name));
        }
    }
    placed
}

fn width(name: &str) -> f64 {
    name.chars().count() as f64 * LETTER.0
}

fn inside(map: &Projection, frame: &Frame) -> Markup {
    let (bottom, groups) = (frame.height, map.groups());
    html! {
        rect class="frame" x="0.5" y="0.5" width=(WIDTH - 1.0) height=(format!("{:.1}", bottom - 1.0)) fill="none" {}
        g class="points" {
            @for at in map.drawn() {
                @let (x, y) = frame.at(map.x[at], map.y[at]);
                @let group = groups.of(at);
                g fill=(fill(group)) { (mark(group, x, y, Some(&map.name(at)))) }
            }
        }
        g class="names" {
            @for (x, y, name) in names(map, frame) { text x=(format!("{x:.1}")) y=(format!("{y:.1}")) { (name) } }
        }
        @if let Some(name) = map.axis(0) { text class="axis" x=(WIDTH) y=(format!("{:.1}", bottom + 14.0)) text-anchor="end" { (name) " →" } }
        @if let Some(name) = map.axis(1) { text class="axis" x="0" y=(format!("{:.1}", bottom + 14.0)) { "↑ " (name) } }
    }
}

/// Within a page, whose theme gives the colours of letters and lines.
pub(super) fn inside_page(map: &Projection) -> Markup {
    let Some(frame) = Frame::of(map) else {
        return html! {};
    };
    html! {
        div class="map" style=(DRAWN) {
            svg viewBox={ "0 0 " (WIDTH) " " (format!("{:.1}", frame.height + BELOW)) } role="img" {
                title { (map.about()) }
                (inside(map, &frame))
            }
        }
    }
}

/// A picture of its own, on white.
pub(super) fn alone(map: &Projection) -> Option<String> {
    let frame = Frame::of(map)?;
    let (about, ways) = (map.about(), map.colourings());
    let key = ways.first().map_or_else(Vec::new, places);
    let rows = key.iter().map(|(.., y)| *y).fold(0.0, f64::max);
    let above = 40.0 + if key.is_empty() { 0.0 } else { rows + 20.0 };
    let (width, height) = (WIDTH + 24.0, above + frame.height + BELOW + 8.0);
    let svg = html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(width) height=(format!("{height:.1}")) viewBox={ "0 0 " (width) " " (format!("{height:.1}")) }
            role="img" font-family="system-ui,-apple-system,Segoe UI,sans-serif" font-size="10" {
            title { (super::TITLE) ", " (about) }
            rect width=(width) height=(format!("{height:.1}")) fill="#fff" {}
            style { "rect.frame{stroke:#d0d7de}text{fill:#1f2328}text.axis{fill:#656d76}" }
            text x="12" y="22" font-size="12" {
                tspan font-weight="600" { (super::TITLE) } tspan dx="8" { (visible::cut(&about, 84)) }
            }
            @for (group, name, x, y) in &key {
                g transform={ "translate(" (format!("{:.1} {:.1}", 12.0 + x, 40.0 + y)) ")" } {
                    g fill=(fill(*group)) { (mark(*group, 5.0, 0.0, None)) }
                    text x="13" y="3.5" { (name) }
                }
            }
            g transform={ "translate(12 " (format!("{above:.1}")) ")" } { (inside(map, &frame)) }
        }
    };
    Some(svg.into_string())
}

/// The legend's entries in lines: the group, its name, and where it stands.
fn places(way: &Colouring) -> Vec<(usize, String, f64, f64)> {
    let (mut x, mut y) = (0.0, 0.0);
    let mut all = Vec::new();
    for (group, name) in way.names.iter().enumerate().take(MOST_GROUPS) {
        let name = format!(
            "{} {}",
            visible::cut(&visible::plain(name, false), 30),
            way.counts[group]
        );
        let wide = 28.0 + name.chars().count() as f64 * LETTER.0;
        if x > 0.0 && x + wide > WIDTH {
            (x, y) = (0.0, y + 16.0);
        }
        all.push((group, name, x, y));
        x += wide;
    }
    all
}
