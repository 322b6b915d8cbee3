//! From tokens to the bytes that each adds to a text: a tokenizer's decoder, step by step, with every token's
//! share kept apart.
//!
//! The steps are those of the `tokenizers` crate. Where one of them joins tokens (bytes to characters, all to one
//! text) it is done here; the others give a text for each token, so the crate's own code does them.

use std::collections::HashMap;

use tokenizers::Decoder;
use tokenizers::decoders::DecoderWrapper;
use tokenizers::decoders::strip::Strip;

/// What a token adds to a text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    /// Bytes that, with those of its neighbours, are characters, or are none.
    Text(Vec<u8>),
    /// A byte that belongs to no character, whatever stands beside it.
    Byte(u8),
}

impl Piece {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(bytes) => bytes,
            Self::Byte(byte) => std::slice::from_ref(byte),
        }
    }

    fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(bytes) => std::str::from_utf8(bytes).ok(),
            Self::Byte(_) => None,
        }
    }
}

/// A token as the vocabulary writes it, and whether it was added to it: then it stands for itself where others
/// are written in byte-level characters.
pub(super) struct VocabularyToken {
    pub(super) text: String,
    pub(super) is_added: bool,
}

/// What each of the tokens adds.
pub(super) fn pieces(
    decoder: Option<&DecoderWrapper>,
    byte_table: &HashMap<char, u8>,
    tokens: Vec<VocabularyToken>,
) -> Vec<Piece> {
    let is_added: Vec<bool> = tokens.iter().map(|token| token.is_added).collect();
    let mut pieces: Vec<Piece> = tokens
        .into_iter()
        .map(|token| Piece::Text(token.text.into_bytes()))
        .collect();
    let Some(decoder) = decoder else {
        join_by_spaces(&mut pieces);
        return pieces;
    };
    let mut is_one_text = false;
    for step in steps(decoder) {
        match step {
            DecoderWrapper::ByteLevel(_) => byte_level(&mut pieces, byte_table, &is_added),
            DecoderWrapper::ByteFallback(_) => byte_fallback(&mut pieces),
            DecoderWrapper::Fuse(_) => is_one_text = true,
            DecoderWrapper::Strip(by) if is_one_text => strip(pieces.iter_mut().collect(), by),
            DecoderWrapper::Strip(by) => pieces.iter_mut().for_each(|piece| strip(vec![piece], by)),
            step => by_token(&mut pieces, step),
        }
    }
    pieces
}

fn steps(decoder: &DecoderWrapper) -> Vec<&DecoderWrapper> {
    match decoder {
        DecoderWrapper::Sequence(sequence) => sequence.get_decoders().iter().flat_map(steps).collect(),
        step => vec![step],
    }
}

fn join_by_spaces(pieces: &mut [Piece]) {
    for piece in pieces.iter_mut().skip(1) {
        *piece = Piece::Text([b" ", piece.bytes()].concat());
    }
}

fn byte_level(pieces: &mut [Piece], table: &HashMap<char, u8>, is_added: &[bool]) {
    for (piece, _) in pieces
        .iter_mut()
        .zip(is_added)
        .filter(|(_, is_added)| !**is_added)
    {
        let bytes = piece
            .as_str()
            .and_then(|text| text.chars().map(|char| table.get(&char).copied()).collect());
        if let Some(bytes) = bytes {
            *piece = Piece::Text(bytes);
        }
    }
}

/// Tokens such as `<0xF0>` are bytes. A run of them is characters as a whole or not at all.
fn byte_fallback(pieces: &mut [Piece]) {
    let bytes: Vec<Option<u8>> = pieces.iter().map(|piece| byte_of(piece.as_str()?)).collect();
    let mut start = 0;
    for run in bytes.chunk_by(|one, next| one.is_some() == next.is_some()) {
        let run_bytes: Vec<u8> = run.iter().copied().flatten().collect();
        let is_text = std::str::from_utf8(&run_bytes).is_ok();
        for (piece, byte) in pieces[start..].iter_mut().zip(run_bytes) {
            *piece = match is_text {
                true => Piece::Text(vec![byte]),
                false => Piece::Byte(byte),
            };
        }
        start += run.len();
    }
}

fn byte_of(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    let is_hex = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hex.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

/// Takes up to `start` and `stop` characters from the ends of what the pieces are together.
fn strip(mut pieces: Vec<&mut Piece>, by: &Strip) {
    strip_end(pieces.iter_mut(), by.content, by.start, |text, is| {
        text.trim_start_matches(is)
    });
    strip_end(pieces.iter_mut().rev(), by.content, by.stop, |text, is| {
        text.trim_end_matches(is)
    });
}

/// Takes up to `left` times a character from the end that `trim` is at, where the first of the pieces is.
fn strip_end<'p, 'q: 'p>(
    pieces: impl Iterator<Item = &'p mut &'q mut Piece>,
    char: char,
    mut left: usize,
    trim: for<'t> fn(&'t str, &mut dyn FnMut(char) -> bool) -> &'t str,
) {
    for piece in pieces {
        let Some(text) = piece.as_str() else { break };
        let kept = trim(text, &mut |other| {
            let is_stripped = other == char && left > 0;
            left -= usize::from(is_stripped);
            is_stripped
        });
        let (is_empty, kept) = (kept.is_empty(), kept.as_bytes().to_vec());
        **piece = Piece::Text(kept);
        if !is_empty || left == 0 {
            break;
        }
    }
}

/// A step that gives a text for each token. Bytes are no text: they stay.
fn by_token(pieces: &mut [Piece], step: &DecoderWrapper) {
    if pieces.is_empty() {
        return; // some of the crate's decoders look for a last token
    }
    let texts = pieces
        .iter()
        .map(|piece| piece.as_str().unwrap_or_default().to_owned());
    let Ok(changed) = step.decode_chain(texts.collect()) else {
        return;
    };
    if changed.len() != pieces.len() {
        return;
    }
    for (piece, text) in pieces.iter_mut().zip(changed) {
        if piece.as_str().is_some() {
            *piece = Piece::Text(text.into_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(decoder: &str, tokens: &[&str]) -> Vec<Piece> {
        let decoder: DecoderWrapper = serde_json::from_str(decoder).unwrap();
        let written = tokens.iter().map(|token| VocabularyToken {
            text: (*token).to_owned(),
            is_added: false,
        });
        pieces(Some(&decoder), &HashMap::new(), written.collect())
    }

    fn text(text: &str) -> Piece {
        Piece::Text(text.as_bytes().to_vec())
    }

    const LLAMA: &str = r#"{"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}"#;

    #[test]
    fn a_run_of_bytes_is_characters_as_a_whole_or_not_at_all() {
        let whole = decoded(LLAMA, &["▁a", "<0xC3>", "<0xA9>", "▁b"]);
        assert_eq!(
            whole,
            [
                text("a"),
                Piece::Text(vec![0xC3]),
                Piece::Text(vec![0xA9]),
                text(" b")
            ]
        );
        let broken = decoded(LLAMA, &["<0x41>", "<0xC3>", "b"]);
        assert_eq!(broken, [Piece::Byte(0x41), Piece::Byte(0xC3), text("b")]);
        assert_eq!(
            decoded(LLAMA, &["<0x+1>", "<0xé>"]),
            [text("<0x+1>"), text("<0xé>")]
        );
    }

    #[test]
    fn only_the_whole_text_is_stripped_once_it_is_one() {
        assert_eq!(
            decoded(LLAMA, &["▁", "▁▁a", "▁b"]),
            [text(""), text("  a"), text(" b")]
        );
        let ends = r#"{"type": "Strip", "content": "x", "start": 1, "stop": 2}"#;
        assert_eq!(
            decoded(ends, &["xxaxxx", "", "x"]),
            [text("xax"), text(""), text("")]
        );
    }
}
