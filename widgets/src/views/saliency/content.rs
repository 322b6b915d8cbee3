//! The page of a saliency as it stands without a script.

use std::ops::Range;

use maud::{Markup, html};

use super::targets::value;
use super::{Saliency, SaliencyStyle, Scale, Target, Targets};
use crate::kit::boxes::{Extra, flow, flow_of_pair, legend};
use crate::kit::page::note;
use crate::kit::{colour, rows, visible};

pub(super) fn content(view: &Saliency) -> Markup {
    let class = match (view.style, view.scale) {
        (SaliencyStyle::Minimal, Scale::Shares) => "ecco saliency",
        (SaliencyStyle::Detailed, Scale::Shares) => "ecco saliency detailed",
        (SaliencyStyle::Minimal, Scale::Signed) => "ecco saliency diverging",
        (SaliencyStyle::Detailed, Scale::Signed) => "ecco saliency diverging detailed",
    };
    let peak = rows::peak(view.row(0));
    let n_input = match view.has_pieces() {
        true => view
            .spans
            .get(view.n_input)
            .map_or(view.pieces.len(), |&(start, _)| start),
        false => view.n_input,
    };
    html! {
        div class=(class) {
            div class="head" {
                b { "Input saliency" } " "
                span class="method" { (view.about()) }
                @if peak > 0.0 {
                    @match view.scale {
                        Scale::Shares => (legend("0", &view.number(peak))),
                        Scale::Signed => (legend(&view.number(-peak), &view.number(peak))),
                    }
                }
            }
            @for text in view.notes() { (note(&text)) }
            @if let Targets::Named(targets) = &view.targets { (chips(view, targets)) }
            div class="flow" {
                @if view.is_pair { (flow_of_pair(view.boxes(), n_input, |i| extra(view, i))) }
                @else { (flow(view.boxes(), 0, n_input, |i| extra(view, i))) }
            }
            @if !view.rows().is_empty() { div class="readout" { (readout(view, 0)) } }
            @if !view.checks.is_empty() {
                div class="checks" { @for check in &view.checks { (check.html()) " " } }
            }
        }
    }
}

fn chips(view: &Saliency, targets: &[Target]) -> Markup {
    html! {
        div class="targets" {
            @for (k, target) in targets.iter().take(view.rows().len()).enumerate() {
                span class=[(k == 0).then_some("on")] {
                    (target.html())
                    @if let Some(value) = value(&view.values, k, view.of == "probability") { " " em { (value) } }
                } " "
            }
        }
    }
}

fn extra(view: &Saliency, at: usize) -> Extra {
    let row = view.row(0);
    let has_rows = !view.rows().is_empty();
    let (reach, place) = match &view.targets {
        Targets::Written => (view.n_input, None),
        Targets::Named(targets) => (view.reach_of(0), targets.first().and_then(Target::place)),
    };
    let unit = match view.has_pieces() {
        true => view.spans.partition_point(|&(_, end)| end <= at),
        false => at,
    };
    let score = row.get(unit).filter(|_| has_rows && at < reach);
    let strength = score
        .and_then(|&v| Some((v, rows::strength(v, rows::peak(row))?)))
        .filter(|(_, s)| *s >= 0.005);
    let style = strength.map(|(v, s)| match view.scale {
        Scale::Shares => style_of(s, colour::scale(s), colour::text_on_scale(s)),
        Scale::Signed => {
            let s = s.copysign(v);
            style_of(s, colour::diverging(s), colour::text_on_diverging(s))
        }
    });
    // What several boxes have together stands in the first of them.
    let is_first = !view.has_pieces() || view.spans.get(unit).is_some_and(|&(start, _)| start == at);
    let number = score
        .filter(|_| is_first)
        .map_or_else(String::new, |&v| view.number(v));
    Extra {
        style,
        below: (view.style == SaliencyStyle::Detailed).then_some(number),
        chosen: view.targets == Targets::Written && has_rows && at == view.n_input,
        place: has_rows && place == Some(at),
        ..Extra::default()
    }
}

fn style_of(s: f32, ground: [u8; 3], text: &str) -> String {
    let s = (s * 1000.0).round() / 1000.0;
    format!("--s:{s};background-color:{};color:{text}", colour::hex(ground))
}

/// `p(·Croatia) = 85% · token 23  Largest shares: ·Bulgaria 19 22% …  these 5 of 23: 65%`
fn readout(view: &Saliency, k: usize) -> Markup {
    let (top, n) = view.top(k);
    let (name, place) = match &view.targets {
        Targets::Written => {
            let token = view.tokens.get(view.n_input + k);
            (
                token.map_or_else(|| html! {}, visible::label_html),
                Some(view.n_input + k),
            )
        }
        Targets::Named(targets) => (targets[k].names_html(), targets[k].place()),
    };
    let is_probability = view.of == "probability";
    let value = value(&view.values, k, is_probability);
    let (shares, sum) = match view.scale {
        Scale::Shares => ("shares", top.iter().map(|(_, value)| value).sum()),
        Scale::Signed => ("parts", top.iter().map(|(_, value)| value).sum()),
    };
    html! {
        span class="what" {
            @if is_probability { "p(" (name) ")" } @else if view.of.is_empty() { (name) } @else { (visible::plain(&view.of, false)) " of " (name) }
            @if let Some(value) = value { " = " (value) }
            @if let Some(place) = place { " · token " (place) }
        } " "
        @if top.is_empty() { "draws on nothing" } @else {
            "Largest " (shares) ": "
            @for (span, value) in &top {
                span { bdi { (view.span_label(span)) } " " small { (place_of(span)) } " " (view.number(*value)) } " "
            }
            span { "these " (top.len()) " of " (n) ": " (view.number(sum)) }
        }
    }
}

/// `19`, `19–22`
fn place_of(span: &Range<usize>) -> String {
    match span.len() {
        0 | 1 => span.start.to_string(),
        _ => format!("{}–{}", span.start, span.end - 1),
    }
}
