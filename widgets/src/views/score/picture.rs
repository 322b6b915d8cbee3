//! Surprisal as a picture: a bar for each token.

use maud::{Markup, html};

use crate::Score;
use crate::kit::{colour, visible};

/// More tokens than this are pooled: the most surprising one of each stretch is drawn.
const MOST_BARS: usize = 120;
/// Up to so many have their label.
const MOST_LABELS: usize = 72;
const MARGIN: usize = 12;
const HEIGHT: usize = 96;
const CHARACTERS: usize = 16;

/// `None` where nothing is scored.
pub(super) fn bars(score: &Score) -> Option<String> {
    let perplexity = score.perplexity()?;
    let all = score.bits();
    let n_bars = all.len().min(MOST_BARS);
    let width_of_bar = (720 / n_bars).clamp(6, 24);
    let edge = |i: usize| i * all.len() / n_bars;
    let finite = |bits: &&f32| bits.is_finite();
    let stretch = |i: usize| {
        all[edge(i)..edge(i + 1)]
            .iter()
            .filter(finite)
            .copied()
            .reduce(f32::max)
    };
    let bars: Vec<Option<f32>> = (0..n_bars).map(stretch).collect();
    let is_labelled = all.len() <= MOST_LABELS;
    let labels = score
        .tokens
        .iter()
        .map(|token| visible::cut(&visible::label(token), CHARACTERS));
    let labels: Vec<String> = labels.collect();
    let longest = labels
        .iter()
        .map(|label| label.chars().count())
        .max()
        .unwrap_or(0);
    let below = if is_labelled { longest * 7 + 8 } else { 14 };
    let (left, top) = (MARGIN + 22, MARGIN + 24);
    let (width, height) = (
        (left + n_bars * width_of_bar + MARGIN).max(320),
        top + HEIGHT + below + MARGIN,
    );
    let most = bars.iter().flatten().copied().fold(1.0, f32::max);
    let figures = format!("perplexity {}", crate::kit::numbers::short(perplexity));
    let svg = html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) }
            role="img" font-family="system-ui,-apple-system,Segoe UI,sans-serif" font-size="10" fill="#1f2328" {
            title { "Surprisal, " (figures) }
            desc { "Bars: surprisal of each token in bits; higher and darker is more surprising." }
            rect width=(width) height=(height) fill="#fff" {}
            text x=(MARGIN) y=(MARGIN + 10) font-size="12" font-weight="600" {
                "Surprisal" tspan dx="8" font-weight="400" fill="#656d76" { (figures) }
            }
            (axis(left, top, most))
            @for (i, bits) in bars.iter().enumerate() {
                @if let Some(bits) = bits { (bar(*bits, most, score.ceiling(), left + i * width_of_bar, top, width_of_bar)) }
            }
            path d={ "M" (left) " " (top + HEIGHT) "h" (n_bars * width_of_bar) } stroke="#d0d7de" {}
            @if is_labelled {
                @for (i, label) in labels.iter().enumerate() {
                    @let weight = if i >= score.n_input { "600" } else { "400" };
                    text font-weight=(weight) text-anchor="end"
                        transform={ "translate(" (left + i * width_of_bar + width_of_bar / 2 + 3) " " (top + HEIGHT + 4) ") rotate(-90)" } {
                        (label)
                    }
                }
            } @else {
                text x=(left) y=(top + HEIGHT + 12) fill="#656d76" { "token 0" }
                text x=(left + n_bars * width_of_bar) y=(top + HEIGHT + 12) fill="#656d76" text-anchor="end" { (all.len() - 1) }
            }
        }
    };
    Some(svg.into_string())
}

fn axis(left: usize, top: usize, most: f32) -> Markup {
    html! {
        text x=(left - 4) y=(top + 8) text-anchor="end" fill="#656d76" { (format!("{most:.0}")) }
        text x=(left - 4) y=(top + HEIGHT) text-anchor="end" fill="#656d76" { "0" }
        text transform={ "translate(" (left - 12) " " (top + HEIGHT / 2 + 10) ") rotate(-90)" } fill="#656d76" { "bits" }
    }
}

fn bar(bits: f32, most: f32, ceiling: f32, x: usize, top: usize, width: usize) -> Markup {
    let height = (bits / most * HEIGHT as f32).max(1.0).round() as usize;
    // Even what is not surprising at all can be seen.
    let fill = colour::hex(colour::scale((bits / ceiling).clamp(0.12, 1.0)));
    html! { rect x=(x) y=(top + HEIGHT - height) width=(width - 1) height=(height) fill=(fill) {} }
}
