//! Labels of tokens: those of one thing together, as B-, I- and O name them (1995: Ramshaw and Marcus).

use super::{Bar, Group, Mark, TokenLabels};
use crate::kit::{Token, numbers, visible};

/// What a token's label is called where it is no part of anything.
const OUTSIDE: &str = "O";

/// Entities beyond this many are not drawn; the data has all labels.
const MOST_ENTITIES: usize = 20;

/// Tokens that are one thing.
#[derive(Debug, PartialEq)]
pub(super) struct Entity {
    /// What it is, without B- and I-.
    pub name: String,
    /// First and last token.
    pub start: usize,
    pub end: usize,
    /// The mean of its labels' probabilities.
    pub score: f32,
}

/// How a label begins a thing, or goes on with it, and what it is.
fn parts(label: &str) -> (bool, &str) {
    match label.split_once('-') {
        Some(("B", name)) => (true, name),
        Some(("I", name)) => (false, name),
        _ => (false, label),
    }
}

/// Neighbours with labels of one thing, unless one begins another; no tokens without.
pub(super) fn entities(tokens: &[TokenLabels]) -> Vec<Entity> {
    let mut all: Vec<(Entity, f32)> = Vec::new();
    for token in tokens {
        let Some((label, probability)) = token.labels.first().filter(|(label, _)| label != OUTSIDE) else {
            continue;
        };
        let (begins, name) = parts(label);
        match all.last_mut() {
            Some((last, sum)) if !begins && last.name == name && last.end + 1 == token.position => {
                last.end = token.position;
                *sum += probability;
            }
            _ => {
                let entity = Entity {
                    name: name.to_owned(),
                    start: token.position,
                    end: token.position,
                    score: 0.0,
                };
                all.push((entity, *probability));
            }
        }
    }
    let with_mean = |(entity, sum): (Entity, f32)| Entity {
        score: sum / (entity.end - entity.start + 1) as f32,
        ..entity
    };
    all.into_iter().map(with_mean).collect()
}

/// A bar for each thing.
pub(super) fn groups(tokens: &[TokenLabels], spoken: &[Token]) -> Vec<Group> {
    let text = |entity: &Entity| -> String {
        let range = entity.start.min(spoken.len())..(entity.end + 1).min(spoken.len());
        let pieces = spoken[range].iter();
        let whole = pieces.filter(|token| token.part.is_none_or(|(part, _)| part == 1));
        let text: String = whole.map(|token| token.text.as_str()).collect();
        text.trim().to_owned()
    };
    let bar = |entity: Entity| {
        let name = format!("{} · {}", text(&entity), entity.name);
        Bar::of_label(&name, entity.score)
    };
    let bars: Vec<Bar> = entities(tokens)
        .into_iter()
        .take(MOST_ENTITIES)
        .map(bar)
        .collect();
    match bars.is_empty() {
        true => vec![],
        false => vec![Group { title: None, bars }],
    }
}

/// Each token with its label, on one line.
pub(super) fn line(tokens: &[TokenLabels], spoken: &[Token]) -> String {
    let one = |token: &TokenLabels| {
        let (text, (label, _)) = (spoken.get(token.position)?, token.labels.first()?);
        Some(format!(
            "{} {}",
            visible::label(text),
            visible::plain(label, false)
        ))
    };
    tokens.iter().filter_map(one).collect::<Vec<_>>().join(", ")
}

/// A token's label under it; those that are no part of anything have neither label nor colour.
pub(super) fn mark(tokens: &[TokenLabels], position: usize) -> Mark {
    let found = tokens.binary_search_by_key(&position, |token| token.position);
    let best = found.ok().and_then(|at| tokens[at].labels.first());
    match best {
        Some((label, probability)) if label != OUTSIDE => Mark {
            strength: Some(*probability),
            below: Some(format!("{label} {}", numbers::share(f64::from(*probability)))),
        },
        _ => Mark::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(labels: &[(usize, &str, f32)]) -> Vec<TokenLabels> {
        let one = |&(position, label, probability): &(usize, &str, f32)| TokenLabels {
            position,
            labels: vec![(label.to_owned(), probability)],
        };
        labels.iter().map(one).collect()
    }

    #[test]
    fn neighbours_of_one_thing_are_together() {
        let tokens = labelled(&[
            (1, "B-PER", 0.8),
            (2, "I-PER", 0.6),
            (3, "O", 0.9),
            (4, "I-PER", 0.5),
            (5, "B-PER", 0.5),
            (6, "I-LOC", 0.5),
            (8, "I-LOC", 0.5),
        ]);
        let found: Vec<(String, usize, usize)> = entities(&tokens)
            .into_iter()
            .map(|entity| (entity.name, entity.start, entity.end))
            .collect();
        let expected = [
            ("PER", 1, 2),
            ("PER", 4, 4),
            ("PER", 5, 5),
            ("LOC", 6, 6),
            ("LOC", 8, 8),
        ];
        assert_eq!(
            found,
            expected.map(|(name, start, end)| (name.to_owned(), start, end))
        );
        assert!((entities(&tokens)[0].score - 0.7).abs() < 1e-6);
        // Labels without a beginning, as parts of speech have them.
        let tokens = labelled(&[(0, "NOUN", 0.5), (1, "NOUN", 0.5), (2, "VERB", 0.5)]);
        assert_eq!(entities(&tokens).len(), 2);
    }
}
