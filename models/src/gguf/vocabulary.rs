//! A header's vocabulary as the `tokenizer.json` and `tokenizer_config.json` that it stands for.
//!
//! What is built is what transformers builds of the same file: byte-level pairs (`gpt2`), SentencePiece's pairs
//! (`llama`), whose merges are found again from the scores, and SentencePiece's unigrams (`t5`).

mod merges;

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value as Json, json};

use super::header::Header;
use super::pre_tokenizers;
use super::reader::Value;
use crate::error::Result;
use crate::tokenizer::byte_table;

/// Of `tokenizer.ggml.token_type`: tokens that steer, and those that users added.
const CONTROL: u64 = 3;
const ADDED: u64 = 4;
/// The block of text that SentencePiece has for a space.
const SPACE: &str = "▁";

/// What the header says of its tokens.
struct Vocabulary<'a> {
    header: &'a Header<'a, 'a>,
    tokens: &'a [&'a str],
    types: Vec<u64>,
}

/// The documents of a tokenizer, by name.
pub(super) fn documents<'a>(header: &'a Header<'a, 'a>) -> Result<BTreeMap<&'static str, Vec<u8>>> {
    let tokens = header
        .gguf
        .texts("tokenizer.ggml.tokens")
        .ok_or_else(|| header.damaged("has no list tokenizer.ggml.tokens".into()))?;
    let types = match header.gguf.get("tokenizer.ggml.token_type") {
        Some(Value::Numbers(list)) => list.iter().map(|value| value.whole().unwrap_or(0)).collect(),
        _ => vec![],
    };
    let vocabulary = Vocabulary {
        header,
        tokens,
        types,
    };
    let tokenizer = vocabulary.tokenizer()?;
    let config = vocabulary.config()?;
    Ok(BTreeMap::from([
        ("tokenizer.json", tokenizer.to_string().into_bytes()),
        ("tokenizer_config.json", config.to_string().into_bytes()),
    ]))
}

/// Tokens that have names: here, and in `tokenizer_config.json`.
const NAMED: [(&str, &str); 7] = [
    ("bos", "bos_token"),
    ("eos", "eos_token"),
    ("unknown", "unk_token"),
    ("padding", "pad_token"),
    ("seperator", "sep_token"),
    ("cls", "cls_token"),
    ("mask", "mask_token"),
];

impl Vocabulary<'_> {
    fn tokenizer(&self) -> Result<Json> {
        let model = self.header.gguf.text("tokenizer.ggml.model");
        let architecture = self.header.architecture;
        let mut tokenizer = match model {
            Some("gpt2") => self.byte_level()?,
            Some("llama") if architecture.starts_with("gemma") => self.gemma()?,
            Some("llama") => self.sentence_piece(architecture == "phi3")?,
            Some("t5") => self.unigram()?,
            Some(other) => {
                let reason = format!("tokenizer.ggml.model is {other:?}; read here are gpt2, llama, t5");
                return Err(self.header.damaged(reason));
            }
            None => {
                return Err(self
                    .header
                    .damaged("does not say its tokenizer.ggml.model".into()));
            }
        };
        let written = &tokenizer["model"]["vocab"];
        let mut added = self.added(written.as_object(), model == Some("gpt2"));
        if model == Some("t5") {
            added.extend(
                self.blanks()
                    .iter()
                    .map(|(id, blank)| added_token(*id, blank, true)),
            );
        }
        tokenizer["version"] = json!("1.0");
        tokenizer["added_tokens"] = added.into();
        tokenizer["post_processor"] = self.ends(model)?;
        Ok(tokenizer)
    }

    /// The id of a token that has a name, and its text.
    fn named(&self, name: &str) -> Result<Option<(u64, &str)>> {
        let key = format!("tokenizer.ggml.{name}_token_id");
        let Some(value) = self.header.gguf.get(&key) else {
            return Ok(None);
        };
        let id = value.whole();
        let token = id.and_then(|id| self.tokens.get(usize::try_from(id).ok()?));
        match (id, token) {
            (Some(id), Some(token)) => Ok(Some((id, token))),
            _ => Err(self.header.damaged(format!(
                "{key} is {value}, but there are {} tokens",
                self.tokens.len()
            ))),
        }
    }

    /// Special tokens by name, and templates of chats.
    fn config(&self) -> Result<Json> {
        let mut config = Map::new();
        for (name, in_config) in NAMED {
            if let Some((_, token)) = self.named(name)? {
                config.insert(in_config.into(), json!(token));
            }
        }
        let gguf = self.header.gguf;
        let default = gguf.text("tokenizer.chat_template").map(|text| ("default", text));
        let others = gguf.texts("tokenizer.chat_templates").unwrap_or_default();
        let others = others
            .iter()
            .filter_map(|name| Some((*name, gguf.text(&format!("tokenizer.chat_template.{name}"))?)));
        let templates: Vec<(&str, &str)> = default.into_iter().chain(others).collect();
        let template = match templates.as_slice() {
            [] => return Ok(config.into()),
            [("default", text)] => json!(text),
            all => all
                .iter()
                .map(|(name, text)| json!({"name": name, "template": text}))
                .collect(),
        };
        config.insert("chat_template".into(), template);
        Ok(config.into())
    }

    /// What stands around a text.
    fn ends(&self, model: Option<&str>) -> Result<Json> {
        let gguf = self.header.gguf;
        let by_default = match model {
            Some("llama") => true,
            Some("gpt2") => self.pre_tokenizer()?.whole_words,
            _ => false,
        };
        let first = gguf.flag("tokenizer.ggml.add_bos_token").unwrap_or(by_default);
        let last = gguf
            .flag("tokenizer.ggml.add_eos_token")
            .unwrap_or(model == Some("t5"));
        let token = |wanted: bool, name: &str| if wanted { self.named(name) } else { Ok(None) };
        let (first, last) = (token(first, "bos")?, token(last, "eos")?);
        let special = |(_, token): &(u64, &str)| json!({"SpecialToken": {"id": token, "type_id": 0}});
        let text = |id: &str, type_id: u8| json!({"Sequence": {"id": id, "type_id": type_id}});
        let single: Vec<Json> = first
            .iter()
            .map(special)
            .chain([text("A", 0)])
            .chain(last.iter().map(special))
            .collect();
        let ids: Map<String, Json> = first
            .iter()
            .chain(&last)
            .map(|(id, token)| {
                (
                    (*token).to_owned(),
                    json!({"id": token, "ids": [id], "tokens": [token]}),
                )
            })
            .collect();
        Ok(json!({
            "type": "TemplateProcessing", "single": single, "pair": [text("A", 0), text("B", 1)],
            "special_tokens": ids,
        }))
    }

    /// Tokens that texts are searched for before anything else. In a byte-level vocabulary every token is written in
    /// the characters of bytes; one marked as steering that is not was marked by mistake.
    fn added(&self, written: Option<&Map<String, Json>>, byte_level: bool) -> Vec<Json> {
        let alphabet: HashSet<char> = byte_table().into_keys().collect();
        let mut seen = HashSet::new();
        let mut added: Vec<Json> = Vec::new();
        for (id, token) in self.tokens.iter().enumerate() {
            let kind = self.types.get(id).copied().unwrap_or_default();
            let is_known = match kind {
                CONTROL => !byte_level || token.chars().all(|char| alphabet.contains(&char)),
                ADDED => written.is_none_or(|written| written.contains_key(*token)),
                _ => false,
            };
            if is_known && !token.is_empty() && seen.insert(*token) {
                added.push(added_token(id, token, kind == CONTROL));
            }
        }
        added
    }

    fn pre_tokenizer(&self) -> Result<&'static pre_tokenizers::PreTokenizer> {
        let name = self.header.gguf.text("tokenizer.ggml.pre");
        pre_tokenizers::find(name).ok_or_else(|| {
            let name = name.unwrap_or_default();
            self.header.damaged(format!(
                "tokenizer.ggml.pre is {name:?}, a way to split texts that is not known here; known are {}",
                pre_tokenizers::names()
            ))
        })
    }

    /// The ids of tokens, as they are written.
    fn ids(&self, spelling: impl Fn(&str) -> String) -> Map<String, Json> {
        self.tokens
            .iter()
            .enumerate()
            .map(|(id, token)| (spelling(token), json!(id)))
            .collect()
    }

    fn byte_level(&self) -> Result<Json> {
        let characters: HashMap<u8, char> = byte_table()
            .into_iter()
            .map(|(char, byte)| (byte, char))
            .collect();
        let alphabet: HashSet<&char> = characters.values().collect();
        let vocabulary = self.ids(|token| match token.chars().all(|char| alphabet.contains(&char)) {
            true => token.to_owned(),
            false => token.bytes().map(|byte| characters[&byte]).collect(),
        });
        let pre_tokenizer = self.pre_tokenizer()?;
        Ok(json!({
            "normalizer": null,
            "pre_tokenizer": pre_tokenizer.json(),
            "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            "model": {
                "type": "BPE", "vocab": vocabulary, "merges": merges::listed(self.header)?.unwrap_or_default(),
                "fuse_unk": false, "ignore_merges": pre_tokenizer.whole_words,
            },
        }))
    }

    fn sentence_piece(&self, by_normalizer: bool) -> Result<Json> {
        let prefix = self
            .header
            .gguf
            .flag("tokenizer.ggml.add_space_prefix")
            .unwrap_or(true);
        let space = json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE});
        let mut decoders = vec![
            json!({"type": "Replace", "pattern": {"String": SPACE}, "content": " "}),
            json!({"type": "ByteFallback"}),
            json!({"type": "Fuse"}),
        ];
        if prefix {
            decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
        }
        let (normalizer, pre_tokenizer) = match by_normalizer {
            true => {
                let first = prefix.then(|| json!({"type": "Prepend", "prepend": SPACE}));
                let steps: Vec<Json> = first.into_iter().chain([space]).collect();
                (json!({"type": "Sequence", "normalizers": steps}), Json::Null)
            }
            false => {
                let scheme = if prefix { "first" } else { "never" };
                let spaces = json!({"type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": false});
                (Json::Null, spaces)
            }
        };
        Ok(json!({
            "normalizer": normalizer,
            "pre_tokenizer": pre_tokenizer,
            "decoder": {"type": "Sequence", "decoders": decoders},
            "model": {
                "type": "BPE", "vocab": self.ids(str::to_owned), "fuse_unk": true, "byte_fallback": true,
                "merges": merges::of_scores(self.header, self.tokens, &self.scores()?)?,
            },
        }))
    }

    /// As [`Self::sentence_piece`], without a space at the start. Runs of spaces are written as such in the file, and
    /// which pair is joined first is by the order of tokens.
    fn gemma(&self) -> Result<Json> {
        let spelled: Vec<String> = self
            .tokens
            .iter()
            .map(|token| {
                match !token.is_empty() && token.chars().all(char::is_whitespace) && token.contains(' ') {
                    true => SPACE.repeat(token.chars().count()),
                    false => (*token).to_owned(),
                }
            })
            .collect();
        let tokens: Vec<&str> = spelled.iter().map(String::as_str).collect();
        let vocabulary: Map<String, Json> = tokens
            .iter()
            .enumerate()
            .map(|(id, token)| ((*token).to_owned(), json!(id)))
            .collect();
        let order: Vec<f64> = (0..tokens.len()).map(|id| -(id as f64)).collect();
        Ok(json!({
            "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
            "pre_tokenizer": {
                "type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": false,
            },
            "decoder": {"type": "Sequence", "decoders": [
                {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
            ]},
            "model": {
                "type": "BPE", "vocab": vocabulary, "fuse_unk": true, "byte_fallback": true,
                "unk_token": self.named("unknown")?.map_or("<unk>", |(_, token)| token),
                "merges": merges::of_scores(self.header, &tokens, &order)?,
            },
        }))
    }

    fn unigram(&self) -> Result<Json> {
        let spaces = |split: bool| json!({"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always", "split": split});
        let blanks: HashMap<usize, String> = self.blanks().into_iter().collect();
        let pieces = self.tokens.iter().zip(self.scores()?).enumerate();
        let pieces: Vec<Json> = pieces
            .map(|(id, (token, score))| match blanks.get(&id) {
                Some(blank) => json!([blank, score]),
                None => json!([token, score]),
            })
            .collect();
        Ok(json!({
            "normalizer": null,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, spaces(true)]},
            "decoder": spaces(true),
            "model": {
                "type": "Unigram", "unk_id": self.named("unknown")?.map_or(2, |(id, _)| id), "vocab": pieces,
                "byte_fallback": false,
            },
        }))
    }

    /// T5's places of blanks, `<extra_id_0>` to `<extra_id_99>`, which files call `[PAD32000]` and so on.
    fn blanks(&self) -> Vec<(usize, String)> {
        const BLANKS: usize = 100;
        let is_blank = |token: &str| {
            let number = token.strip_prefix("[PAD").and_then(|rest| rest.strip_suffix(']'));
            number
                .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let places = self
            .tokens
            .iter()
            .enumerate()
            .filter(|(_, token)| is_blank(token));
        let named = places.take(BLANKS).zip((0..BLANKS).rev());
        named
            .map(|((id, _), number)| (id, format!("<extra_id_{number}>")))
            .collect()
    }

    /// A score for each token.
    fn scores(&self) -> Result<Vec<f64>> {
        let scores = self.header.gguf.numbers("tokenizer.ggml.scores");
        match scores.len() == self.tokens.len() {
            true => Ok(scores),
            false => Err(self.header.damaged(format!(
                "tokenizer.ggml.scores has {} numbers for {} tokens",
                scores.len(),
                self.tokens.len()
            ))),
        }
    }
}

/// A token that texts are searched for.
fn added_token(id: usize, token: &str, special: bool) -> Json {
    json!({
        "id": id, "content": token, "special": special, "normalized": false, "single_word": false, "lstrip": false,
        "rstrip": false,
    })
}
