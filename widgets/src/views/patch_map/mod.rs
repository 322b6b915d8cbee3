//! Activation patching as a heat map: layers over positions, heads or neurons, or heads over positions: how much of the clean answer comes back.

#[cfg(test)]
mod tests;

use std::fmt::Write;

use maud::{Markup, html};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Error, Value};

use crate::Explorable;
use crate::kit::Token;
use crate::kit::boxes::legend;
use crate::kit::document::Document;
use crate::kit::page::{Component, note};
use crate::kit::{document, numbers, reading, visible};
use crate::views::heat::{self, Caption, Heat, Strip};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PatchMap {
    /// What is patched: "mlp_output".
    pub site: String,
    /// What is watched: "logit of “ Denmark” less that of “ Iceland”".
    pub answer: String,
    /// The answer to the clean text, in what the answer names.
    pub clean: f64,
    /// That to the corrupted one.
    pub corrupted: f64,
    /// The rows, from 0 on; where rows are heads, the layer of each.
    pub layers: Vec<usize>,
    /// Where rows are heads: which of its layer's each is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heads: Option<Vec<usize>>,
    /// What the columns are.
    pub columns: Columns,
    /// By row and column: 0 as for the corrupted text, 1 as for the clean one.
    pub restored: Vec<Vec<f32>>,
    /// Of attribution patching: by what the cells are estimated, and how well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate: Option<PatchEstimate>,
    /// Of several pairs of texts, whose mean this is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pairs: Option<PatchPairs>,
}

/// How sure a mean over pairs of texts, or over draws of noise, is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PatchPairs {
    /// How many pairs, or draws.
    pub n: usize,
    /// Where one text has noise in the place of a second text, for people: "“ France”".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_at: Option<String>,
    /// By row and column, half of the mean's 95 % confidence interval.
    pub interval: Vec<Vec<f32>>,
}

/// Cells that were estimated, and some of them measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PatchEstimate {
    /// By what: "gradients at the corrupted text".
    pub by: String,
    /// Cells that were patched indeed, half of them the strongest, the others drawn at random.
    pub measured: Vec<MeasuredCell>,
    /// Pearson's correlation of the two; null where either does not vary.
    pub correlation: Option<f64>,
}

/// A cell that was patched indeed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MeasuredCell {
    /// Place in `layers`.
    pub row: usize,
    /// Which of the columns.
    pub column: usize,
    /// What patching it restores.
    pub restored: f32,
}

impl PatchEstimate {
    /// `r = 0.98 between estimated and measured over 20 cells`
    fn agreement(&self, n: usize) -> String {
        match self.correlation {
            _ if n == 0 => "Nothing was measured.".to_owned(),
            Some(r) => format!("Estimated and measured, {n} cells: r = {}", numbers::fraction(r)),
            None => format!("Estimated and measured, {n} cells: they do not vary"),
        }
    }
}

/// The positions of a text, or a layer's heads or neurons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Columns {
    /// The corrupted text, and the clean one's tokens.
    Positions {
        corrupted: Vec<Token>,
        clean: Vec<Token>,
    },
    /// How many there are.
    Heads(usize),
    /// How many there are.
    Neurons(usize),
}

const COMPONENT: Component = Component {
    tag: "ecco-patch-map",
    view: "patch-map-5",
    css: include_str!("view.css"),
    js: concat!(
        include_str!("../../kit/grid.js"),
        include_str!("../heat.js"),
        include_str!("view.js")
    ),
};

/// Cells named in a console.
const N_TOP: usize = 5;
/// Measured cells of a page.
const N_MEASURED: usize = 12;

impl Heat for PatchMap {
    fn rows(&self) -> &[usize] {
        &self.layers
    }

    fn heads(&self) -> &[usize] {
        self.heads.as_deref().unwrap_or_default()
    }

    fn values(&self) -> &[Vec<f32>] {
        &self.restored
    }

    fn columns(&self) -> Strip<'_> {
        match &self.columns {
            Columns::Positions { corrupted, clean } => Strip::Positions {
                tokens: corrupted,
                other: clean,
            },
            Columns::Heads(n) => Strip::Counted(*n, "head"),
            Columns::Neurons(n) => Strip::Counted(*n, "neuron"),
        }
    }
}

impl PatchMap {
    fn title(&self) -> &'static str {
        let is_noise = self.pairs.as_ref().is_some_and(|pairs| pairs.noise_at.is_some());
        match self.estimate {
            None if is_noise => "Causal tracing",
            None => "Activation patching",
            Some(_) => "Attribution patching",
        }
    }

    /// What a cell does, for one who reads it.
    fn verb(&self) -> &'static str {
        match self.estimate {
            None => "restores",
            Some(_) => "would restore",
        }
    }

    fn all_notes(&self, n_shown: usize) -> Vec<String> {
        match self.n_columns() == 0 || self.layers.is_empty() {
            true => vec!["nothing was patched".to_owned()],
            false => self.notes(n_shown, ".restored"),
        }
    }

    /// The measured cells, the strongest first: row, column, what they restore.
    fn measured(&self) -> Vec<&MeasuredCell> {
        let mut all: Vec<&MeasuredCell> = self
            .estimate
            .iter()
            .flat_map(|estimate| &estimate.measured)
            .filter(|cell| cell.row < self.layers.len() && cell.column < self.n_columns())
            .collect();
        let size = |cell: &MeasuredCell| self.value(cell.row, cell.column).abs();
        all.sort_by(|a, b| size(b).total_cmp(&size(a)));
        all
    }

    fn content(&self) -> Markup {
        let shown = self.shown();
        let peak = numbers::fraction(self.peak().into());
        html! {
            div class="ecco map diverging" {
                div class="head" {
                    b { (self.title()) } " "
                    span class="method" { (visible::plain(&self.site, false)) }
                    @if self.peak() > 0.0 {
                        (legend(&numbers::fraction(-f64::from(self.peak())), &peak))
                    }
                }
                p class="answer" {
                    (visible::plain(&self.answer, false)) ": corrupted " (numbers::short(self.corrupted)) ", clean "
                    (numbers::short(self.clean)) ". Cells: how much of that "
                    @if self.estimate.is_some() { "would come back, estimated" } @else { "comes back" }
                    ", 1 = all of it."
                    @match &self.pairs {
                        Some(PatchPairs { n, noise_at: Some(at), .. }) => { " The mean of " (n) " draws of noise on " (visible::plain(at, false)) "." },
                        Some(pairs) => { " The mean of " (pairs.n) " pairs of texts, named by the first." },
                        None => {},
                    }
                }
                @for text in self.all_notes(shown.len()) { (note(&text)) }
                @if !shown.is_empty() && !self.layers.is_empty() { div class="wide" { (heat::table(self, &shown, None)) } }
                div class="readout" { (self.readout()) }
                @if let Some(estimate) = &self.estimate { (self.beside(estimate)) }
            }
        }
    }

    /// Estimates beside what was measured.
    fn beside(&self, estimate: &PatchEstimate) -> Markup {
        let measured = self.measured();
        html! {
            div class="beside" {
                "By " (visible::plain(&estimate.by, false)) ". " (estimate.agreement(measured.len()))
                @if !measured.is_empty() {
                    dl {
                        @for cell in measured.iter().take(N_MEASURED) {
                            div {
                                dt { bdi { (self.name(cell.row, cell.column)) } }
                                dd {
                                    (numbers::fraction(self.value(cell.row, cell.column).into())) " → "
                                    b { (numbers::fraction(cell.restored.into())) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn readout(&self) -> Markup {
        match self.top(1).first() {
            None => html! { "no cell changes the answer" },
            Some(&(row, column)) => html! {
                span class="what" { bdi { (self.name(row, column)) } }
                " " (self.verb()) " " (numbers::fraction(self.value(row, column).into())) (self.give_or_take(row, column)) ", the most of all"
            },
        }
    }

    /// ` ± 0.05` of a mean.
    fn give_or_take(&self, row: usize, column: usize) -> String {
        let rows = self.pairs.as_ref().and_then(|pairs| pairs.interval.get(row));
        match rows.and_then(|row| row.get(column)) {
            Some(half) if half.is_finite() => format!(" ± {}", numbers::fraction((*half).into())),
            _ => String::new(),
        }
    }

    fn caption(&self) -> Caption {
        Caption {
            title: self.title(),
            site: self.site.clone(),
            answer: format!(
                "{}: corrupted {}, clean {}",
                visible::cut(&visible::plain(&self.answer, false), 60),
                numbers::short(self.corrupted),
                numbers::short(self.clean)
            ),
            about: match self.heads {
                Some(_) => {
                    "Rows: heads. Columns: positions. Orange: of the clean answer comes back; blue: the other way."
                }
                None => {
                    "Rows: layers. Columns: what is patched. Orange: of the clean answer comes back; blue: the other way."
                }
            },
            deepest: format!(
                "{} of the clean answer restored",
                numbers::fraction(self.peak().into())
            ),
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
    /// By row and column, what the answer becomes.
    answers: Vec<Vec<f32>>,
}

impl Document for Data<'_> {
    const TYPE: &'static str = "patch_map";
}

/// That of a document.
///
/// # Errors
/// Rows that are not as long as there are columns.
pub(crate) fn read(document: &Value) -> Result<PatchMap, Error> {
    let found: PatchMap = reading::read(document)?;
    heat::check(&found)?;
    Ok(found)
}

impl Explorable for PatchMap {
    /// The strongest cells.
    fn text(&self) -> String {
        let mut text = format!(
            "{} of {} · {} {} × {} {}\n{}: corrupted {}, clean {}",
            self.title().to_lowercase(),
            visible::plain(&self.site, false),
            self.layers.len(),
            if self.heads.is_some() { "heads" } else { "layers" },
            self.n_columns(),
            self.columns().plural(),
            visible::plain(&self.answer, false),
            numbers::short(self.corrupted),
            numbers::short(self.clean),
        );
        for (row, column) in self.top(N_TOP) {
            let restored = numbers::fraction(self.value(row, column).into());
            let name = self.name(row, column);
            let sure = self.give_or_take(row, column);
            let _ = write!(text, "\n{name} {} {restored}{sure}", self.verb());
            let is_it = |cell: &&&MeasuredCell| (cell.row, cell.column) == (row, column);
            if let Some(cell) = self.measured().iter().find(is_it) {
                let _ = write!(text, ", measured {}", numbers::fraction(cell.restored.into()));
            }
        }
        if let Some(estimate) = &self.estimate {
            let _ = write!(text, "\n{}", estimate.agreement(self.measured().len()));
        }
        if let Some(pairs) = &self.pairs {
            let of = match &pairs.noise_at {
                Some(at) => format!("draws of noise on {}", visible::plain(at, false)),
                None => "pairs".to_owned(),
            };
            let _ = write!(
                text,
                "\nmean of {} {of}, ± half of its 95 % confidence interval",
                pairs.n
            );
        }
        for note in self.all_notes(self.n_columns()) {
            let _ = write!(text, "\n⚠ {note}");
        }
        text
    }

    fn svg(&self) -> Option<String> {
        heat::picture(self, &self.caption())
    }

    fn html(&self) -> Option<String> {
        Some(COMPONENT.render(&self.content(), &self.data()))
    }

    fn json(&self) -> Option<Value> {
        document::json(&self.data())
    }

    fn alt_text(&self) -> Option<String> {
        Some(format!(
            "{} of {}: how much of the clean answer each part {}",
            self.title(),
            visible::plain(&self.site, false),
            self.verb()
        ))
    }
}
