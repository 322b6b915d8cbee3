//! Every character of a token shown, and shown inertly.
//!
//! Spaces at the ends, line breaks, control characters, characters that are invisible or turn the writing
//! direction, and combining marks with nothing to sit on are replaced by marks that stand for them. What
//! remains is safe in XML and in a terminal; escaping `<` and `&` is left to maud.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde_json::json;
use unicode_width::UnicodeWidthChar;

use crate::kit::Token;

/// Longer tokens (a line of dashes, a blob) are cut off here.
const MOST_CHARACTERS: usize = 80;

/// A stretch of a token's text as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Piece {
    Plain(String),
    /// Stands for something that cannot be seen.
    Mark(String),
}

/// The label as text: for SVG, consoles and tooltips.
pub(crate) fn label(token: &Token) -> String {
    let mut label = label_of(&token.text);
    if let Some((part, parts)) = token.part {
        label.push_str(&format!(" {part}/{parts}"));
    }
    label
}

fn label_of(text: &str) -> String {
    let piece = |piece| match piece {
        Piece::Plain(text) | Piece::Mark(text) => text,
    };
    pieces(text).into_iter().map(piece).collect()
}

/// Labels of the texts whose label is not the text with a dot for each space at its ends, as JSON by text, for the
/// script's `labeller`.
pub(crate) fn exceptions<'a>(tokens: impl Iterator<Item = &'a Token>) -> String {
    let mut exceptions = BTreeMap::new();
    for Token { text, .. } in tokens {
        let inner = text.trim_matches(' ');
        let start = text.len() - text.trim_start_matches(' ').len();
        let end = if inner.is_empty() {
            0
        } else {
            text.len() - start - inner.len()
        };
        let plain = "·".repeat(start) + inner + &"·".repeat(end);
        let label = label_of(text);
        if label != plain {
            exceptions.insert(text.as_str(), label);
        }
    }
    json!(exceptions).to_string()
}

/// The first `n` characters, with an ellipsis if there are more.
pub(crate) fn cut(label: &str, n: usize) -> String {
    if label.chars().count() <= n {
        label.to_owned()
    } else {
        label.chars().take(n - 1).chain(['…']).collect()
    }
}

/// The label as HTML; `bdi` keeps right-to-left text from reordering its neighbours, the count of a part
/// included.
pub(crate) fn label_html(token: &Token) -> Markup {
    match token.part {
        None => html! { bdi { (pieces_html(token)) } },
        Some((part, parts)) => html! {
            bdi dir="ltr" { bdi { (pieces_html(token)) } i { " " (part) "/" (parts) } }
        },
    }
}

fn pieces_html(token: &Token) -> Markup {
    html! {
        @for piece in pieces(&token.text) {
            @match piece {
                Piece::Plain(text) => (text),
                Piece::Mark(mark) => i { (mark) },
            }
        }
    }
}

/// Free text (a label, a name, a message) with the names of its control characters, and of those that change the writing
/// direction or hide text, in their places: what remains is safe in a terminal. Line breaks stay if `multiline`.
pub fn plain(text: &str, multiline: bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match mark(c) {
            Some(_) if multiline && c == '\n' => shown.push('\n'),
            Some(mark) => shown.push_str(&mark),
            None => shown.push(c),
        }
    }
    shown
}

/// Splits a token's text into what can be shown as it is and marks for the rest.
pub(crate) fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    if text.is_empty() {
        return vec![Piece::Mark("∅".to_owned())];
    }
    let inner = text.trim_matches(' ');
    let leading = text.len() - text.trim_start_matches(' ').len();
    push_mark(&mut pieces, &spaces(leading));
    let mut shown = false;
    for (i, c) in inner.chars().enumerate() {
        if i == MOST_CHARACTERS {
            push_mark(&mut pieces, "…");
            return pieces;
        }
        // Joiners and marks are part of the character before them, if there is one.
        match mark(c) {
            Some(mark) => push_mark(&mut pieces, &mark),
            None if is_zero_width(c) && !shown && is_invisible(c) => push_mark(&mut pieces, &code(c)),
            None if is_zero_width(c) && !shown => push_plain(&mut pieces, &format!("◌{c}")),
            None => push_plain(&mut pieces, c.encode_utf8(&mut [0; 4])),
        }
        shown = matches!(pieces.last(), Some(Piece::Plain(_)));
    }
    if !inner.is_empty() {
        push_mark(&mut pieces, &spaces(text.len() - leading - inner.len()));
    }
    pieces
}

fn spaces(n: usize) -> String {
    if n <= 8 {
        "·".repeat(n)
    } else {
        format!("·×{n}")
    }
}

fn push_mark(pieces: &mut Vec<Piece>, mark: &str) {
    match pieces.last_mut() {
        _ if mark.is_empty() => {}
        Some(Piece::Mark(last)) => last.push_str(mark),
        _ => pieces.push(Piece::Mark(mark.to_owned())),
    }
}

fn push_plain(pieces: &mut Vec<Piece>, text: &str) {
    match pieces.last_mut() {
        Some(Piece::Plain(last)) => last.push_str(text),
        _ => pieces.push(Piece::Plain(text.to_owned())),
    }
}

/// What stands for a character that must never be passed on as it is.
fn mark(c: char) -> Option<String> {
    match c {
        '\n' => Some("\\n".to_owned()),
        '\r' => Some("\\r".to_owned()),
        '\t' => Some("\\t".to_owned()),
        '\0' => Some("\\0".to_owned()),
        _ if c.is_control() => Some(format!("\\x{:02x}", u32::from(c))),
        _ if changes_direction(c) || is_hidden(c) || (c != ' ' && c.is_whitespace()) => Some(code(c)),
        _ => None,
    }
}

fn code(c: char) -> String {
    format!("U+{:04X}", u32::from(c))
}

/// Bidirectional controls: they reorder what follows, far beyond their own token.
fn changes_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Line separators, tags, interlinear marks and noncharacters (the last two kinds break XML or hide text).
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
        || matches!(c, '\u{fdd0}'..='\u{fdef}')
        || u32::from(c) & 0xfffe == 0xfffe
}

/// Whether a text is written from right to left, by its first letter; digits and punctuation are neither.
pub(crate) fn is_from_right(text: &str) -> Option<bool> {
    let letter = text.chars().find(|c| c.is_alphabetic())?;
    Some(
        matches!(letter, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}')
            || matches!(letter, '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}'),
    )
}

fn is_zero_width(c: char) -> bool {
    c.width() == Some(0)
}

/// Zero-width and not even a mark: joiners, soft hyphens, variation selectors.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200d}')
        || matches!(c, '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}')
        || matches!(
            c,
            '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        label(&Token {
            text: text.to_owned(),
            id: 0,
            part: None,
        })
    }

    #[test]
    fn spaces_and_breaks_are_visible() {
        assert_eq!(shown(" Austria"), "·Austria");
        assert_eq!(shown("a b "), "a b·");
        assert_eq!(shown("  "), "··");
        assert_eq!(shown(&" ".repeat(16)), "·×16");
        assert_eq!(shown(".\n\n"), ".\\n\\n");
        assert_eq!(shown(""), "∅");
        assert_eq!(shown("\u{a0}"), "U+00A0");
        assert_eq!(shown("10\u{202f}000"), "10U+202F000");
        assert_eq!(shown(" \u{3000}"), "·U+3000");
    }

    #[test]
    fn nothing_can_hide_or_take_control() {
        assert_eq!(shown("\u{1b}[31m"), "\\x1b[31m");
        assert_eq!(shown("\0\u{85}"), "\\0\\x85");
        assert_eq!(shown("a\u{202e}b"), "aU+202Eb");
        assert_eq!(shown("\u{301}"), "◌\u{301}");
        assert_eq!(shown("e\u{301}"), "e\u{301}");
        assert_eq!(shown("\u{200d}"), "U+200D");
        assert_eq!(shown("👩\u{200d}🚀"), "👩\u{200d}🚀");
        assert_eq!(shown("\u{ffff}"), "U+FFFF");
    }

    #[test]
    fn long_tokens_are_cut_and_parts_counted() {
        assert_eq!(shown(&"-".repeat(500)).chars().count(), MOST_CHARACTERS + 1);
        assert_eq!(
            label(&Token {
                text: "👩".into(),
                id: 1,
                part: Some((2, 4))
            }),
            "👩 2/4"
        );
    }

    #[test]
    fn a_text_has_the_direction_of_its_first_letter() {
        assert_eq!(is_from_right(" שלום a"), Some(true));
        assert_eq!(is_from_right("\"العربية"), Some(true));
        assert_eq!(is_from_right("1. a שלום"), Some(false));
        assert_eq!(is_from_right("12, ("), None);
    }

    #[test]
    fn markup_is_escaped() {
        let token = Token {
            text: "</bdi><img src=x onerror=alert(1)>".into(),
            id: 0,
            part: None,
        };
        let html = label_html(&token).into_string();
        assert!(!html.contains("<img") && html.contains("&lt;img"), "{html}");
    }
}
