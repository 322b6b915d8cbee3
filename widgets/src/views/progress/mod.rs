//! A progress bar that is replaced in place and ends clean.

#[cfg(test)]
mod tests;

use std::time::Duration;

use maud::html;
use serde::Serialize;

use crate::Explorable;
use crate::kit::{numbers, page, visible};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Progress {
    /// What is going on: "downloading model.safetensors".
    pub label: String,
    pub done: u64,
    pub total: Option<u64>,
    /// Unit of `done` and `total`: "bytes" (shown as MB), "tokens", "steps" …
    pub unit: String,
    /// How long the rest may take, where that is known.
    pub left: Option<Duration>,
}

/// Characters of the bar in a console.
const BAR: usize = 24;

impl Progress {
    /// In 0..=1 where the total is known.
    fn fraction(&self) -> Option<f64> {
        self.total.map(|total| {
            if total == 0 {
                1.0
            } else {
                (self.done as f64 / total as f64).min(1.0)
            }
        })
    }

    fn finished(&self) -> bool {
        self.total.is_some_and(|total| self.done >= total)
    }

    /// `45.1 MB of 328 MB`, `12 of 50 steps`, `328 MB`.
    fn amount(&self) -> String {
        let unit = visible::plain(&self.unit, false);
        let bytes = self.unit == "bytes";
        let one = |n: u64| {
            if bytes {
                numbers::bytes(n)
            } else {
                numbers::count(n)
            }
        };
        let unit = if bytes || unit.is_empty() {
            String::new()
        } else {
            format!(" {unit}")
        };
        match self.total {
            Some(total) if !self.finished() => {
                format!("{} of {}{unit}{}", one(self.done), one(total), self.rest())
            }
            _ => format!("{}{unit}", one(self.done)),
        }
    }

    /// ` · about 5 min left`, as roughly as it is known.
    fn rest(&self) -> String {
        let Some(left) = self.left else {
            return String::new();
        };
        let seconds = left.as_secs_f64();
        let (n, unit) = match seconds {
            ..10.0 => (seconds.ceil().max(1.0), "s"),
            ..55.0 => ((seconds / 5.0).ceil() * 5.0, "s"),
            ..3300.0 => ((seconds / 60.0).round().max(1.0), "min"),
            ..172_800.0 => ((seconds / 3600.0).round(), "h"),
            _ => ((seconds / 86_400.0).round(), "days"),
        };
        format!(" · about {n:.0} {unit} left")
    }
}

impl Explorable for Progress {
    fn text(&self) -> String {
        let (label, amount) = (visible::plain(&self.label, false), self.amount());
        match self.fraction() {
            _ if self.finished() => format!("✓ {label}  {amount}"),
            Some(fraction) => {
                let full = (fraction * BAR as f64) as usize;
                let bar = "█".repeat(full) + &"░".repeat(BAR - full);
                format!("{label}  {bar} {:>3.0}%  {amount}", (fraction * 100.0).floor())
            }
            None => format!("{label}  {amount}"),
        }
    }

    /// A line with a bar under it; once finished only the line.
    fn html(&self) -> Option<String> {
        let percent = self.fraction().map(|fraction| (fraction * 100.0).floor() as u64);
        let content = html! {
            div class="ecco progress" {
                div class="row" {
                    span { @if self.finished() { b { "✓" } " " } (visible::plain(&self.label, false)) " " }
                    span class="amount" {
                        @if let (Some(percent), false) = (percent, self.finished()) { (percent) "% · " }
                        (self.amount())
                    }
                }
                @if !self.finished() {
                    div class="track" role="progressbar" aria-label=(visible::plain(&self.label, false))
                        aria-valuemin="0" aria-valuemax="100" aria-valuenow=[percent] {
                        div class={ "bar" @if percent.is_none() { " unknown" } }
                            style=[percent.map(|percent| format!("width:{percent}%"))] {}
                    }
                }
            }
        };
        Some(page::still(include_str!("view.css"), &content))
    }
}
