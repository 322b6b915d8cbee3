//! The page of a saliency as it stands without a script.

use maud::{Markup, html};

use super::targets::value;
use super::{N_TOP, Saliency, SaliencyStyle, Scale, Target, Targets};
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
                @if view.is_pair { (flow_of_pair(&view.tokens, view.n_input, |i| extra(view, i))) }
                @else { (flow(&view.tokens, 0, view.n_input, |i| extra(view, i))) }
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
                    @if let Some(value) = value(&view.values, k) { " " em { (value) } }
                } " "
            }
        }
    }
}

fn extra(view: &Saliency, position: usize) -> Extra {
    let row = view.row(0);
    let has_rows = !view.rows().is_empty();
    let (reach, place) = match &view.targets {
        Targets::Written => (view.n_input, None),
        Targets::Named(targets) => (row.len(), targets.first().and_then(|target| target.position)),
    };
    let score = row.get(position).filter(|_| position < reach);
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
    let below =
        (view.style == SaliencyStyle::Detailed).then(|| score.map_or_else(String::new, |&v| view.number(v)));
    Extra {
        style,
        below,
        chosen: view.targets == Targets::Written && has_rows && position == view.n_input,
        place: has_rows && place == Some(position),
        ..Extra::default()
    }
}

fn style_of(s: f32, ground: [u8; 3], text: &str) -> String {
    let s = (s * 1000.0).round() / 1000.0;
    format!("--s:{s};background-color:{};color:{text}", colour::hex(ground))
}

fn readout(view: &Saliency, k: usize) -> Markup {
    let row = view.row(k);
    html! {
        span class="what" {
            @match &view.targets {
                Targets::Written => {
                    @if let Some(token) = view.tokens.get(view.n_input + k) { (visible::label_html(token)) }
                    " " small { (view.n_input + k) }
                }
                Targets::Named(targets) => (targets[k].html()),
            }
            @if view.targets == Targets::Written {
                @if let Some(value) = value(&view.values, k) { " " em { (value) } }
            }
            " draws on "
        }
        @for i in rows::top(row, N_TOP) {
            span { (visible::label_html(&view.tokens[i])) " " small { (i) } " " (view.number(row[i])) } " "
        }
    }
}
