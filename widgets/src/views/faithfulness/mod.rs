//! Whether an attribution says what the model uses: what happens to its targets when the sources that it puts highest
//! go first, or come first, against random orders.

#[cfg(test)]
mod tests;

mod picture;

use std::fmt::Write;

use maud::{Markup, html};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Explorable;
use crate::kit::Token;
use crate::kit::document::{self, Document};
use crate::kit::page::{self, Component, note};
use crate::kit::{numbers, visible};
use crate::views::saliency::Target;

/// Whether an attribution says what the model uses: what happens to its targets when the sources that it puts highest go
/// first, or come first, against random orders.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Faithfulness {
    /// The model's name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The text; may be empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<Token>,
    /// The first so many were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_input: Option<usize>,
    /// For people: "gradient × input".
    pub method: String,
    /// What the curves are of: "probability".
    pub of: String,
    /// Fractions of the sources that are gone, or are there, at each point of the curves.
    pub steps: Vec<f32>,
    /// Fractions of the sources that comprehensiveness and sufficiency are the mean over; may be empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fractions: Vec<f64>,
    /// The curves of each target.
    pub targets: Vec<Measurement>,
    /// Numbers over all targets.
    pub figures: Vec<Figure>,
}

/// One target's curves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Measurement {
    /// Whose curves these are.
    pub target: Target,
    /// By step, while sources go, the highest first.
    pub deletion: Vec<f32>,
    /// By step, while they come.
    pub insertion: Vec<f32>,
    /// The same of random orders, deletion and insertion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random: Option<(Vec<f32>, Vec<f32>)>,
}

/// One number, and what random orders reach.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Figure {
    /// "comprehensiveness"
    pub name: String,
    /// In units of what the curves are of.
    pub value: f64,
    /// That of random orders.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random: Option<f64>,
    /// Or less.
    pub more_is_better: bool,
    /// What it measures, in a few words.
    pub about: String,
}

const COMPONENT: Component = Component {
    tag: "ecco-faithfulness",
    view: "faithfulness-3",
    css: include_str!("view.css"),
    js: include_str!("view.js"),
};

/// Targets beyond this many are not offered one by one.
const MOST_CHIPS: usize = 60;

impl Figure {
    /// Better than random orders; `None` where nothing can be said.
    pub fn is_good(&self) -> Option<bool> {
        let random = self
            .random
            .filter(|random| random.is_finite() && self.value.is_finite())?;
        Some(if self.more_is_better {
            self.value > random
        } else {
            self.value < random
        })
    }

    /// From random's value to what was measured, on a track from 0 to the larger of the two; the sign is left out, since where
    /// one is negative (log-odds) both are.
    fn bar(&self) -> Option<String> {
        let (value, random) = (self.value.abs(), self.random?.abs());
        let most = value.max(random);
        let place = |at: f64| at / most * 100.0;
        let (from, to) = (place(value.min(random)), place(most));
        (most > 0.0 && most.is_finite()).then(|| format!("left:{from:.0}%;width:{:.0}%", to - from))
    }

    fn verdict(&self) -> &'static str {
        match self.is_good() {
            Some(true) => "better",
            Some(false) => "no better",
            None => "",
        }
    }
}

/// The curves that a picture shows: while sources go, while they come; the method's, then random orders'.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Curves {
    pub found: [Vec<f32>; 2],
    pub random: Option<[Vec<f32>; 2]>,
}

impl Faithfulness {
    /// Mean over the targets.
    pub(crate) fn mean(&self) -> Curves {
        let mean = |of: &dyn Fn(&Measurement) -> &[f32]| -> Vec<f32> {
            let at = |point: usize| {
                let values = self.targets.iter().filter_map(|target| of(target).get(point));
                let (sum, n) = values.fold((0.0, 0), |(sum, n), value| (sum + value, n + 1));
                sum / n as f32
            };
            (0..self.steps.len()).map(at).collect()
        };
        let has_random =
            self.targets.iter().all(|target| target.random.is_some()) && !self.targets.is_empty();
        Curves {
            found: [
                mean(&|target| &target.deletion),
                mean(&|target| &target.insertion),
            ],
            random: has_random.then(|| {
                let of = |insertion: bool| {
                    mean(&move |target| match &target.random {
                        Some(random) if insertion => &random.1,
                        Some(random) => &random.0,
                        None => &[],
                    })
                };
                [of(false), of(true)]
            }),
        }
    }

    /// Where the curves' axis ends.
    pub(crate) fn highest(&self) -> f32 {
        let curves = self.targets.iter().flat_map(|target| {
            let random = target.random.iter().flat_map(|random| [&random.0, &random.1]);
            [&target.deletion, &target.insertion].into_iter().chain(random)
        });
        let values = curves.flatten().copied().filter(|value| value.is_finite());
        values.fold(f32::MIN_POSITIVE, f32::max)
    }

    fn about(&self) -> String {
        let n = self.targets.len();
        let plural = if n == 1 { "" } else { "s" };
        visible::plain(
            &format!("{} · {} of {n} target{plural}", self.method, self.of),
            false,
        )
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.targets.is_empty() {
            notes.push("nothing was measured: there is no target".to_owned());
        }
        let odd = |target: &&Measurement| {
            let n = self.steps.len();
            target.deletion.len() != n || target.insertion.len() != n
        };
        match self.targets.iter().filter(odd).count() {
            0 => {}
            n => notes.push(format!("{n} curves do not have {} points", self.steps.len())),
        }
        notes
    }

    fn content(&self) -> Markup {
        html! {
            div class="ecco faithfulness" {
                div class="head" { b { "Faithfulness" } " " span { (self.about()) } }
                @for text in self.notes() { (note(&text)) }
                @if self.targets.len() > 1 {
                    div class="targets" {
                        span class="on" { "mean of all" } " "
                        @for measured in self.targets.iter().take(MOST_CHIPS) { span { (measured.target.html()) } " " }
                    }
                }
                @if !self.targets.is_empty() {
                    div class="plots" style=(page::DRAWN) {
                        (picture::plot(self, 0))
                        (picture::plot(self, 1))
                    }
                    p class="key" { i class="found" { "―" } " " (visible::plain(&self.method, false)) " "
                        @if self.mean().random.is_some() { i class="random" { "┄" } " random order" } }
                }
                @if !self.figures.is_empty() { (self.table()) }
            }
        }
    }

    fn table(&self) -> Markup {
        html! {
            table {
                tr { th { "measure" } th { "measured" } th { "random" } td {} td {} }
                @for figure in &self.figures {
                    tr {
                        th scope="row" { (if figure.more_is_better { "↑ " } else { "↓ " }) (visible::plain(&figure.name, false)) " " small { (visible::plain(&figure.about, false)) } }
                        td { (numbers::short(figure.value)) }
                        td { (figure.random.map_or_else(|| "–".to_owned(), numbers::short)) }
                        td { @if let Some(style) = figure.bar() { span class="track" { i style=(style) {} } } }
                        td class=(match figure.is_good() { Some(true) => "good", Some(false) => "bad", None => "" }) {
                            @match figure.is_good() { Some(true) => "✓ ", Some(false) => "⚠ ", None => "" }
                            span { (figure.verdict()) }
                        }
                    }
                }
            }
        }
    }
}

impl Document for Faithfulness {
    const TYPE: &'static str = "faithfulness";
}

impl Explorable for Faithfulness {
    /// The figures against random orders.
    fn text(&self) -> String {
        let mut text = format!("faithfulness · {}", self.about());
        for figure in &self.figures {
            let _ = write!(text, "\n{}: {}", figure.name, numbers::short(figure.value));
            if let Some(random) = figure.random {
                let _ = write!(text, ", random {}: {}", numbers::short(random), figure.verdict());
            }
        }
        for note in self.notes() {
            let _ = write!(text, "\n⚠ {note}");
        }
        text
    }

    fn svg(&self) -> Option<String> {
        (!self.targets.is_empty()).then(|| picture::picture(self, &self.about()))
    }

    fn html(&self) -> Option<String> {
        Some(COMPONENT.render(&self.content(), self))
    }

    fn json(&self) -> Option<Value> {
        document::json(self)
    }

    fn alt_text(&self) -> Option<String> {
        Some(format!(
            "Deletion and insertion curves against random orders: {}",
            self.about()
        ))
    }
}
