//! What an answer owes to what stands at a site: layers over positions, heads or neurons, and what each layer sums to.

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

/// Contributions of what stands at a site of each layer to an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SiteAttribution {
    /// Where: "head_outputs".
    pub site: String,
    /// How, for people: "gradient × activation".
    pub method: String,
    /// What is explained: "logit of “ Denmark” less that of “ Iceland”".
    pub answer: String,
    /// The answer as a number.
    pub value: f64,
    /// The rows, from 0 on.
    pub layers: Vec<usize>,
    /// What the columns are.
    pub columns: SiteColumns,
    /// By layer and column, in the units of the answer.
    pub contributions: Vec<Vec<f32>>,
    /// By layer: what the contributions sum to.
    pub sums: Vec<LayerSum>,
}

/// The positions of a text, or a layer's heads or neurons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SiteColumns {
    Positions(Vec<Token>),
    /// How many there are.
    Heads(usize),
    /// How many there are.
    Neurons(usize),
}

/// That of a document.
///
/// # Errors
/// Rows that are not as long as there are columns.
pub(crate) fn read(document: &Value) -> Result<SiteAttribution, Error> {
    let found: SiteAttribution = reading::read(document)?;
    heat::check(&found)?;
    Ok(found)
}

/// What the contributions of a layer sum to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LayerSum {
    /// What they sum to.
    pub sum: f64,
    /// What the method promises; null where it promises nothing.
    pub promised: Option<f64>,
}

const COMPONENT: Component = Component {
    tag: "ecco-site-attribution",
    view: "site-attribution-1",
    css: concat!(include_str!("../patch_map/view.css"), include_str!("view.css")),
    js: concat!(
        include_str!("../../kit/grid.js"),
        include_str!("../heat.js"),
        include_str!("view.js")
    ),
};

/// Cells named in a console.
const N_TOP: usize = 5;
/// Sums that miss what was promised by more than this share are pointed at.
const MOST_MISSED: f64 = 0.05;

impl Heat for SiteAttribution {
    fn rows(&self) -> &[usize] {
        &self.layers
    }

    fn values(&self) -> &[Vec<f32>] {
        &self.contributions
    }

    fn columns(&self) -> Strip<'_> {
        match &self.columns {
            SiteColumns::Positions(tokens) => Strip::Positions { tokens, other: &[] },
            SiteColumns::Heads(n) => Strip::Counted(*n, "head"),
            SiteColumns::Neurons(n) => Strip::Counted(*n, "neuron"),
        }
    }
}

impl SiteAttribution {
    fn all_notes(&self, n_shown: usize) -> Vec<String> {
        if self.n_columns() == 0 || self.layers.is_empty() {
            return vec!["nothing stands there".to_owned()];
        }
        let mut notes = self.notes(n_shown, ".contributions");
        let missed = |(row, sum): (usize, &LayerSum)| {
            let promised = sum.promised?;
            let share = (sum.sum - promised).abs() / promised.abs().max(1e-6 * self.value.abs());
            (share > MOST_MISSED).then(|| (share, self.layers.get(row).copied()))
        };
        let missed: Vec<_> = self.sums.iter().enumerate().filter_map(missed).collect();
        if let Some((share, Some(layer))) = missed.iter().max_by(|a, b| a.0.total_cmp(&b.0)) {
            let n = missed.len();
            notes.push(format!(
                "{n} of {} layers do not sum to what they should: layer {layer} is off by {:.0} %",
                self.layers.len(),
                share * 100.0
            ));
        }
        notes
    }

    fn content(&self) -> Markup {
        let shown = self.shown();
        let peak = self.peak();
        let end = |row: usize| self.end(row);
        html! {
            div class="ecco map sums diverging" {
                div class="head" {
                    b { "Contributions" } " "
                    span class="method" { (visible::plain(&self.site, false)) " · " (visible::plain(&self.method, false)) }
                    @if peak > 0.0 {
                        (legend(&numbers::fraction(-f64::from(peak)), &numbers::fraction(peak.into())))
                    }
                }
                p class="answer" { (self.about()) }
                @for text in self.all_notes(shown.len()) { (note(&text)) }
                @if !shown.is_empty() && !self.layers.is_empty() {
                    div class="wide" { (heat::table(self, &shown, Some(("sum", &end)))) }
                }
                div class="readout" { (self.readout()) }
            }
        }
    }

    /// `logit of " Paris": 4.25`
    fn about(&self) -> String {
        format!(
            "{}: {}",
            visible::plain(&self.answer, false),
            numbers::short(self.value)
        )
    }

    /// What a layer sums to, and what it should where that is another number.
    fn end(&self, row: usize) -> Markup {
        let Some(sum) = self.sums.get(row) else {
            return html! {};
        };
        let (found, promised) = (numbers::fraction(sum.sum), sum.promised.map(numbers::fraction));
        html! {
            (found)
            @if let Some(promised) = promised.filter(|promised| *promised != found) { small { " of " (promised) } }
        }
    }

    fn readout(&self) -> Markup {
        match self.top(1).first() {
            None => html! { "nothing contributes" },
            Some(&(row, column)) => html! {
                span class="what" { bdi { (self.name(row, column)) } }
                " contributes " (numbers::fraction(self.value(row, column).into())) ", the most of all"
            },
        }
    }
}

impl Document for SiteAttribution {
    const TYPE: &'static str = "site_attribution";
}

impl Explorable for SiteAttribution {
    /// The strongest cells.
    fn text(&self) -> String {
        let mut text = format!(
            "contributions of {} ({}) · {} layers × {} {}\n{}",
            visible::plain(&self.site, false),
            visible::plain(&self.method, false),
            self.layers.len(),
            self.n_columns(),
            self.columns().plural(),
            self.about(),
        );
        for (row, column) in self.top(N_TOP) {
            let _ = write!(
                text,
                "\n{} contributes {}",
                self.name(row, column),
                numbers::fraction(self.value(row, column).into())
            );
        }
        for note in self.all_notes(self.n_columns()) {
            let _ = write!(text, "\n⚠ {note}");
        }
        text
    }

    fn svg(&self) -> Option<String> {
        let caption = Caption {
            title: "Contributions",
            site: format!("{} · {}", self.site, self.method),
            answer: visible::cut(&self.about(), 90),
            about: "Rows: layers. Columns: what contributes. Orange: for the answer; blue: against it.",
            deepest: numbers::fraction(self.peak().into()),
        };
        heat::picture(self, &caption)
    }

    fn html(&self) -> Option<String> {
        Some(COMPONENT.render(&self.content(), self))
    }

    fn json(&self) -> Option<Value> {
        document::json(self)
    }

    fn alt_text(&self) -> Option<String> {
        Some(format!(
            "Contributions of {} by layer, {}",
            visible::plain(&self.site, false),
            visible::plain(&self.method, false)
        ))
    }
}
