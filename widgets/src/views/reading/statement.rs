//! What a model says of a text, and how documents have it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Error, Value};

use super::Reading;
use crate::kit::reading;
use crate::kit::{Candidate, StoredCandidate, Token, candidates};

/// What a model says of a text. Probabilities are between 0 and 1.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    Nothing {
        reason: String,
    },
    /// Tokens that are predicted at some places.
    Tokens {
        places: Vec<Place>,
    },
    /// By token: how probable it is that it was replaced.
    Replaced {
        probabilities: Vec<f32>,
    },
    /// Labels of single tokens.
    TokenLabels {
        tokens: Vec<TokenLabels>,
    },
    /// Values of the whole text.
    Values {
        values: Vec<(String, f32)>,
    },
    /// Parts of the text that may be the answer, the best first.
    Spans {
        spans: Vec<Span>,
    },
    /// Labels of the whole text, the most probable first.
    Labels {
        labels: Vec<(String, f32)>,
        /// Each for itself: they do not sum to 1.
        independent: bool,
    },
}

/// A position of the text, or the one behind it, and the most probable tokens there, best first.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Place {
    /// From 0 on.
    pub position: usize,
    /// Best first.
    #[serde(serialize_with = "candidates")]
    #[schemars(with = "Vec<Candidate<'_>>")]
    pub candidates: Vec<(Token, f32)>,
}

/// A token and its labels, the most probable first.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TokenLabels {
    /// From 0 on.
    pub position: usize,
    /// The most probable first.
    #[serde(serialize_with = "labels")]
    #[schemars(with = "Vec<Label<'_>>")]
    pub labels: Vec<(String, f32)>,
}

/// A part of a text that may be the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Span {
    /// Its first token, from 0 on.
    pub start: usize,
    /// Its last token.
    pub end: usize,
    /// What stands there.
    pub text: String,
    /// How probable it is that the answer starts and ends there, in 0..=1.
    pub score: f32,
}

fn labels<S: Serializer>(labels: &[(String, f32)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(labels.iter().map(Label::from))
}

/// A [`Statement`] in documents.
#[derive(Default, Serialize, JsonSchema)]
pub(super) struct Detail<'a> {
    /// Why the model says nothing of the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// Tokens that are predicted at some places.
    #[serde(skip_serializing_if = "Option::is_none")]
    predictions: Option<&'a [Place]>,
    /// By token: how probable it is that it was replaced, in 0..=1.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced: Option<&'a [f32]>,
    /// Labels of single tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_labels: Option<&'a [TokenLabels]>,
    /// Values of the whole text, which have no probability.
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<Vec<NamedValue<'a>>>,
    /// Parts of the text that may be the answer, the best first.
    #[serde(skip_serializing_if = "Option::is_none")]
    spans: Option<&'a [Span]>,
    /// Labels of the whole text, the most probable first.
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Vec<Label<'a>>>,
    /// Labels are each for itself: their probabilities do not sum to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    independent: Option<bool>,
}

/// What is told of a text as a number.
#[derive(Serialize, JsonSchema)]
struct NamedValue<'a> {
    /// Its name.
    label: &'a str,
    /// As the head gives it.
    value: f32,
}

/// A label and how probable it is.
#[derive(Serialize, JsonSchema)]
struct Label<'a> {
    /// Its name.
    label: &'a str,
    /// In 0..=1.
    probability: f32,
}

impl<'a> From<&'a (String, f32)> for Label<'a> {
    fn from((label, probability): &'a (String, f32)) -> Self {
        let probability = *probability;
        Self { label, probability }
    }
}

pub(super) fn detail<S: Serializer>(said: &Statement, serializer: S) -> Result<S::Ok, S::Error> {
    let mut detail = Detail::default();
    match said {
        Statement::Nothing { reason } => detail.reason = Some(reason),
        Statement::Tokens { places } => detail.predictions = Some(places),
        Statement::Replaced { probabilities } => detail.replaced = Some(probabilities),
        Statement::TokenLabels { tokens } => detail.token_labels = Some(tokens),
        Statement::Values { values } => {
            detail.values = Some(
                values
                    .iter()
                    .map(|(label, value)| NamedValue { label, value: *value })
                    .collect(),
            );
        }
        Statement::Spans { spans } => detail.spans = Some(spans),
        Statement::Labels { labels, independent } => {
            detail.labels = Some(labels.iter().map(Label::from).collect());
            detail.independent = Some(*independent);
        }
    }
    detail.serialize(serializer)
}

/// A document's fields.
#[derive(Deserialize)]
struct Stored {
    model: Option<String>,
    text: String,
    tokens: Vec<Token>,
    #[serde(default)]
    target: Vec<Token>,
    reason: Option<String>,
    predictions: Option<Vec<StoredPlace>>,
    replaced: Option<Vec<f32>>,
    token_labels: Option<Vec<StoredTokenLabels>>,
    values: Option<Vec<StoredValue>>,
    spans: Option<Vec<Span>>,
    #[serde(default)]
    labels: Vec<StoredLabel>,
    #[serde(default)]
    independent: bool,
}

#[derive(Deserialize)]
struct StoredPlace {
    position: usize,
    candidates: Vec<StoredCandidate>,
}

#[derive(Deserialize)]
struct StoredTokenLabels {
    position: usize,
    labels: Vec<StoredLabel>,
}

#[derive(Deserialize)]
struct StoredValue {
    label: String,
    value: f32,
}

#[derive(Deserialize)]
struct StoredLabel {
    label: String,
    probability: f32,
}

/// That of a document.
pub(crate) fn read(document: &Value) -> Result<Reading, Error> {
    let stored: Stored = reading::read(document)?;
    let place = |place: StoredPlace| Place {
        position: place.position,
        candidates: place.candidates.into_iter().map(Into::into).collect(),
    };
    let label = |label: StoredLabel| (label.label, label.probability);
    let token = |token: StoredTokenLabels| TokenLabels {
        position: token.position,
        labels: token.labels.into_iter().map(label).collect(),
    };
    let said = if let Some(reason) = stored.reason {
        Statement::Nothing { reason }
    } else if let Some(places) = stored.predictions {
        let places = places.into_iter().map(place).collect();
        Statement::Tokens { places }
    } else if let Some(probabilities) = stored.replaced {
        Statement::Replaced { probabilities }
    } else if let Some(tokens) = stored.token_labels {
        let tokens = tokens.into_iter().map(token).collect();
        Statement::TokenLabels { tokens }
    } else if let Some(values) = stored.values {
        let value = |value: StoredValue| (value.label, value.value);
        let values = values.into_iter().map(value).collect();
        Statement::Values { values }
    } else if let Some(spans) = stored.spans {
        Statement::Spans { spans }
    } else {
        Statement::Labels {
            labels: stored.labels.into_iter().map(label).collect(),
            independent: stored.independent,
        }
    };
    Ok(Reading {
        model: stored.model,
        text: stored.text,
        tokens: stored.tokens,
        target: stored.target,
        said,
    })
}
