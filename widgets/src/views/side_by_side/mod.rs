//! What a model writes and what it writes under interventions, side by side, with their divergence token by token.

#[cfg(test)]
mod tests;

mod picture;

use std::fmt::Write;
use std::ops::Range;

use maud::{Markup, html};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::Explorable;
use crate::kit;
use crate::kit::boxes::{Extra, flow};
use crate::kit::document::Document;
use crate::kit::page::{Component, note};
use crate::kit::{Candidate, StoredCandidate, Token};
use crate::kit::{document, names, numbers, rows, visible};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SideBySide {
    /// What the model writes.
    pub untouched: Side,
    /// What it writes under the interventions.
    pub intervened: Side,
    /// The first `n_input` tokens of both were given.
    pub n_input: usize,
    /// What is changed, a line each.
    pub interventions: Vec<String>,
    /// About each token of the intervened text that is predicted from those before it.
    pub predictions: Vec<Option<Prediction>>,
}

/// What is written on one side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Side {
    /// "untouched", "intervened".
    pub name: String,
    /// Given and written.
    pub tokens: Vec<Token>,
}

/// What the two models predict in a token's place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Prediction {
    /// KL(untouched ‖ intervened), in nats.
    pub kl: f32,
    /// The most probable token of each, the untouched model's first.
    #[serde(serialize_with = "candidates", deserialize_with = "stored_candidates")]
    #[schemars(with = "[Candidate<'_>; 2]")]
    pub best: [(Token, f32); 2],
    /// How probable each has the token that stands there, in 0..=1.
    pub of_token: [f32; 2],
}

const COMPONENT: Component = Component {
    tag: "ecco-side-by-side",
    view: "side-by-side-3",
    css: include_str!("view.css"),
    js: include_str!("view.js"),
};

/// Divergences below this, in nats, are not written into the boxes.
const LEAST: f32 = 0.01;

impl SideBySide {
    /// By token of the intervened text; NaN where nothing predicts it.
    pub(crate) fn kl(&self) -> Vec<f32> {
        let kl = |at: usize| self.predicted(at).map_or(f32::NAN, |predicted| predicted.kl);
        (0..self.intervened.tokens.len()).map(kl).collect()
    }

    fn predicted(&self, at: usize) -> Option<&Prediction> {
        self.predictions.get(at).and_then(Option::as_ref)
    }

    /// Where the texts part: the first position whose tokens differ, or at which only one goes on.
    pub fn first_difference(&self) -> Option<usize> {
        let [one, other] = [&self.untouched.tokens, &self.intervened.tokens];
        let n = one.len().max(other.len());
        (0..n).find(|&at| one.get(at).map(|token| token.id) != other.get(at).map(|token| token.id))
    }

    /// The mean over the generated tokens, where there are some.
    pub fn mean_kl(&self) -> Option<f32> {
        let generated = self.predictions.iter().skip(self.n_input).flatten();
        let kl: Vec<f32> = generated.map(|predicted| predicted.kl).collect();
        (!kl.is_empty()).then(|| kl.iter().sum::<f32>() / kl.len() as f32)
    }

    /// The token that the readout begins with: where the texts part, or the furthest divergence.
    fn first_shown(&self) -> Option<usize> {
        let parted = self.first_difference().filter(|&at| self.predicted(at).is_some());
        parted.or_else(|| rows::top(&self.kl(), 1).first().copied())
    }

    fn sides(&self) -> [(&'static str, &Side); 2] {
        [("a", &self.untouched), ("b", &self.intervened)]
    }

    /// The tokens of each line, of both sides; a side that ends first has empty ones.
    fn lines(&self) -> Vec<[Range<usize>; 2]> {
        let [one, other] = self.sides().map(|(_, side)| lines(&side.tokens));
        let n = one.len().max(other.len());
        let line = |of: &[Range<usize>], at: usize| of.get(at).cloned().unwrap_or(0..0);
        (0..n).map(|at| [line(&one, at), line(&other, at)]).collect()
    }

    fn extra(&self, side: &str, at: usize, peak: f32) -> Extra {
        let parts = self.first_difference() == Some(at);
        let kl = self
            .predicted(at)
            .map(|predicted| predicted.kl)
            .filter(|_| side == "b");
        let strength = kl.and_then(|kl| rows::strength(kl, peak));
        let mut style = strength.map_or_else(String::new, |s| format!("--k:{:.3};", s));
        if parts {
            style.push_str("outline:2px solid #d98e04;outline-offset:-2px;");
        }
        Extra {
            style: (!style.is_empty()).then_some(style),
            // A line on both sides, so that the same words stand at the same height.
            below: Some(match kl {
                Some(kl) if kl < LEAST => String::new(),
                Some(kl) => numbers::nats(kl.into()),
                None => String::new(),
            }),
            title: parts.then(|| "the texts part here".to_owned()),
            ..Extra::default()
        }
    }

    fn head(&self) -> Markup {
        let peak = rows::peak(&self.kl());
        html! {
            div class="head" {
                b { "Side by side" } " "
                span class="method" { "KL(untouched ‖ intervened) of each prediction, in nats" }
                @if let Some(mean) = self.mean_kl() {
                    " " span class="legend" { "mean " (numbers::nats(mean.into())) ", most " (numbers::nats(peak.into())) }
                }
            }
        }
    }

    fn content(&self) -> Markup {
        let peak = rows::peak(&self.kl());
        html! {
            div class="ecco pair" data-labels=(visible::exceptions(self.best())) {
                (self.head())
                @if self.interventions.is_empty() { (note("nothing is changed")) }
                ul class="changes" {
                    @for line in &self.interventions { li { (visible::plain(line, false)) } }
                }
                div class="sides" {
                    @for (class, side) in self.sides() { b class=(class) { (visible::plain(&side.name, false)) } }
                    @for rows in self.lines() {
                        @for ((class, side), row) in self.sides().into_iter().zip(rows) {
                            div class={ "flow " (class) } {
                                (flow(&side.tokens[row.clone()], row.start, self.n_input, |at| self.extra(class, at, peak)))
                            }
                        }
                    }
                }
                div class="bars" { (picture::bars(self)) }
                div class="readout" { (self.readout()) }
            }
        }
    }

    fn readout(&self) -> Markup {
        let Some((at, predicted)) = self.first_shown().and_then(|at| Some((at, self.predicted(at)?))) else {
            return html! { "no token is predicted" };
        };
        let said = |side: usize| {
            let (token, probability) = &predicted.best[side];
            html! {
                bdi { (visible::label_html(token)) } " " (numbers::share((*probability).into()))
                ", this one " (numbers::share(predicted.of_token[side].into()))
            }
        };
        html! {
            span class="what" {
                (visible::label_html(&self.intervened.tokens[at])) " " small { (at) }
                " KL " (numbers::nats(predicted.kl.into())) " nats"
                @if self.first_difference() == Some(at) { " · the texts part here" }
            }
            span { (visible::plain(&self.untouched.name, false)) ": " (said(0)) } " "
            span { (visible::plain(&self.intervened.name, false)) ": " (said(1)) }
        }
    }

    fn data(&self) -> Data<'_> {
        Data {
            pair: self,
            first_difference: self.first_difference(),
            mean_kl: self.mean_kl(),
        }
    }

    /// The tokens that are predicted.
    fn best(&self) -> impl Iterator<Item = &Token> {
        let predicted = self.predictions.iter().flatten();
        predicted.flat_map(|predicted| predicted.best.iter().map(|(token, _)| token))
    }
}

/// What a model writes and what it writes under interventions, with their divergence token by token.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Data<'a> {
    #[serde(flatten)]
    pair: &'a SideBySide,
    /// The first position whose tokens differ, or at which only one text goes on.
    first_difference: Option<usize>,
    /// Mean divergence over the generated tokens, in nats.
    mean_kl: Option<f32>,
}

impl Document for Data<'_> {
    const TYPE: &'static str = "side_by_side";
}

fn candidates<S: Serializer>(best: &[(Token, f32); 2], serializer: S) -> Result<S::Ok, S::Error> {
    kit::candidates(best, serializer)
}

fn stored_candidates<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[(Token, f32); 2], D::Error> {
    let stored: [StoredCandidate; 2] = Deserialize::deserialize(deserializer)?;
    Ok(stored.map(Into::into))
}

/// The tokens of each line of a text: a line ends with what holds a newline.
fn lines(tokens: &[Token]) -> Vec<Range<usize>> {
    let ends = |(_, token): &(usize, &Token)| token.part.is_none() && token.text.contains('\n');
    let mut lines = Vec::new();
    let mut start = 0;
    for (at, _) in tokens.iter().enumerate().filter(ends) {
        lines.push(start..at + 1);
        start = at + 1;
    }
    if start < tokens.len() {
        lines.push(start..tokens.len());
    }
    lines
}

fn text_of(tokens: &[Token], n_input: usize) -> String {
    let mut text = String::new();
    for (position, token) in tokens.iter().enumerate() {
        if position == n_input {
            text.push('│');
        }
        if token.part.is_none_or(|(part, _)| part <= 1) {
            text.push_str(&visible::plain(&token.text, true));
        }
    }
    text
}

impl Explorable for SideBySide {
    fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.interventions {
            let _ = writeln!(text, "{}", visible::plain(line, false));
        }
        for (_, side) in self.sides() {
            let name = visible::plain(&side.name, false);
            let _ = writeln!(text, "{name}: {}", text_of(&side.tokens, self.n_input));
        }
        let label = |side: &Side, at: usize| {
            let token = side.tokens.get(at).map(visible::label);
            token.unwrap_or_else(|| "(nothing)".to_owned())
        };
        match self.first_difference() {
            Some(at) => {
                let [one, other] = [label(&self.untouched, at), label(&self.intervened, at)];
                let _ = writeln!(text, "the texts part at {at}: {one} and {other}");
            }
            None => text.push_str("the texts are the same\n"),
        }
        let kl = self.kl();
        let top = rows::top(&kl, 5).into_iter();
        let top = top.map(|at| {
            format!(
                "{}{} {}",
                visible::cut(&label(&self.intervened, at), 24),
                names::position(at),
                numbers::nats(kl[at].into())
            )
        });
        let top: Vec<String> = top.collect();
        let most = if top.is_empty() {
            "0 everywhere".to_owned()
        } else {
            format!("most at {}", top.join(", "))
        };
        let mean = self.mean_kl().map_or_else(String::new, |mean| {
            format!("mean of the generated tokens {}, ", numbers::nats(mean.into()))
        });
        let _ = write!(text, "KL(untouched ‖ intervened) in nats: {mean}{most}");
        text
    }

    /// Bars over the tokens.
    fn svg(&self) -> Option<String> {
        picture::picture(self)
    }

    fn html(&self) -> Option<String> {
        Some(COMPONENT.render(&self.content(), &self.data()))
    }

    fn json(&self) -> Option<Value> {
        document::json(&self.data())
    }

    fn alt_text(&self) -> Option<String> {
        let parts = match self.first_difference() {
            Some(at) => format!("they part at token {at}"),
            None => "they are the same".to_owned(),
        };
        Some(format!("Two texts side by side: {parts}"))
    }
}
