//! The frame of a picture that stands alone: on white, beneath a line of what it is of.

use maud::{Markup, html};

/// Pixels of a letter of the line, about; and the width up to which a long line makes a picture wider.
const LETTER: f64 = 6.2;
const WIDEST: f64 = 900.0;
const MARGIN: f64 = 12.0;

pub(crate) struct Frame<'a> {
    pub title: &'a str,
    /// Beside the title: method, options, target.
    pub about: &'a str,
    /// A line of its own beneath; may be empty.
    pub says: &'a str,
    /// What its colours and lines mean, for who does not see it.
    pub meaning: &'a str,
    /// Of what is drawn, a rule for each element and class: what makes PDF of it knows no others.
    pub style: &'a str,
    /// Width and height of what is drawn.
    pub size: (f64, f64),
}

impl Frame<'_> {
    pub(crate) fn around(&self, drawn: &Markup) -> String {
        let letters =
            (self.about.chars().count() + self.title.chars().count() + 2).max(self.says.chars().count());
        let least = letters as f64 * LETTER + 2.0 * MARGIN;
        let above = if self.says.is_empty() { 34.0 } else { 50.0 };
        let width = (self.size.0 + 2.0 * MARGIN).max(least.min(WIDEST)).ceil();
        let height = (self.size.1 + above + MARGIN / 2.0).ceil();
        let svg = html! {
            svg xmlns="http://www.w3.org/2000/svg" width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) }
                role="img" font-family="system-ui,-apple-system,Segoe UI,sans-serif" font-size="10" {
                title { (self.title) ", " (self.about) }
                desc { (self.meaning) @if !self.says.is_empty() { " " (self.says) } }
                rect width=(width) height=(height) fill="#fff" {}
                style { (self.style) }
                text x=(MARGIN) y="22" font-size="12" style="fill:#1f2328" {
                    tspan font-weight="600" { (self.title) } tspan dx="8" { (self.about) }
                }
                @if !self.says.is_empty() { text x=(MARGIN) y="40" style="fill:#656d76" { (self.says) } }
                g transform={ "translate(" (MARGIN) " " (above) ")" } { (drawn) }
            }
        };
        svg.into_string()
    }
}
