//! Text to tokens and back, with what each token looks like to a person.
//!
//! - `bounds`: how much a tokenizer makes of a text; `reading`: a text to ids, within them
//! - `border`: a text that goes on where another ends
//! - `language`: the language that a text is in, for models that are told it
//! - `pieces`: what each token adds to a text, whatever the kind of tokenizer
//! - `shown`: characters, parts of characters, and where they stand
//! - `settings`, `slow`: what stands beside the vocabulary, and vocabularies without a `tokenizer.json`; `sentencepiece`:
//!   those of SentencePiece
//!
//! A token need not be whole characters: an emoji may be four tokens. Each of those shows the whole character and
//! which part of it it is; bytes that never become a character show as `<0xF0>`.

mod border;
mod bounds;
mod language;
mod numbered;
mod patterns;
mod pieces;
mod reading;
mod sentencepiece;
pub(crate) mod settings;
mod shown;
mod slow;

pub(crate) use self::slow::QWEN2_WORDS;

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use tokenizers::Tokenizer as HfTokenizer;

pub use self::border::Ends;
use self::numbered::Numbered;
use self::pieces::{Piece, VocabularyToken};
use self::reading::USUAL_GROWTH;
use self::settings::Settings;
use crate::apart::{Fault, caught, on_thread};
use crate::error::{Error, Result};
use crate::files::TokenizerFiles;

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

const FILE: &str = "tokenizer.json";

/// Tokens that may stand around a text; there are two or three.
const MOST_AROUND: usize = 1 << 10;

/// A tokenizer of any kind.
pub struct Tokenizer {
    inner: HfTokenizer,
    /// What gives the inner tokenizer's pieces their ids, where it does not do so itself.
    numbered: Option<Numbered>,
    /// Special tokens and the like: their text stands for itself.
    added: HashSet<u32>,
    special: HashSet<u32>,
    byte_table: HashMap<char, u8>,
    /// The language that stands at a text's ends, where the files name another than the one that is put there.
    source: Option<u32>,
    /// What it is from, for people.
    file: &'static str,
    /// Bytes that its steps may make of one.
    growth: u64,
    /// Bytes of a text that one token stands for at most, where that is known.
    longest: Option<usize>,
    /// Whether it took long for a short text, or may.
    is_slow: Cell<bool>,
}

impl Tokenizer {
    /// Reads `tokenizer.json`, or what stands for it; `model_type` helps where nothing names the tokenizer's class.
    pub fn read(files: &TokenizerFiles, model_type: &str) -> Result<Self> {
        let file = match files.get(FILE) {
            Some(_) => FILE,
            None => "the tokenizer's files",
        };
        let (files, model_type) = (files.clone(), model_type.to_owned());
        // Large vocabularies take seconds.
        on_thread(move || Self::read_here(file, &files, &model_type))
            .unwrap_or_else(|fault| Err(damage(file, fault)))
    }

    fn read_here(file: &'static str, files: &TokenizerFiles, model_type: &str) -> Result<Self> {
        let settings = Settings::read(files)?;
        if file != FILE
            && let Some((inner, numbered)) = Numbered::read(files, &settings, model_type)?
        {
            return Self::of_numbered(file, inner, numbered);
        }
        let json = match files.get(FILE) {
            Some(json) => json.to_vec(),
            None => slow::tokenizer_json(files, &settings, model_type)?,
        };
        let measure = bounds::measure(file, &json)?;
        let damaged = |reason: String| Error::Damaged {
            file: file.into(),
            reason,
        };
        let mut inner = HfTokenizer::from_bytes(json).map_err(|error| damaged(error.to_string()))?;
        // Some files carry the padding and truncation of their training.
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|error| damaged(error.to_string()))?;
        settings.add_tokens(&mut inner)?;
        // As transformers has it, a tokenizer.json says itself what stands around a text.
        if file != FILE {
            settings.set_ends(&mut inner)?;
        }
        let added = inner.get_added_tokens_decoder();
        let byte_table = byte_table();
        let vocabulary = inner.get_vocab(true);
        let longest = bounds::longest(file, &vocabulary)?;
        let is_whole = measure.is_whole
            && byte_table
                .keys()
                .all(|char| vocabulary.contains_key(char.encode_utf8(&mut [0; 4])))
            && !added.values().any(|token| token.lstrip || token.rstrip);
        let mut this = Self {
            numbered: None,
            source: None,
            special: added
                .iter()
                .filter(|(_, token)| token.special)
                .map(|(&id, _)| id)
                .collect(),
            added: added.into_keys().collect(),
            byte_table,
            inner,
            file,
            growth: measure.growth,
            longest: Some(longest).filter(|_| is_whole),
            is_slow: Cell::new(measure.is_slow),
        };
        if let Some(language) = settings.text("src_lang") {
            this.source = this.language(language);
        }
        this.check()?;
        Ok(this)
    }

    fn of_numbered(file: &'static str, inner: HfTokenizer, numbered: Numbered) -> Result<Self> {
        let added = numbered.added.iter();
        let this = Self {
            special: added
                .clone()
                .filter(|(_, special)| *special)
                .map(|(id, _)| *id)
                .collect(),
            added: added.map(|(id, _)| *id).collect(),
            byte_table: HashMap::new(),
            source: None,
            inner,
            numbered: Some(numbered),
            file,
            growth: USUAL_GROWTH,
            longest: None,
            is_slow: Cell::new(false),
        };
        this.check()?;
        Ok(this)
    }

    /// Refuses one whose steps fail for any text. One that knows no letters may be right.
    fn check(&self) -> Result<()> {
        let ids = match self.encode("a b") {
            Err(Error::Option { .. }) => vec![],
            ids => ids?,
        };
        if ids.len() > MOST_AROUND {
            return Err(Error::Damaged {
                file: self.file.into(),
                reason: format!("puts {} tokens around a text", ids.len()),
            });
        }
        let shown = caught(|| self.pieces_of(&ids));
        shown.map(drop).map_err(|fault| damage(self.file, fault))
    }

    /// How many tokens there are, added ones included.
    pub fn vocab_size(&self) -> usize {
        match &self.numbered {
            Some(numbered) => numbered.n_tokens(),
            None => self.inner.get_vocab_size(true),
        }
    }

    /// Whether there is a token of this id.
    pub fn has(&self, id: u32) -> bool {
        self.written(id).is_some()
    }

    /// Whether it stands for no text: where a text begins or ends, padding.
    pub fn is_special(&self, id: u32) -> bool {
        self.special.contains(&id)
    }

    /// The tokens of a sequence of ids. An unknown id shows as `<id 123>`.
    pub fn tokens(&self, ids: &[u32]) -> Vec<Token> {
        shown::split_into_characters(&self.pieces(ids))
            .into_iter()
            .zip(ids)
            .map(|((text, part, span), &id)| Token { id, text, part, span })
            .collect()
    }

    /// The text of a sequence of ids; bytes that are no character become U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        shown::text(&self.pieces(ids))
    }

    /// The text without special tokens.
    pub fn decode_plain(&self, ids: &[u32]) -> String {
        let plain = ids.iter().filter(|id| !self.special.contains(id));
        self.decode(&plain.copied().collect::<Vec<_>>())
    }

    /// The token that an id is behind another, where a leading space may show that it does not have alone.
    pub fn token_after(&self, before: Option<u32>, id: u32) -> Token {
        let ids: Vec<u32> = before.into_iter().chain([id]).collect();
        let shown = self.tokens(&ids).pop();
        shown.unwrap_or_else(|| Token {
            id,
            text: format!("<id {id}>"),
            part: None,
            span: 0..0,
        })
    }

    /// The token that stands for one to be guessed: `[MASK]`, `<mask>`.
    pub fn mask(&self) -> Option<Token> {
        self.added_as(&["[MASK]", "<mask>"])
    }

    /// The token that fills up a text: `[PAD]`, `<pad>`.
    pub fn pad(&self) -> Option<Token> {
        self.added_as(&["[PAD]", "<pad>"])
    }

    fn added_as(&self, names: &[&str]) -> Option<Token> {
        let is_it = |id: &u32| {
            let text = self.written(*id).unwrap_or_default();
            names.iter().any(|known| text.eq_ignore_ascii_case(known))
        };
        let id = self.added.iter().copied().filter(is_it).min()?;
        self.tokens(&[id]).pop()
    }

    /// How many of the ids end at a whole character.
    pub fn whole_prefix(&self, ids: &[u32]) -> usize {
        let mut bytes = Vec::new();
        let mut whole = 0;
        for (index, piece) in self.pieces(ids).iter().enumerate() {
            bytes.extend(piece.bytes());
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

    /// A token as the vocabulary writes it.
    fn written(&self, id: u32) -> Option<String> {
        match &self.numbered {
            Some(numbered) => numbered.text(id),
            None => self.inner.id_to_token(id),
        }
    }

    /// What each id adds. Where the library fails at that, the tokens as the vocabulary has them.
    fn pieces(&self, ids: &[u32]) -> Vec<Piece> {
        caught(|| self.pieces_of(ids)).unwrap_or_else(|_| {
            let text = |id: &u32| self.written(*id).unwrap_or_else(|| format!("<id {id}>"));
            ids.iter().map(|id| Piece::Text(text(id).into_bytes())).collect()
        })
    }

    fn pieces_of(&self, ids: &[u32]) -> Vec<Piece> {
        let written = ids.iter().map(|id| match self.written(*id) {
            Some(text) => VocabularyToken {
                text,
                is_added: self.added.contains(id),
            },
            None => VocabularyToken {
                text: format!("<id {id}>"),
                is_added: true,
            },
        });
        pieces::pieces(self.inner.get_decoder(), &self.byte_table, written.collect())
    }
}

/// What is wrong with a file that the library cannot take, in its own words.
fn damage(file: &str, fault: Fault) -> Error {
    let damaged = |reason: &str| Error::Damaged {
        file: file.to_owned(),
        reason: reason.to_owned(),
    };
    match fault {
        Fault::Interrupted => Error::Interrupted,
        Fault::NoProcess(source) => Error::NoProcess {
            what: "reading with a tokenizer",
            source,
        },
        Fault::Panic(words) => damaged(&format!("cannot be used: {words}")),
        Fault::Depth => damaged("nests its steps too deeply"),
        Fault::Memory | Fault::Output | Fault::Time => damaged("makes too much of a text"),
    }
}

/// GPT-2's map of characters to the bytes they stand for: printable Latin-1 for itself, the rest from
/// U+0100 on in order.
pub(crate) fn byte_table() -> HashMap<char, u8> {
    let is_printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let printable = (0..=255u8)
        .filter(is_printable)
        .map(|byte| (char::from(byte), byte));
    let rest = (0..=255u8).filter(|byte| !is_printable(byte));
    printable.chain(('\u{100}'..).zip(rest)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_byte_table_is_a_bijection() {
        let table = byte_table();
        assert_eq!(table.len(), 256);
        assert_eq!((table[&'Ġ'], table[&'Ċ'], table[&'a']), (b' ', b'\n', b'a'));
    }
}
