//! A comparison as a picture: for each target one strip of heat for each method.

use maud::{Markup, html};

use crate::kit::{colour, visible};
use crate::views::comparison::{Comparison, MOST_LABELS};

/// More targets than this are left out: a picture, not a record.
const MOST_TARGETS: usize = 8;
const MARGIN: usize = 12;
const STRIP: usize = 16;
const BESIDE: usize = 150;

/// `None` where nothing is compared.
pub(super) fn strips(view: &Comparison, about: &str) -> Option<String> {
    let n = view.n_cells();
    if n == 0 || view.methods.is_empty() || view.targets.is_empty() {
        return None;
    }
    let cell = (640 / n).clamp(2, 24);
    let n_targets = view.targets.len().min(MOST_TARGETS);
    let is_labelled = n == view.n_sources() && n <= MOST_LABELS;
    let longest = view.tokens[..n]
        .iter()
        .map(|token| visible::label(token).chars().count())
        .max();
    let above = if is_labelled {
        longest.unwrap_or(0).min(16) * 7 + 6
    } else {
        8
    };
    let block = 20 + view.methods.len() * STRIP + 8;
    let (left, top) = (MARGIN + BESIDE, MARGIN + 24 + above);
    let (width, height) = (
        (left + n * cell + MARGIN).max(360),
        top + n_targets * block + MARGIN + 8,
    );
    let omitted = view.targets.len() - n_targets;
    let svg = html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) }
            role="img" font-family="system-ui,-apple-system,Segoe UI,sans-serif" font-size="10" fill="#1f2328" {
            title { "Methods compared, " (about) }
            desc { "For each target a strip for each method over the tokens; each strip is rescaled to its maximum." }
            rect width=(width) height=(height) fill="#fff" {}
            text x=(MARGIN) y=(MARGIN + 10) font-size="12" font-weight="600" {
                "Methods compared" tspan dx="8" font-weight="400" fill="#656d76" { (about) }
            }
            @if is_labelled {
                @for (x, token) in view.tokens[..n].iter().enumerate() {
                    text transform={ "translate(" (left + x * cell + cell / 2 + 3) " " (top - 4) ") rotate(-90)" } {
                        (visible::cut(&visible::label(token), 16))
                    }
                }
            }
            @for k in 0..n_targets { (block_of(view, k, left, top + k * block, cell)) }
            @if omitted > 0 { text x=(MARGIN) y=(height - 8) fill="#656d76" { (omitted) " more targets are not drawn" } }
        }
    };
    Some(svg.into_string())
}

fn block_of(view: &Comparison, k: usize, left: usize, top: usize, cell: usize) -> Markup {
    let n = view.n_cells();
    html! {
        text x=(left) y=(top + 13) font-weight="600" { (view.targets[k].line()) }
        @for (i, method) in view.methods.iter().enumerate() {
            @let y = top + 20 + i * STRIP;
            text x=(left - 6) y=(y + 11) text-anchor="end" { (visible::cut(&visible::plain(&method.method, false), 26)) }
            @for (x, strength) in method.cells(k, n, view.n_sources()).into_iter().enumerate().filter(|(_, s)| s.abs() >= 0.02) {
                path fill=(colour::hex(method.colour(strength))) d={ "M" (left + x * cell) " " (y) "h" (cell) "v" (STRIP - 2) "h-" (cell) "z" } {}
            }
            path fill="none" stroke="#d0d7de" d={ "M" (left) " " (y) "h" (n * cell) "v" (STRIP - 2) "h-" (n * cell) "z" } {}
        }
    }
}
