//! Neuron factors: one sparkline per factor, tokens coloured by the factor in focus.
//!
//! Factors that are not negative have a hue each, and at rest a token has that of its strongest. Signed components are
//! shown one at a time on a diverging scale.

#[cfg(test)]
mod tests;

mod curve;

mod picture;

use maud::{Markup, html};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Explorable;
use crate::kit::Token;
use crate::kit::boxes::{Extra, flow};
use crate::kit::document::Document;
use crate::kit::page::{Component, note};
use crate::kit::{colour, document, names, numbers, rows, spark, visible};

pub use curve::Holdout;

/// Activations as a few factors over tokens.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Factors {
    /// The model's name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// "NMF", "PCA".
    pub method: String,
    /// What was factored: "mlp_activation". May be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub site: String,
    /// The layers whose neurons stand one after the other in a factor: each with its number of neurons. May be empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<FactorLayer>,
    /// Of all texts, one after the other.
    pub tokens: Vec<Token>,
    /// Where each text begins among the tokens; the first at 0.
    pub texts: Vec<FactorText>,
    /// By factor and token, at the token that was read; `null` where one was not.
    pub components: Vec<Vec<f32>>,
    /// Whether components may be negative.
    pub signed: bool,
    /// By factor, the neurons that weigh most in it; may be empty.
    pub neurons: Vec<Vec<FactorNeuron>>,
    /// By factor and neuron, all weights. Missing where there are very many: a file of numbers has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<Vec<f32>>,
    /// By factor and neuron, what gives a factor's values from activations (ICA). Missing as the weights are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmixing: Vec<Vec<f32>>,
    /// By neuron, the mean that was taken away before (PCA, ICA). Missing as the weights are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mean: Vec<f32>,
    /// By factor, its share of the variance; may be empty.
    #[serde(rename = "explained_variance_ratio")]
    pub shares: Vec<f64>,
    /// What was tried to choose the number of factors; may be empty.
    pub held_out: Vec<Holdout>,
    /// Frobenius norm of the residual, as scikit-learn's `reconstruction_err_`.
    pub error: f64,
    /// The same relative to the norm of the matrix.
    pub relative_error: f64,
}

/// One of the texts, among the tokens of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FactorText {
    /// The index of its first token.
    pub start: usize,
    /// How many of its tokens were given.
    pub n_input: usize,
    /// How many of its tokens were read; the last one that was generated may not be.
    pub n_read: usize,
}

/// One layer's part of the neurons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FactorLayer {
    /// `null` where activations are of no layer.
    pub layer: Option<usize>,
    /// How many neurons it has.
    pub neurons: usize,
}

/// A neuron in a factor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FactorNeuron {
    /// `null` where activations are of no layer.
    pub layer: Option<usize>,
    /// From 0 on.
    pub neuron: usize,
    /// In the factor.
    pub weight: f32,
}

const COMPONENT: Component = Component {
    tag: "ecco-factors",
    view: "factors-6",
    css: include_str!("view.css"),
    js: include_str!("view.js"),
};

/// Tokens named beside each factor.
const N_TOP: usize = 5;
/// Longer texts have no numbers in their boxes.
const MOST_NUMBERED: usize = 2000;
/// Sparklines are pooled to this many steps on a page, and in a console.
const STEPS: usize = 400;
const COLUMNS: usize = 48;

impl Factors {
    /// Factor `k` over the positions of the tokens, in units of its own largest absolute value; what is no number, or
    /// negative where nothing should be, counts as 0.
    pub(crate) fn strengths(&self, k: usize) -> Vec<f32> {
        let (component, peak) = (&self.components[k], self.peak(k));
        let strength = |v: &f32| match self.is_usable(*v) && peak > 0.0 {
            true => v / peak,
            false => 0.0,
        };
        (0..self.tokens.len())
            .map(|i| component.get(i).map_or(0.0, strength))
            .collect()
    }

    fn is_usable(&self, value: f32) -> bool {
        value.is_finite() && (self.signed || value > 0.0)
    }

    /// A factor's largest absolute value.
    fn peak(&self, k: usize) -> f32 {
        let values = self.components[k].iter().filter(|v| self.is_usable(**v));
        values.fold(0.0, |peak, v| v.abs().max(peak))
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
                _ if strengths[i].abs() < 0.2 => break,
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
        let unusable = |v: &f32| !v.is_finite() || (!self.signed && *v < 0.0);
        let is_unusable = |component: &&Vec<f32>| {
            let mut values = component.iter().enumerate();
            values.any(|(i, value)| self.is_read(i) && unusable(value))
        };
        let unusable = self.components.iter().filter(is_unusable).count();
        if unusable > 0 {
            let negative = if self.signed { "" } else { "negative or " };
            notes.push(format!(
                "{unusable} factors hold values that are {negative}not finite, shown as 0"
            ));
        }
        notes
    }

    /// Whether the model has read a token.
    fn is_read(&self, i: usize) -> bool {
        let text = self.texts.iter().rfind(|text| text.start <= i);
        text.is_none_or(|text| i - text.start < text.n_read)
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

    /// `10 factors, NMF`, `5 components, PCA`
    fn count_text(&self) -> String {
        let (n, what) = (self.components.len(), self.what());
        let plural = if n == 1 { "" } else { "s" };
        format!("{n} {what}{plural}, {}", visible::plain(&self.method, false))
    }

    fn what(&self) -> &'static str {
        if self.signed { "component" } else { "factor" }
    }

    /// The tokens of each text: where they begin and end, and how many were given.
    fn parts(&self) -> Vec<(usize, usize, usize)> {
        let n = self.tokens.len();
        let end = |at: usize| self.texts.get(at + 1).map_or(n, |next| next.start.min(n));
        let texts = self.texts.iter().enumerate();
        texts
            .map(|(at, text)| (text.start.min(end(at)), end(at), text.n_input))
            .collect()
    }

    fn content(&self) -> Markup {
        let strengths: Vec<Vec<f32>> = (0..self.components.len()).map(|k| self.strengths(k)).collect();
        let class = if self.signed {
            "ecco factors diverging"
        } else {
            "ecco factors"
        };
        html! {
            div class=(class) {
                div class="head" {
                    b { "Neuron factors" } " "
                    span { (self.count_text()) } " "
                    span class="error" { (self.error_text()) }
                    @if self.parts().iter().any(|(start, end, n_input)| start + n_input < *end) {
                        " " span class="when" { "at what was read" }
                    }
                }
                @for text in self.notes() { (note(&text)) }
                div class="sides" {
                    div class="list" {
                        @for (k, strengths) in strengths.iter().enumerate() { (self.line(k, strengths)) }
                        @if !strengths.is_empty() { (self.axis()) }
                        (curve::figure(&self.held_out, self.components.len()))
                    }
                    (self.flows(&strengths))
                }
                div class="readout" { (self.hint()) }
            }
        }
    }

    fn hint(&self) -> &'static str {
        if self.signed {
            "Each token has the colour of component 0: orange where it is positive, blue where it is negative."
        } else {
            "Each token has the colour and number of the factor that is strongest there, in units of its own largest value."
        }
    }

    /// Text after text, each counted from 0.
    fn flows(&self, strengths: &[Vec<f32>]) -> Markup {
        let strongest = self.strongest(strengths);
        let extra = |i: usize| {
            let style = match (self.signed, strengths.first()) {
                (true, Some(first)) => signed_style(first[i]),
                _ => hue_style(strongest[i]),
            };
            // A number is told apart where ten hues are not.
            let number = match strongest[i] {
                (k, s) if s > 0.0 => k.to_string(),
                _ => String::new(),
            };
            Extra {
                style,
                below: (!self.signed && self.tokens.len() <= MOST_NUMBERED).then_some(number),
                is_unread: !self.is_read(i),
                ..Extra::default()
            }
        };
        let parts = self.parts();
        html! {
            div class="flow" {
                @for (text, &(start, end, n_input)) in parts.iter().enumerate() {
                    @if parts.len() > 1 { div class="sep" { "text " (text) } }
                    (flow(&self.tokens[start..end], 0, n_input, |i| extra(start + i)))
                }
            }
        }
    }

    fn line(&self, k: usize, strengths: &[f32]) -> Markup {
        let (steps, columns) = match self.signed {
            true => (
                rows::pooled_signed(strengths, STEPS),
                rows::pooled_signed(strengths, COLUMNS),
            ),
            false => (rows::pooled(strengths, STEPS), rows::pooled(strengths, COLUMNS)),
        };
        let (area, blocks) = match self.signed {
            true => (spark::signed_area(&steps, 20.0), spark::signed_blocks(&columns)),
            false => (spark::area(&steps, 20.0), spark::blocks(&columns)),
        };
        html! {
            div class="line" style={ "--c:" (colour::hex(colour::factor(k))) } {
                b { (k) }
                " "
                span class="spark" {
                    svg viewBox={ "0 0 " (steps.len().max(1)) " 20" } preserveAspectRatio="none" aria-hidden="true" {
                        path d=(area) {}
                    }
                    code { (blocks) }
                }
                " "
                span class="top" {
                    @for (i, times) in self.top(strengths) {
                        (visible::label_html(&self.tokens[i]))
                        @if times > 1 { small { "×" (times) } }
                        " "
                    }
                }
                (self.composed(k))
            }
        }
    }

    /// What a factor consists of: its neurons, and how much of the variance it is.
    fn composed(&self, k: usize) -> Markup {
        let neurons = self.neurons.get(k).map_or(&[][..], Vec::as_slice);
        let share = self.shares.get(k).map(|&share| numbers::share(share));
        let peak = self.peak(k);
        html! {
            @if peak > 0.0 || share.is_some() || !neurons.is_empty() {
                " "
                span class="who" {
                    @if peak > 0.0 { span title="its largest value, the top of its line" { "max " (numbers::short(peak.into())) } " " }
                    @if let Some(share) = share { em { (share) " of the variance" } " " }
                    @for neuron in neurons {
                        span title={ "weight " (numbers::short(neuron.weight.into())) } { (names::neuron(neuron.layer, neuron.neuron)) }
                        " "
                    }
                }
            }
        }
    }

    /// Positions under the sparklines, with a tick where generation or another text began.
    fn axis(&self) -> Markup {
        let n = self.tokens.len();
        let parts = self.parts();
        let place = |i: usize| format!("left:{:.1}%", i as f64 / n as f64 * 100.0);
        let begin = match parts.as_slice() {
            [(_, _, n_input)] if *n_input > 0 && *n_input < n => Some(*n_input),
            _ => None,
        };
        html! {
            div class="axis" {
                span { "0" } " "
                @if let Some(begin) = begin { span class="begin" style=(place(begin)) { "▸" } " " }
                @for &(start, ..) in parts.iter().skip(1) { span class="cut" style=(place(start)) {} }
                // Where ▸ stands near the end, the number would be under it.
                @if begin.is_none_or(|begin| begin * 100 < n * 85) { span { (n.saturating_sub(1)) } }
            }
        }
    }
}

/// A box in the hue of its strongest factor.
fn hue_style((k, s): (usize, f32)) -> Option<String> {
    let (colour, s) = (colour::factor(k), (s * 1000.0).round() / 1000.0);
    let (hue, ground) = (colour::hex(colour), colour::hex(colour::wash(colour, s)));
    (s > 0.0).then(|| format!("--c:{hue};--s:{s};background-color:{ground};color:#222"))
}

/// A box on the diverging scale.
fn signed_style(s: f32) -> Option<String> {
    let s = (s * 1000.0).round() / 1000.0;
    let (ground, ink) = (colour::hex(colour::diverging(s)), colour::text_on_diverging(s));
    (s != 0.0).then(|| format!("--s:{s};background-color:{ground};color:{ink}"))
}

impl Document for Factors {
    const TYPE: &'static str = "factors";
}

impl Explorable for Factors {
    /// A sparkline of block characters per factor, with its strongest tokens.
    fn text(&self) -> String {
        let mut text = format!("{} · {}", self.count_text(), self.error_text());
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
            let sparkline = match self.signed {
                true => spark::signed_blocks(&rows::pooled_signed(&strengths, COLUMNS)),
                false => spark::blocks(&rows::pooled(&strengths, COLUMNS)),
            };
            text.push_str(&format!(
                "\n{k:>digits$} {sparkline}  {}",
                top.collect::<Vec<_>>().join("  ")
            ));
        }
        if let Some(line) = curve::line(&self.held_out, self.components.len()) {
            text.push_str(&format!("\n{line}"));
        }
        for note in self.notes() {
            text.push_str(&format!("\n⚠ {note}"));
        }
        text
    }

    fn svg(&self) -> Option<String> {
        picture::sparklines(self)
    }

    fn html(&self) -> Option<String> {
        Some(COMPONENT.render(&self.content(), self))
    }

    fn json(&self) -> Option<Value> {
        document::json(self)
    }

    fn alt_text(&self) -> Option<String> {
        let n = self.components.len();
        Some(format!(
            "{n} neuron factors ({}) over {} tokens, as sparklines, and the tokens coloured by factor",
            self.method,
            self.tokens.len()
        ))
    }
}
