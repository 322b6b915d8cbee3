//! Several attribution methods on the same targets: their heat, one strip for each, and how far they agree.

#[cfg(test)]
mod tests;

mod picture;

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use maud::{Markup, html};
use schemars::JsonSchema;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::Explorable;
use crate::kit::Token;
use crate::kit::document::Document;
use crate::kit::page::{Component, note};
use crate::kit::{colour, document, names, numbers, rows, visible};
use crate::views::saliency::{Scale, Target};

/// Several attribution methods on the same targets, and how far they agree.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// The model's name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The text.
    pub tokens: Vec<Token>,
    /// The first so many were given.
    pub n_input: usize,
    /// What is explained: "probability".
    pub of: String,
    /// What the rows of all methods belong to.
    pub targets: Vec<Target>,
    /// The referee first, the others as far as they agree with it.
    pub methods: Vec<MethodRow>,
    /// How many of the highest sources `top_k` looks at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub k: Option<usize>,
    /// The figures of faithfulness of sources in random order, the same for all methods; may be empty.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub random: BTreeMap<String, f64>,
    /// Each method's agreement with each: "spearman", "kendall", "top_k", "same_first", by method and method. May be empty.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub agreement: BTreeMap<String, Vec<Vec<f64>>>,
}

/// One method.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct MethodRow {
    /// For people: "gradient × input".
    pub method: String,
    /// The one that the others are measured by.
    pub is_referee: bool,
    /// What its scores are.
    pub scale: Scale,
    /// A row for each target, a value for each token from the first on.
    pub scores: Vec<Vec<f32>>,
    /// Named numbers, the same ones for each method, already written out: `rank correlation` `0.81`.
    #[serde(serialize_with = "by_name", deserialize_with = "named")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub figures: Vec<(String, String)>,
    /// Its figures of faithfulness, by name; may be empty.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub faithfulness: BTreeMap<String, f64>,
    /// How long it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

fn by_name<S: Serializer>(figures: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(figures.iter().map(|(name, figure)| (name, figure)))
}

/// The same of a document, in its order.
fn named<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, String)>, D::Error> {
    struct Named;
    impl<'de> Visitor<'de> for Named {
        type Value = Vec<(String, String)>;

        fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
            formatter.write_str("figures by name")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            std::iter::from_fn(|| map.next_entry().transpose()).collect()
        }
    }
    deserializer.deserialize_map(Named)
}

const COMPONENT: Component = Component {
    tag: "ecco-comparison",
    view: "comparison-4",
    css: include_str!("view.css"),
    js: include_str!("view.js"),
};

/// Targets beyond this many are not offered one by one.
const MOST_CHIPS: usize = 60;
/// Cells of a strip; more tokens than this are pooled.
pub(crate) const MOST_CELLS: usize = 240;
/// Strips with no more cells have the tokens above them.
pub(crate) const MOST_LABELS: usize = 60;
/// Sources named beneath a strip.
const N_TOP: usize = 3;

impl MethodRow {
    /// The values of target `k`.
    pub(crate) fn row(&self, k: usize) -> &[f32] {
        self.scores.get(k).map_or(&[], Vec::as_slice)
    }

    fn number(&self, value: f32) -> String {
        match self.scale {
            Scale::Shares => numbers::share(value.into()),
            Scale::Signed => numbers::signed(value.into()),
        }
    }

    /// Strengths in -1..=1 of target `k`, pooled into `n` cells of `n_tokens`; cells behind the row's end have none.
    pub(crate) fn cells(&self, k: usize, n: usize, n_tokens: usize) -> Vec<f32> {
        let row = &self.row(k)[..self.row(k).len().min(n_tokens)];
        let peak = rows::peak(row);
        let mut cells = vec![0.0f32; n];
        for (i, value) in row.iter().enumerate() {
            let cell = &mut cells[i * n / n_tokens];
            let strength = rows::strength(*value, peak).unwrap_or(0.0);
            if strength > cell.abs() {
                *cell = match self.scale {
                    Scale::Shares => strength,
                    Scale::Signed => strength.copysign(*value),
                };
            }
        }
        cells
    }

    pub(crate) fn colour(&self, strength: f32) -> [u8; 3] {
        match self.scale {
            Scale::Shares => colour::scale(strength),
            Scale::Signed => colour::diverging(strength),
        }
    }
}

impl Comparison {
    pub(crate) fn n_cells(&self) -> usize {
        let reach = self
            .methods
            .iter()
            .flat_map(|method| method.scores.iter().map(Vec::len))
            .max();
        reach.unwrap_or(0).min(self.tokens.len()).min(MOST_CELLS)
    }

    /// Cells of so many tokens.
    fn cells_before(&self, n_tokens: usize) -> usize {
        let (n, all) = (self.n_cells(), self.n_sources());
        if all == 0 {
            0
        } else {
            (n_tokens.min(all) * n).div_ceil(all)
        }
    }

    /// Tokens that any target draws on.
    pub(crate) fn n_sources(&self) -> usize {
        let reach = self
            .methods
            .iter()
            .flat_map(|method| method.scores.iter().map(Vec::len))
            .max();
        reach.unwrap_or(0).min(self.tokens.len())
    }

    fn about(&self) -> String {
        let (m, n) = (self.methods.len(), self.targets.len());
        let plural = if n == 1 { "" } else { "s" };
        visible::plain(&format!("{m} methods · {} of {n} target{plural}", self.of), false)
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.methods.is_empty() || self.targets.is_empty() {
            notes.push("nothing is compared: there is no method or no target".to_owned());
        }
        for method in &self.methods {
            if method.scores.len() != self.targets.len() {
                let (n, expected) = (method.scores.len(), self.targets.len());
                notes.push(format!(
                    "{}: {n} rows of scores for {expected} targets",
                    method.method
                ));
            }
            let odd = method
                .scores
                .iter()
                .filter(|row| row.iter().any(|v| !v.is_finite()))
                .count();
            if odd > 0 {
                notes.push(format!(
                    "{}: {odd} rows hold values that are not finite",
                    method.method
                ));
            }
        }
        notes
    }

    /// The sources that a method puts highest for target `k`: `11 ·Bulgaria 31%`.
    fn top(&self, method: &MethodRow, k: usize) -> String {
        let row = &method.row(k)[..method.row(k).len().min(self.tokens.len())];
        let source = |i: usize| {
            let label = visible::cut(&visible::label(&self.tokens[i]), 24);
            format!("{label}{} {}", names::position(i), method.number(row[i]))
        };
        rows::top(row, N_TOP)
            .into_iter()
            .map(source)
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn content(&self) -> Markup {
        html! {
            div class="ecco comparison" data-labels=(visible::exceptions(self.tokens.iter())) {
                div class="head" { b { "Methods compared" } " " span { (self.about()) } }
                @for text in self.notes() { (note(&visible::plain(&text, false))) }
                @if !self.methods.is_empty() {
                    p class="of" { "The mean of " (self.targets.len()) " target" @if self.targets.len() != 1 { "s" } }
                    (self.table())
                }
                @if !self.methods.is_empty() && !self.targets.is_empty() {
                    div class="targets" {
                        @for (k, target) in self.targets.iter().take(MOST_CHIPS).enumerate() {
                            span class=[(k == 0).then_some("on")] { (target.html()) } " "
                        }
                    }
                    p class="of" { "The strips of " b class="shown" { (self.targets[0].line()) } }
                    (self.strips(0))
                    div class="readout" { (self.readout()) }
                }
            }
        }
    }

    fn table(&self) -> Markup {
        let names: Vec<&str> = match self.methods.first() {
            Some(method) => method.figures.iter().map(|(name, _)| name.as_str()).collect(),
            None => vec![],
        };
        html! {
            div class="wide" {
                table {
                    tr { th { "method" } @for name in &names { th { (visible::plain(name, false)) } } }
                    @for method in &self.methods {
                        tr {
                            th scope="row" {
                                (visible::plain(&method.method, false))
                                @if method.is_referee { " " small { "referee" } }
                            }
                            @for (_, figure) in &method.figures { td { (visible::plain(figure, false)) } }
                        }
                    }
                    @if !self.random.is_empty() {
                        tfoot {
                            tr {
                                th scope="row" { "random order" }
                                @for name in &names { td { (self.random_figure(name).unwrap_or_default()) } }
                            }
                        }
                    }
                }
            }
        }
    }

    /// What a random order has for one of the table's figures.
    fn random_figure(&self, name: &str) -> Option<String> {
        self.random.get(name).map(|value| numbers::short(*value))
    }

    fn strips(&self, k: usize) -> Markup {
        let n = self.n_cells();
        let reach = self.methods.iter().map(|method| method.row(k).len()).max();
        let end = self.cells_before(reach.unwrap_or(0));
        let columns = format!("--n:{0};grid-template-columns:repeat({0},1fr)", n.max(1));
        html! {
            div class="strips" {
                @if n == self.n_sources() && n <= MOST_LABELS {
                    div class="line names" aria-hidden="true" {
                        span {} span class={ "cells" @if n > 30 { " many" } } style=(columns) {
                            @for (i, token) in self.tokens[..n].iter().enumerate() { i style=[(i >= end).then_some("visibility:hidden")] { bdi { (visible::cut(&visible::label(token), 14)) } } }
                        }
                    }
                }
                @for method in &self.methods {
                    div class="line" {
                        span { (visible::plain(&method.method, false)) }
                        span class={ "cells" @if method.scale == Scale::Signed { " diverging" } } style=(columns) role="img" {
                            // A strip ends before its target.
                            @for strength in method.cells(k, n, self.n_sources()).into_iter().take(self.cells_before(method.row(k).len())) {
                                i style=(format!("--s:{};background-color:{}", (strength * 1000.0).round() / 1000.0, colour::hex(method.colour(strength)))) {}
                            }
                        }
                        small { (self.top(method, k)) }
                    }
                }
            }
        }
    }

    fn readout(&self) -> Markup {
        html! { "Strips are rescaled to their own maximum." }
    }
}

impl Document for Comparison {
    const TYPE: &'static str = "comparison";
}

impl Explorable for Comparison {
    /// The table, then what each method puts highest for each target.
    fn text(&self) -> String {
        let mut text = format!("methods compared · {}", self.about());
        for method in &self.methods {
            let figures: Vec<String> = method
                .figures
                .iter()
                .map(|(name, figure)| format!("{name} {figure}"))
                .collect();
            let referee = if method.is_referee { " (referee)" } else { "" };
            let _ = write!(text, "\n{}{referee}: {}", method.method, figures.join(", "));
        }
        let names = self.methods.iter().take(1).flat_map(|method| &method.figures);
        let random = names.filter_map(|(name, _)| Some(format!("{name} {}", self.random_figure(name)?)));
        let random: Vec<String> = random.collect();
        if !random.is_empty() {
            let _ = write!(text, "\nrandom order: {}", random.join(", "));
        }
        for (k, target) in self.targets.iter().enumerate() {
            let _ = write!(text, "\n{} ←", target.line());
            for method in &self.methods {
                let _ = write!(text, "\n  {}: {}", method.method, self.top(method, k));
            }
        }
        for note in self.notes() {
            let _ = write!(text, "\n⚠ {note}");
        }
        visible::plain(&text, true)
    }

    /// For each target a strip of heat for each method.
    fn svg(&self) -> Option<String> {
        picture::strips(self, &self.about())
    }

    fn html(&self) -> Option<String> {
        Some(COMPONENT.render(&self.content(), self))
    }

    fn json(&self) -> Option<Value> {
        document::json(self)
    }

    fn alt_text(&self) -> Option<String> {
        Some(format!("Attribution methods compared: {}", self.about()))
    }
}
