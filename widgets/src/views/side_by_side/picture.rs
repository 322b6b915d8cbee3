//! Divergence as a picture: a bar for each token of the intervened text.

use maud::{Markup, html};

use crate::SideBySide;
use crate::kit::{numbers, rows, visible};

const HEIGHT: f32 = 44.0;
/// More tokens than this have no bar of their own in the picture.
const MOST_LABELLED: usize = 120;

/// The bars under the texts, as wide as the view, with their axes.
pub(super) fn bars(view: &SideBySide) -> Markup {
    let kl = view.kl();
    let (n, peak) = (kl.len(), rows::peak(&kl));
    html! {
        @if n > 0 && peak > 0.0 {
            span { span { (numbers::nats(peak.into())) } span { "0" } }
            svg viewBox={ "0 0 " (n) " " (HEIGHT) } preserveAspectRatio="none" role="img" {
                title { "KL of each token of the " (visible::plain(&view.intervened.name, false)) " text" }
                @for (at, value) in kl.iter().enumerate() {
                    @let height = rows::strength(*value, peak).unwrap_or(0.0) * HEIGHT;
                    rect x=(format!("{:.2}", at as f32 + 0.08)) width="0.84" y=(format!("{:.2}", HEIGHT - height))
                        height=(format!("{height:.2}")) {}
                }
            }
            span { "KL" }
            span class="ends" { span { "token 0" } span { (n - 1) } }
        }
    }
}

const MARGIN: usize = 12;
const CHARACTERS: usize = 14;

/// `None` where nothing diverges.
pub(super) fn picture(view: &SideBySide) -> Option<String> {
    let kl = view.kl();
    let (n, peak) = (kl.len(), rows::peak(&kl));
    if n == 0 || peak <= 0.0 {
        return None;
    }
    let cell = (960 / n).clamp(4, 22);
    let labelled = n <= MOST_LABELLED && cell >= 8;
    let below = if labelled { CHARACTERS * 7 } else { 14 };
    let (left, top, tall) = (MARGIN + 34, MARGIN + 30, 110);
    let (width, height) = ((left + n * cell + MARGIN).max(420), top + tall + below + MARGIN);
    let label = |at: usize| visible::cut(&visible::label(&view.intervened.tokens[at]), CHARACTERS);
    let difference = view.first_difference().filter(|&at| at < n);
    let svg = html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) }
            role="img" font-family="system-ui,-apple-system,Segoe UI,sans-serif" font-size="10" fill="#1f2328" {
            title { "KL(untouched ‖ intervened) of each prediction" }
            desc { "A bar for each token of the intervened text, in nats; orange: where the texts part." }
            rect width=(width) height=(height) fill="#fff" {}
            text x=(MARGIN) y=(MARGIN + 10) font-size="12" font-weight="600" {
                "Side by side" tspan dx="8" font-weight="400" fill="#656d76" { "KL(untouched ‖ intervened), nats" }
            }
            text x=(left - 4) y=(top + 8) text-anchor="end" fill="#656d76" { (numbers::nats(peak.into())) }
            text x=(left - 4) y=(top + tall) text-anchor="end" fill="#656d76" { "0" }
            @for (at, value) in kl.iter().enumerate() {
                @let size = rows::strength(*value, peak).unwrap_or(0.0) * tall as f32;
                @let fill = if difference == Some(at) { "#d98e04" } else { "#1f6feb" };
                rect x=(left + at * cell + 1) width=(cell - 2) y=(format!("{:.1}", (top + tall) as f32 - size))
                    height=(format!("{size:.1}")) fill=(fill) {}
            }
            path d={ "M" (left) " " (top + tall) "h" (n * cell) } stroke="#d0d7de" {}
            @if view.n_input > 0 && view.n_input < n {
                path d={ "M" (left + view.n_input * cell) " " (top) "v" (tall + 4) } stroke="#656d76" stroke-dasharray="2 3" {}
            }
            @if labelled {
                @for at in 0..n {
                    text text-anchor="end" font-weight=(if at >= view.n_input { "600" } else { "400" })
                        transform={ "translate(" (left + at * cell + cell / 2 + 3) " " (top + tall + 6) ") rotate(-90)" } {
                        (label(at))
                    }
                }
            } @else {
                text x=(left) y=(top + tall + 12) fill="#656d76" { "token 0" }
                text x=(left + n * cell) y=(top + tall + 12) fill="#656d76" text-anchor="end" { (n - 1) }
            }
        }
    };
    Some(svg.into_string())
}
