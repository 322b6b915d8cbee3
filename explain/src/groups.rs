//! From tokens to what people read: words, lines, sentences, or stretches that are given.
//!
//! A token belongs to one group as a whole: the one that holds most of its characters, spaces aside, the earlier of
//! two that hold equally many. So an emoji that is four tokens is in one group, and a token `."` is not torn. Groups
//! follow each other and hold every token, so sums over them keep a row's sum.

use std::ops::Range;

use ecco_interpreter::named;
use ecco_models::Token;
use unicode_segmentation::UnicodeSegmentation;

use crate::attribution::Attribution;
use crate::error::{Error, Result};

/// What is to be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grouping {
    /// Words by Unicode's rules (UAX #29), with the spaces before them; a stretch of punctuation is one of its own.
    Words,
    /// Lines, each with the break that ends it.
    Lines,
    /// Sentences by Unicode's rules (UAX #29).
    Sentences,
    /// Given stretches of characters, counted in characters from 0, and the ones between them.
    Characters(Vec<Range<usize>>),
    /// Given stretches of tokens, numbered from 0, and the ones between them.
    Tokens(Vec<Range<usize>>),
}

named! {
    pub Grouping {
        Words = "words",
        Lines = "lines",
        Sentences = "sentences",
        .. = "spans",
    }
}

named! {
    /// How contributions of a group's tokens become the group's.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub enum Combine {
        /// Their sum: rows keep theirs, so what was complete stays so.
        #[default]
        Sum = "sum",
        /// Their mean: long groups do not win by length.
        Mean = "mean",
        /// The one furthest from zero, with its sign.
        Largest = "max",
    }
}

impl Combine {
    fn of(self, values: impl ExactSizeIterator<Item = f64>) -> f64 {
        let n = values.len().max(1) as f64;
        match self {
            Self::Sum => values.sum(),
            Self::Mean => values.sum::<f64>() / n,
            Self::Largest => values.fold(
                0.0,
                |far: f64, value| {
                    if value.abs() > far.abs() { value } else { far }
                },
            ),
        }
    }
}

/// Neighbouring tokens that are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub tokens: Range<usize>,
    /// Its characters.
    pub text: String,
}

/// Groups of the tokens of some texts that stand side by side, as those an encoder–decoder reads and writes; no
/// group reaches over the end of one. Characters and tokens are counted through all of them.
///
/// # Errors
/// [`Error::Span`] for a given stretch that is empty, reaches beyond the text, overlaps another, or holds no token
/// that is not another's.
pub fn group(texts: &[&[Token]], by: &Grouping) -> Result<Vec<Group>> {
    let mut places = Vec::new();
    let mut characters = Vec::new();
    for tokens in texts {
        let start = characters.len();
        characters.extend(text_of(tokens));
        places.extend(tokens.iter().map(|token| Place {
            span: token.span.start + start..token.span.end + start,
            text_start: start,
        }));
    }
    let stretches = match by {
        Grouping::Words => words(&characters),
        Grouping::Lines => lines(&characters),
        Grouping::Sentences => sentences(&characters),
        Grouping::Characters(given) => between(given, characters.len(), "characters")?,
        Grouping::Tokens(given) => {
            let stretches = between(given, places.len(), "tokens")?;
            return Ok(split_at_texts(stretches, &places, &characters));
        }
    };
    let owners: Vec<usize> = places
        .iter()
        .map(|place| owner(&place.span, &stretches, &characters))
        .collect();
    if let Grouping::Characters(given) = by {
        check_owned(given, &stretches, &owners, characters.len())?;
    }
    Ok(split_at_texts(runs(&owners), &places, &characters))
}

/// Contributions of each group to a target: `row` has one value for each source, the groups' tokens from the first
/// on. A group that the row does not reach has no value, one that it reaches in part has that part's.
pub fn combine<T: Copy + Into<f64>>(row: &[T], groups: &[Group], by: Combine) -> Vec<f64> {
    let reached = groups.iter().take_while(|group| group.tokens.start < row.len());
    reached
        .map(|group| {
            let part = &row[group.tokens.start..group.tokens.end.min(row.len())];
            by.of(part.iter().map(|&value| value.into()))
        })
        .collect()
}

impl Attribution {
    /// The same with groups for sources. What was complete stays so with sums only, so the check goes with the others.
    pub fn grouped(&self, groups: &[Group], by: Combine) -> Self {
        let scores = self.scores.iter().map(|row| {
            let row = combine(row, groups, by).into_iter();
            row.map(|value| value as f32).collect()
        });
        let mut grouped = self.clone();
        grouped.scores = scores.collect();
        grouped.signed = self.signed.iter().map(|row| combine(row, groups, by)).collect();
        if by != Combine::Sum {
            grouped.completeness.fill(None);
        }
        grouped
    }
}

/// Where a token stands.
struct Place {
    span: Range<usize>,
    /// Where its text starts.
    text_start: usize,
}

/// The characters of a text's tokens; U+FFFD where bytes are none.
fn text_of(tokens: &[Token]) -> Vec<char> {
    let length = tokens.iter().map(|token| token.span.end).max().unwrap_or(0);
    let mut characters = vec![char::REPLACEMENT_CHARACTER; length];
    for token in tokens {
        let shown: Vec<char> = token.text.chars().collect();
        if shown.len() == token.span.len() {
            characters[token.span.clone()].copy_from_slice(&shown);
        }
    }
    characters
}

/// Stretches of characters from pieces of the text, in order.
fn stretches<'a>(pieces: impl Iterator<Item = &'a str>) -> Vec<Range<usize>> {
    let mut end = 0;
    pieces
        .map(|piece| {
            let start = end;
            end += piece.chars().count();
            start..end
        })
        .collect()
}

/// Words with the spaces before them; line breaks stand for themselves, neighbouring punctuation is one.
fn words(characters: &[char]) -> Vec<Range<usize>> {
    #[derive(PartialEq, Clone, Copy)]
    enum Piece {
        Space,
        Break,
        Word,
        Punctuation,
    }
    let text: String = characters.iter().collect();
    let mut words: Vec<(Range<usize>, Piece)> = Vec::new();
    for stretch in stretches(text.split_word_bounds()) {
        let piece = &characters[stretch.clone()];
        let kind = match piece {
            _ if piece.iter().any(|c| matches!(c, '\n' | '\r')) => Piece::Break,
            _ if piece.iter().all(|c| c.is_whitespace()) => Piece::Space,
            _ if piece.iter().all(|c| c.is_ascii_punctuation()) => Piece::Punctuation,
            _ => Piece::Word,
        };
        let joins = |before: Piece| match (before, kind) {
            (Piece::Space, Piece::Word | Piece::Punctuation | Piece::Space) => true,
            (before, kind) => before == kind && kind != Piece::Word,
        };
        match words.last_mut() {
            Some((word, before)) if joins(*before) => {
                word.end = stretch.end;
                *before = kind;
            }
            _ => words.push((stretch, kind)),
        }
    }
    words.into_iter().map(|(word, _)| word).collect()
}

fn lines(characters: &[char]) -> Vec<Range<usize>> {
    let mut end = 0;
    characters
        .split_inclusive(|&c| c == '\n')
        .map(|line| {
            let start = end;
            end += line.len();
            start..end
        })
        .collect()
}

fn sentences(characters: &[char]) -> Vec<Range<usize>> {
    let text: String = characters.iter().collect();
    stretches(text.split_sentence_bounds())
}

/// The given stretches of `0..length` and those between them, in order.
fn between(given: &[Range<usize>], length: usize, unit: &'static str) -> Result<Vec<Range<usize>>> {
    let refuse = |span: &Range<usize>, reason: String| Error::Span {
        span: span.clone(),
        unit,
        reason,
    };
    let mut sorted: Vec<Range<usize>> = given.to_vec();
    sorted.sort_by_key(|span| (span.start, span.end));
    let mut all: Vec<Range<usize>> = Vec::new();
    let mut end = 0;
    for span in sorted {
        if span.start >= span.end {
            return Err(refuse(&span, "its end must be beyond its start".into()));
        }
        if span.end > length {
            let reason = format!("the text has {length} {unit}: spans lie between 0 and {length}");
            return Err(refuse(&span, reason));
        }
        if span.start < end {
            let reason = format!("it overlaps {:?}", all.last().cloned().unwrap_or_default());
            return Err(refuse(&span, reason));
        }
        if span.start > end {
            all.push(end..span.start);
        }
        end = span.end;
        all.push(span);
    }
    if end < length {
        all.push(end..length);
    }
    Ok(all)
}

/// A given stretch in which every token is more another's cannot be explained.
fn check_owned(
    given: &[Range<usize>],
    stretches: &[Range<usize>],
    owners: &[usize],
    length: usize,
) -> Result<()> {
    let is_owned = |span: &&Range<usize>| {
        let index = stretches.iter().position(|stretch| stretch == *span);
        index.is_some_and(|index| owners.contains(&index))
    };
    match given.iter().find(|span| !is_owned(span)) {
        None => Ok(()),
        Some(span) => Err(Error::Span {
            span: span.clone(),
            unit: "characters",
            reason: format!(
                "no token has most of its characters there; tokens stand between 0 and {length}, make the span longer"
            ),
        }),
    }
}

/// Which stretch holds most of a token's characters that are no spaces, or of all where it has no other; the first
/// of equals.
fn owner(span: &Range<usize>, stretches: &[Range<usize>], characters: &[char]) -> usize {
    let first = stretches.partition_point(|stretch| stretch.end <= span.start);
    let is_blank = characters[span.clone()].iter().all(|c| c.is_whitespace());
    let shared = |stretch: &Range<usize>| {
        let both = stretch.start.max(span.start)..stretch.end.min(span.end);
        both.filter(|&index| is_blank || !characters[index].is_whitespace())
            .count()
    };
    let mut best = (first.min(stretches.len().saturating_sub(1)), 0);
    for (index, stretch) in stretches.iter().enumerate().skip(first) {
        if stretch.start >= span.end {
            break;
        }
        let shared = shared(stretch);
        if shared > best.1 {
            best = (index, shared);
        }
    }
    best.0
}

/// Ranges of neighbouring tokens with the same owner.
fn runs(owners: &[usize]) -> Vec<Range<usize>> {
    let mut end = 0;
    owners
        .chunk_by(|a, b| a == b)
        .map(|run| {
            let start = end;
            end += run.len();
            start..end
        })
        .collect()
}

/// Groups of ranges of tokens, cut where a text ends, with their characters.
fn split_at_texts(ranges: Vec<Range<usize>>, places: &[Place], characters: &[char]) -> Vec<Group> {
    let mut groups = Vec::new();
    for range in ranges {
        let parts = places[range.clone()].chunk_by(|a, b| a.text_start == b.text_start);
        let mut end = range.start;
        for part in parts {
            let start = end;
            end += part.len();
            let first = part.iter().map(|place| place.span.start).min().unwrap_or(0);
            let last = part.iter().map(|place| place.span.end).max().unwrap_or(first);
            groups.push(Group {
                tokens: start..end,
                text: characters[first..last].iter().collect(),
            });
        }
    }
    groups
}

#[cfg(test)]
mod tests;
