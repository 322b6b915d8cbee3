//! A tokenizer from the files of a time before `tokenizer.json`: `vocab.json` and `merges.txt` (byte-level byte-pair
//! encoding), or `vocab.txt` (WordPiece). Which of the ways to read them holds, the tokenizer's class says, or the
//! model's type where no class is named; a class that is not known here is refused rather than guessed.

use serde_json::{Map, Value, json};

use super::sentencepiece;
use super::settings::{KindRow, Settings};
use crate::error::{Error, Result};
use crate::files::TokenizerFiles;

/// What the classes have in common.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Gpt2,
    /// As GPT-2's, with `<s>` and `</s>` around a text.
    Roberta,
    /// With a way of its own to split words.
    Qwen2,
    Bert,
}

const KINDS: &[KindRow<Kind>] = &[
    ("GPT2", "gpt2 gpt_neo gptj opt starcoder2", Kind::Gpt2),
    ("CodeGen", "phi codegen", Kind::Gpt2),
    ("Roberta", "roberta", Kind::Roberta),
    ("Bart", "bart", Kind::Roberta),
    ("Qwen2", "qwen2 qwen3 qwen3_moe", Kind::Qwen2),
    ("Bert", "bert", Kind::Bert),
    ("DistilBert", "distilbert", Kind::Bert),
    ("Electra", "electra", Kind::Bert),
];

pub(crate) const QWEN2_WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The `tokenizer.json` that these files stand for.
pub(super) fn tokenizer_json(
    files: &TokenizerFiles,
    settings: &Settings,
    model_type: &str,
) -> Result<Vec<u8>> {
    let json = match (
        settings.kind(KINDS, model_type),
        files.get("vocab.json"),
        files.get("merges.txt"),
        files.get("vocab.txt"),
    ) {
        (Some(Kind::Bert), .., Some(vocabulary)) => word_piece(vocabulary, settings)?,
        (Some(kind), Some(vocabulary), Some(merges), _) if kind != Kind::Bert => {
            byte_level(vocabulary, merges, kind, settings)?
        }
        _ => match files.sentence_piece() {
            Some(file) => sentencepiece::tokenizer_json(file, settings, model_type)?,
            None => None,
        }
        .ok_or_else(|| files.without_tokenizer())?,
    };
    Ok(json.to_string().into_bytes())
}

fn byte_level(vocabulary: &[u8], merges: &[u8], kind: Kind, settings: &Settings) -> Result<Value> {
    crate::files::json::ensure_room("vocab.json", vocabulary)?;
    let vocabulary: Map<String, Value> =
        serde_json::from_slice(vocabulary).map_err(|error| damaged("vocab.json", error.to_string()))?;
    let prefix_space = settings.flag("add_prefix_space").unwrap_or(false);
    let split = |use_regex| json!({"type": "ByteLevel", "add_prefix_space": prefix_space, "trim_offsets": true, "use_regex": use_regex});
    let (defaults, words): (&[&str], Value) = match kind {
        Kind::Qwen2 => (
            &["<|endoftext|>"],
            json!({"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": QWEN2_WORDS}, "behavior": "Isolated", "invert": false},
                split(false),
            ]}),
        ),
        Kind::Roberta => (&["<s>", "</s>", "<unk>", "<pad>", "<mask>"], split(true)),
        _ => (&["<|endoftext|>"], split(true)),
    };
    let around = |name: &str, default: &str| {
        let token = settings.named(name).unwrap_or(default).to_owned();
        let id = vocabulary.get(&token).cloned();
        let id = id.ok_or_else(|| damaged("vocab.json", format!("has no {token}, the {name}")))?;
        Ok::<_, Error>(json!([token, id]))
    };
    let ends = match kind {
        Kind::Roberta => json!({
            "type": "RobertaProcessing", "sep": around("sep_token", "</s>")?, "cls": around("cls_token", "<s>")?,
            "trim_offsets": true, "add_prefix_space": prefix_space,
        }),
        _ => Value::Null,
    };
    let added = special_tokens(
        defaults
            .iter()
            .filter_map(|&token| Some((token, vocabulary.get(token)?))),
        settings,
    );
    Ok(json!({
        "version": "1.0",
        "added_tokens": added,
        "normalizer": if kind == Kind::Qwen2 { json!({"type": "NFC"}) } else { Value::Null },
        "pre_tokenizer": words,
        "post_processor": ends,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "fuse_unk": false, "vocab": vocabulary, "merges": merge_list(merges)?},
    }))
}

/// One merge a line, `t h`, below a line with the version.
fn merge_list(merges: &[u8]) -> Result<Vec<&str>> {
    let text = std::str::from_utf8(merges).map_err(|error| damaged("merges.txt", error.to_string()))?;
    let lines = text.lines().enumerate();
    let merges =
        lines.filter(|(number, line)| !(line.is_empty() || *number == 0 && line.starts_with("#version")));
    merges
        .map(|(number, line)| match line.split(' ').count() {
            2 => Ok(line),
            _ => Err(damaged(
                "merges.txt",
                format!("line {} is not two parts of a token", number + 1),
            )),
        })
        .collect()
}

/// One token a line.
fn word_piece(vocabulary: &[u8], settings: &Settings) -> Result<Value> {
    let text = std::str::from_utf8(vocabulary).map_err(|error| damaged("vocab.txt", error.to_string()))?;
    let vocabulary: Map<String, Value> = text
        .lines()
        .enumerate()
        .map(|(id, token)| (token.to_owned(), json!(id)))
        .collect();
    let named = |name: &str, default: &str| {
        let token = settings.named(name).unwrap_or(default).to_owned();
        match vocabulary.get(&token) {
            Some(id) => Ok((token, id.clone())),
            None => Err(damaged("vocab.txt", format!("has no {token}, the {name}"))),
        }
    };
    let (cls, sep, unk) = (
        named("cls_token", "[CLS]")?,
        named("sep_token", "[SEP]")?,
        named("unk_token", "[UNK]")?,
    );
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let added = special_tokens(
        special
            .into_iter()
            .filter_map(|token| Some((token, vocabulary.get(token)?))),
        settings,
    );
    Ok(json!({
        "version": "1.0",
        "added_tokens": added,
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true,
            "handle_chinese_chars": settings.flag("tokenize_chinese_chars").unwrap_or(true),
            "strip_accents": settings.flag("strip_accents"),
            "lowercase": settings.flag("do_lower_case").unwrap_or(true),
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": [sep.0, sep.1], "cls": [cls.0, cls.1]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece", "unk_token": unk.0, "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
            "vocab": vocabulary,
        },
    }))
}

/// Those of the usual special tokens that the vocabulary has. What the settings describe is added later, as they
/// describe it.
fn special_tokens<'a>(usual: impl Iterator<Item = (&'a str, &'a Value)>, settings: &Settings) -> Vec<Value> {
    let described = settings.get("added_tokens_decoder").and_then(Value::as_object);
    let is_described =
        |id: &Value| described.is_some_and(|described| described.contains_key(&id.to_string()));
    let mut added: Vec<(&str, &Value)> = usual.filter(|(_, id)| !is_described(id)).collect();
    added.sort_by_key(|(_, id)| id.as_u64());
    let token = |(content, id): (&str, &Value)| {
        json!({
            "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": true,
        })
    };
    added.into_iter().map(token).collect()
}

fn damaged(file: &str, reason: String) -> Error {
    Error::Damaged {
        file: file.into(),
        reason,
    }
}
