//! SentencePiece's model files, `tokenizer.model` and `spiece.model`: a protobuf with pieces, their scores, and how texts
//! are normalised (github.com/google/sentencepiece, `sentencepiece_model.proto`). `pipeline` makes a `tokenizer.json` of one.

mod normalizer;
mod own;
mod pipeline;
mod written;

use crate::error::{Error, Result};

pub(super) use normalizer::{SentencePieceNormalizer, language};
pub(super) use own::own_tokenizer_json;
pub(super) use pipeline::tokenizer_json;

/// What is read of a model file.
#[derive(Debug, Clone, PartialEq)]
struct SentencePiece {
    pieces: Vec<Piece>,
    algorithm: Algorithm,
    /// The piece that stands for what is in no other.
    unk_id: usize,
    /// What characters become, as SentencePiece compiled it.
    char_map: Vec<u8>,
    /// Whether a space stands before every text.
    adds_space: bool,
    /// Whether spaces in a row are one, and none at the ends.
    removes_spaces: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Piece {
    text: String,
    score: f32,
    kind: PieceKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PieceKind {
    /// Found in texts, also a byte.
    Plain,
    /// Special: never found in texts.
    Control,
    /// Always found whole.
    UserDefined,
    /// Found in no text: stands for what is unknown, or was taken out of use.
    Unused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Unigram,
    BytePair,
}

/// Pieces that a model may have; the largest in use have a million.
const MOST_PIECES: usize = 1 << 22;

impl SentencePiece {
    /// # Errors
    /// [`Error::Damaged`] for bytes that are no such file, with the name it has.
    fn parse(bytes: &[u8], file: &str) -> Result<Self> {
        let damaged = |reason: String| Error::Damaged {
            file: file.to_owned(),
            reason,
        };
        let mut this = Self {
            pieces: Vec::new(),
            algorithm: Algorithm::Unigram,
            unk_id: 0,
            char_map: Vec::new(),
            adds_space: true,
            removes_spaces: true,
        };
        for field in Fields(bytes) {
            let (number, value) = field.map_err(|reason| damaged(reason.to_owned()))?;
            let read = match (number, value) {
                (1, Value::Bytes(piece)) if this.pieces.len() < MOST_PIECES => {
                    Piece::parse(piece).map(|piece| this.pieces.push(piece))
                }
                (1, Value::Bytes(_)) => Err(format!("has more than {MOST_PIECES} pieces")),
                (2, Value::Bytes(trainer)) => this.read_trainer(trainer),
                (3, Value::Bytes(normalizer)) => this.read_normalizer(normalizer),
                _ => Ok(()),
            };
            read.map_err(damaged)?;
        }
        match this.pieces.get(this.unk_id) {
            Some(_) => Ok(this),
            None => Err(damaged(format!(
                "has {} pieces, and no {} for what is unknown",
                this.pieces.len(),
                this.unk_id
            ))),
        }
    }

    fn read_trainer(&mut self, bytes: &[u8]) -> Result<(), String> {
        for field in Fields(bytes) {
            match field? {
                (3, Value::Number(1)) => self.algorithm = Algorithm::Unigram,
                (3, Value::Number(2)) => self.algorithm = Algorithm::BytePair,
                (3, Value::Number(other)) => {
                    return Err(format!(
                        "is of type {other}: only unigram (1) and byte pairs (2) are read"
                    ));
                }
                (40, Value::Number(id)) => self.unk_id = usize::try_from(id).unwrap_or(usize::MAX),
                _ => {}
            }
        }
        Ok(())
    }

    fn read_normalizer(&mut self, bytes: &[u8]) -> Result<(), String> {
        for field in Fields(bytes) {
            match field? {
                (2, Value::Bytes(map)) => self.char_map = map.to_vec(),
                (3, Value::Number(adds)) => self.adds_space = adds != 0,
                (4, Value::Number(removes)) => self.removes_spaces = removes != 0,
                _ => {}
            }
        }
        Ok(())
    }
}

impl Piece {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut piece = Self {
            text: String::new(),
            score: 0.0,
            kind: PieceKind::Plain,
        };
        for field in Fields(bytes) {
            match field? {
                (1, Value::Bytes(text)) => {
                    let text = std::str::from_utf8(text);
                    piece.text = text
                        .map_err(|error| format!("a piece is no text: {error}"))?
                        .to_owned();
                }
                (2, Value::Word(bits)) => piece.score = f32::from_bits(bits),
                (3, Value::Number(3)) => piece.kind = PieceKind::Control,
                (3, Value::Number(4)) => piece.kind = PieceKind::UserDefined,
                (3, Value::Number(2 | 5)) => piece.kind = PieceKind::Unused,
                _ => {}
            }
        }
        match piece.score.is_finite() {
            true => Ok(piece),
            false => Err(format!(
                "the piece {:?} has the score {}",
                piece.text, piece.score
            )),
        }
    }
}

/// What a field of a protobuf message holds.
enum Value<'b> {
    Number(u64),
    Word(u32),
    Bytes(&'b [u8]),
    Long,
}

/// The fields of a protobuf message, by number. Lengths are checked against what is there.
struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn bytes(&mut self, n: u64) -> Option<&'b [u8]> {
        let (bytes, rest) = self.0.split_at_checked(usize::try_from(n).ok()?)?;
        self.0 = rest;
        Some(bytes)
    }

    fn field(&mut self) -> Option<(u64, Value<'b>)> {
        let key = self.number()?;
        let value = match key & 7 {
            0 => Value::Number(self.number()?),
            1 => self.bytes(8).map(|_| Value::Long)?,
            2 => {
                let n = self.number()?;
                Value::Bytes(self.bytes(n)?)
            }
            5 => Value::Word(u32::from_le_bytes(self.bytes(4)?.try_into().ok()?)),
            _ => return None,
        };
        Some((key >> 3, value))
    }
}

impl<'b> Iterator for Fields<'b> {
    type Item = std::result::Result<(u64, Value<'b>), &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or("is no SentencePiece model, or was cut off"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field of bytes.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, bytes.len() as u8], bytes].concat()
    }

    fn piece(text: &str, score: f32, kind: u8) -> Vec<u8> {
        let score = [&[2 << 3 | 5], &score.to_le_bytes()[..]].concat();
        field(
            1,
            &[field(1, text.as_bytes()), score, vec![3 << 3, kind]].concat(),
        )
    }

    #[test]
    fn a_model_file_is_read() {
        let trainer = field(2, &[3 << 3, 2, 0xC0, 2, 1]); // byte pairs, and 40: what is unknown is piece 1
        let all = [
            piece("<s>", 0.0, 3),
            piece("<unk>", 0.0, 2),
            piece("▁a", -1.5, 1),
            trainer,
        ]
        .concat();
        let found = SentencePiece::parse(&all, "tokenizer.model").unwrap();
        assert_eq!((found.algorithm, found.unk_id), (Algorithm::BytePair, 1));
        assert_eq!(
            (found.pieces[0].kind, found.pieces[2].score),
            (PieceKind::Control, -1.5)
        );
        assert_eq!(found.pieces[2].text, "▁a");
        // Cut off anywhere, or altered, it is refused or is another file, and never more than it holds.
        for n in 0..all.len() {
            let _ = SentencePiece::parse(&all[..n], "tokenizer.model");
            for bit in 0..8 {
                let mut other = all.clone();
                other[n] ^= 1 << bit;
                let _ = SentencePiece::parse(&other, "tokenizer.model");
            }
        }
        let error = SentencePiece::parse(&all[..all.len() - 1], "tokenizer.model").unwrap_err();
        assert_eq!(
            error.to_string(),
            "tokenizer.model: is no SentencePiece model, or was cut off"
        );
        let huge = SentencePiece::parse(&[0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F], "x").unwrap_err();
        assert!(huge.to_string().contains("cut off"));
        let words = [piece("a", 0.0, 1), field(2, &[3 << 3, 3])].concat();
        assert!(
            SentencePiece::parse(&words, "x")
                .unwrap_err()
                .to_string()
                .contains("is of type 3")
        );
        assert!(
            SentencePiece::parse(&[], "x")
                .unwrap_err()
                .to_string()
                .contains("has 0 pieces")
        );
    }
}
