//! Text to tokens and back, with what each token looks like to a person.
//!
//! A byte-level token need not be whole characters: an emoji may be four tokens. Each of those shows the
//! whole character and which part of it it is; bytes that never become a character show as `<0xF0>`.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use tokenizers::Tokenizer as HfTokenizer;

use crate::error::{Error, Result};

/// A token of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    pub id: u32,
    /// Every character that has at least one byte in this token, leading spaces kept.
    pub text: String,
    /// Of a character split over several tokens: which part this is, and of how many, from 1.
    pub part: Option<(u8, u8)>,
    /// The characters of `text` in the whole text, counted in characters.
    pub span: Range<usize>,
}

/// A `tokenizer.json`.
pub struct Tokenizer {
    inner: HfTokenizer,
    /// Special tokens and the like: their text stands for itself.
    added: HashSet<u32>,
    byte_level: Option<HashMap<char, u8>>,
}

impl Tokenizer {
    pub fn parse(json: &[u8]) -> Result<Self> {
        let damaged = |reason: String| Error::Damaged {
            file: "tokenizer.json".into(),
            reason,
        };
        let mut inner = HfTokenizer::from_bytes(json).map_err(|error| damaged(error.to_string()))?;
        // Some files carry the padding and truncation of their training.
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|error| damaged(error.to_string()))?;
        let decoder = serde_json::to_string(&inner.get_decoder()).unwrap_or_default();
        let byte_level = decoder.contains("ByteLevel").then(byte_table);
        let added = inner.get_added_tokens_decoder().into_keys().collect();
        Ok(Self {
            inner,
            added,
            byte_level,
        })
    }

    /// How many tokens there are, added ones included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// One more than the largest id.
    pub fn id_bound(&self) -> usize {
        self.inner
            .get_vocab(true)
            .into_values()
            .max()
            .map_or(0, |id| id as usize + 1)
    }

    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, true);
        let encoding = encoding.map_err(|error| Error::Option {
            option: "text",
            value: format!("{:?}", text.chars().take(40).collect::<String>()),
            reason: error.to_string(),
        })?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The tokens of a sequence of ids. An unknown id shows as `<id 123>`.
    pub fn tokens(&self, ids: &[u32]) -> Vec<Token> {
        let pieces: Vec<Vec<u8>> = ids.iter().map(|&id| self.bytes(id)).collect();
        split_into_characters(&pieces)
            .into_iter()
            .zip(ids)
            .map(|((text, part, span), &id)| Token { id, text, part, span })
            .collect()
    }

    /// The text of a sequence of ids; bytes that are no character become U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.bytes(id)).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The token that stands for one to be guessed: `[MASK]`, `<mask>`.
    pub fn mask(&self) -> Option<Token> {
        let is_mask = |id: &u32| {
            let text = self.inner.id_to_token(*id).unwrap_or_default();
            ["[MASK]", "<mask>"]
                .iter()
                .any(|known| text.eq_ignore_ascii_case(known))
        };
        let id = self.added.iter().copied().filter(is_mask).min()?;
        self.tokens(&[id]).pop()
    }

    /// How many of the ids end at a whole character.
    pub fn whole_prefix(&self, ids: &[u32]) -> usize {
        let mut bytes = Vec::new();
        let mut whole = 0;
        for (index, &id) in ids.iter().enumerate() {
            bytes.extend(self.bytes(id));
            let ends_whole = match std::str::from_utf8(&bytes) {
                Ok(_) => true,
                Err(error) => error.error_len().is_some(), // never a character: no use waiting
            };
            if ends_whole {
                whole = index + 1;
                bytes.clear();
            }
        }
        whole
    }

    fn bytes(&self, id: u32) -> Vec<u8> {
        let Some(piece) = self.inner.id_to_token(id) else {
            return format!("<id {id}>").into_bytes();
        };
        let table = self.byte_level.as_ref().filter(|_| !self.added.contains(&id));
        let bytes = table.and_then(|table| piece.chars().map(|char| table.get(&char).copied()).collect());
        bytes.unwrap_or_else(|| piece.into_bytes())
    }
}

/// GPT-2's map of characters to the bytes they stand for: printable Latin-1 for itself, the rest from
/// U+0100 on in order.
fn byte_table() -> HashMap<char, u8> {
    let is_printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let printable = (0..=255u8)
        .filter(is_printable)
        .map(|byte| (char::from(byte), byte));
    let rest = (0..=255u8).filter(|byte| !is_printable(byte));
    printable.chain(('\u{100}'..).zip(rest)).collect()
}

/// One unit of a text: a character, or a byte that is part of none.
struct Unit {
    bytes: Range<usize>,
    text: String,
}

fn units(bytes: &[u8]) -> Vec<Unit> {
    let mut units = Vec::new();
    let mut start = 0;
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            units.push(Unit {
                bytes: start..start + char.len_utf8(),
                text: char.into(),
            });
            start += char.len_utf8();
        }
        for byte in chunk.invalid() {
            units.push(Unit {
                bytes: start..start + 1,
                text: format!("<0x{byte:02X}>"),
            });
            start += 1;
        }
    }
    units
}

type Shown = (String, Option<(u8, u8)>, Range<usize>);

/// For each piece: its characters, the part it is of a split one, and the characters' positions.
fn split_into_characters(pieces: &[Vec<u8>]) -> Vec<Shown> {
    let units = units(&pieces.concat());
    let mut ends = Vec::with_capacity(pieces.len());
    let mut shown: Vec<Shown> = Vec::with_capacity(pieces.len());
    let (mut start, mut first) = (0, 0);
    for piece in pieces {
        let end = start + piece.len();
        while units.get(first).is_some_and(|unit| unit.bytes.end <= start) {
            first += 1;
        }
        let covered = units[first..]
            .iter()
            .take_while(|unit| unit.bytes.start < end)
            .count();
        let covered = if piece.is_empty() { 0 } else { covered };
        let text = units[first..first + covered]
            .iter()
            .map(|unit| unit.text.as_str())
            .collect();
        shown.push((text, None, first..first + covered));
        ends.push(start..end);
        start = end;
    }
    for unit in units.iter().filter(|unit| unit.bytes.len() > 1) {
        mark_parts(unit, &ends, &mut shown);
    }
    shown
}

/// Numbers the pieces that share one character.
fn mark_parts(unit: &Unit, pieces: &[Range<usize>], shown: &mut [Shown]) {
    let first = pieces.partition_point(|piece| piece.end <= unit.bytes.start);
    let sharing = pieces[first..]
        .iter()
        .take_while(|piece| piece.start < unit.bytes.end);
    let sharing: Vec<usize> = sharing
        .enumerate()
        .filter(|(_, piece)| !piece.is_empty())
        .map(|(offset, _)| first + offset)
        .collect();
    if sharing.len() > 1 {
        for (number, &index) in sharing.iter().enumerate() {
            shown[index].1 = Some((number as u8 + 1, sharing.len() as u8));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(pieces: &[&[u8]]) -> Vec<Shown> {
        split_into_characters(&pieces.iter().map(|piece| piece.to_vec()).collect::<Vec<_>>())
    }

    #[test]
    fn a_split_emoji_stands_whole_in_each_of_its_parts() {
        let pieces: &[&[u8]] = &[b"a", b" \xF0\x9F", b"\x91", b"\xA9", b"b"];
        assert_eq!(
            shown(pieces),
            [
                ("a".into(), None, 0..1),
                (" 👩".into(), Some((1, 3)), 1..3),
                ("👩".into(), Some((2, 3)), 2..3),
                ("👩".into(), Some((3, 3)), 2..3),
                ("b".into(), None, 3..4),
            ]
        );
    }

    #[test]
    fn bytes_that_are_no_character_show_as_bytes() {
        assert_eq!(
            shown(&[b"a\xF0", b"\x9F"]),
            [("a<0xF0>".into(), None, 0..2), ("<0x9F>".into(), None, 2..3)]
        );
        assert_eq!(
            shown(&[b"", b"x"]),
            [(String::new(), None, 0..0), ("x".into(), None, 0..1)]
        );
    }

    #[test]
    fn the_byte_table_is_a_bijection() {
        let table = byte_table();
        assert_eq!(table.len(), 256);
        assert_eq!((table[&'Ġ'], table[&'Ċ'], table[&'a']), (b' ', b'\n', b'a'));
    }
}
