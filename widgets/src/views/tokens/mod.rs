//! The token sequence: boxes with a position index, generated tokens marked.

#[cfg(test)]
mod tests;

use maud::html;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Explorable;
use crate::kit::Token;
use crate::kit::boxes::{Extra, flow};
use crate::kit::document::Document;
use crate::kit::page::Component;
use crate::kit::{document, numbers, page, visible};

/// Input and generated tokens in order.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct TokenSequence {
    /// The model's name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The whole text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Given and written.
    pub tokens: Vec<Token>,
    /// The first `n_input` tokens are the prompt.
    pub n_input: usize,
    /// Still being generated: the view shows a caret after the last token.
    pub in_progress: bool,
    /// Why it ended: "length", "end_of_text", "stop", "interrupted"; "given" where nothing was generated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish: Option<String>,
    /// By token, in 0..=1, where they are known; `null` where a token was given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probabilities: Vec<Option<f32>>,
    /// By token; 1 is the most probable token of the vocabulary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranks: Vec<Option<u32>>,
}

const COMPONENT: Component = Component {
    tag: "ecco-tokens",
    view: "tokens-3",
    css: include_str!("view.css"),
    js: include_str!("view.js"),
};

/// While tokens stream in, each one sends the view anew: only this many of the latest are in it.
const MOST_WHILE_IN_PROGRESS: usize = 400;

impl TokenSequence {
    /// `23 given, 20 written`.
    fn counts(&self) -> String {
        let (given, n) = (self.n_input.min(self.tokens.len()), self.tokens.len());
        let count = |n: usize| numbers::count(n as u64);
        match n > given || self.in_progress {
            true => format!("{} given, {} written", count(given), count(n - given)),
            false => count(n),
        }
    }
}

impl Document for TokenSequence {
    const TYPE: &'static str = "tokens";
}

impl Explorable for TokenSequence {
    /// The text itself, `│` before what was generated, `▌` while it goes on.
    fn text(&self) -> String {
        let mut text = String::new();
        for (position, token) in self.tokens.iter().enumerate() {
            if position == self.n_input {
                text.push('│');
            }
            if token.part.is_none_or(|(part, _)| part <= 1) {
                text.push_str(&visible::plain(&token.text, true));
            }
        }
        if self.in_progress {
            text.push('▌');
        }
        text
    }

    fn html(&self) -> Option<String> {
        let n = self.tokens.len();
        let skipped = if self.in_progress {
            n.saturating_sub(MOST_WHILE_IN_PROGRESS)
        } else {
            0
        };
        let extra = |position: usize| Extra {
            title: self.tokens.get(position).map(|token| format!("id {}", token.id)),
            ..Extra::default()
        };
        let content = html! {
            div class="ecco tokens" {
                div class="head" { b { "Tokens" } " " span { (self.counts()) } }
                @if n == 0 && !self.in_progress { (page::note("no tokens")) }
                div class="flow" {
                    @if skipped > 0 { b class="skipped" { "… " (skipped) " earlier tokens" } " " }
                    (flow(&self.tokens[skipped..], skipped, self.n_input, extra))
                    @if self.in_progress {
                        @if n == self.n_input { b { "▸" } " " }
                        b class="caret" title="generating" { "▌" }
                    }
                }
            }
        };
        Some(match self.in_progress {
            true => page::still(COMPONENT.css, &content),
            false => COMPONENT.render(&content, self),
        })
    }

    fn json(&self) -> Option<Value> {
        document::json(self)
    }
}
