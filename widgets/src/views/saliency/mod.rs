//! Input saliency: how much each token, word or line contributed to what a model said.
//!
//! - here: the data, its text, its picture and its JSON
//! - [`targets`]: what the rows belong to, and the checks beneath them
//! - `content`: the static page

use std::collections::BTreeMap;
use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Error, Value};

use crate::Explorable;
use crate::kit::Token;
use crate::kit::document::Document;
use crate::kit::page::Component;
use crate::kit::{document, names, numbers, reading, rows, visible};

mod content;
mod picture;
pub mod targets;
#[cfg(test)]
mod tests;

pub use targets::{Check, CheckNote, Target, Targets};

/// How much a page shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SaliencyStyle {
    #[default]
    Minimal,
    /// A bar and a number in each box.
    Detailed,
}

/// What the numbers of a row are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Not negative; a row sums to 1.
    #[default]
    Shares,
    /// For or against the target, in units of what is explained.
    Signed,
}

/// What stands in a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    #[default]
    Token,
    Word,
    Line,
    Sentence,
    Span,
}

/// How much each token, word or line contributed to what a model said.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Saliency {
    /// The model's name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The boxes: tokens, or the words, lines, sentences, spans that they make.
    pub tokens: Vec<Token>,
    /// What a box is.
    pub unit: Unit,
    /// The first so many were given.
    pub n_input: usize,
    /// What was given stood before an encoder, what was written before the decoder beside it.
    pub is_pair: bool,
    /// How the page shows it.
    pub style: SaliencyStyle,
    /// The method, for people: "gradient × input".
    pub method: String,
    /// What of the target is explained: "probability". May be empty.
    pub of: String,
    /// How the values of a token's or neuron's embedding became one number: "l2".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregation: Option<String>,
    /// What stands for an absent token, where the method has such a thing: "zero".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// What the rows belong to; `null` where row k belongs to token `n_input + k`.
    pub targets: Targets,
    /// What is explained, as a number for each target; may be empty.
    pub values: Vec<f32>,
    /// What the scores are.
    pub scale: Scale,
    /// A row for each target, a value for each box from the first on.
    pub scores: Vec<Vec<f32>>,
    /// The signed sums behind the scores, in units of what is explained; in the shape of the scores. May be empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contributions: Vec<Vec<f32>>,
    /// For each target, how far its contributions add up; may be empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub completeness: Vec<Option<Completeness>>,
    /// Where boxes are no tokens: which tokens of the text each holds, the first and the one behind the last. May be empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spans: Vec<(usize, usize)>,
    /// Where boxes are no tokens: the text's tokens, for pages that show which of a box a target may draw on. May be empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pieces: Vec<Token>,
    /// Where boxes are no tokens: how many tokens of the text each target may draw on. May be empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reach: Vec<usize>,
    /// Where boxes are tokens: the first token of each "word", "line" and "sentence", over which a page sums. May be empty.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub units: BTreeMap<String, Vec<usize>>,
    /// What is known of how far the scores can be trusted.
    pub checks: Vec<Check>,
}

/// How far contributions add up to what they should.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Completeness {
    /// What they should add up to, in units of what is explained.
    pub promised: f64,
    /// How far they are from it, in the same units.
    pub error: f64,
    /// That error as a part of what was promised.
    pub relative: f64,
}

const COMPONENT: Component = Component {
    tag: "ecco-saliency",
    view: "saliency-5",
    css: include_str!("view.css"),
    js: include_str!("view.js"),
};

/// Sources named under the tokens, and in a console.
const N_TOP: usize = 5;

impl Saliency {
    /// Rows that belong to a target.
    pub(crate) fn rows(&self) -> &[Vec<f32>] {
        &self.scores[..self.scores.len().min(self.n_targets())]
    }

    fn n_targets(&self) -> usize {
        match &self.targets {
            Targets::Written => self.tokens.len().saturating_sub(self.n_input),
            Targets::Named(targets) => targets.len(),
        }
    }

    /// The values of row `k` that belong to a box.
    pub(crate) fn row(&self, k: usize) -> &[f32] {
        self.rows()
            .get(k)
            .map_or(&[], |row| &row[..row.len().min(self.tokens.len())])
    }

    pub(crate) fn label(&self, position: usize) -> String {
        self.tokens.get(position).map_or_else(String::new, visible::label)
    }

    /// A contribution for people: `14%`, `+0.21`.
    fn number(&self, value: f32) -> String {
        match self.scale {
            Scale::Shares => numbers::share(value.into()),
            Scale::Signed => numbers::signed(value.into()),
        }
    }

    /// `gradient × input · probability`
    pub(crate) fn about(&self) -> String {
        let parts = [self.method.as_str(), self.of.as_str()];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        visible::plain(&parts.join(" · "), false)
    }

    fn n_targets_text(&self) -> String {
        let n = self.rows().len();
        let what = match self.targets {
            Targets::Written => "generated token",
            Targets::Named(_) => "target",
        };
        let plural = if n == 1 { "" } else { "s" };
        format!("{n} {what}{plural}")
    }

    /// The target of row `k` beside a picture: its name, and where it stands.
    pub(crate) fn target_label(&self, k: usize) -> (String, Option<usize>) {
        match &self.targets {
            Targets::Written => (self.label(self.n_input + k), Some(self.n_input + k)),
            Targets::Named(targets) => match targets.get(k) {
                Some(target) => (target.names(), target.position),
                None => (String::new(), None),
            },
        }
    }

    /// What is wrong with the scores, for people.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let (n_targets, n_rows) = (self.n_targets(), self.scores.len());
        let what = match self.targets {
            Targets::Written => "generated token",
            Targets::Named(_) => "target",
        };
        if self.scores.is_empty() {
            notes.push(format!("no saliency to show: there is no {what}"));
        } else if n_rows != n_targets {
            notes.push(format!("{n_rows} rows of scores for {n_targets} {what}s"));
        }
        let rows = self.rows();
        let is_finite = |row: &&Vec<f32>| row.iter().all(|v| v.is_finite());
        let not_finite = rows.iter().filter(|row| !is_finite(row)).count();
        if not_finite > 0 {
            let n = rows.len();
            notes.push(format!(
                "{not_finite} of {n} rows hold values that are not finite"
            ));
        }
        let odd: Vec<usize> = (0..rows.len())
            .filter(|&k| !self.is_length(k, rows[k].len()))
            .collect();
        if let Some(&k) = odd.first() {
            let (n, expected) = (odd.len(), self.expected_length(k));
            notes.push(format!(
                "{n} rows of unexpected length: row {k} has {} values, not {expected}",
                rows[k].len()
            ));
        }
        notes
    }

    fn expected_length(&self, k: usize) -> usize {
        match self.targets {
            Targets::Written => self.n_input + k,
            Targets::Named(_) => self.tokens.len(),
        }
    }

    /// A named target may stand anywhere: its row ends where it depends on nothing more.
    fn is_length(&self, k: usize, length: usize) -> bool {
        match self.targets {
            Targets::Written => length == self.expected_length(k),
            Targets::Named(_) => length <= self.expected_length(k),
        }
    }

    /// What stands in the boxes of a page: tokens, where they are known.
    pub(crate) fn boxes(&self) -> &[Token] {
        match self.has_pieces() {
            true => &self.pieces,
            false => &self.tokens,
        }
    }

    fn has_pieces(&self) -> bool {
        self.spans.len() == self.tokens.len()
            && self
                .spans
                .last()
                .is_some_and(|&(_, end)| end == self.pieces.len())
    }

    /// The boxes of what row `k` has value `i` of, as far as the target may draw on them.
    fn span(&self, k: usize, i: usize) -> Range<usize> {
        match self.spans.get(i).filter(|_| self.has_pieces()) {
            Some(&(start, end)) => start..end.min(self.reach_of(k)).max(start),
            None => i..i + 1,
        }
    }

    /// So many boxes target `k` may draw on.
    fn reach_of(&self, k: usize) -> usize {
        match self.reach.get(k) {
            Some(&reach) if self.has_pieces() => reach,
            _ if self.has_pieces() => self.pieces.len(),
            _ => self.row(k).len(),
        }
    }

    /// The label of some boxes together.
    fn span_label(&self, span: &Range<usize>) -> String {
        let labels = self
            .boxes()
            .get(span.clone())
            .unwrap_or_default()
            .iter()
            .map(visible::label);
        visible::cut(&labels.collect::<String>(), 24)
    }

    /// Row `k`'s values that are largest, and how many boxes' values it has.
    fn top(&self, k: usize) -> (Vec<(Range<usize>, f32)>, usize) {
        let row = self.row(k);
        let spans = rows::top(row, N_TOP)
            .into_iter()
            .map(|i| (self.span(k, i), row[i]));
        let n = (0..row.len()).filter(|&i| !self.span(k, i).is_empty()).count();
        (spans.filter(|(span, _)| !span.is_empty()).collect(), n)
    }

    /// The sources of row `k` that contribute most: `·b₁ 75%`.
    fn sources(&self, k: usize) -> String {
        let source = |(span, value): (Range<usize>, f32)| {
            let place = names::position(span.start);
            format!("{}{place} {}", self.span_label(&span), self.number(value))
        };
        let sources: Vec<String> = self.top(k).0.into_iter().map(source).collect();
        match sources.is_empty() {
            true => "–".to_owned(),
            false => sources.join(", "),
        }
    }
}

impl Document for Saliency {
    const TYPE: &'static str = "saliency";
}

/// That of a document, which does not say how far off the notes of a check are: the numbers beside them do.
pub(crate) fn read(document: &Value) -> Result<Saliency, Error> {
    let mut saliency: Saliency = reading::read(document)?;
    let off: Vec<f64> = saliency
        .completeness
        .iter()
        .map(|of| of.map_or(0.0, |of| of.relative))
        .collect();
    for check in saliency
        .checks
        .iter_mut()
        .filter(|check| check.name == "completeness")
    {
        check
            .notes
            .iter_mut()
            .zip(&off)
            .for_each(|(note, off)| note.off = *off);
    }
    Ok(saliency)
}

impl Explorable for Saliency {
    /// For each target the sources it draws on most.
    fn text(&self) -> String {
        let mut text = format!("input saliency · {} · {}", self.about(), self.n_targets_text());
        let digits = self.tokens.len().to_string().len();
        for k in 0..self.rows().len() {
            let target = match &self.targets {
                Targets::Written => {
                    let position = self.n_input + k;
                    format!("{position:>digits$} {}", visible::cut(&self.label(position), 24))
                }
                Targets::Named(targets) => targets[k].line(),
            };
            text.push_str(&format!("\n{target} ← {}", self.sources(k)));
        }
        for note in self.notes() {
            text.push_str(&format!("\n⚠ {note}"));
        }
        for check in &self.checks {
            text.push_str(&format!("\n{}", check.line()));
        }
        text
    }

    /// A heat map of targets over the tokens before them.
    fn svg(&self) -> Option<String> {
        picture::heat_map(self)
    }

    fn html(&self) -> Option<String> {
        Some(COMPONENT.render(&content::content(self), self))
    }

    fn json(&self) -> Option<Value> {
        document::json(self)
    }

    fn alt_text(&self) -> Option<String> {
        Some(format!(
            "Input saliency ({}): how much each earlier token contributed to {}",
            self.about(),
            self.n_targets_text()
        ))
    }
}
