//! Token boxes: a small position index, the token, and what a view adds; the legend of their colours.

use maud::{Markup, html};

use crate::kit::Token;
use crate::kit::visible;

/// What a view adds to a token's box.
#[derive(Debug, Clone, Default)]
pub(crate) struct Extra {
    /// Inline style: custom properties, and plain colours for where style sheets are stripped.
    pub style: Option<String>,
    pub title: Option<String>,
    /// A line under the token; the scripts rewrite it.
    pub below: Option<String>,
    /// The one generated token a view is about.
    pub chosen: bool,
    /// Where something else would stand that a view is about.
    pub place: bool,
    /// The model has not read it, so that nothing is known of it: it is drawn hollow.
    pub is_unread: bool,
}

/// What the ends of a view's scale stand for, at the right of its head.
pub(crate) fn legend(low: &str, high: &str) -> Markup {
    html! { " " span class="legend" { span class="low" { (low) } " " i { "–" } " " span class="peak" { (high) } } }
}

/// Boxes in reading order, a marker before the first generated token, a real break after each newline token.
/// `first` is the position of `tokens[0]`.
///
/// To the algorithm that orders text of both directions (UAX #9) a box is no letter. Where some text is written from right to
/// left, a box stands between marks of its own text's direction, so that boxes are in the order of their words.
///
/// Pieces of one character stand together as one box, which shows the character once.
pub(crate) fn flow(tokens: &[Token], first: usize, n_input: usize, extra: impl Fn(usize) -> Extra) -> Markup {
    let is_from_right = |token: &Token| visible::is_from_right(&token.text);
    let has_both = tokens.iter().any(|token| is_from_right(token) == Some(true));
    let mark = |token: &Token| match is_from_right(token).filter(|_| has_both) {
        Some(true) => "\u{200f}",
        Some(false) => "\u{200e}",
        None => "",
    };
    html! {
        @for (i, token) in tokens.iter().enumerate() {
            @let position = first + i;
            @if position == n_input { b title="generated from here on" { "▸" } " " }
            @let is_begun = tokens.get(i + 1).is_some_and(is_more) && position + 1 != n_input;
            (mark(token)) (token_box(position, token, [position >= n_input, is_begun], &extra(position))) (mark(token))
            @if !is_begun { "\n" }
            @if token.part.is_none() && token.text.contains('\n') { br; }
        }
    }
}

/// The same for an encoder–decoder: what was read, then what was written, each under its name.
pub(crate) fn flow_of_pair(tokens: &[Token], n_input: usize, extra: impl Fn(usize) -> Extra) -> Markup {
    let (read, written) = tokens.split_at(n_input.min(tokens.len()));
    html! {
        b class="part" { "read" } "\n"
        (flow(read, 0, usize::MAX, &extra))
        b class="part" { "written" } "\n"
        (flow(written, read.len(), 0, &extra))
    }
}

/// Whether a token is a piece of a character that began before it.
fn is_more(token: &Token) -> bool {
    token.part.is_some_and(|(part, _)| part > 1)
}

/// `is_begun`: the next box has more of the same character.
fn token_box(position: usize, token: &Token, [generated, is_begun]: [bool; 2], extra: &Extra) -> Markup {
    let classes = [
        ("g", generated),
        ("on", generated && extra.chosen),
        ("at", extra.place),
        ("unread", extra.is_unread),
        ("more", is_more(token)),
        ("begun", is_begun),
    ];
    let classes: Vec<&str> = classes
        .iter()
        .filter(|(_, is)| *is)
        .map(|(name, _)| *name)
        .collect();
    let class = (!classes.is_empty()).then(|| classes.join(" "));
    html! {
        span class=[class] style=[&extra.style] title=[&extra.title] {
            small { (position) } " "
            (visible::label_html(token))
            @if let Some(below) = &extra.below { " " em { (below) } }
        }
    }
}
