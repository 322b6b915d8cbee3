//! One neuron over texts: tokens coloured by its activation, the text where it is most active first. And the neurons
//! that are most active, as a list.

#[cfg(test)]
mod tests;

use maud::{Markup, html};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Explorable;
use crate::kit::Token;
use crate::kit::boxes::{Extra, flow, legend};
use crate::kit::document::Document;
use crate::kit::page::{Component, note};
use crate::kit::{colour, document, names, numbers, rows, visible};

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct NeuronActivity {
    /// Where it is: "mlp_activation".
    pub site: String,
    /// `null` where activations are of no layer.
    pub layer: Option<usize>,
    /// From 0 on.
    pub neuron: usize,
    /// In the order they were given.
    pub texts: Vec<NeuronText>,
}

/// A text, and the neuron's activation at each token.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct NeuronText {
    /// Which of the given texts this is.
    pub index: usize,
    /// The model's name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The text.
    pub tokens: Vec<Token>,
    /// The first so many were given.
    pub n_input: usize,
    /// Activations by token; fewer where the last tokens were not read.
    pub values: Vec<f32>,
}

const COMPONENT: Component = Component {
    tag: "ecco-neuron",
    view: "neuron-2",
    css: include_str!("view.css"),
    js: include_str!("view.js"),
};

/// Tokens named per text in a console.
const N_TOP: usize = 5;

impl NeuronText {
    /// The largest activation.
    fn most(&self) -> f32 {
        let numbers = self.values.iter().copied().filter(|value| value.is_finite());
        numbers.fold(f32::NEG_INFINITY, f32::max)
    }

    fn value(&self, i: usize) -> f32 {
        self.values.get(i).copied().unwrap_or(f32::NAN)
    }

    /// A box on the diverging scale, in units of the largest activation.
    fn extra(&self, i: usize, peak: f32, is_signed: bool) -> Extra {
        let value = self.value(i);
        let s = if value.is_finite() && peak > 0.0 {
            value / peak
        } else {
            0.0
        };
        let s = (s * 1000.0).round() / 1000.0;
        let s = if is_signed { s } else { s.max(0.0) };
        let (ground, ink) = match is_signed {
            true => (colour::diverging(s), colour::text_on_diverging(s)),
            false => (colour::scale(s), colour::text_on_scale(s)),
        };
        let ground = colour::hex(ground);
        Extra {
            style: (s != 0.0).then(|| format!("--s:{s};background-color:{ground};color:{ink}")),
            title: value.is_finite().then(|| numbers::short(value.into())),
            is_unread: i >= self.values.len(),
            ..Extra::default()
        }
    }
}

impl NeuronActivity {
    /// The texts, the one with the largest activation first.
    fn ordered(&self) -> Vec<&NeuronText> {
        let mut texts: Vec<&NeuronText> = self.texts.iter().collect();
        texts.sort_by(|a, b| b.most().total_cmp(&a.most()).then(a.index.cmp(&b.index)));
        texts
    }

    /// Over all texts, so that colours can be compared between them.
    fn peak(&self) -> f32 {
        self.texts
            .iter()
            .map(|text| rows::peak(&text.values))
            .fold(0.0, f32::max)
    }

    fn name(&self) -> String {
        names::neuron(self.layer, self.neuron)
    }

    /// The least and the largest activation.
    fn range(&self) -> Option<(f32, f32)> {
        let all = self.texts.iter().flat_map(|text| &text.values).copied();
        let all = all.filter(|value| value.is_finite());
        all.fold(None, |range, value| {
            let (least, most) = range.unwrap_or((value, value));
            Some((least.min(value), most.max(value)))
        })
    }

    fn range_text(&self) -> String {
        match self.range() {
            Some((least, most)) => format!(
                "{} to {}",
                numbers::short(least.into()),
                numbers::short(most.into())
            ),
            None => "no activations".to_owned(),
        }
    }

    /// Whether negative activations are large enough to be told apart: else half of a scale would go unused.
    fn is_signed(&self) -> bool {
        self.range()
            .is_some_and(|(least, most)| -least >= 0.05 * most && least < 0.0)
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.texts.iter().all(|text| text.tokens.is_empty()) {
            notes.push("no tokens".to_owned());
        }
        let odd = self
            .texts
            .iter()
            .flat_map(|text| &text.values)
            .filter(|value| !value.is_finite());
        match odd.count() {
            0 => {}
            n => notes.push(format!("{n} activations are not finite, shown without colour")),
        }
        notes
    }

    fn content(&self) -> Markup {
        let texts = self.ordered();
        let peak = numbers::short(self.peak().into());
        let many = texts.len() > 1;
        let is_signed = self.is_signed();
        let low = if is_signed {
            format!("−{peak}")
        } else {
            "0".to_owned()
        };
        let high = if is_signed { format!("+{peak}") } else { peak };
        html! {
            div class={ "ecco neuron" @if is_signed { " diverging" } } {
                div class="head" {
                    b { "Neuron" } " "
                    span { (self.name()) ", " (visible::plain(&self.site, false)) } " "
                    (legend(&low, &high))
                }
                @for text in self.notes() { (note(&text)) }
                div class="flow" {
                    @for text in &texts {
                        @if many { div class="sep" { "text " (text.index) ", max " (numbers::short(text.most().into())) } }
                        (flow(&text.tokens, 0, text.n_input, |i| text.extra(i, self.peak(), is_signed)))
                    }
                }
                div class="readout" { "Activations from " (self.range_text()) @if is_signed { ": orange positive, blue negative." } }
            }
        }
    }

    fn data(&self) -> Data<'_> {
        Data {
            activity: self,
            peak: self.peak(),
        }
    }
}

/// One neuron's activations over texts.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Data<'a> {
    #[serde(flatten)]
    activity: &'a NeuronActivity,
    /// The largest size of an activation, over all texts.
    peak: f32,
}

impl Document for Data<'_> {
    const TYPE: &'static str = "neuron";
}

impl Explorable for NeuronActivity {
    /// The tokens where it is most active, text by text.
    fn text(&self) -> String {
        let mut text = format!("{} of {}: {}", self.name(), self.site, self.range_text());
        for of in self.ordered() {
            let top = rows::top(&of.values, N_TOP).into_iter().map(|i| {
                let label = of.tokens.get(i).map_or_else(String::new, visible::label);
                format!(
                    "{} {}",
                    visible::cut(&label, 24),
                    numbers::short(of.value(i).into())
                )
            });
            text.push_str(&format!(
                "\ntext {}  {}",
                of.index,
                top.collect::<Vec<_>>().join("  ")
            ));
        }
        for note in self.notes() {
            text.push_str(&format!("\n⚠ {note}"));
        }
        text
    }

    fn html(&self) -> Option<String> {
        Some(COMPONENT.render(&self.content(), &self.data()))
    }

    fn json(&self) -> Option<Value> {
        document::json(&self.data())
    }

    fn alt_text(&self) -> Option<String> {
        let n: usize = self.texts.iter().map(|text| text.tokens.len()).sum();
        Some(format!(
            "{n} tokens coloured by the activation of {}, from {}",
            self.name(),
            self.range_text()
        ))
    }
}

/// The most active neurons, with the token at which each is most active.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct NeuronList {
    /// The model's name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Where they are: "mlp_activation".
    pub site: String,
    /// How they were ordered: "by their largest activation".
    #[serde(rename = "ordered")]
    pub what: String,
    /// The first by that order.
    pub neurons: Vec<ActiveNeuron>,
    /// The text.
    pub tokens: Vec<Token>,
}

/// A neuron where it is most active.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ActiveNeuron {
    /// `null` where activations are of no layer.
    pub layer: Option<usize>,
    /// From 0 on.
    pub neuron: usize,
    /// Its activation where it is most active.
    pub value: f32,
    /// Of the token where that is.
    pub position: usize,
}

const LIST: Component = Component {
    tag: "ecco-top-neurons",
    view: "top-neurons-1",
    css: include_str!("view.css"),
    js: include_str!("list.js"),
};

impl NeuronList {
    fn title(&self) -> String {
        format!("the {} most active neurons {}", self.neurons.len(), self.what)
    }

    fn label(&self, at: &ActiveNeuron) -> String {
        self.tokens
            .get(at.position)
            .map_or_else(String::new, visible::label)
    }
}

impl Document for NeuronList {
    const TYPE: &'static str = "top_neurons";
}

impl Explorable for NeuronList {
    fn text(&self) -> String {
        let mut text = format!("{}: {}", self.site, self.title());
        for at in &self.neurons {
            text.push_str(&format!(
                "\n{:<9} {:>9}  at {} {}",
                names::neuron(at.layer, at.neuron),
                numbers::short(at.value.into()),
                visible::cut(&self.label(at), 24),
                at.position
            ));
        }
        text
    }

    fn html(&self) -> Option<String> {
        let sizes = self.neurons.iter().map(|at| at.value.abs());
        let peak = sizes.filter(|size| size.is_finite()).fold(0.0, f32::max);
        // What is no number has no bar.
        let width = |value: f32| {
            if peak > 0.0 && value.is_finite() {
                value.abs() / peak * 100.0
            } else {
                0.0
            }
        };
        let content = html! {
            div class="ecco neurons" {
                div class="head" { b { "Neurons" } " " span { (visible::plain(&self.site, false)) ": " (self.title()) } }
                @if self.neurons.is_empty() { (note("no neurons")) }
                table {
                    thead { tr { th scope="col" { "layer" } th scope="col" { "neuron" } th scope="col" { "activation" } th scope="col" { "at" } } }
                    tbody {
                        @for at in &self.neurons {
                            tr {
                                td { @match at.layer { Some(layer) => { (layer) } None => { "–" } } }
                                td { (at.neuron) }
                                td { span class="bar" style={ "width:" (format!("{:.1}", width(at.value))) "%" } {} em { (numbers::short(at.value.into())) } }
                                td {
                                    @if let Some(token) = self.tokens.get(at.position) { (visible::label_html(token)) }
                                    " " small { (at.position) }
                                }
                            }
                        }
                    }
                }
            }
        };
        Some(LIST.render(&content, self))
    }

    fn json(&self) -> Option<Value> {
        document::json(self)
    }
}
