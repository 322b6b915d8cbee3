//! The token sequence: boxes with a position index, generated tokens marked.

use maud::html;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::Explorable;
use crate::kit::Token;
use crate::kit::boxes::{Extra, flow};
use crate::kit::document::Document;
use crate::kit::{document, page, visible};

/// Input and generated tokens in order.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TokenSequence {
    /// Given and written.
    pub tokens: Vec<Token>,
    /// The first `n_input` tokens are the prompt.
    pub n_input: usize,
    /// Still being generated: the view shows a caret after the last token.
    pub in_progress: bool,
}

/// While tokens stream in, each one sends the view anew: only this many of the latest are in it.
const MOST_WHILE_IN_PROGRESS: usize = 400;

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
        Some(page::still(include_str!("view.css"), &content))
    }

    fn json(&self) -> Option<Value> {
        document::json(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Token {
        Token {
            text: text.to_owned(),
            id: 7,
            part: None,
        }
    }

    fn sequence(texts: &[&str], n_input: usize, in_progress: bool) -> TokenSequence {
        TokenSequence {
            tokens: texts.iter().map(|text| token(text)).collect(),
            n_input,
            in_progress,
        }
    }

    #[test]
    fn text_is_the_text_with_a_mark_before_what_was_generated() {
        assert_eq!(
            sequence(&["1", ".", " Austria", "\n"], 2, false).text(),
            "1.│ Austria\n"
        );
        assert_eq!(sequence(&["1", "."], 2, true).text(), "1.▌");
    }

    #[test]
    fn text_shows_a_split_character_once_and_no_escape_sequences() {
        let part = |n: u8| Token {
            text: "👩".into(),
            id: n.into(),
            part: Some((n, 4)),
        };
        let tokens = vec![token("a"), part(1), part(2), part(3), part(4), token("\u{1b}[2J")];
        let sequence = TokenSequence {
            tokens,
            n_input: 9,
            in_progress: false,
        };
        assert_eq!(sequence.text(), "a👩\\x1b[2J");
    }

    #[test]
    fn boxes_have_positions_marks_and_breaks() {
        let html = sequence(&["1", ".", " Austria", "\n"], 2, false).html().unwrap();
        assert!(
            html.contains("<span title=\"id 7\"><small>0</small> <bdi>1</bdi></span>"),
            "{html}"
        );
        let marker = html.find('▸').unwrap();
        assert!(
            html.find("<small>1</small>").unwrap() < marker
                && marker < html.find("<small>2</small>").unwrap()
        );
        assert!(
            html.contains(
                "<span class=\"g\" title=\"id 7\"><small>2</small> <bdi><i>·</i>Austria</bdi></span>"
            )
        );
        assert!(html.contains("<bdi><i>\\n</i></bdi></span>\n<br>"));
    }

    #[test]
    fn a_stream_stays_light() {
        let many = vec![" word"; 5000];
        let html = sequence(&many, 10, true).html().unwrap();
        assert!(html.contains("4600 earlier tokens") && html.contains("caret"));
        assert!(html.len() < 40_000, "{} bytes", html.len());
        let done = sequence(&many, 10, false).html().unwrap();
        assert_eq!(done.matches("<bdi>").count(), 5000);
    }

    #[test]
    fn nothing_to_show_is_said() {
        assert!(sequence(&[], 0, false).html().unwrap().contains("no tokens"));
    }

    #[test]
    fn markup_stays_text() {
        let html = sequence(&["</script><img src=x onerror=alert(1)>", "<!--", "\"'"], 1, true)
            .html()
            .unwrap();
        assert!(!html.contains("<img") && !html.contains("<!--"));
    }

    #[test]
    fn json_has_every_token() {
        let json = sequence(&["a", " b"], 1, false).json().unwrap();
        assert_eq!(json["tokens"][1], serde_json::json!({"text": " b", "id": 7}));
        assert_eq!(json["n_input"], 1);
    }
}
