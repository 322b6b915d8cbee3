//! Targets by name: tokens, labels, and where they stand.

use ecco_explain::{Outcome, Quantity, Target};
use ecco_models::config::{Reading, Task};
use ecco_widgets::saliency::Target as NamedTarget;

use crate::text::passage::Passage;

/// A target's name, and where it stands among the shown tokens.
pub(super) fn target_name(passage: &Passage, target: &Target) -> NamedTarget {
    let task = passage
        .model()
        .loaded()
        .map(|loaded| loaded.config().task.clone());
    let task = task.unwrap_or(Task::States);
    let plain = |text: &str, id: u32| ecco_widgets::Token {
        text: text.to_owned(),
        id,
        part: None,
    };
    let named = |id: u32| match target.said {
        Outcome::Token { position, .. } => token(passage, position, id),
        Outcome::Label(_) | Outcome::TokenLabel { .. } => {
            plain(task.names().get(id as usize).map_or("label", String::as_str), id)
        }
    };
    let contrast = |id: u32| match (target.said, task.reading()) {
        (Outcome::TokenLabel { label, .. }, Reading::Place) => {
            let name = named(label as u32).text;
            plain(&format!("{name} at {id}"), label as u32)
        }
        _ => named(id),
    };
    let (name, position) = match target.said {
        Outcome::Token { position, id } => (named(id), Some(passage.shown_position(position))),
        Outcome::Label(label) => (named(label as u32), None),
        Outcome::TokenLabel { position, label } => (named(label as u32), Some(position)),
    };
    let name = match target.of {
        Quantity::Entropy => plain("entropy", 0),
        _ => name,
    };
    NamedTarget {
        name,
        contrast: target.contrast.map(contrast),
        position,
        token: None,
    }
}

/// A token as it would stand at a place.
fn token(passage: &Passage, position: usize, id: u32) -> ecco_widgets::Token {
    let before = position
        .checked_sub(1)
        .and_then(|before| passage.input().spoken().get(before))
        .copied();
    let token = match passage.model().loaded() {
        Ok(loaded) => loaded.tokenizer().token_after(before, id),
        Err(_) => {
            return ecco_widgets::Token {
                text: format!("<id {id}>"),
                id,
                part: None,
            };
        }
    };
    ecco_widgets::Token {
        text: token.text,
        id,
        part: token.part,
    }
}
