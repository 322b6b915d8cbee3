//! How alike layers (or factors) are to others: a heat map with the numbers in its cells.

#[cfg(test)]
mod tests;

use maud::{Markup, html};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Explorable;
use crate::kit::boxes::legend;
use crate::kit::document::Document;
use crate::kit::grid::{Cell, Grid, Heading, Scale};
use crate::kit::page::{Component, note};
use crate::kit::{document, numbers, visible};

/// How alike layers (or factors) are to others.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct SimilarityGrid {
    /// What is compared: "Similarity of layers".
    pub title: String,
    /// The method: "CKA".
    pub about: String,
    /// What a row is, and the rows' names.
    pub rows: (String, Vec<String>),
    /// What a column is, and the columns' names.
    pub columns: (String, Vec<String>),
    /// By row and column, usually in 0..=1.
    pub values: Vec<Vec<f32>>,
    /// What to bear in mind, for people.
    pub notes: Vec<String>,
    /// The texts and models behind the rows and, where these are others, behind the columns; may be empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Value>,
}

const COMPONENT: Component = Component {
    tag: "ecco-similarity",
    view: "similarity-2",
    css: concat!(include_str!("../../kit/grid.css"), include_str!("view.css")),
    js: concat!(include_str!("../../kit/grid.js"), include_str!("view.js")),
};

/// More rows or columns are drawn without numbers, which a look at a cell gives.
const MOST_WITH_NUMBERS: usize = 16;

impl SimilarityGrid {
    fn value(&self, row: usize, column: usize) -> f32 {
        let value = self.values.get(row).and_then(|row| row.get(column));
        value.copied().unwrap_or(f32::NAN)
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        if self.rows.1.is_empty() || self.columns.1.is_empty() {
            notes.push("nothing to compare".to_owned());
        }
        notes
    }

    fn is_small(&self) -> bool {
        self.rows.1.len().max(self.columns.1.len()) <= MOST_WITH_NUMBERS
    }

    fn plain_title(&self) -> String {
        visible::plain(&self.title, false)
    }

    /// The method, and both kinds of names: `CKA · factor ↓ seed →`.
    fn subtitle(&self) -> String {
        let plain = |name: &str| visible::plain(name, false);
        let (about, down, across) = (plain(&self.about), plain(&self.rows.0), plain(&self.columns.0));
        format!("{about} · {down} ↓ {across} →")
    }

    fn grid(&self, with_numbers: bool) -> Grid {
        let headings = |names: &[String]| {
            let plain = names.iter().map(|name| visible::plain(name, false));
            plain.map(Heading::text).collect()
        };
        // What is negative has the colour of 0, as has what is no number.
        let cell = |row, column| {
            let value = self.value(row, column);
            let strength = if value.is_finite() {
                value.clamp(0.0, 1.0)
            } else {
                0.0
            };
            let number = with_numbers.then(|| numbers::fraction(value.into()));
            Cell::text(number.unwrap_or_default(), strength)
        };
        let n_columns = self.columns.1.len();
        Grid {
            corner: "layer",
            columns: headings(&self.columns.1),
            rows: headings(&self.rows.1),
            cells: (0..self.rows.1.len())
                .map(|row| (0..n_columns).map(|column| cell(row, column)).collect())
                .collect(),
            scale: Scale::Sequential,
        }
    }

    fn content(&self) -> Markup {
        html! {
            div class="ecco similarity" {
                div class="head" { b { (self.plain_title()) } " " span { (self.subtitle()) } (legend("0", "1")) }
                @for text in self.notes() { (note(&visible::plain(&text, false))) }
                (self.grid(self.is_small()).table())
                div class="readout" { (self.range_text()) }
            }
        }
    }

    fn range_text(&self) -> String {
        let all = || {
            self.values
                .iter()
                .flatten()
                .copied()
                .filter(|value| value.is_finite())
        };
        match all().next() {
            Some(_) => {
                let (least, most) = (
                    all().fold(f32::INFINITY, f32::min),
                    all().fold(f32::NEG_INFINITY, f32::max),
                );
                format!(
                    "From {} to {}.",
                    numbers::short(least.into()),
                    numbers::short(most.into())
                )
            }
            None => "No numbers.".to_owned(),
        }
    }
}

impl Document for SimilarityGrid {
    const TYPE: &'static str = "similarity";
}

impl Explorable for SimilarityGrid {
    fn text(&self) -> String {
        let mut text = format!(
            "{} · {}\n{}",
            self.plain_title(),
            self.subtitle(),
            self.grid(true).text()
        );
        for note in self.notes() {
            text.push_str(&format!("\n⚠ {note}"));
        }
        text
    }

    fn svg(&self) -> Option<String> {
        self.grid(self.is_small())
            .picture(&self.plain_title(), &self.subtitle())
    }

    fn html(&self) -> Option<String> {
        Some(COMPONENT.render(&self.content(), self))
    }

    fn json(&self) -> Option<Value> {
        document::json(self)
    }

    fn alt_text(&self) -> Option<String> {
        Some(format!(
            "{}, {}: a heat map of {} by {}. {}",
            self.plain_title(),
            self.subtitle(),
            self.rows.1.len(),
            self.columns.1.len(),
            self.range_text()
        ))
    }
}
