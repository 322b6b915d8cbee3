//! Input saliency: how much each earlier token contributed to each generated one.

use maud::{Markup, html};
use serde::Serialize;
use serde_json::{Value, json};

use crate::boxes::{Extra, flow};
use crate::page::{Component, note};
use crate::tokens::Token;
use crate::{Explorable, MimeBundle, colour, numbers, rows, saliency_picture, visible};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SaliencyStyle {
    #[default]
    Minimal,
    /// A bar and a percentage in each box.
    Detailed,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Saliency {
    pub tokens: Vec<Token>,
    pub n_input: usize,
    pub style: SaliencyStyle,
    /// Method for people: "gradient × input".
    pub method: String,
    /// Row k belongs to token `n_input + k` and has `n_input + k` values that sum to 1.
    pub scores: Vec<Vec<f32>>,
}

const COMPONENT: Component = Component {
    tag: "ecco-saliency",
    view: "saliency-1",
    css: include_str!("saliency.css"),
    js: include_str!("saliency.js"),
};

/// Sources named under the tokens, and in a console.
const N_TOP: usize = 5;

impl Saliency {
    /// Rows that belong to a token.
    pub(crate) fn rows(&self) -> &[Vec<f32>] {
        &self.scores[..self
            .scores
            .len()
            .min(self.tokens.len().saturating_sub(self.n_input))]
    }

    /// The values of row `k` that belong to a token.
    pub(crate) fn row(&self, k: usize) -> &[f32] {
        self.rows()
            .get(k)
            .map_or(&[], |row| &row[..row.len().min(self.tokens.len())])
    }

    pub(crate) fn label(&self, position: usize) -> String {
        self.tokens.get(position).map_or_else(String::new, visible::label)
    }

    /// What is wrong with the scores, for people.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let n_generated = self.tokens.len().saturating_sub(self.n_input);
        if self.scores.is_empty() {
            notes.push("no saliency to show: there is no generated token".to_owned());
        } else if self.scores.len() != n_generated {
            notes.push(format!(
                "{} rows of scores for {n_generated} generated tokens",
                self.scores.len()
            ));
        }
        let not_finite = self
            .rows()
            .iter()
            .filter(|row| row.iter().any(|v| !v.is_finite()))
            .count();
        if not_finite > 0 {
            notes.push(format!(
                "{not_finite} of {} rows hold values that are not finite",
                self.rows().len()
            ));
        }
        let lengths = self
            .rows()
            .iter()
            .enumerate()
            .filter(|(k, row)| row.len() != self.n_input + k);
        if let Some((k, row)) = lengths.clone().next() {
            let (n, expected) = (lengths.count(), self.n_input + k);
            notes.push(format!(
                "{n} rows of unexpected length: row {k} has {} values, not {expected}",
                row.len()
            ));
        }
        notes
    }

    fn extra(&self, position: usize) -> Extra {
        let row = self.row(0);
        let chosen = position == self.n_input && !self.rows().is_empty();
        let score = row.get(position).filter(|_| position < self.n_input);
        let strength = score
            .and_then(|&v| rows::strength(v, rows::peak(row)))
            .filter(|s| *s >= 0.005);
        let style = strength.map(|s| {
            let (ground, text) = (colour::hex(colour::scale(s)), colour::text_on_scale(s));
            format!(
                "--s:{};background-color:{ground};color:{text}",
                (s * 1000.0).round() / 1000.0
            )
        });
        let below = (self.style == SaliencyStyle::Detailed)
            .then(|| score.map_or_else(String::new, |&v| numbers::share(f64::from(v))));
        Extra {
            style,
            below,
            chosen,
            title: None,
        }
    }

    fn content(&self) -> Markup {
        let detailed = self.style == SaliencyStyle::Detailed;
        let peak = rows::peak(self.row(0));
        html! {
            div class={ "ecco saliency" @if detailed { " detailed" } } {
                div class="head" {
                    b { "Input saliency" } " "
                    span class="method" { (visible::plain(&self.method, false)) }
                    @if peak > 0.0 {
                        " " span class="legend" { "0 " i { "–" } " " span class="peak" { (numbers::share(peak.into())) } }
                    }
                }
                @for text in self.notes() { (note(&text)) }
                div class="flow" { (flow(&self.tokens, 0, self.n_input, |i| self.extra(i))) }
                @if !self.rows().is_empty() { div class="readout" { (self.readout(0)) } }
            }
        }
    }

    fn readout(&self, k: usize) -> Markup {
        let row = self.row(k);
        html! {
            span class="what" {
                @if let Some(token) = self.tokens.get(self.n_input + k) { (visible::label_html(token)) }
                " " small { (self.n_input + k) } " draws on "
            }
            @for i in rows::top(row, N_TOP) {
                span { (visible::label_html(&self.tokens[i])) " " small { (i) } " " (numbers::share(row[i].into())) } " "
            }
        }
    }

    fn island(&self) -> Value {
        json!({
            "n_input": self.n_input,
            "method": self.method,
            "tokens": self.tokens.iter().map(|token| &token.text).collect::<Vec<_>>(),
            "ids": self.tokens.iter().map(|token| token.id).collect::<Vec<_>>(),
            "rows": (0..self.rows().len()).map(|k| rows::packed(self.row(k))).collect::<Vec<_>>(),
        })
    }
}

impl Explorable for Saliency {
    /// For each generated token the sources it draws on most.
    fn text(&self) -> String {
        let n = self.rows().len();
        let plural = if n == 1 { "" } else { "s" };
        let method = visible::plain(&self.method, false);
        let mut text = format!("input saliency · {method} · {n} generated token{plural}");
        let digits = self.tokens.len().to_string().len();
        for k in 0..n {
            let row = self.row(k);
            let sources = rows::top(row, N_TOP).into_iter().map(|i| {
                format!(
                    "{i} {} {}",
                    visible::cut(&self.label(i), 24),
                    numbers::share(row[i].into())
                )
            });
            let sources = sources.collect::<Vec<_>>().join(", ");
            let sources = if sources.is_empty() { "–" } else { &sources };
            let position = self.n_input + k;
            text.push_str(&format!(
                "\n{position:>digits$} {} ← {sources}",
                visible::cut(&self.label(position), 24)
            ));
        }
        for note in self.notes() {
            text.push_str(&format!("\n⚠ {note}"));
        }
        text
    }

    /// A heat map of generated tokens over the tokens before them.
    fn svg(&self) -> Option<String> {
        saliency_picture::heat_map(self)
    }

    fn html(&self) -> Option<String> {
        Some(COMPONENT.render(&self.content(), &self.island()))
    }

    fn json(&self) -> Option<Value> {
        let scores = self
            .scores
            .iter()
            .map(|row| row.iter().map(|v| numbers::rounded(*v)).collect::<Value>());
        Some(json!({
            "tokens": self.tokens,
            "n_input": self.n_input,
            "style": self.style,
            "method": self.method,
            "scores": scores.collect::<Value>(),
        }))
    }

    fn bundle(&self) -> MimeBundle {
        crate::bundle::assemble(self).with_alt_text(&format!(
            "Input saliency ({}): how much each earlier token contributed to {} generated tokens",
            visible::plain(&self.method, false),
            self.rows().len()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Token {
        Token {
            text: text.to_owned(),
            id: 5,
            part: None,
        }
    }

    fn saliency(style: SaliencyStyle) -> Saliency {
        Saliency {
            tokens: ["a", " b", "c", "\n"].map(token).to_vec(),
            n_input: 2,
            style,
            method: "gradient × input".into(),
            scores: vec![vec![0.25, 0.75], vec![0.5, 0.125, 0.375]],
        }
    }

    #[test]
    fn a_console_names_the_sources() {
        let expected = "input saliency · gradient × input · 2 generated tokens\n\
                        2 c ← 1 ·b 75%, 0 a 25%\n\
                        3 \\n ← 0 a 50%, 2 c 38%, 1 ·b 12%";
        assert_eq!(saliency(SaliencyStyle::Minimal).text(), expected);
    }

    #[test]
    fn the_first_row_is_painted_without_a_script() {
        let html = saliency(SaliencyStyle::Minimal).html().unwrap();
        let strongest = "<span style=\"--s:1;background-color:#440154;color:#fff\"><small>1</small> <bdi><i>·</i>b</bdi></span>";
        assert!(html.contains(strongest), "{html}");
        assert!(
            html.contains("<span style=\"--s:0.333;background-color:#7ad074;color:#222\"><small>0</small>"),
            "{html}"
        );
        assert!(
            html.contains("<span class=\"g on\"><small>2</small>")
                && html.contains("<span class=\"g\"><small>3</small>")
        );
    }

    #[test]
    fn detailed_boxes_have_shares() {
        let html = saliency(SaliencyStyle::Detailed).html().unwrap();
        assert!(html.contains("<em>75%</em>") && html.contains("<em></em>"));
        assert!(!saliency(SaliencyStyle::Minimal).html().unwrap().contains("<em>"));
    }

    #[test]
    fn a_page_brings_all_it_needs_once() {
        let html = saliency(SaliencyStyle::Minimal).html().unwrap();
        assert!(html.starts_with("<ecco-saliency class=\"ecco-root\" data-view=\"saliency-1\">"));
        assert!(html.ends_with("</script></ecco-saliency>"));
        assert!(COMPONENT.js.contains("define(\"ecco-saliency\", \"saliency-1\""));
        assert_eq!(
            (html.matches("<style>").count(), html.matches("<script").count()),
            (1, 2)
        );
        assert!(!html.contains(" id=\""));
    }

    #[test]
    fn bad_input_is_said_not_hidden() {
        let mut view = saliency(SaliencyStyle::Detailed);
        view.scores = vec![vec![f32::NAN, 1.0, 7.0, 7.0, 7.0, 7.0], vec![], vec![1.0]];
        let text = view.text();
        assert!(
            text.contains("⚠ 3 rows of scores for 2 generated tokens"),
            "{text}"
        );
        assert!(
            text.contains("⚠ 1 of 2 rows hold values that are not finite"),
            "{text}"
        );
        assert!(
            text.contains("⚠ 2 rows of unexpected length: row 0 has 6 values, not 2"),
            "{text}"
        );
        assert!(view.html().unwrap().contains("class=\"note\"") && view.svg().is_some());
        assert!(view.json().unwrap()["scores"][0][0].is_null());
    }

    #[test]
    fn nothing_and_zeros_do_not_panic() {
        for (n, n_input, scores) in [
            (0, 0, vec![]),
            (4, 9, vec![vec![1.0]]),
            (1, 0, vec![vec![]]),
            (4, 2, vec![vec![0.0; 2]; 2]),
        ] {
            let tokens = vec![token("x"); n];
            let view = Saliency {
                tokens,
                n_input,
                scores,
                ..saliency(SaliencyStyle::Detailed)
            };
            let bundle = view.bundle();
            assert!(bundle.data.contains_key("text/html"), "{n} {n_input}");
        }
    }

    #[test]
    fn the_picture_has_a_cell_for_each_share() {
        let svg = saliency(SaliencyStyle::Minimal).svg().unwrap();
        assert_eq!(svg.matches("h1v1h-1z").count(), 5);
        assert!(
            svg.contains("<path fill=\"#440154\" d=\"M1 0h1v1h-1zM0 1h1v1h-1z\">"),
            "{svg}"
        );
        assert!(svg.contains("<title>Input saliency, gradient × input</title>"));
    }

    #[test]
    fn long_pictures_are_pooled() {
        let (n_input, n) = (900, 1000);
        let scores = (n_input..n)
            .map(|target| vec![1.0 / target as f32; target])
            .collect();
        let view = Saliency {
            tokens: vec![token("x"); n],
            n_input,
            scores,
            ..saliency(SaliencyStyle::Minimal)
        };
        let svg = view.svg().unwrap();
        assert!(
            svg.matches("h1v1h-1z").count() <= 120 * 60 && svg.len() < 120_000,
            "{} bytes",
            svg.len()
        );
    }

    #[test]
    fn pictures_are_named_for_screen_readers() {
        let bundle = saliency(SaliencyStyle::Minimal).bundle();
        assert!(
            bundle.metadata["vscode_altText"]
                .as_str()
                .unwrap()
                .contains("2 generated tokens")
        );
    }
}
