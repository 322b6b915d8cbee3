//! Targets by name: tokens, labels, and where they stand.

use ecco_explain::{Outcome, Quantity, Target};
use ecco_models::Model;
use ecco_models::config::Task;
use ecco_widgets::saliency::Target as NamedTarget;

use crate::text::passage::Passage;

/// A target's name, and where it stands among the shown tokens.
pub(super) fn target_name(passage: &Passage, target: &Target) -> NamedTarget {
    let labels = passage
        .model()
        .loaded()
        .map(|loaded| labels(&loaded))
        .unwrap_or_default();
    let plain = |text: &str, id: u32| ecco_widgets::Token {
        text: text.to_owned(),
        id,
        part: None,
    };
    let named = |id: u32| match target.said {
        Outcome::Token { position, .. } => token(passage, position, id),
        Outcome::Label(_) => plain(labels.get(id as usize).map_or("label", String::as_str), id),
        Outcome::Replaced { .. } => plain("replaced", 0),
    };
    let (name, position) = match target.said {
        Outcome::Token { position, id } => (named(id), Some(passage.shown_position(position))),
        Outcome::Label(label) => (named(label as u32), None),
        Outcome::Replaced { position } => (named(0), Some(position)),
    };
    let name = match target.of {
        Quantity::Entropy => plain("entropy", 0),
        _ => name,
    };
    NamedTarget {
        name,
        contrast: target.contrast.map(named),
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

/// The names of the labels that a model says; none of a model that says tokens.
pub(super) fn labels(model: &Model) -> Vec<String> {
    match &model.config().task {
        Task::Label(label) => label.names.clone(),
        _ => vec![],
    }
}
