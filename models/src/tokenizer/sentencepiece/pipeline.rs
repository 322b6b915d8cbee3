//! The `tokenizer.json` that a SentencePiece model stands for, as transformers builds it for each class.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Algorithm, PieceKind, SentencePiece};
use crate::error::{Error, Result};
use crate::tokenizer::settings::{KindRow, Settings};

/// What the classes have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Byte pairs, with bytes for what the vocabulary lacks.
    Llama,
    T5,
    Albert,
    /// Its first pieces are others than the file's.
    XlmRoberta,
    /// Without the file's map of characters.
    Deberta,
    /// With a language at the end of a text.
    Mbart,
    /// With a language before a text.
    Mbart50,
    Pegasus,
    /// Byte pairs, as Llama's, over texts without a space before them.
    Gemma,
}

const KINDS: &[KindRow<Kind>] = &[
    ("Llama", "llama mistral mixtral", Kind::Llama),
    ("T5", "t5 mt5", Kind::T5),
    ("Albert", "albert", Kind::Albert),
    ("XLMRoberta", "xlm-roberta", Kind::XlmRoberta),
    ("DebertaV2", "deberta-v2", Kind::Deberta),
    ("MBart", "mbart", Kind::Mbart),
    ("MBart50", "", Kind::Mbart50),
    ("Pegasus", "pegasus", Kind::Pegasus),
    ("Gemma", "gemma gemma2 gemma3_text", Kind::Gemma),
];

/// Tokens and their scores, in the order of their ids.
pub(super) type Vocabulary = Vec<(String, f32)>;

/// `None` for a class that is not read here.
pub(in crate::tokenizer) fn tokenizer_json(
    (file, bytes): (&str, &[u8]),
    settings: &Settings,
    model_type: &str,
) -> Result<Option<Value>> {
    let Some(kind) = settings.kind(KINDS, model_type) else {
        return Ok(None);
    };
    let model = SentencePiece::parse(bytes, file)?;
    let wanted = match kind {
        Kind::Llama | Kind::Gemma => Algorithm::BytePair,
        _ => Algorithm::Unigram,
    };
    if model.algorithm != wanted {
        return Err(Error::Damaged {
            file: file.to_owned(),
            reason: format!("is of {:?} where {kind:?} has {wanted:?}", model.algorithm),
        });
    }
    let name = |key: &str, default: &str| settings.named(key).unwrap_or(default).to_owned();
    let words = Words {
        model: &model,
        settings,
        name: &name,
    };
    Ok(Some(match kind {
        Kind::Llama => words.llama(),
        Kind::T5 => words.t5(file)?,
        Kind::Albert => words.albert(file)?,
        Kind::XlmRoberta => words.xlm_roberta(file)?,
        Kind::Deberta => words.deberta(file)?,
        Kind::Mbart => words.mbart(file, false)?,
        Kind::Mbart50 => words.mbart(file, true)?,
        Kind::Pegasus => words.pegasus(file)?,
        Kind::Gemma => words.gemma(),
    }))
}

/// A model, and what stands beside it.
pub(super) struct Words<'a> {
    pub(super) model: &'a SentencePiece,
    pub(super) settings: &'a Settings,
    /// The text of a named token, or the class's own.
    pub(super) name: &'a dyn Fn(&str, &str) -> String,
}

impl Words<'_> {
    pub(super) fn vocabulary(&self) -> Vocabulary {
        let pieces = self.model.pieces.iter();
        pieces.map(|piece| (piece.text.clone(), piece.score)).collect()
    }

    fn llama(&self) -> Value {
        let adds_space = self.settings.flag("add_prefix_space").unwrap_or(true);
        let scheme = match (adds_space, self.settings.flag("legacy").unwrap_or(false)) {
            (false, _) => "never",
            (true, true) => "always",
            (true, false) => "first",
        };
        let mut decoders = vec![
            json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
            json!({"type": "ByteFallback"}),
            json!({"type": "Fuse"}),
        ];
        if adds_space {
            decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
        }
        let vocabulary = self.vocabulary();
        let named = [
            ("unk_token", "<unk>"),
            ("bos_token", "<s>"),
            ("eos_token", "</s>"),
        ];
        json!({
            "version": "1.0",
            "added_tokens": self.special(&vocabulary, &named),
            "normalizer": null,
            "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": false},
            "post_processor": null,
            "decoder": {"type": "Sequence", "decoders": decoders},
            "model": bpe(&vocabulary, None),
        })
    }

    fn t5(&self, file: &str) -> Result<Value> {
        let mut vocabulary = self.vocabulary();
        let n_extra = self.settings.number("extra_ids").unwrap_or(100).min(1000);
        vocabulary.extend(
            (0..n_extra)
                .rev()
                .map(|number| (format!("<extra_id_{number}>"), 0.0)),
        );
        let end = (self.name)("eos_token", "</s>");
        self.unigram(
            file,
            vocabulary,
            2,
            self.mapped(vec![]),
            (&[], &[&end]),
            &[
                ("pad_token", "<pad>"),
                ("eos_token", "</s>"),
                ("unk_token", "<unk>"),
            ],
        )
    }

    fn albert(&self, file: &str) -> Result<Value> {
        let quote =
            |pattern: &str| json!({"type": "Replace", "pattern": {"String": pattern}, "content": "\""});
        let mut steps = vec![quote("``"), quote("''")];
        if !self.settings.flag("keep_accents").unwrap_or(false) {
            steps.extend([json!({"type": "NFKD"}), json!({"type": "StripAccents"})]);
        }
        if self.settings.flag("do_lower_case").unwrap_or(true) {
            steps.push(json!({"type": "Lowercase"}));
        }
        let (first, last) = (
            (self.name)("cls_token", "[CLS]"),
            (self.name)("sep_token", "[SEP]"),
        );
        self.unigram(
            file,
            self.vocabulary(),
            1,
            self.mapped(steps),
            (&[&first], &[&last]),
            &[
                ("pad_token", "<pad>"),
                ("unk_token", "<unk>"),
                ("cls_token", "[CLS]"),
                ("sep_token", "[SEP]"),
                ("mask_token", "[MASK]"),
            ],
        )
    }

    fn xlm_roberta(&self, file: &str) -> Result<Value> {
        let named = [
            ("bos_token", "<s>"),
            ("pad_token", "<pad>"),
            ("eos_token", "</s>"),
            ("unk_token", "<unk>"),
        ];
        let mut vocabulary: Vocabulary = named
            .iter()
            .map(|(key, default)| ((self.name)(key, default), 0.0))
            .collect();
        vocabulary.extend(self.vocabulary().into_iter().skip(3));
        vocabulary.push(((self.name)("mask_token", "<mask>"), 0.0));
        let (first, last) = ((self.name)("bos_token", "<s>"), (self.name)("eos_token", "</s>"));
        let all = [&named[..], &[("mask_token", "<mask>")]].concat();
        self.unigram(
            file,
            vocabulary,
            3,
            self.mapped(vec![]),
            (&[&first], &[&last]),
            &all,
        )
    }

    fn deberta(&self, file: &str) -> Result<Value> {
        let mut steps = vec![];
        if self.settings.flag("do_lower_case").unwrap_or(false) {
            steps.push(json!({"type": "Lowercase"}));
        }
        let spaces = r"\s{2,}|[\n\r\t]";
        steps.extend([
            json!({"type": "Replace", "pattern": {"Regex": spaces}, "content": " "}),
            json!({"type": "NFC"}),
            json!({"type": "Strip", "strip_left": false, "strip_right": true}),
        ]);
        let named = [
            ("bos_token", "[CLS]"),
            ("eos_token", "[SEP]"),
            ("unk_token", "[UNK]"),
            ("sep_token", "[SEP]"),
            ("pad_token", "[PAD]"),
            ("cls_token", "[CLS]"),
            ("mask_token", "[MASK]"),
        ];
        let (first, last) = (
            (self.name)("cls_token", "[CLS]"),
            (self.name)("sep_token", "[SEP]"),
        );
        let (vocabulary, unknown) = (self.vocabulary(), (self.name)("unk_token", "[UNK]"));
        let unk_id = vocabulary
            .iter()
            .position(|(text, score)| *text == unknown && *score == 0.0);
        let steps = json!({"type": "Sequence", "normalizers": steps});
        let ends: (&[&str], &[&str]) = (&[&first], &[&last]);
        let mut json = self.unigram(file, vocabulary, unk_id.unwrap_or(1), steps, ends, &named)?;
        // Words are no more split at spaces of every kind.
        let mut splits = vec![json["decoder"].clone()];
        if self.settings.flag("split_by_punct").unwrap_or(false) {
            splits.insert(0, json!({"type": "Punctuation", "behavior": "Isolated"}));
        }
        json["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": splits});
        Ok(json)
    }

    /// Steps of normalisation, and what characters become at their end.
    fn mapped(&self, steps: Vec<Value>) -> Value {
        let steps = self.mapped_steps(steps, vec![]);
        match steps.is_empty() {
            true => Value::Null,
            false => json!({"type": "Sequence", "normalizers": steps}),
        }
    }

    /// The file's map of characters, where it has one, between other steps.
    pub(super) fn mapped_steps(&self, mut before: Vec<Value>, behind: Vec<Value>) -> Vec<Value> {
        if !self.model.char_map.is_empty() {
            let map = STANDARD.encode(&self.model.char_map);
            before.push(json!({"type": "Precompiled", "precompiled_charsmap": map}));
        }
        before.extend(behind);
        before
    }

    /// Words with a ▁ for the space before each, split by how probable their pieces are.
    pub(super) fn unigram(
        &self,
        file: &str,
        vocabulary: Vocabulary,
        unk_id: usize,
        normalizer: Value,
        (first, last): (&[&str], &[&str]),
        named: &[(&str, &str)],
    ) -> Result<Value> {
        let id = |token: &str| {
            let id = vocabulary.iter().position(|(text, _)| text == token);
            id.ok_or_else(|| Error::Damaged {
                file: file.to_owned(),
                reason: format!("has no {token}, which stands around texts"),
            })
        };
        let special = |token: &str, kind: u8| json!({"SpecialToken": {"id": token, "type_id": kind}});
        let text = |name: &str, kind: u8| json!({"Sequence": {"id": name, "type_id": kind}});
        let (before, behind) = (
            first.iter().map(|token| special(token, 0)),
            last.iter().map(|token| special(token, 0)),
        );
        let around: Vec<Value> = before.chain([text("A", 0)]).chain(behind.clone()).collect();
        // As BERT has pairs, or as RoBERTa, which ends the first text twice; T5, which begins none, ends each once.
        let second = u8::from(named.iter().any(|(key, _)| *key == "cls_token"));
        let n_more = usize::from(second == 0 && !first.is_empty());
        let more = std::iter::repeat_n(behind, n_more).flatten();
        let end = last.iter().map(|token| special(token, second));
        let pair = around.iter().cloned().chain(more).chain([text("B", second)]);
        let pair: Vec<Value> = pair.chain(end).collect();
        let mut ids = Map::new();
        for &token in first.iter().chain(last) {
            ids.insert(
                token.to_owned(),
                json!({"id": token, "ids": [id(token)?], "tokens": [token]}),
            );
        }
        let adds_space = self.settings.flag("add_prefix_space").unwrap_or(true);
        let scheme = if adds_space { "always" } else { "never" };
        let spaces =
            json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": true});
        Ok(json!({
            "version": "1.0",
            "added_tokens": self.special(&vocabulary, named),
            "normalizer": normalizer,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, spaces.clone()]},
            "post_processor": {
                "type": "TemplateProcessing", "single": around, "pair": pair, "special_tokens": ids,
            },
            "decoder": spaces,
            "model": {
                "type": "Unigram", "unk_id": unk_id, "byte_fallback": false,
                "vocab": vocabulary.iter().map(|(text, score)| json!([text, f64::from(*score)])).collect::<Vec<_>>(),
            },
        }))
    }

    /// Tokens that are found before any other: those with names, the file's own, and those that T5 fills gaps with. What
    /// the vocabulary lacks of those with names comes behind it.
    pub(super) fn special(&self, vocabulary: &[(String, f32)], named: &[(&str, &str)]) -> Vec<Value> {
        let named: Vec<String> = named
            .iter()
            .map(|(key, default)| (self.name)(key, default))
            .collect();
        let own = |text: &str, kind: PieceKind| {
            self.model
                .pieces
                .iter()
                .any(|piece| piece.text == text && piece.kind == kind)
        };
        let rare: Vec<&str> = self
            .model
            .pieces
            .iter()
            .filter(|piece| matches!(piece.kind, PieceKind::Control | PieceKind::UserDefined))
            .map(|piece| piece.text.as_str())
            .collect();
        let token = |(id, (text, _)): (usize, &(String, f32))| {
            let is_gap = text.starts_with("<extra_id_");
            let is_named = named.contains(text);
            if !(is_gap || is_named || rare.contains(&text.as_str())) {
                return None;
            }
            let special = is_gap || is_named || own(text, PieceKind::Control);
            Some(json!({
                "id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
                "special": special,
            }))
        };
        let mut all: Vec<Value> = vocabulary.iter().enumerate().filter_map(token).collect();
        let mut missing: Vec<&String> = Vec::new();
        for name in &named {
            if !missing.contains(&name) && vocabulary.iter().all(|(text, _)| text != name) {
                missing.push(name);
            }
        }
        let added = missing.into_iter().enumerate().map(|(at, text)| {
            json!({
                "id": vocabulary.len() + at, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true,
            })
        });
        all.extend(added);
        all
    }
}

/// Ids by text.
pub(super) fn ids(vocabulary: &Vocabulary) -> HashMap<&str, usize> {
    let all = vocabulary.iter().enumerate();
    all.map(|(id, (text, _))| (text.as_str(), id)).collect()
}

pub(super) fn replace(pattern: Value, content: &str) -> Value {
    json!({"type": "Replace", "pattern": pattern, "content": content})
}

/// Byte pairs, with bytes for what the vocabulary lacks.
pub(super) fn bpe(vocabulary: &Vocabulary, unknown: Option<&str>) -> Value {
    let words = vocabulary.iter().enumerate();
    json!({
        "type": "BPE", "fuse_unk": true, "byte_fallback": true, "unk_token": unknown,
        "merges": merges(vocabulary, &ids(vocabulary)),
        "vocab": words.map(|(id, (text, _))| (text.clone(), json!(id))).collect::<Map<_, _>>(),
    })
}

/// Every way in which a token is made of two others, in the order of the tokens' ids, which is that of their learning.
pub(super) fn merges(vocabulary: &[(String, f32)], ids: &HashMap<&str, usize>) -> Vec<[String; 2]> {
    let mut all: Vec<(usize, usize, usize, &str, &str)> = Vec::new();
    for (id, (text, _)) in vocabulary.iter().enumerate() {
        let mut of_one: Vec<(usize, usize, &str, &str)> = Vec::new();
        for (at, _) in text.char_indices().skip(1) {
            let (left, right) = text.split_at(at);
            if let (Some(&one), Some(&other)) = (ids.get(left), ids.get(right)) {
                of_one.push((one, other, left, right));
            }
        }
        of_one.sort_unstable();
        let n = |text: &str| text.chars().count();
        all.extend(
            of_one
                .into_iter()
                .map(|(_, _, left, right)| (id, n(left), n(right), left, right)),
        );
    }
    all.sort_by_key(|&(id, left, right, ..)| (id, left, right));
    all.into_iter()
        .map(|(.., left, right)| [left.to_owned(), right.to_owned()])
        .collect()
}
