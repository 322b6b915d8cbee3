//! A progress bar that is replaced in place and ends clean.

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
            Some(total) if !self.finished() => format!("{} of {}{unit}", one(self.done), one(total)),
            _ => format!("{}{unit}", one(self.done)),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn download(done: u64, total: Option<u64>) -> Progress {
        Progress {
            label: "downloading <model>".into(),
            done,
            total,
            unit: "bytes".into(),
        }
    }

    #[test]
    fn a_download_in_a_console() {
        let text = download(164_000_000, Some(328_000_000)).text();
        assert_eq!(
            text,
            "downloading <model>  ████████████░░░░░░░░░░░░  50%  164 MB of 328 MB"
        );
        assert_eq!(
            download(328_000_000, Some(328_000_000)).text(),
            "✓ downloading <model>  328 MB"
        );
        assert_eq!(download(12_300, None).text(), "downloading <model>  12.3 kB");
    }

    #[test]
    fn a_bar_in_a_page() {
        let html = download(99, Some(100)).html().unwrap();
        assert!(
            html.contains("aria-valuenow=\"99\"") && html.contains("width:99%") && html.contains("&lt;model")
        );
        let unknown = download(99, None).html().unwrap();
        assert!(unknown.contains("progressbar") && !unknown.contains("aria-valuenow"));
    }

    #[test]
    fn it_ends_without_a_bar() {
        for total in [0, 50] {
            assert!(!download(50, Some(total)).html().unwrap().contains("progressbar"));
        }
    }

    #[test]
    fn other_units_are_counted() {
        let progress = Progress {
            label: "tracing".into(),
            done: 1200,
            total: Some(5000),
            unit: "steps".into(),
        };
        assert!(
            progress.text().ends_with("24%  1,200 of 5,000 steps"),
            "{}",
            progress.text()
        );
    }
}
