//! Activation patching as a heat map: layers over positions or heads, how much of the clean answer comes back.

#[cfg(test)]
mod tests;

mod picture;

use std::fmt::Write;

use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::Explorable;
use crate::kit::Token;
use crate::kit::boxes::legend;
use crate::kit::document::Document;
use crate::kit::page::{Component, note};
use crate::kit::{colour, document, numbers, visible};

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PatchMap {
    /// What is patched: "mlp_output".
    pub site: String,
    /// What is watched: "logit of “ Denmark” less that of “ Iceland”".
    pub answer: String,
    /// The answer to the clean text, in what the answer names.
    pub clean: f64,
    /// That to the corrupted one.
    pub corrupted: f64,
    /// The rows, from 0 on.
    pub layers: Vec<usize>,
    /// What the columns are.
    pub columns: Columns,
    /// By layer and column: 0 as for the corrupted text, 1 as for the clean one.
    pub restored: Vec<Vec<f32>>,
}

/// Either the positions of a text or a layer's heads.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Columns {
    /// The corrupted text, and the clean one's tokens.
    Positions {
        corrupted: Vec<Token>,
        clean: Vec<Token>,
    },
    /// How many there are.
    Heads(usize),
}

const COMPONENT: Component = Component {
    tag: "ecco-patch-map",
    view: "patch-map-2",
    css: include_str!("view.css"),
    js: concat!(include_str!("../../kit/grid.js"), include_str!("view.js")),
};

/// Maps with no more columns have numbers in their cells.
const MOST_NUMBERED: usize = 24;
/// Cells of a page; of a larger map the strongest columns are shown.
const MOST_CELLS: usize = 6000;
/// Cells named in a console.
const N_TOP: usize = 5;

impl PatchMap {
    pub(crate) fn n_columns(&self) -> usize {
        match &self.columns {
            Columns::Positions { corrupted, .. } => corrupted.len(),
            Columns::Heads(n) => *n,
        }
    }

    pub(crate) fn value(&self, row: usize, column: usize) -> f32 {
        let value = self.restored.get(row).and_then(|row| row.get(column));
        value.copied().unwrap_or(f32::NAN)
    }

    /// The largest absolute value.
    pub(crate) fn peak(&self) -> f32 {
        let all = self.restored.iter().flatten().filter(|value| value.is_finite());
        all.fold(0.0, |peak, value| peak.max(value.abs()))
    }

    /// In -1..=1.
    pub(crate) fn strength(&self, row: usize, column: usize) -> Option<f32> {
        let (value, peak) = (self.value(row, column), self.peak());
        value
            .is_finite()
            .then(|| if peak > 0.0 { value / peak } else { 0.0 })
    }

    /// `·France 3`, `head 2`.
    pub(crate) fn column(&self, column: usize) -> String {
        match &self.columns {
            Columns::Positions { corrupted, .. } => {
                let label = corrupted.get(column).map_or_else(String::new, visible::label);
                format!("{} {column}", visible::cut(&label, 24))
            }
            Columns::Heads(_) => format!("head {column}"),
        }
    }

    /// Whether the texts differ there.
    pub(crate) fn differs(&self, column: usize) -> bool {
        match &self.columns {
            Columns::Positions { corrupted, clean } => {
                corrupted.get(column).map(|token| token.id) != clean.get(column).map(|token| token.id)
            }
            Columns::Heads(_) => false,
        }
    }

    /// The strongest cells, as (row, column).
    fn top(&self) -> Vec<(usize, usize)> {
        let cells =
            (0..self.layers.len()).flat_map(|row| (0..self.n_columns()).map(move |column| (row, column)));
        let size = |&(row, column): &(usize, usize)| self.value(row, column).abs();
        let mut cells: Vec<_> = cells.filter(|cell| size(cell) > 0.0).collect();
        cells.sort_by(|a, b| size(b).total_cmp(&size(a)).then(a.cmp(b)));
        cells.truncate(N_TOP);
        cells
    }

    /// The columns that are shown, in order.
    pub(crate) fn shown(&self, most_cells: usize) -> Vec<usize> {
        let n = self.n_columns();
        let most = (most_cells / self.layers.len().max(1)).max(1);
        let mut columns: Vec<usize> = (0..n).collect();
        if n > most {
            let strongest = |column: usize| {
                let rows = 0..self.layers.len();
                rows.map(|row| self.value(row, column).abs()).fold(0.0, f32::max)
            };
            columns.sort_by(|&a, &b| strongest(b).total_cmp(&strongest(a)).then(a.cmp(&b)));
            columns.truncate(most);
            columns.sort_unstable();
        }
        columns
    }

    fn notes(&self, n_shown: usize) -> Vec<String> {
        let mut notes = Vec::new();
        let n = self.n_columns();
        if n == 0 || self.layers.is_empty() {
            notes.push("nothing was patched".to_owned());
        } else if n_shown < n {
            notes.push(format!(
                "the {n_shown} strongest of {n} columns; `.restored` has all"
            ));
        }
        let is_bad = |value: &&f32| !value.is_finite();
        let n_bad = self.restored.iter().flatten().filter(is_bad).count();
        if n_bad > 0 {
            notes.push(format!("{n_bad} values are not finite"));
        }
        notes
    }

    fn content(&self) -> Markup {
        let shown = self.shown(MOST_CELLS);
        let peak = numbers::fraction(self.peak().into());
        html! {
            div class="ecco map diverging" {
                div class="head" {
                    b { "Activation patching" } " "
                    span class="method" { (visible::plain(&self.site, false)) }
                    @if self.peak() > 0.0 {
                        (legend(&numbers::fraction(-f64::from(self.peak())), &peak))
                    }
                }
                p class="answer" {
                    (visible::plain(&self.answer, false)) ": corrupted " (numbers::short(self.corrupted)) ", clean "
                    (numbers::short(self.clean)) ". Cells: how much of that comes back, 1 = all of it."
                }
                @for text in self.notes(shown.len()) { (note(&text)) }
                @if !shown.is_empty() && !self.layers.is_empty() { div class="wide" { (self.table(&shown)) } }
                div class="readout" { (self.readout()) }
            }
        }
    }

    fn table(&self, shown: &[usize]) -> Markup {
        html! {
            table {
                thead {
                    tr {
                        th scope="col" { "layer" }
                        @for &column in shown {
                            th scope="col" class=[self.differs(column).then_some("differs")] { (self.heading(column)) }
                        }
                    }
                }
                tbody {
                    @for (row, layer) in self.layers.iter().enumerate() {
                        tr {
                            th scope="row" { (layer) }
                            @for &column in shown { (self.cell(row, column, shown.len() <= MOST_NUMBERED)) }
                        }
                    }
                }
            }
        }
    }

    fn heading(&self, column: usize) -> Markup {
        match &self.columns {
            Columns::Heads(_) => html! { (column) },
            Columns::Positions { corrupted, clean } => html! {
                div {
                    @if let Some(token) = corrupted.get(column) { (visible::label_html(token)) }
                    @if let Some(token) = clean.get(column).filter(|_| self.differs(column)) {
                        " ← " (visible::label_html(token))
                    }
                }
                small { (column) }
            },
        }
    }

    fn cell(&self, row: usize, column: usize, numbered: bool) -> Markup {
        let value = self.value(row, column);
        let style = self.strength(row, column).map(|s| {
            let (ground, text) = (colour::hex(colour::diverging(s)), colour::text_on_diverging(s));
            format!("--s:{:.3};background-color:{ground};color:{text}", s)
        });
        html! {
            td style=[style] title=[(!numbered).then(|| numbers::fraction(value.into()))] {
                @if numbered { (numbers::fraction(value.into())) }
            }
        }
    }

    fn readout(&self) -> Markup {
        match self.top().first() {
            None => html! { "no cell changes the answer" },
            Some(&(row, column)) => html! {
                span class="what" { "layer " (self.layers[row]) ", " bdi { (self.column(column)) } }
                " restores " (numbers::fraction(self.value(row, column).into())) ", the most of all"
            },
        }
    }

    fn data(&self) -> Data<'_> {
        let answer = |restored: &f32| self.corrupted + f64::from(*restored) * (self.clean - self.corrupted);
        let row = |row: &Vec<f32>| row.iter().map(|restored| answer(restored) as f32).collect();
        Data {
            map: self,
            answers: self.restored.iter().map(row).collect(),
        }
    }
}

/// Activation patching: how much of the clean answer each part restores.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Data<'a> {
    #[serde(flatten)]
    map: &'a PatchMap,
    /// By layer and column, what the answer becomes.
    answers: Vec<Vec<f32>>,
}

impl Document for Data<'_> {
    const TYPE: &'static str = "patch_map";
}

impl Explorable for PatchMap {
    /// The strongest cells.
    fn text(&self) -> String {
        let mut text = format!(
            "activation patching of {} · {} layers × {} {}\n{}: corrupted {}, clean {}",
            visible::plain(&self.site, false),
            self.layers.len(),
            self.n_columns(),
            match self.columns {
                Columns::Positions { .. } => "positions",
                Columns::Heads(_) => "heads",
            },
            visible::plain(&self.answer, false),
            numbers::short(self.corrupted),
            numbers::short(self.clean),
        );
        for (row, column) in self.top() {
            let restored = numbers::fraction(self.value(row, column).into());
            let _ = write!(
                text,
                "\nlayer {} {} restores {restored}",
                self.layers[row],
                self.column(column)
            );
        }
        for note in self.notes(self.n_columns()) {
            let _ = write!(text, "\n⚠ {note}");
        }
        text
    }

    fn svg(&self) -> Option<String> {
        picture::heat_map(self)
    }

    fn html(&self) -> Option<String> {
        Some(COMPONENT.render(&self.content(), &self.data()))
    }

    fn json(&self) -> Option<Value> {
        document::json(&self.data())
    }

    fn alt_text(&self) -> Option<String> {
        Some(format!(
            "Activation patching of {}: how much of the clean answer each part restores",
            visible::plain(&self.site, false)
        ))
    }
}
