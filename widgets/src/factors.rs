//! Neuron factors (NMF): one sparkline per factor, tokens coloured by the factor in focus.

use maud::{Markup, html};
use serde::Serialize;
use serde_json::{Value, json};

use crate::boxes::{Extra, flow};
use crate::page::{Component, note};
use crate::tokens::Token;
use crate::{Explorable, MimeBundle, colour, factors_picture, numbers, rows, spark, visible};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Factors {
    pub tokens: Vec<Token>,
    pub n_input: usize,
    /// `components[factor][position]`, not negative; one value per token.
    pub components: Vec<Vec<f32>>,
    /// Frobenius norm of the residual, as scikit-learn's `reconstruction_err_`.
    pub error: f64,
    /// The same relative to the norm of the matrix.
    pub relative_error: f64,
}

const COMPONENT: Component = Component {
    tag: "ecco-factors",
    view: "factors-1",
    css: include_str!("factors.css"),
    js: include_str!("factors.js"),
};

/// Tokens named beside each factor.
const N_TOP: usize = 5;
/// Sparklines are pooled to this many steps on a page, and in a console.
const STEPS: usize = 400;
const COLUMNS: usize = 48;

impl Factors {
    /// Factor `k` over the positions of the tokens, in units of its own maximum; what is no number counts as
    /// 0.
    pub(crate) fn strengths(&self, k: usize) -> Vec<f32> {
        let component = &self.components[k];
        let peak = component
            .iter()
            .filter(|v| v.is_finite())
            .fold(0.0f32, |peak, v| v.max(peak));
        let strength = |v: &f32| {
            if v.is_finite() && peak > 0.0 {
                (v / peak).max(0.0)
            } else {
                0.0
            }
        };
        (0..self.tokens.len())
            .map(|i| component.get(i).map_or(0.0, strength))
            .collect()
    }

    /// The strongest tokens of a factor as position, and how many tokens of the same text are among its
    /// strong ones.
    pub(crate) fn top(&self, strengths: &[f32]) -> Vec<(usize, usize)> {
        let mut top: Vec<(usize, usize)> = Vec::new();
        for i in rows::top(strengths, strengths.len()) {
            let same = top
                .iter()
                .position(|(j, _)| self.tokens[*j].text == self.tokens[i].text);
            match same {
                _ if strengths[i] < 0.2 => break,
                Some(known) => top[known].1 += 1,
                None if top.len() < N_TOP => top.push((i, 1)),
                None => {}
            }
        }
        top
    }

    fn notes(&self) -> Vec<String> {
        let (n, mut notes) = (self.tokens.len(), Vec::new());
        if self.components.is_empty() {
            notes.push("no factors to show".to_owned());
        }
        if n == 0 {
            notes.push("no tokens".to_owned());
        }
        if let Some((k, component)) = self.components.iter().enumerate().find(|(_, c)| c.len() != n) {
            notes.push(format!(
                "factor {k} has {} values for {n} tokens",
                component.len()
            ));
        }
        let unusable = |component: &&Vec<f32>| component.iter().any(|v| !v.is_finite() || *v < 0.0);
        let unusable = self.components.iter().filter(unusable).count();
        if unusable > 0 {
            notes.push(format!(
                "{unusable} factors hold values that are negative or not finite, shown as 0"
            ));
        }
        notes
    }

    /// For each position the factor that is strongest there.
    fn strongest(&self, strengths: &[Vec<f32>]) -> Vec<(usize, f32)> {
        let at = |i: usize| (0..strengths.len()).map(move |k| (k, strengths[k][i]));
        let stronger = |a: (usize, f32), b: (usize, f32)| if b.1 > a.1 { b } else { a };
        (0..self.tokens.len())
            .map(|i| at(i).fold((0, 0.0), stronger))
            .collect()
    }

    fn error_text(&self) -> String {
        let relative = numbers::share(self.relative_error);
        format!("reconstruction error {} ({relative})", numbers::short(self.error))
    }

    fn content(&self) -> Markup {
        let strengths: Vec<Vec<f32>> = (0..self.components.len()).map(|k| self.strengths(k)).collect();
        let strongest = self.strongest(&strengths);
        let extra = |i: usize| {
            let (k, s) = strongest[i];
            let (colour, s) = (colour::factor(k), (s * 1000.0).round() / 1000.0);
            let (hue, ground) = (colour::hex(colour), colour::hex(colour::wash(colour, s)));
            let style = format!("--c:{hue};--s:{s};background-color:{ground};color:#222");
            Extra {
                style: (s > 0.0).then_some(style),
                ..Extra::default()
            }
        };
        html! {
            div class="ecco factors" {
                div class="head" {
                    b { "Neuron factors" } " "
                    span { (self.components.len()) " factors, NMF" } " "
                    span class="error" { (self.error_text()) }
                }
                @for text in self.notes() { (note(&text)) }
                div class="sides" {
                    div class="list" {
                        @for (k, strengths) in strengths.iter().enumerate() { (self.line(k, strengths)) }
                        @if !strengths.is_empty() { (self.axis()) }
                    }
                    div class="flow" { (flow(&self.tokens, 0, self.n_input, extra)) }
                }
                div class="readout" { "Each token has the colour of its strongest factor." }
            }
        }
    }

    fn line(&self, k: usize, strengths: &[f32]) -> Markup {
        let steps = rows::pooled(strengths, STEPS);
        html! {
            div class="line" style={ "--c:" (colour::hex(colour::factor(k))) } {
                b { (k) }
                " "
                span class="spark" {
                    svg viewBox={ "0 0 " (steps.len().max(1)) " 20" } preserveAspectRatio="none" aria-hidden="true" {
                        path d=(spark::area(&steps, 20.0)) {}
                    }
                    code { (spark::blocks(&rows::pooled(strengths, COLUMNS))) }
                }
                " "
                span class="top" {
                    @for (i, times) in self.top(strengths) {
                        (visible::label_html(&self.tokens[i]))
                        @if times > 1 { small { "×" (times) } }
                        " "
                    }
                }
            }
        }
    }

    /// Positions under the sparklines, with a tick where generation began.
    fn axis(&self) -> Markup {
        let n = self.tokens.len();
        let begin = (self.n_input > 0 && self.n_input < n).then(|| self.n_input as f64 / n as f64 * 100.0);
        html! {
            div class="axis" {
                span { "0" } " "
                @if let Some(begin) = begin { span class="begin" style={ "left:" (format!("{begin:.1}")) "%" } { "▸" } " " }
                span { (n.saturating_sub(1)) }
            }
        }
    }

    fn island(&self) -> Value {
        let clipped = |k| rows::packed(&self.strengths(k));
        json!({
            "n_input": self.n_input,
            "tokens": self.tokens.iter().map(|token| &token.text).collect::<Vec<_>>(),
            "ids": self.tokens.iter().map(|token| token.id).collect::<Vec<_>>(),
            "rows": (0..self.components.len()).map(clipped).collect::<Vec<_>>(),
            "peaks": self.components.iter().map(|c| numbers::rounded(rows::peak(c))).collect::<Vec<_>>(),
            "error": numbers::rounded(self.error as f32),
            "relative_error": numbers::rounded(self.relative_error as f32),
        })
    }
}

impl Explorable for Factors {
    /// A sparkline of block characters per factor, with its strongest tokens.
    fn text(&self) -> String {
        let mut text = format!("{} neuron factors · {}", self.components.len(), self.error_text());
        let digits = self.components.len().saturating_sub(1).to_string().len();
        for k in 0..self.components.len() {
            let strengths = self.strengths(k);
            let top = self.top(&strengths).into_iter().map(|(i, times)| {
                let label = visible::cut(&visible::label(&self.tokens[i]), 24);
                if times > 1 {
                    format!("{label} ×{times}")
                } else {
                    label
                }
            });
            let sparkline = spark::blocks(&rows::pooled(&strengths, COLUMNS));
            text.push_str(&format!(
                "\n{k:>digits$} {sparkline}  {}",
                top.collect::<Vec<_>>().join("  ")
            ));
        }
        for note in self.notes() {
            text.push_str(&format!("\n⚠ {note}"));
        }
        text
    }

    fn svg(&self) -> Option<String> {
        factors_picture::sparklines(self)
    }

    fn html(&self) -> Option<String> {
        Some(COMPONENT.render(&self.content(), &self.island()))
    }

    fn json(&self) -> Option<Value> {
        let component = |c: &Vec<f32>| c.iter().map(|v| numbers::rounded(*v)).collect::<Value>();
        Some(json!({
            "tokens": self.tokens,
            "n_input": self.n_input,
            "components": self.components.iter().map(component).collect::<Value>(),
            "error": self.error,
            "relative_error": self.relative_error,
        }))
    }

    fn bundle(&self) -> MimeBundle {
        let n = self.components.len();
        crate::bundle::assemble(self).with_alt_text(&format!(
            "{n} neuron factors over {} tokens, as sparklines, and the tokens coloured by factor",
            self.tokens.len()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors() -> Factors {
        let token = |text: &str| Token {
            text: text.to_owned(),
            id: 5,
            part: None,
        };
        Factors {
            tokens: ["1", ".", " Austria", "\n", "2", ".", "\n"].map(token).to_vec(),
            n_input: 4,
            components: vec![
                vec![0.0, 0.0, 0.5, 2.0, 0.0, 0.0, 1.0],
                vec![4.0, 1.0, 0.0, 0.0, 3.0, 0.0, 0.0],
            ],
            error: 12.3456,
            relative_error: 0.25,
        }
    }

    #[test]
    fn a_console_shows_sparklines_and_top_tokens() {
        let expected = "2 neuron factors · reconstruction error 12.35 (25%)\n\
                        0 ▁▁▃█▁▁▅  \\n ×2  ·Austria\n\
                        1 █▃▁▁▆▁▁  1  2  .";
        assert_eq!(factors().text(), expected);
    }

    #[test]
    fn tokens_have_the_colour_of_their_strongest_factor() {
        let html = factors().html().unwrap();
        assert!(
            html.contains(
                "<span style=\"--c:#de8f05;--s:1;background-color:#ebbc69;color:#222\"><small>0</small>"
            ),
            "{html}"
        );
        assert!(
            html.contains(
                "<span style=\"--c:#0072b2;--s:1;background-color:#66aad1;color:#222\"><small>3</small>"
            ),
            "{html}"
        );
        assert!(
            html.contains("<span class=\"g\"><small>5</small>"),
            "no factor is active there"
        );
    }

    #[test]
    fn sparklines_stay_where_pictures_are_stripped() {
        let html = factors().html().unwrap();
        assert!(
            html.contains("<path d=\"M0 20V20H2V15H3V0H4V20H6V10H7V20z\">"),
            "{html}"
        );
        assert!(html.contains("<code>▁▁▃█▁▁▅</code>"));
        assert!(COMPONENT.js.contains("define(\"ecco-factors\", \"factors-1\""));
    }

    #[test]
    fn bad_input_is_said_not_hidden() {
        let mut view = factors();
        view.components[0].truncate(3);
        view.components[1][0] = f32::NAN;
        view.components[1][1] = -1.0;
        let text = view.text();
        assert!(text.contains("⚠ factor 0 has 3 values for 7 tokens"), "{text}");
        assert!(
            text.contains("⚠ 1 factors hold values that are negative or not finite, shown as 0"),
            "{text}"
        );
        assert!(view.svg().is_some() && view.json().unwrap()["components"][1][0].is_null());
    }

    #[test]
    fn nothing_does_not_panic() {
        let none = Factors {
            components: vec![],
            ..factors()
        };
        assert!(none.html().unwrap().contains("no factors to show") && none.svg().is_none());
        let empty = Factors {
            tokens: vec![],
            error: f64::NAN,
            ..factors()
        };
        assert!(empty.bundle().data.contains_key("text/html"));
        let flat = Factors {
            components: vec![vec![0.0; 7]],
            ..factors()
        };
        assert!(flat.text().contains("▁▁▁▁▁▁▁"));
    }

    #[test]
    fn long_sequences_stay_small() {
        let tokens = vec![
            Token {
                text: " x".into(),
                id: 1,
                part: None
            };
            5000
        ];
        let components = vec![(0..5000).map(|i| (i % 17) as f32).collect(); 10];
        let view = Factors {
            tokens,
            components,
            ..factors()
        };
        assert!(view.svg().unwrap().len() < 40_000);
        assert!(view.html().unwrap().len() < 1_000_000);
    }
}
