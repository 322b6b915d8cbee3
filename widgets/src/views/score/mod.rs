//! A text, and how surprising each of its tokens is to a model that reads it.

#[cfg(test)]
mod tests;

mod picture;

use maud::{Markup, html};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Error, Value};

use crate::Explorable;
use crate::kit::boxes::{Extra, flow, flow_of_pair, legend};
use crate::kit::document::Document;
use crate::kit::page::{Component, note};
use crate::kit::{Candidate, StoredCandidate, Token};
use crate::kit::{colour, document, numbers, reading, rows, visible};

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Score {
    /// The model's name, where it is known.
    pub model: Option<String>,
    pub tokens: Vec<Token>,
    /// The first so many are context: they are read, not scored.
    pub n_input: usize,
    /// The context was read by an encoder, the rest by the decoder beside it.
    pub is_pair: bool,
    /// One for each token; `None` where the model said nothing before it.
    pub scored: Vec<Option<ScoredToken>>,
    pub vocab_size: usize,
}

/// What a model thought of a token before it read it.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredToken {
    /// Natural logarithm.
    pub log_probability: f32,
    /// 1 is the most probable token of the vocabulary.
    pub rank: u32,
    /// The most probable token there, and its probability.
    pub best: Option<(Token, f32)>,
}

const COMPONENT: Component = Component {
    tag: "ecco-score",
    view: "score-2",
    css: include_str!("view.css"),
    js: include_str!("view.js"),
};

impl ScoredToken {
    pub fn probability(&self) -> f64 {
        f64::from(self.log_probability).exp()
    }

    /// Surprisal.
    pub fn bits(&self) -> f32 {
        -self.log_probability / std::f32::consts::LN_2
    }
}

impl Score {
    fn at(&self, position: usize) -> Option<&ScoredToken> {
        self.scored.get(position)?.as_ref()
    }

    /// Surprisal by token; no number where there is none.
    pub(crate) fn bits(&self) -> Vec<f32> {
        let bits = |position| self.at(position).map_or(f32::NAN, ScoredToken::bits);
        (0..self.tokens.len()).map(bits).collect()
    }

    /// That of a blind guess: where the scale of colours ends.
    pub(crate) fn ceiling(&self) -> f32 {
        (self.vocab_size.max(2) as f32).log2()
    }

    fn n_scored(&self) -> usize {
        self.bits().iter().filter(|bits| bits.is_finite()).count()
    }

    /// Mean surprisal in bits per token; `None` where nothing is scored.
    pub fn mean_bits(&self) -> Option<f64> {
        let bits = self.bits().into_iter().filter(|bits| bits.is_finite());
        let sum: f64 = bits.map(f64::from).sum();
        (self.n_scored() > 0).then(|| sum / self.n_scored() as f64)
    }

    /// How many equally probable tokens would be as surprising on average.
    pub fn perplexity(&self) -> Option<f64> {
        self.mean_bits().map(f64::exp2)
    }

    /// The figures of the whole text: `perplexity 23.4`.
    fn figures(&self) -> Vec<String> {
        let plural = if self.n_scored() == 1 { "" } else { "s" };
        let mut figures = vec![format!("{} scored token{plural}", self.n_scored())];
        if let (Some(perplexity), Some(bits)) = (self.perplexity(), self.mean_bits()) {
            figures.push(format!("perplexity {}", numbers::short(perplexity)));
            figures.push(format!("{bits:.2} bits per token"));
        }
        figures
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.scored.len() != self.tokens.len() {
            notes.push(format!(
                "{} scores for {} tokens",
                self.scored.len(),
                self.tokens.len()
            ));
        }
        let odd = self
            .scored
            .iter()
            .flatten()
            .filter(|scored| !scored.bits().is_finite());
        match odd.count() {
            0 => {}
            n => notes.push(format!("{n} tokens have a probability of 0 or no number")),
        }
        if self.n_scored() == 0 {
            notes.push("nothing is scored: the first token of a text has nothing before it".to_owned());
        }
        notes
    }

    /// `probability 0.25%, 8.6 bits, rank 120`
    fn line(&self, scored: &ScoredToken) -> String {
        let probability = numbers::fine_share(scored.probability());
        format!(
            "{probability}, {:.1} bits, rank {}",
            scored.bits(),
            numbers::rank(scored.rank.into())
        )
    }

    fn content(&self) -> Markup {
        html! {
            div class="ecco score" data-labels=(visible::exceptions(self.best())) {
                div class="head" {
                    b { "Surprisal" } " "
                    @for figure in self.figures() { span { (figure) } " " }
                    (legend("0", &format!("{:.0} bits: a blind guess", self.ceiling())))
                }
                @for text in self.notes() { (note(&text)) }
                div class="flow" {
                    @if self.is_pair { (flow_of_pair(&self.tokens, self.n_input, |i| self.extra(i))) }
                    @else { (flow(&self.tokens, 0, self.n_input, |i| self.extra(i))) }
                }
                @if let Some(&position) = rows::top(&self.bits(), 1).first() {
                    div class="readout" { (self.readout(position)) }
                }
            }
        }
    }

    fn extra(&self, position: usize) -> Extra {
        let Some(scored) = self.at(position) else {
            return Extra {
                below: Some(String::new()),
                ..Extra::default()
            };
        };
        let strength = scored.bits() / self.ceiling();
        let strength = if strength.is_finite() {
            strength.clamp(0.0, 1.0)
        } else {
            1.0
        };
        let (ground, text) = (
            colour::hex(colour::scale(strength)),
            colour::text_on_scale(strength),
        );
        let s = (strength * 1000.0).round() / 1000.0;
        Extra {
            style: Some(format!("--s:{s};background-color:{ground};color:{text}")),
            below: Some(short_bits(scored.bits())),
            ..Extra::default()
        }
    }

    /// The script's `describe` writes the same.
    fn readout(&self, position: usize) -> Markup {
        html! {
            @if let (Some(token), Some(scored)) = (self.tokens.get(position), self.at(position)) {
                span class="what" { (visible::label_html(token)) " " small { (position) } " " (self.line(scored)) }
                @if let Some((best, probability)) = &scored.best {
                    span { "most probable: " (visible::label_html(best)) " " (numbers::share(f64::from(*probability))) }
                }
            }
        }
    }

    /// The tokens that are most probable in some place.
    fn best(&self) -> impl Iterator<Item = &Token> {
        let best = self
            .scored
            .iter()
            .flatten()
            .filter_map(|scored| scored.best.as_ref());
        best.map(|(token, _)| token)
    }

    fn data(&self) -> Data<'_> {
        let each = |of: fn(&ScoredToken) -> f32| {
            let all = self.scored.iter();
            all.map(|scored| scored.as_ref().map_or(f32::NAN, of)).collect()
        };
        let rank = |scored: &Option<ScoredToken>| scored.as_ref().map(|scored| scored.rank);
        Data {
            model: self.model.as_deref(),
            tokens: &self.tokens,
            n_input: self.n_input,
            is_pair: self.is_pair,
            vocab_size: self.vocab_size,
            perplexity: self.perplexity(),
            bits_per_token: self.mean_bits(),
            log_probabilities: each(|scored| scored.log_probability),
            probabilities: each(|scored| scored.probability() as f32),
            bits: each(ScoredToken::bits),
            ranks: self.scored.iter().map(rank).collect(),
            most_probable: self.scored.iter().map(most_probable).collect(),
        }
    }
}

/// `28`, `5.2`; `<1` where a token is no surprise.
fn short_bits(bits: f32) -> String {
    match bits {
        _ if bits.is_nan() => "–".to_owned(),
        _ if bits.is_infinite() => "∞".to_owned(),
        _ if bits < 1.0 => "<1".to_owned(),
        _ if bits < 9.95 => format!("{bits:.1}"),
        _ => format!("{bits:.0}"),
    }
}

fn most_probable(scored: &Option<ScoredToken>) -> Option<Candidate<'_>> {
    scored.as_ref()?.best.as_ref().map(Candidate::from)
}

/// A text, and how surprising each of its tokens is to a model that reads it.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Data<'a> {
    /// The model's name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    /// The text.
    tokens: &'a [Token],
    /// The first so many are context: they are read, not scored.
    n_input: usize,
    /// The context was read by an encoder, the rest by the decoder beside it.
    is_pair: bool,
    /// Tokens that the model knows.
    vocab_size: usize,
    /// How many equally probable tokens would be as surprising on average.
    perplexity: Option<f64>,
    /// Mean surprisal of the scored tokens.
    bits_per_token: Option<f64>,
    /// Natural logarithms, by token; `null` where a token is not scored.
    log_probabilities: Vec<f32>,
    /// By token, in 0..=1.
    probabilities: Vec<f32>,
    /// Surprisal by token, in bits.
    bits: Vec<f32>,
    /// By token; 1 is the most probable token of the vocabulary.
    ranks: Vec<Option<u32>>,
    /// By token, the most probable one in its place.
    most_probable: Vec<Option<Candidate<'a>>>,
}

impl Document for Data<'_> {
    const TYPE: &'static str = "score";
}

/// What of a document makes the others.
#[derive(Deserialize)]
struct Stored {
    model: Option<String>,
    tokens: Vec<Token>,
    n_input: usize,
    is_pair: bool,
    vocab_size: usize,
    log_probabilities: Vec<f32>,
    ranks: Vec<Option<u32>>,
    most_probable: Vec<Option<StoredCandidate>>,
}

/// That of a document.
pub(crate) fn read(document: &Value) -> Result<Score, Error> {
    let stored: Stored = reading::read(document)?;
    let each = stored.log_probabilities.into_iter().zip(stored.ranks);
    let scored = each
        .zip(stored.most_probable)
        .map(|((log_probability, rank), best)| {
            Some(ScoredToken {
                log_probability,
                rank: rank?,
                best: best.map(Into::into),
            })
        });
    Ok(Score {
        model: stored.model,
        tokens: stored.tokens,
        n_input: stored.n_input,
        is_pair: stored.is_pair,
        scored: scored.collect(),
        vocab_size: stored.vocab_size,
    })
}

impl Explorable for Score {
    /// A line for each scored token.
    fn text(&self) -> String {
        let mut text = format!("text score · {}", self.figures().join(" · "));
        let digits = self.tokens.len().to_string().len();
        for (position, token) in self.tokens.iter().enumerate() {
            let Some(scored) = self.at(position) else {
                continue;
            };
            let label = visible::cut(&visible::label(token), 24);
            text.push_str(&format!("\n{position:>digits$} {label}: {}", self.line(scored)));
            if let Some((best, probability)) = scored.best.as_ref().filter(|_| scored.rank > 1) {
                let (best, share) = (
                    visible::cut(&visible::label(best), 24),
                    numbers::share(f64::from(*probability)),
                );
                text.push_str(&format!("; most probable: {best} {share}"));
            }
        }
        for note in self.notes() {
            text.push_str(&format!("\n⚠ {note}"));
        }
        text
    }

    /// Bars of surprisal over the tokens.
    fn svg(&self) -> Option<String> {
        picture::bars(self)
    }

    fn html(&self) -> Option<String> {
        Some(COMPONENT.render(&self.content(), &self.data()))
    }

    fn json(&self) -> Option<Value> {
        document::json(&self.data())
    }

    fn alt_text(&self) -> Option<String> {
        Some(format!(
            "Surprisal of a text's tokens: {}",
            self.figures().join(", ")
        ))
    }
}
