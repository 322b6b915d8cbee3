//! What every head does: a row a head, a column a score, sorted by any of them.

#[cfg(test)]
mod tests;

use maud::html;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Explorable;
use crate::kit::document::Document;
use crate::kit::grid::{Cell, Grid, Heading, Scale};
use crate::kit::page::{Component, note};
use crate::kit::{document, names, numbers, visible};

/// Scores of every head of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Heads {
    /// The model's name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What the heads looked at: "50 random tokens twice, 4 texts".
    pub about: String,
    /// The scores' names, in order.
    pub scores: Vec<String>,
    /// The score that heads are sorted by at first.
    pub by: String,
    /// By score, layer and head.
    pub values: Vec<Vec<Vec<f32>>>,
}

const COMPONENT: Component = Component {
    tag: "ecco-heads",
    view: "heads-1",
    css: concat!(include_str!("../../kit/grid.css"), include_str!("view.css")),
    js: concat!(include_str!("../../kit/grid.js"), include_str!("view.js")),
};
const TITLE: &str = "Heads";
/// Rows of a page.
const MOST_ROWS: usize = 1_500;
/// Heads named in a console for each score.
const N_TOP: usize = 3;

impl Heads {
    fn value(&self, score: usize, (layer, head): (usize, usize)) -> f32 {
        let of = self.values.get(score).and_then(|layers| layers.get(layer));
        of.and_then(|heads| heads.get(head)).copied().unwrap_or(f32::NAN)
    }

    fn peak(&self, score: usize) -> f32 {
        let all = self.values.get(score).into_iter().flatten().flatten();
        all.filter(|value| value.is_finite())
            .fold(0.0, |peak, value| peak.max(value.abs()))
    }

    /// All heads, the largest of a score first; those without a number last.
    fn sorted(&self, score: usize) -> Vec<(usize, usize)> {
        let layers = self.values.get(score).into_iter().flatten().enumerate();
        let heads = layers.flat_map(|(layer, heads)| (0..heads.len()).map(move |head| (layer, head)));
        let mut heads: Vec<(usize, usize)> = heads.collect();
        let key = |at: (usize, usize)| match self.value(score, at) {
            value if value.is_finite() => value,
            _ => f32::NEG_INFINITY,
        };
        heads.sort_by(|&a, &b| key(b).total_cmp(&key(a)).then(a.cmp(&b)));
        heads
    }

    fn first_score(&self) -> usize {
        self.scores.iter().position(|name| *name == self.by).unwrap_or(0)
    }

    fn grid(&self) -> Grid {
        let rows = self.sorted(self.first_score());
        let peaks: Vec<f32> = (0..self.scores.len()).map(|score| self.peak(score)).collect();
        let cell = |score: usize, at: (usize, usize)| {
            let value = self.value(score, at);
            match value.is_finite() {
                true if peaks[score] > 0.0 => {
                    Cell::text(numbers::fraction(value.into()), value / peaks[score])
                }
                true => Cell::text(numbers::fraction(value.into()), 0.0),
                false => Cell::text("–", 0.0),
            }
        };
        let shown = || rows.iter().take(MOST_ROWS);
        Grid {
            corner: "head",
            columns: self
                .scores
                .iter()
                .map(|name| Heading::text(plain(name)))
                .collect(),
            rows: shown()
                .map(|&(layer, head)| Heading::text(names::head(layer, head)))
                .collect(),
            cells: shown()
                .map(|&at| (0..self.scores.len()).map(|score| cell(score, at)).collect())
                .collect(),
            scale: Scale::Diverging,
        }
    }

    fn n_heads(&self) -> usize {
        self.values
            .first()
            .map_or(0, |layers| layers.iter().map(Vec::len).sum())
    }

    fn notes(&self) -> Vec<String> {
        let n = self.n_heads();
        let mut notes = Vec::new();
        if n == 0 {
            notes.push("no heads to show".to_owned());
        } else if n > MOST_ROWS {
            notes.push(format!(
                "the first {MOST_ROWS} of {n} heads are shown; the data has all"
            ));
        }
        let n_bad = self
            .values
            .iter()
            .flatten()
            .flatten()
            .filter(|value| !value.is_finite())
            .count();
        if n_bad > 0 {
            notes.push(format!("no number: {n_bad} of the scores"));
        }
        notes
    }
}

/// `relative entropy`
fn plain(name: &str) -> String {
    visible::plain(name, false).replace('_', " ")
}

impl Document for Heads {
    const TYPE: &'static str = "heads";
}

impl Explorable for Heads {
    /// The strongest heads of each score.
    fn text(&self) -> String {
        let mut text = format!(
            "{} heads · {}",
            self.n_heads(),
            visible::plain(&self.about, false)
        );
        for (score, name) in self.scores.iter().enumerate() {
            let top = self.sorted(score).into_iter().take(N_TOP).filter_map(|at| {
                let value = self.value(score, at);
                let value = value.is_finite().then(|| numbers::fraction(value.into()))?;
                Some(format!("{} {value}", names::head(at.0, at.1)))
            });
            let top: Vec<String> = top.collect();
            text.push_str(&format!("\n{:<17}{}", plain(name), top.join("   ")));
        }
        for note in self.notes() {
            text.push_str(&format!("\n⚠ {note}"));
        }
        text
    }

    fn svg(&self) -> Option<String> {
        self.grid().picture(TITLE, &visible::plain(&self.about, false))
    }

    fn html(&self) -> Option<String> {
        let content = html! {
            div class="ecco heads" {
                div class="head" { b { (TITLE) } " " span { (visible::plain(&self.about, false)) } }
                @for text in self.notes() { (note(&text)) }
                (self.grid().table())
                div class="readout" role="status" { "Sorted by " (plain(&self.by)) ", largest first." }
            }
        };
        Some(COMPONENT.render(&content, self))
    }

    fn json(&self) -> Option<Value> {
        document::json(self)
    }

    fn alt_text(&self) -> Option<String> {
        Some(format!(
            "Scores of {} heads, sorted by {}",
            self.n_heads(),
            plain(&self.by)
        ))
    }
}
