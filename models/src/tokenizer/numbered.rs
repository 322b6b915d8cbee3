//! Vocabularies whose pieces SentencePiece finds and a `vocab.json` numbers: Marian's and M2M-100's. transformers has no
//! `tokenizer.json` of them; it asks SentencePiece itself, and so texts are read here as that reads them.

use std::collections::HashMap;

use tokenizers::{Model as _, OffsetType, Token};

use super::sentencepiece::{SentencePieceNormalizer, language, own_tokenizer_json};
use super::settings::{KindRow, Settings};
use super::{HfTokenizer, refused_text};
use crate::error::{Error, Result};
use crate::files::TokenizerFiles;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One file of pieces for each language; a text may begin with the one that is wanted, `>>fra<<`.
    Marian,
    /// The text's own language stands before it.
    M2m100,
}

const KINDS: &[KindRow<Kind>] = &[
    ("Marian", "marian", Kind::Marian),
    ("M2M100", "m2m_100", Kind::M2m100),
];

/// How M2M-100's languages are numbered behind its vocabulary, by the name of the list in tokenizer_config.json.
const LANGUAGES: [(&str, &str); 2] = [
    (
        "m2m100",
        "af am ar ast az ba be bg bn br bs ca ceb cs cy da de el en es et fa ff fi fr fy ga gd gl gu ha he hi hr ht hu hy \
         id ig ilo is it ja jv ka kk km kn ko lb lg ln lo lt lv mg mk ml mn mr ms my ne nl no ns oc or pa pl ps pt ro ru sd \
         si sk sl so sq sr ss su sv sw ta th tl tn tr uk ur uz vi wo xh yi yo zh zu",
    ),
    ("wmt21", "en ha is ja cs ru zh de"),
];

/// What stands between a tokenizer's pieces and the model's ids.
pub(super) struct Numbered {
    normalizer: SentencePieceNormalizer,
    ids: HashMap<String, u32>,
    texts: HashMap<u32, String>,
    unk_id: u32,
    before: Vec<u32>,
    behind: Vec<u32>,
    /// Tokens that stand for themselves: their ids, and whether they are special.
    pub(super) added: Vec<(u32, bool)>,
}

impl Numbered {
    /// The tokenizer that finds the pieces and what numbers them; `None` for other classes.
    ///
    /// # Errors
    /// Where a file is missing or damaged, and for separate vocabularies.
    pub(super) fn read(
        files: &TokenizerFiles,
        settings: &Settings,
        model_type: &str,
    ) -> Result<Option<(HfTokenizer, Self)>> {
        let Some(kind) = settings.kind(KINDS, model_type) else {
            return Ok(None);
        };
        let names: &[&'static str] = match kind {
            Kind::Marian => &["source.spm", "vocab.json"],
            Kind::M2m100 => &["sentencepiece.bpe.model", "vocab.json"],
        };
        let file = |name: &'static str| files.get(name).ok_or_else(|| files.missing(name));
        let (pieces, vocabulary) = (file(names[0])?, file(names[1])?);
        if settings.flag("separate_vocabs") == Some(true) {
            return Err(damaged(
                "tokenizer_config.json",
                "separate_vocabs is true: a vocabulary for each language is not read here".into(),
            ));
        }
        let vocabulary: HashMap<String, u32> =
            serde_json::from_slice(vocabulary).map_err(|error| damaged("vocab.json", error.to_string()))?;
        let (json, normalizer) = own_tokenizer_json((names[0], pieces), kind == Kind::Marian)?;
        let inner = HfTokenizer::from_bytes(json).map_err(|error| damaged(names[0], error.to_string()))?;
        Self::new(kind, inner, normalizer, vocabulary, settings).map(Some)
    }

    fn new(
        kind: Kind,
        mut inner: HfTokenizer,
        normalizer: SentencePieceNormalizer,
        mut ids: HashMap<String, u32>,
        settings: &Settings,
    ) -> Result<(HfTokenizer, Self)> {
        let n_vocabulary = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let languages = languages(kind, settings);
        for (language, id) in languages.iter().zip(n_vocabulary..) {
            ids.entry(format!("__{language}__")).or_insert(id);
        }
        let usual: &[(&str, &str)] = match kind {
            Kind::Marian => &[
                ("eos_token", "</s>"),
                ("unk_token", "<unk>"),
                ("pad_token", "<pad>"),
            ],
            Kind::M2m100 => &[
                ("bos_token", "<s>"),
                ("eos_token", "</s>"),
                ("sep_token", "</s>"),
                ("pad_token", "<pad>"),
                ("unk_token", "<unk>"),
            ],
        };
        let languages_as_written = languages.iter().map(|language| format!("__{language}__"));
        let added = settings.add_numbered(&mut inner, &mut ids, usual, languages_as_written)?;
        let id = |name: &str, usual: &str| {
            let token = settings.named(name).unwrap_or(usual);
            let id = ids.get(token).copied();
            id.ok_or_else(|| damaged("vocab.json", format!("has no {token}, the {name}")))
        };
        let (end, unk_id) = (id("eos_token", "</s>")?, id("unk_token", "<unk>")?);
        let before = match kind {
            Kind::Marian => vec![],
            Kind::M2m100 => {
                let source = settings.text("src_lang").unwrap_or("en");
                let id = ids.get(&format!("__{source}__")).copied();
                vec![id.ok_or_else(|| {
                    let reason = format!("src_lang is {source:?}: expected one of {}", languages.join(", "));
                    damaged("tokenizer_config.json", reason)
                })?]
            }
        };
        let numbered = Self {
            normalizer,
            texts: ids.iter().map(|(text, &id)| (id, text.clone())).collect(),
            ids,
            unk_id,
            before,
            behind: vec![end],
            added,
        };
        Ok((inner, numbered))
    }

    pub(super) fn n_tokens(&self) -> usize {
        self.ids.len()
    }

    /// Whether a text begins with the language that is wanted.
    pub(super) fn is_told_by_text(&self) -> bool {
        self.normalizer.knows_languages
    }

    pub(super) fn text(&self, id: u32) -> Option<String> {
        self.texts.get(&id).cloned()
    }

    /// The ids of a text, with the special tokens that stand around one.
    pub(super) fn encode(&self, inner: &HfTokenizer, text: &str, adds_ends: bool) -> Result<Vec<u32>> {
        let ids = self.find(inner, &self.normalizer, text)?;
        Ok(match adds_ends {
            true => [&self.before[..], &ids, &self.behind].concat(),
            false => ids,
        })
    }

    /// Those of a text that goes on where another ends.
    pub(super) fn encode_behind(&self, inner: &HfTokenizer, text: &str) -> Result<Vec<u32>> {
        self.find(inner, &self.normalizer.behind(), text)
    }

    fn find(
        &self,
        inner: &HfTokenizer,
        normalizer: &SentencePieceNormalizer,
        text: &str,
    ) -> Result<Vec<u32>> {
        let refused = |error: tokenizers::Error| refused_text(text, &error);
        let known = inner.get_added_vocabulary();
        let mut parts = known.extract_and_normalize(Some(normalizer), text);
        let model = inner.get_model();
        let tokenize = |part: &str| {
            let at = if normalizer.knows_languages {
                language(part)
            } else {
                0
            };
            let mut tokens: Vec<Token> = Vec::new();
            if at > 0 {
                tokens.push(Token::new(0, part[..at].to_owned(), (0, at)));
            }
            let rest = model.tokenize(&part[at..])?.into_iter();
            tokens.extend(rest.map(|token| Token {
                offsets: (token.offsets.0 + at, token.offsets.1 + at),
                ..token
            }));
            Ok(tokens)
        };
        parts.tokenize(|part| tokenize(part.get())).map_err(refused)?;
        // Without offsets there would be no texts of tokens either.
        let encoding = parts.into_encoding(None, 0, OffsetType::Byte).map_err(refused)?;
        let id = |text: &String| self.ids.get(text).copied().unwrap_or(self.unk_id);
        Ok(encoding.get_tokens().iter().map(id).collect())
    }
}

fn languages(kind: Kind, settings: &Settings) -> Vec<&'static str> {
    let name = settings.text("language_codes").unwrap_or("m2m100");
    let list = LANGUAGES
        .iter()
        .find(|(known, _)| kind == Kind::M2m100 && *known == name);
    list.map_or(vec![], |(_, codes)| codes.split_whitespace().collect())
}

fn damaged(file: &str, reason: String) -> Error {
    Error::Damaged {
        file: file.into(),
        reason,
    }
}
