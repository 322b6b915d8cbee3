//! Parts of a model in the vocabulary: of each row the tokens at both ends.

#[cfg(test)]
mod tests;

use maud::{Markup, html};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Explorable;
use crate::kit::document::Document;
use crate::kit::grid::{Cell, Grid, Heading, Scale};
use crate::kit::page::{Component, note};
use crate::kit::{Token, document, numbers, visible};

/// What parts of a model promote and suppress.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Vocabulary {
    /// The model's name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What is read: "neurons of layer 3", "OV circuit of head 23.3".
    pub about: String,
    /// What a row's tokens are: "promotes" and "suppresses".
    pub ends: [String; 2],
    /// The rows, in order.
    pub rows: Vec<VocabularyRow>,
}

/// One direction, neuron, or token that a head has looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VocabularyRow {
    /// "neuron 3.117", or the token as it is written.
    pub label: String,
    /// The length of the direction, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm: Option<f64>,
    /// The tokens that it raises most, largest first.
    pub promotes: Vec<VocabularyToken>,
    /// Those that it lowers most, lowest first.
    pub suppresses: Vec<VocabularyToken>,
}

/// A token of the vocabulary, and what is added to its logit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VocabularyToken {
    /// The token.
    pub token: Token,
    /// What is added to its logit, or to its score.
    pub value: f32,
}

const COMPONENT: Component = Component {
    tag: "ecco-vocabulary",
    view: "vocabulary-1",
    css: concat!(include_str!("../../kit/grid.css"), include_str!("view.css")),
    js: concat!(include_str!("../../kit/grid.js"), include_str!("view.js")),
};
const TITLE: &str = "In the vocabulary";
/// Tokens at each end that a page shows.
const MOST_COLUMNS: usize = 20;
/// Tokens at each end in a console.
const IN_CONSOLE: usize = 5;

impl Vocabulary {
    fn n_shown(&self) -> usize {
        let widest = self
            .rows
            .iter()
            .map(|row| row.promotes.len().max(row.suppresses.len()));
        widest.max().unwrap_or(0).min(MOST_COLUMNS)
    }

    fn grid(&self) -> Grid {
        let n = self.n_shown();
        let cells = |row: &VocabularyRow| {
            let all = row.promotes.iter().chain(&row.suppresses);
            let peak = all
                .map(|at| at.value.abs())
                .filter(|v| v.is_finite())
                .fold(0.0, f32::max);
            let cell = |at: Option<&VocabularyToken>| match at {
                Some(at) if peak > 0.0 => Cell::token(&at.token, at.value / peak),
                Some(at) => Cell::token(&at.token, 0.0),
                None => Cell::text("", 0.0),
            };
            let ends = [&row.promotes, &row.suppresses].into_iter();
            ends.flat_map(|end| (0..n).map(move |at| cell(end.get(at))))
                .collect()
        };
        let columns = self.ends.iter().flat_map(|end| {
            let end = visible::plain(end, false);
            (0..n).map(move |at| {
                Heading::text(if at == 0 {
                    end.clone()
                } else {
                    (at + 1).to_string()
                })
            })
        });
        Grid {
            corner: "of",
            columns: columns.collect(),
            rows: self
                .rows
                .iter()
                .map(|row| Heading::text(visible::plain(&row.label, false)))
                .collect(),
            cells: self.rows.iter().map(cells).collect(),
            scale: Scale::Diverging,
        }
    }

    fn content(&self) -> Markup {
        let all = self
            .rows
            .iter()
            .flat_map(|row| row.promotes.iter().chain(&row.suppresses));
        html! {
            div class="ecco vocabulary" data-labels=(visible::exceptions(all.map(|at| &at.token))) {
                div class="head" { b { (TITLE) } " " span { (visible::plain(&self.about, false)) } }
                @for text in self.notes() { (note(&text)) }
                (self.grid().table())
                div class="readout" { span hidden { "Point at a token for what is added to its logit." } }
            }
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.rows.is_empty() {
            notes.push("nothing to show".to_owned());
        }
        let longest = self.rows.iter().map(|row| row.promotes.len()).max().unwrap_or(0);
        if longest > MOST_COLUMNS {
            notes.push(format!(
                "{MOST_COLUMNS} of {longest} tokens are shown; the data has all"
            ));
        }
        notes
    }
}

impl Document for Vocabulary {
    const TYPE: &'static str = "vocabulary";
}

impl Explorable for Vocabulary {
    fn text(&self) -> String {
        let mut text = format!("{TITLE} · {}", visible::plain(&self.about, false));
        let end = |name: &str, tokens: &[VocabularyToken]| {
            let token = |at: &VocabularyToken| {
                format!(
                    "{} {}",
                    visible::label(&at.token),
                    numbers::fraction(at.value.into())
                )
            };
            let tokens: Vec<String> = tokens.iter().take(IN_CONSOLE).map(token).collect();
            format!("\n  {}: {}", visible::plain(name, false), tokens.join("  "))
        };
        for row in &self.rows {
            text.push_str(&format!("\n{}", visible::plain(&row.label, false)));
            text.push_str(&end(&self.ends[0], &row.promotes));
            text.push_str(&end(&self.ends[1], &row.suppresses));
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
        Some(COMPONENT.render(&self.content(), self))
    }

    fn json(&self) -> Option<Value> {
        document::json(self)
    }

    fn alt_text(&self) -> Option<String> {
        Some(format!(
            "{TITLE}: {}, {} rows",
            visible::plain(&self.about, false),
            self.rows.len()
        ))
    }
}
