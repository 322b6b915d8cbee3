//! What a model says of a text that it has read: bars for the tokens that it predicts, for labels or for answers, a
//! label or a probability under each token that has its own. `entities` has tokens of one thing together.

mod entities;
mod statement;
#[cfg(test)]
mod tests;

use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::Explorable;
use crate::kit::boxes::{Extra, flow};
use crate::kit::document::Document;
use crate::kit::page::Component;
use crate::kit::{Token, document, numbers, visible};

pub(crate) use self::statement::read;
use self::statement::{Detail, detail};
pub use self::statement::{Place, Span, Statement, TokenLabels};

const COMPONENT: Component = Component {
    tag: "ecco-reading",
    view: "reading-1",
    css: include_str!("view.css"),
    js: include_str!("view.js"),
};

/// A text as a model read it, and what it says.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Reading {
    /// The model's name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// As it was given.
    pub text: String,
    /// As the model read it.
    pub tokens: Vec<Token>,
    /// What the decoder beside an encoder was given as written; missing for models of one stack.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub target: Vec<Token>,
    #[serde(flatten, serialize_with = "detail")]
    #[schemars(with = "Detail<'_>")]
    pub said: Statement,
}

/// Labels beyond this many are not drawn; the data has them.
const MOST_LABELS: usize = 20;

impl Statement {
    pub fn add_token(&mut self, position: usize, candidates: Vec<(Token, f32)>) {
        let place = Place { position, candidates };
        match self {
            Self::Tokens { places } => places.push(place),
            other => *other = Self::Tokens { places: vec![place] },
        }
    }

    pub fn add_replaced(&mut self, probability: f32) {
        match self {
            Self::Replaced { probabilities } => probabilities.push(probability),
            other => {
                *other = Self::Replaced {
                    probabilities: vec![probability],
                }
            }
        }
    }

    pub fn add_token_label(&mut self, position: usize, labels: Vec<(String, f32)>) {
        let token = TokenLabels { position, labels };
        match self {
            Self::TokenLabels { tokens } => tokens.push(token),
            other => *other = Self::TokenLabels { tokens: vec![token] },
        }
    }

    pub fn add_value(&mut self, name: &str, value: f32) {
        let value = (name.to_owned(), value);
        match self {
            Self::Values { values } => values.push(value),
            other => *other = Self::Values { values: vec![value] },
        }
    }

    pub fn add_span(&mut self, start: usize, end: usize, text: &str, score: f32) {
        let span = Span {
            start,
            end,
            text: text.to_owned(),
            score,
        };
        match self {
            Self::Spans { spans } => spans.push(span),
            other => *other = Self::Spans { spans: vec![span] },
        }
    }

    pub fn add_label(&mut self, name: &str, probability: f32, are_independent: bool) {
        let label = (name.to_owned(), probability);
        match self {
            Self::Labels { labels, .. } => labels.push(label),
            other => {
                *other = Self::Labels {
                    labels: vec![label],
                    independent: are_independent,
                }
            }
        }
    }

    /// What is drawn as bars.
    fn groups(&self, spoken: &[Token]) -> Vec<Group> {
        match self {
            Self::TokenLabels { tokens } => entities::groups(tokens, spoken),
            Self::Values { values } => {
                let bars = values.iter().take(MOST_LABELS);
                let bars = bars.map(|(name, value)| Bar::of_value(name, *value));
                vec![Group {
                    title: None,
                    bars: bars.collect(),
                }]
            }
            Self::Spans { spans } => {
                let bars = spans.iter().map(|span| Bar::of_label(&span.text, span.score));
                vec![Group {
                    title: Some("answers".to_owned()),
                    bars: bars.collect(),
                }]
            }
            Self::Tokens { places } => places.iter().map(Group::of_place).collect(),
            Self::Labels { labels, .. } => {
                let bars = labels.iter().take(MOST_LABELS);
                let bars = bars.map(|(name, probability)| Bar::of_label(name, *probability));
                vec![Group {
                    title: None,
                    bars: bars.collect(),
                }]
            }
            Self::Nothing { .. } | Self::Replaced { .. } => vec![],
        }
    }

    fn note(&self) -> Option<String> {
        match self {
            Self::Nothing { reason } => Some(visible::plain(reason, false)),
            Self::Labels { labels, independent } => {
                let hidden = labels.len().saturating_sub(MOST_LABELS);
                let more = (hidden > 0).then(|| format!("{hidden} less probable labels are not shown"));
                let each = independent.then(|| "each label for itself".to_owned());
                let notes: Vec<String> = each.into_iter().chain(more).collect();
                (!notes.is_empty()).then(|| notes.join("; "))
            }
            Self::TokenLabels { .. } => Some("the most probable label of each token".to_owned()),
            Self::Values { .. } => Some("a value, not a probability".to_owned()),
            Self::Spans { .. } => Some("where the answer may be".to_owned()),
            Self::Replaced { .. } => Some("how probable it is that each token was replaced".to_owned()),
            Self::Tokens { .. } => None,
        }
    }
}

/// Bars that belong together.
struct Group {
    title: Option<String>,
    bars: Vec<Bar>,
}

struct Bar {
    label: String,
    markup: Markup,
    /// What is beside it, as text.
    number: String,
    /// How long it is, in 0..=1; none where the number is no share of anything.
    share: Option<f32>,
}

impl Group {
    fn of_place(place: &Place) -> Self {
        let bars = place
            .candidates
            .iter()
            .map(|(token, probability)| Bar::of_token(token, *probability));
        Self {
            title: Some(format!("position {}", place.position)),
            bars: bars.collect(),
        }
    }
}

impl Bar {
    fn of_token(token: &Token, probability: f32) -> Self {
        Self {
            label: visible::label(token),
            markup: visible::label_html(token),
            number: numbers::share(f64::from(probability)),
            share: Some(probability),
        }
    }

    fn of_label(name: &str, probability: f32) -> Self {
        let label = visible::plain(name, false);
        Self {
            markup: html! { bdi { (label) } },
            label,
            number: numbers::share(f64::from(probability)),
            share: Some(probability),
        }
    }

    fn of_value(name: &str, value: f32) -> Self {
        Self {
            number: match value.is_finite() {
                true => numbers::minus(&format!("{value:.3}")),
                false => "–".to_owned(),
            },
            share: None,
            ..Self::of_label(name, value)
        }
    }

    fn text(&self) -> String {
        format!("{} {}", self.label, self.number)
    }

    fn html(&self) -> Markup {
        html! {
            li {
                span class="name" { (self.markup) } " "
                @if let Some(share) = self.share {
                    span class="track" { span style=(numbers::width(share.into())) {} } " "
                }
                em { (self.number) }
            }
        }
    }
}

impl Reading {
    /// The first thing that is said, on one line: `·capital 93%`.
    pub fn best(&self) -> Option<String> {
        self.said
            .groups(self.spoken())
            .first()?
            .bars
            .first()
            .map(Bar::text)
    }

    /// The tokens that the predictions are about: of two stacks, the second's.
    fn spoken(&self) -> &[Token] {
        if self.target.is_empty() {
            &self.tokens
        } else {
            &self.target
        }
    }

    fn spoken_html(&self) -> Markup {
        let spoken = self.spoken();
        let predicted: Vec<usize> = match &self.said {
            Statement::Tokens { places } => places.iter().map(|place| place.position).collect(),
            _ => vec![],
        };
        let extra = |position: usize| {
            let Mark { strength, below } = match predicted.contains(&position) {
                true => Mark::full(),
                false => self.said.mark(position),
            };
            let strength = strength.filter(|strength| strength.is_finite());
            Extra {
                title: spoken.get(position).map(|token| format!("id {}", token.id)),
                style: strength.map(|strength| format!("--s:{:.3}", strength.clamp(0.0, 1.0))),
                below,
                ..Extra::default()
            }
        };
        let behind = predicted.iter().any(|&position| position >= spoken.len());
        html! {
            div class="flow" {
                (flow(spoken, 0, usize::MAX, extra))
                @if behind { b title="what follows" { "▸" } }
            }
        }
    }
}

/// How a token is drawn: how strongly coloured, and what stands below it.
#[derive(Default)]
struct Mark {
    strength: Option<f32>,
    below: Option<String>,
}

impl Mark {
    fn full() -> Self {
        Self {
            strength: Some(1.0),
            below: None,
        }
    }
}

impl Statement {
    fn mark(&self, position: usize) -> Mark {
        match self {
            Self::Replaced { probabilities } => {
                let probability = probabilities.get(position).copied();
                Mark {
                    strength: probability,
                    below: probability.map(|probability| numbers::share(f64::from(probability))),
                }
            }
            Self::TokenLabels { tokens } => entities::mark(tokens, position),
            Self::Spans { spans } => match spans.first() {
                Some(best) if (best.start..=best.end).contains(&position) => Mark::full(),
                _ => Mark::default(),
            },
            Self::Nothing { .. } | Self::Tokens { .. } | Self::Labels { .. } | Self::Values { .. } => {
                Mark::default()
            }
        }
    }
}

impl Document for Reading {
    const TYPE: &'static str = "reading";
}

impl Explorable for Reading {
    /// The text, then a line for each prediction.
    fn text(&self) -> String {
        let mut lines = vec![visible::plain(&self.text, true)];
        if !self.target.is_empty() {
            let target: Vec<String> = self.target.iter().map(visible::label).collect();
            lines.push(format!("written: {}", target.join(" ")));
        }
        if let Statement::TokenLabels { tokens } = &self.said {
            lines.push(entities::line(tokens, &self.tokens));
        }
        if let Statement::Replaced { probabilities } = &self.said {
            let each = self.tokens.iter().zip(probabilities);
            let each = each.map(|(token, probability)| Bar::of_token(token, *probability));
            lines.push(each.map(|bar| bar.text()).collect::<Vec<_>>().join(", "));
        }
        for group in self.said.groups(self.spoken()) {
            let bars: Vec<String> = group.bars.iter().map(Bar::text).collect();
            let title = group.title.map_or(String::new(), |title| format!("{title}: "));
            lines.push(format!("{title}{}", bars.join(", ")));
        }
        lines.extend(self.said.note().map(|note| format!("({note})")));
        lines.join("\n")
    }

    fn html(&self) -> Option<String> {
        let read = |position: usize| Extra {
            title: self.tokens.get(position).map(|token| format!("id {}", token.id)),
            ..Extra::default()
        };
        let note = self.said.note();
        let content = html! {
            div class="ecco reading" {
                div class="head" { b { "What the model says" } @if let Some(note) = note { " " span { (note) } } }
                @if !self.target.is_empty() {
                    div class="flow" { (flow(&self.tokens, 0, usize::MAX, read)) }
                    div class="head" { span { "written so far" } }
                }
                (self.spoken_html())
                @let groups = self.said.groups(self.spoken());
                @if !groups.is_empty() {
                    div class="groups" {
                        @for group in groups {
                            div {
                                @if let Some(title) = group.title { small { (title) } }
                                ul { @for bar in group.bars { (bar.html()) } }
                            }
                        }
                    }
                }
            }
        };
        Some(COMPONENT.render(&content, self))
    }

    fn json(&self) -> Option<Value> {
        document::json(self)
    }
}
