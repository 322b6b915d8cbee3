//! Options that name tokens, labels and places.

use std::ops::Range;

use rhai::{Dynamic, Map};

use crate::options::Word;

/// What is to be explained, as far as a script says it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TargetOption {
    pub target: Option<Word>,
    pub contrast: Option<Word>,
    pub position: Option<usize>,
}

/// A name, a map `#{target, contrast, position}`, or an array of these.
pub(super) fn targets(value: &Dynamic) -> Option<Vec<TargetOption>> {
    match value.as_array_ref() {
        Ok(array) if array.is_empty() => None,
        Ok(array) => array.iter().map(target).collect(),
        Err(_) => target(value).map(|one| vec![one]),
    }
}

fn target(value: &Dynamic) -> Option<TargetOption> {
    if let Some(word) = Word::of(value) {
        return Some(TargetOption {
            target: Some(word),
            ..TargetOption::default()
        });
    }
    let map = value.as_map_ref().ok()?;
    of_map(&map)
}

fn of_map(map: &Map) -> Option<TargetOption> {
    let mut option = TargetOption::default();
    for (key, value) in map {
        match key.as_str() {
            "target" => option.target = Some(Word::of(value)?),
            "contrast" => option.contrast = Some(Word::of(value)?),
            "position" => option.position = Some(number(value)?),
            _ => return None,
        }
    }
    (!map.is_empty()).then_some(option)
}

fn number(value: &Dynamic) -> Option<usize> {
    value.as_int().ok().and_then(|n| usize::try_from(n).ok())
}

/// Pairs `[from, to]`.
pub(super) fn spans(value: &Dynamic) -> Option<Vec<Range<usize>>> {
    let span = |value: &Dynamic| {
        let pair = value.as_array_ref().ok()?;
        match pair.as_slice() {
            [from, to] => Some(number(from)?..number(to)?),
            _ => None,
        }
    };
    let array = value.as_array_ref().ok()?;
    (!array.is_empty()).then(|| array.iter().map(span).collect())?
}
