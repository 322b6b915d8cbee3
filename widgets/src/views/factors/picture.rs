//! Factors as a picture: one sparkline per factor over the token positions, with its strongest tokens.

use maud::html;

use crate::Factors;
use crate::kit::{colour, rows, spark, visible};

const MARGIN: usize = 12;
const CHART: usize = 420;
const STEPS: usize = 210;
const ROW: usize = 30;

/// `None` if there is no factor to draw.
pub(super) fn sparklines(factors: &Factors) -> Option<String> {
    let (n, n_tokens) = (factors.components.len(), factors.tokens.len());
    if n == 0 || n_tokens == 0 {
        return None;
    }
    let (top, left) = (MARGIN + 26, MARGIN + 26);
    let (width, height) = (left + CHART + 240 + MARGIN, top + n * ROW + 20 + MARGIN);
    // Where something was generated, or where another text begins.
    let marks: Vec<usize> = match factors.texts.as_slice() {
        [one] => vec![one.n_input],
        many => many.iter().map(|text| text.start).collect(),
    };
    let marks = marks.into_iter().filter(|mark| (1..n_tokens).contains(mark));
    let mark = |at: usize| format!("{:.1}", left as f64 + CHART as f64 * at as f64 / n_tokens as f64);
    let svg = html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) }
            role="img" font-family="system-ui,-apple-system,Segoe UI,sans-serif" font-size="11" fill="#1f2328" {
            title { "Neuron factors" }
            desc { (n) " factors (" (visible::plain(&factors.method, false)) ") over " (n_tokens) " token positions, each in units of its own maximum" }
            rect width=(width) height=(height) fill="#fff" {}
            text x=(MARGIN) y=(MARGIN + 10) font-size="12" font-weight="600" { "Neuron factors" }
            @for k in 0..n { (line(factors, k, left, top + k * ROW)) }
            @for at in marks {
                path d={ "M" (mark(at)) " " (top) "V" (top + n * ROW) } stroke="#656d76" stroke-dasharray="2 3" {}
            }
            g fill="#656d76" font-size="10" {
                text x=(left) y=(top + n * ROW + 14) { "0" }
                text x=(left + CHART) y=(top + n * ROW + 14) text-anchor="end" { "token " (n_tokens - 1) }
            }
        }
    };
    Some(svg.into_string())
}

fn line(factors: &Factors, k: usize, left: usize, top: usize) -> maud::Markup {
    let strengths = factors.strengths(k);
    let (steps, area) = match factors.signed {
        true => {
            let steps = rows::pooled_signed(&strengths, STEPS);
            let area = spark::signed_area(&steps, 22.0);
            (steps, area)
        }
        false => {
            let steps = rows::pooled(&strengths, STEPS);
            let area = spark::area(&steps, 22.0);
            (steps, area)
        }
    };
    let foot = if factors.signed { top + 15 } else { top + 26 };
    let scale = CHART as f64 / steps.len() as f64;
    let mut tokens = String::new();
    for (i, times) in factors.top(&strengths) {
        let label = visible::cut(&visible::label(&factors.tokens[i]), 16);
        let label = if times > 1 {
            format!("{label} ×{times}")
        } else {
            label
        };
        if tokens.chars().count() + label.chars().count() <= 36 {
            tokens.push_str(if tokens.is_empty() { "" } else { ",  " });
            tokens.push_str(&label);
        }
    }
    html! {
        text x=(left - 8) y=(top + 22) text-anchor="end" font-weight="600" { (k) }
        path transform={ "translate(" (left) " " (top + 4) ") scale(" (format!("{scale:.4}")) " 1)" }
            fill=(colour::hex(colour::factor(k))) d=(area) {}
        path d={ "M" (left) " " (foot) "h" (CHART) } stroke="#d0d7de" {}
        text x=(left + CHART + 12) y=(top + 20) { (tokens) }
    }
}
