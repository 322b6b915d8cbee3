//! Which tokens are joined to which, and in what order.

use std::collections::{HashMap, HashSet};

use serde_json::{Value as Json, json};

use crate::error::Result;
use crate::gguf::header::Header;

/// Bytes of a token that is put together of others; SentencePiece makes none of more than 16 characters, and the runs
/// of spaces that some vocabularies have are far below.
const LONGEST: usize = 512;

/// Those that the file lists.
pub(super) fn listed(header: &Header) -> Result<Option<Vec<Json>>> {
    let Some(merges) = header.gguf.texts("tokenizer.ggml.merges") else {
        return Ok(None);
    };
    let pair = |(index, merge): (usize, &&str)| match merge.split_once(' ') {
        Some((left, right)) if !right.contains(' ') => Ok(json!([left, right])),
        _ => Err(header.damaged(format!(
            "tokenizer.ggml.merges has {:?} at {index}: expected two parts of a token",
            merge.chars().take(40).collect::<String>()
        ))),
    };
    merges
        .iter()
        .enumerate()
        .map(pair)
        .collect::<Result<_>>()
        .map(Some)
}

/// Those that the file lists; else every way to put a token together of two others, the tokens with the highest scores
/// first, among those of one score the longest.
pub(super) fn of_scores(header: &Header, tokens: &[&str], scores: &[f64]) -> Result<Vec<Json>> {
    if let Some(listed) = listed(header)? {
        return Ok(listed);
    }
    let ids: HashMap<&str, usize> = tokens
        .iter()
        .enumerate()
        .map(|(id, token)| (*token, id))
        .collect();
    // Of a token that is there twice, the place of the first and the score of the last.
    let mut last_score: HashMap<&str, f64> = HashMap::new();
    for (token, score) in tokens.iter().zip(scores) {
        last_score.insert(token, *score);
    }
    let mut found: Vec<Merge> = Vec::new();
    let mut seen = HashSet::new();
    for token in tokens.iter().filter(|token| seen.insert(**token)) {
        if token.len() > LONGEST {
            return Err(header.damaged(format!("has a token of {} bytes", token.len())));
        }
        let halves = token.char_indices().skip(1).map(|(at, _)| token.split_at(at));
        let mut of_token: Vec<(&str, &str)> = halves
            .filter(|(left, right)| ids.contains_key(left) && ids.contains_key(right))
            .collect();
        of_token.sort_by_key(|(left, right)| (ids[left], ids[right]));
        let merges = of_token.into_iter();
        found.extend(merges.map(|(left, right)| Merge::new(last_score[token], left, right)));
    }
    // Those that are equal keep their order.
    found.sort_by(|one, other| {
        let by_score = other.score.total_cmp(&one.score);
        by_score.then_with(|| other.lengths.cmp(&one.lengths))
    });
    Ok(found
        .iter()
        .map(|merge| json!([merge.left, merge.right]))
        .collect())
}

/// Two tokens that are another together.
struct Merge<'a> {
    /// Of the other.
    score: f64,
    /// In characters.
    lengths: (usize, usize),
    left: &'a str,
    right: &'a str,
}

impl<'a> Merge<'a> {
    fn new(score: f64, left: &'a str, right: &'a str) -> Self {
        Self {
            // So that -0 is no less than 0.
            score: score + 0.0,
            lengths: (left.chars().count(), right.chars().count()),
            left,
            right,
        }
    }
}
