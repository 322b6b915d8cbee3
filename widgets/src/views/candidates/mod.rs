//! The most probable tokens, or labels, as a table: what a model might have said.

#[cfg(test)]
mod tests;

use maud::{Markup, html};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Error, Value};

use crate::Explorable;
use crate::kit::Token;
use crate::kit::document::Document;
use crate::kit::page::{self, Component};
use crate::kit::{document, grid, numbers, reading, visible};

const COMPONENT: Component = Component {
    tag: "ecco-candidates",
    view: "candidates-2",
    css: include_str!("view.css"),
    js: include_str!("view.js"),
};

/// What might stand at some places.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidates {
    /// The model's name, where it is known.
    pub model: Option<String>,
    pub places: Vec<CandidatePlace>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct CandidatePlace {
    /// Where it is; `None` for what is said of the whole text.
    pub position: Option<usize>,
    /// What is read before, where only that counts.
    pub before: Vec<Token>,
    /// Best first.
    pub rows: Vec<Candidate>,
    /// The one that was taken where it is not among these, with its rank.
    pub chosen: Option<Candidate>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// 1 is the most probable; 0 where the probabilities are no numbers, and nothing is ranked.
    pub rank: usize,
    pub label: CandidateLabel,
    pub probability: f32,
    /// It is what stands in the text.
    pub is_chosen: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum CandidateLabel {
    Token(Token),
    Name(String),
}

impl CandidateLabel {
    fn text(&self) -> String {
        match self {
            Self::Token(token) => visible::label(token),
            Self::Name(name) => visible::plain(name, false),
        }
    }

    fn markup(&self) -> Markup {
        match self {
            Self::Token(token) => visible::label_html(token),
            Self::Name(name) => html! { bdi { (visible::plain(name, false)) } },
        }
    }

    fn id(&self) -> Option<u32> {
        match self {
            Self::Token(token) => Some(token.id),
            Self::Name(_) => None,
        }
    }
}

impl CandidatePlace {
    fn all(&self) -> impl Iterator<Item = &Candidate> {
        self.rows.iter().chain(&self.chosen)
    }

    fn title(&self) -> String {
        match self.position {
            Some(position) => format!("position {position}"),
            None => "the whole text".to_owned(),
        }
    }

    fn where_text(&self) -> String {
        let before = if self.position.is_some() { " at " } else { " for " };
        before.to_owned() + &self.title()
    }

    fn blank(&self) -> Markup {
        html! { @if !self.before.is_empty() { " " span { (grid::blank(&self.before)) } } }
    }

    /// `is_only`: the head of all says which place it is.
    fn table(&self, is_only: bool) -> Markup {
        html! {
            div class="place" {
                @if !is_only { div class="head" { b { (self.title()) } (self.blank()) } }
                table {
                    @for candidate in self.all() { (row(candidate)) }
                }
            }
        }
    }
}

fn row(candidate: &Candidate) -> Markup {
    html! {
        tr class=[candidate.is_chosen.then_some("taken")] title=[candidate.label.id().map(|id| format!("id {id}"))] {
            td { (numbers::rank(candidate.rank as u64)) }
            th scope="row" { (candidate.label.markup()) @if candidate.is_chosen { " " small title="what stands in the text" { "◂" } } }
            td class="track" { span style=(numbers::width(candidate.probability.into())) {} }
            td { (numbers::share(f64::from(candidate.probability))) }
        }
    }
}

/// The most probable tokens, or labels, at some places.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Data<'a> {
    /// The model's name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    /// What might stand at each place.
    places: Vec<PlaceData<'a>>,
}

/// What might stand at one place.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CandidatePlace")]
struct PlaceData<'a> {
    /// From 0 on; `null` for what is said of the whole text.
    position: Option<usize>,
    /// What is read before it; missing where nothing is, or where all of the text counts.
    #[serde(skip_serializing_if = "<[Token]>::is_empty")]
    before: &'a [Token],
    /// Best first; the one that was taken last, where it is not among these.
    candidates: Vec<CandidateData<'a>>,
}

/// A token or label that might stand there.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CandidateRow")]
struct CandidateData<'a> {
    /// 1 is the most probable.
    rank: usize,
    /// The token's text, or the label.
    label: &'a str,
    /// In 0..=1.
    probability: f32,
    /// It is what stands in the text.
    chosen: bool,
    /// The token's number in the vocabulary.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u32>,
    /// Which part of a split character the token is: `(1, 4)` is the first of four.
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<(u8, u8)>,
}

/// The same as they are read from a document.
#[derive(Deserialize)]
struct Stored {
    model: Option<String>,
    places: Vec<StoredPlace>,
}

#[derive(Deserialize)]
struct StoredPlace {
    position: Option<usize>,
    #[serde(default)]
    before: Vec<Token>,
    candidates: Vec<StoredRow>,
}

#[derive(Deserialize)]
struct StoredRow {
    rank: usize,
    label: String,
    probability: f32,
    chosen: bool,
    id: Option<u32>,
    part: Option<(u8, u8)>,
}

impl From<StoredRow> for Candidate {
    fn from(stored: StoredRow) -> Self {
        let (text, part) = (stored.label, stored.part);
        Self {
            rank: stored.rank,
            label: match stored.id {
                Some(id) => CandidateLabel::Token(Token { text, id, part }),
                None => CandidateLabel::Name(text),
            },
            probability: stored.probability,
            is_chosen: stored.chosen,
        }
    }
}

/// Those of a document.
///
/// # Errors
/// Fields that are missing or of another type.
pub(crate) fn read(document: &Value) -> Result<Candidates, Error> {
    let Stored { model, places } = reading::read(document)?;
    let place = |stored: StoredPlace| CandidatePlace {
        position: stored.position,
        before: stored.before,
        rows: stored.candidates.into_iter().map(Into::into).collect(),
        chosen: None,
    };
    Ok(Candidates {
        model,
        places: places.into_iter().map(place).collect(),
    })
}

impl Document for Data<'_> {
    const TYPE: &'static str = "candidates";
}

impl<'a> From<&'a Candidate> for CandidateData<'a> {
    fn from(candidate: &'a Candidate) -> Self {
        Self {
            rank: candidate.rank,
            label: match &candidate.label {
                CandidateLabel::Token(token) => &token.text,
                CandidateLabel::Name(name) => name,
            },
            probability: candidate.probability,
            chosen: candidate.is_chosen,
            id: candidate.label.id(),
            part: match &candidate.label {
                CandidateLabel::Token(token) => token.part,
                CandidateLabel::Name(_) => None,
            },
        }
    }
}

impl<'a> From<&'a CandidatePlace> for PlaceData<'a> {
    fn from(place: &'a CandidatePlace) -> Self {
        Self {
            position: place.position,
            before: &place.before,
            candidates: place.all().map(CandidateData::from).collect(),
        }
    }
}

impl Candidates {
    fn data(&self) -> Data<'_> {
        Data {
            model: self.model.as_deref(),
            places: self.places.iter().map(PlaceData::from).collect(),
        }
    }
}

impl Explorable for Candidates {
    fn text(&self) -> String {
        let mut lines = Vec::new();
        for place in &self.places {
            let before = match place.before.is_empty() {
                true => String::new(),
                false => format!(" · {}", grid::blank(&place.before)),
            };
            lines.push(format!("{}{before}", place.title()));
            let digits = place
                .all()
                .map(|candidate| candidate.rank)
                .max()
                .unwrap_or(0)
                .to_string()
                .len();
            for candidate in place.all() {
                let rank = match candidate.rank {
                    0 => "–".to_owned(),
                    rank => rank.to_string(),
                };
                let share = numbers::share(f64::from(candidate.probability));
                let mark = if candidate.is_chosen { "  ◂" } else { "" };
                let label = visible::cut(&candidate.label.text(), 24);
                lines.push(format!("{rank:>digits$} {share:>5}  {label}{mark}"));
            }
        }
        lines.join("\n")
    }

    fn html(&self) -> Option<String> {
        let content = html! {
            div class="ecco candidates" {
                @let is_only = self.places.len() == 1;
                div class="head" {
                    b { "Candidates" @if is_only { (self.places[0].where_text()) } }
                    @if is_only { (self.places[0].blank()) } @else { " " span { (self.places.len()) " positions" } }
                }
                @if self.places.is_empty() { (page::note("nothing is predicted")) }
                div class="places" { @for place in &self.places { (place.table(is_only)) } }
            }
        };
        Some(COMPONENT.render(&content, &self.data()))
    }

    fn json(&self) -> Option<Value> {
        document::json(&self.data())
    }
}
