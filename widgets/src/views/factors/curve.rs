//! How many factors: the held-out error by number of components.

use maud::{Markup, html};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kit::numbers;

/// What one number of components came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Holdout {
    /// How many were tried.
    pub n_components: usize,
    /// Relative, squared: 0 exact, 1 as bad as predicting 0.
    pub error: f64,
    /// The standard error of that.
    pub spread: f64,
}

const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 44.0;

/// `held-out error 25% with 2 of 1 to 3 components`
pub(super) fn line(held_out: &[Holdout], chosen: usize) -> Option<String> {
    let at = held_out.iter().find(|held| held.n_components == chosen)?;
    let (first, last) = (held_out.first()?, held_out.last()?);
    Some(format!(
        "held-out error {} with {chosen} of {} to {} components",
        numbers::share(at.error),
        first.n_components,
        last.n_components
    ))
}

/// The curve with a mark at the chosen number; nothing where nothing was tried.
pub(super) fn figure(held_out: &[Holdout], chosen: usize) -> Markup {
    let Some(line) = line(held_out, chosen) else {
        return html! {};
    };
    let highest = held_out
        .iter()
        .map(|held| held.error)
        .filter(|error| error.is_finite());
    let highest = highest.fold(f64::MIN_POSITIVE, f64::max);
    let most = held_out
        .iter()
        .map(|held| held.n_components)
        .max()
        .unwrap_or(1)
        .max(2);
    let x = |held: &Holdout| 6.0 + (WIDTH - 12.0) * (held.n_components as f64 - 1.0) / (most as f64 - 1.0);
    let y = |error: f64| HEIGHT - 4.0 - (HEIGHT - 10.0) * (error / highest).clamp(0.0, 1.0);
    // What is no number has no point.
    let held_out: Vec<&Holdout> = held_out.iter().filter(|held| held.error.is_finite()).collect();
    let points: Vec<String> = held_out
        .iter()
        .copied()
        .map(|held| format!("{:.1},{:.1}", x(held), y(held.error)))
        .collect();
    html! {
        div class="curve" {
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" {
                title { "Held-out error by number of components" }
                polyline points=(points.join(" ")) fill="none" stroke="currentColor" stroke-width="1" opacity=".6" {}
                @for &held in &held_out {
                    @let is_chosen = held.n_components == chosen;
                    circle class=[is_chosen.then_some("on")] cx=(format!("{:.1}", x(held))) cy=(format!("{:.1}", y(held.error)))
                        r=(if is_chosen { "4" } else { "2" }) fill="currentColor" {
                        title { (held.n_components) ": " (numbers::share(held.error)) " ± " (numbers::share(held.spread)) }
                    }
                }
            }
            small { (line) }
        }
    }
}
