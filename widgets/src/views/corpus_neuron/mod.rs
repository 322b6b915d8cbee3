//! One neuron over many texts: where it is strongest, with what stands around; texts from weak to strong; how its values are
//! spread; which tokens it promotes and suppresses.

#[cfg(test)]
mod tests;

use maud::{Markup, html};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Explorable;
use crate::kit::Token;
use crate::kit::boxes::{Extra, flow};
use crate::kit::document::Document;
use crate::kit::histogram::Histogram;
use crate::kit::page::{Component, note};
use crate::kit::{colour, document, names, numbers, visible};
use crate::views::vocabulary::VocabularyToken;

/// One neuron over many texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CorpusNeuron {
    /// The model's name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Where it is: "mlp_inner".
    pub site: String,
    /// `null` where values are of no layer.
    pub layer: Option<usize>,
    /// From 0 on.
    pub neuron: usize,
    /// What it is: "neuron", "head", "direction", "feature".
    #[serde(default = "neuron", skip_serializing_if = "is_neuron")]
    pub unit: String,
    /// How many tokens were read.
    pub n_tokens: usize,
    /// Of how many texts.
    pub n_texts: usize,
    /// Over all tokens.
    pub mean: f64,
    /// Over all tokens, from the mean.
    pub deviation: f64,
    /// Share of tokens where the value is above 0.
    pub active: f64,
    /// How many tokens have which values.
    pub histogram: Histogram,
    /// Values below which a share of the tokens is, of tokens that were drawn; may be empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quantiles: Vec<Quantile>,
    /// The tokens that the neuron raises most, where it writes to the stream; may be empty.
    pub promotes: Vec<VocabularyToken>,
    /// The tokens that it lowers most.
    pub suppresses: Vec<VocabularyToken>,
    /// Others that are most like it, by each measure that there is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nearest: Vec<Neighbours>,
    /// Groups of texts, the strongest first.
    pub groups: Vec<CorpusGroup>,
}

fn neuron() -> String {
    "neuron".to_owned()
}

fn is_neuron(unit: &str) -> bool {
    unit == "neuron"
}

/// A value, and the share of tokens whose values are below it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Quantile {
    /// From 0 to 1.
    pub share: f64,
    /// What they are below.
    pub value: f64,
}

/// Others that are alike in something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Neighbours {
    /// In what: "weights", "activations".
    pub by: String,
    /// The most alike first.
    pub units: Vec<Neighbour>,
}

/// Another neuron (head, direction, feature).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Neighbour {
    /// `null` where values are of no layer.
    pub layer: Option<usize>,
    /// From 0 on.
    pub neuron: usize,
    /// By weights the cosine of what both write, by activations the correlation of their values.
    pub likeness: f64,
}

/// Texts that have something in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CorpusGroup {
    /// "strongest", "at 75 % of the texts".
    pub name: String,
    /// What stands around the strongest token of each.
    pub texts: Vec<CorpusText>,
}

/// Part of a text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CorpusText {
    /// Which of the texts, from 0.
    pub text: usize,
    /// The value at the strongest token.
    pub value: f32,
    /// Which of the tokens that is.
    pub peak: usize,
    /// What stands around it.
    pub tokens: Vec<Token>,
    /// The value at each token; empty where only the strongest is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<f32>,
}

const COMPONENT: Component = Component {
    tag: "ecco-corpus-neuron",
    view: "corpus-neuron-1",
    css: concat!(include_str!("../../kit/histogram.css"), include_str!("view.css")),
    js: include_str!("view.js"),
};

impl CorpusText {
    fn value_at(&self, i: usize) -> f32 {
        match self.values.get(i) {
            Some(value) => *value,
            None if i == self.peak => self.value,
            None => f32::NAN,
        }
    }
}

impl CorpusNeuron {
    fn name(&self) -> String {
        self.name_of(self.layer, self.neuron)
    }

    fn name_of(&self, layer: Option<usize>, neuron: usize) -> String {
        match (self.unit.as_str(), layer) {
            ("head", Some(layer)) => names::head(layer, neuron),
            (unit, layer) if !is_neuron(unit) => {
                let layer = layer.map_or(String::new(), |layer| format!("L{layer} "));
                format!("{layer}{} {neuron}", visible::plain(unit, false))
            }
            (_, layer) => names::neuron(layer, neuron),
        }
    }

    /// "Feature".
    fn title(&self) -> String {
        let unit = visible::plain(&self.unit, false).to_string();
        let mut letters = unit.chars();
        let first = letters.next().map(char::to_uppercase);
        first.into_iter().flatten().chain(letters).collect()
    }

    fn about(&self) -> String {
        format!(
            "{}, {} · {} tokens of {} texts",
            self.name(),
            visible::plain(&self.site, false),
            numbers::count(self.n_tokens as u64),
            numbers::count(self.n_texts as u64)
        )
    }

    fn figures(&self) -> String {
        let share = match self.active.is_finite() {
            true => format!("{:.1} %", self.active * 100.0),
            false => "–".to_owned(),
        };
        format!(
            "mean {}, deviation {}, above 0 at {share} of the tokens",
            numbers::short(self.mean),
            numbers::short(self.deviation),
        )
    }

    /// `1 % −0.2`
    fn quantiles(&self) -> Vec<(String, String)> {
        let named = |of: &Quantile| {
            let share = numbers::short((of.share * 1000.0).round() / 10.0);
            (format!("{share} %"), numbers::short(of.value))
        };
        self.quantiles.iter().map(named).collect()
    }

    fn neighbours(&self, of: &Neighbours) -> Vec<(String, String)> {
        let named = |unit: &Neighbour| {
            let likeness = format!("{:.2}", unit.likeness).replace('-', "−");
            (self.name_of(unit.layer, unit.neuron), likeness)
        };
        of.units.iter().map(named).collect()
    }

    /// The largest size of a value that is shown, for the colours.
    fn peak(&self) -> f32 {
        let texts = self.groups.iter().flat_map(|group| &group.texts);
        let values = texts.flat_map(|text| text.values.iter().chain([&text.value]));
        let sizes = values.map(|value| value.abs()).filter(|size| size.is_finite());
        sizes.fold(0.0, f32::max)
    }

    fn extra(&self, text: &CorpusText, i: usize, peak: f32) -> Extra {
        let value = text.value_at(i);
        let s = if value.is_finite() && peak > 0.0 {
            value / peak
        } else {
            0.0
        };
        let s = (s * 1000.0).round() / 1000.0;
        let (ground, ink) = (colour::hex(colour::diverging(s)), colour::text_on_diverging(s));
        Extra {
            style: (s != 0.0).then(|| format!("--s:{s};background-color:{ground};color:{ink}")),
            title: value.is_finite().then(|| numbers::short(value.into())),
            place: i == text.peak,
            ..Extra::default()
        }
    }

    fn words(&self) -> Markup {
        let row = |name: &str, tokens: &[VocabularyToken]| {
            html! {
                @if !tokens.is_empty() {
                    div class="words" { span { (name) } " "
                        @for token in tokens { bdi title=(numbers::short(token.value.into())) { (visible::label_html(&token.token)) } " " } }
                }
            }
        };
        html! {
            (row("promotes", &self.promotes)) (row("suppresses", &self.suppresses))
            @for of in &self.nearest {
                div class="words" { span { "nearest by " (visible::plain(&of.by, false)) } " "
                    @for (name, likeness) in self.neighbours(of) { bdi { (name) " " small { (likeness) } } " " } }
            }
        }
    }

    fn content(&self) -> Markup {
        let peak = self.peak();
        html! {
            div class="ecco corpus-neuron diverging" {
                div class="head" { b { (self.title()) } " " span { (self.about()) } }
                div class="top" {
                    div {
                        (self.histogram.html("tokens"))
                        @if !self.quantiles.is_empty() {
                            dl class="quantiles" title="values below which these shares of drawn tokens are" {
                                @for (share, value) in self.quantiles() { div { dt { (share) } dd { (value) } } }
                            }
                        }
                    }
                    div { p class="figures" { (self.figures()) } (self.words()) }
                }
                @if self.groups.iter().all(|group| group.texts.is_empty()) { (note("it has no strongest place")) }
                @for group in self.groups.iter().filter(|group| !group.texts.is_empty()) {
                    div class="group" { (visible::plain(&group.name, false)) }
                    @for text in &group.texts {
                        div class="text" {
                            div class="value" { (numbers::short(text.value.into())) " " small { "text " (text.text) } }
                            div class="flow" { (flow(&text.tokens, 0, usize::MAX, |i| self.extra(text, i, peak))) }
                        }
                    }
                }
            }
        }
    }
}

impl Document for CorpusNeuron {
    const TYPE: &'static str = "corpus_neuron";
}

impl Explorable for CorpusNeuron {
    fn text(&self) -> String {
        let mut text = format!("{}\n{}", self.about(), self.figures());
        text.push_str(&format!("\n{}", self.histogram.text()));
        let line = |name: &str, of: Vec<(String, String)>| {
            let each: Vec<String> = of
                .into_iter()
                .map(|(name, value)| format!("{name} {value}"))
                .collect();
            format!("\n{name} {}", each.join(" · "))
        };
        if !self.quantiles.is_empty() {
            text.push_str(&line("quantiles", self.quantiles()));
        }
        for (name, tokens) in [("promotes", &self.promotes), ("suppresses", &self.suppresses)] {
            if !tokens.is_empty() {
                let words = tokens.iter().map(|token| visible::label(&token.token));
                text.push_str(&format!("\n{name} {}", words.collect::<Vec<_>>().join(" ")));
            }
        }
        for of in &self.nearest {
            let name = format!("nearest by {}", visible::plain(&of.by, false));
            text.push_str(&line(&name, self.neighbours(of)));
        }
        for group in &self.groups {
            for of in &group.texts {
                let word = |(i, token): (usize, &Token)| match i == of.peak {
                    true => format!("[{}]", visible::label(token)),
                    false => visible::label(token),
                };
                let words: Vec<String> = of.tokens.iter().enumerate().map(word).collect();
                let name = visible::plain(&group.name, false);
                let value = numbers::short(of.value.into());
                text.push_str(&format!("\n{name} {value:>9}  {}", words.join("")));
            }
        }
        text
    }

    fn html(&self) -> Option<String> {
        Some(COMPONENT.render(&self.content(), self))
    }

    fn json(&self) -> Option<Value> {
        document::json(self)
    }

    fn alt_text(&self) -> Option<String> {
        Some(format!(
            "Where {} is strongest, and how its values are spread",
            self.name()
        ))
    }
}
