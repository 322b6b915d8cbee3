//! What stands beside the vocabulary: `tokenizer_config.json`, and what older folders have instead of parts of it:
//! `special_tokens_map.json` and `added_tokens.json`.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use tokenizers::{AddedToken, Tokenizer};

use crate::error::{Error, Result};
use crate::files::TokenizerFiles;

/// The tokens that have names.
pub(crate) const NAMES: [&str; 7] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];

/// Tokens that were added to the vocabulary, by id.
const DESCRIBED: &str = "added_tokens_decoder";

/// A class of tokenizers without its ending, the types of models that have it (apart by spaces), and what it is like.
pub(super) type KindRow<Kind> = (&'static str, &'static str, Kind);

/// The files as one map, the first one's values before the others'.
#[derive(Debug, Default)]
pub(crate) struct Settings(Map<String, Value>);

impl Settings {
    pub(crate) fn read(files: &TokenizerFiles) -> Result<Self> {
        let mut settings = object(files, "special_tokens_map.json")?;
        let newer = object(files, "tokenizer_config.json")?;
        settings.extend(newer.into_iter().filter(|(_, value)| !value.is_null()));
        let mut this = Self(settings);
        if !this.0.contains_key(DESCRIBED) {
            let described = this.described_by_age(object(files, "added_tokens.json")?)?;
            if !described.is_empty() {
                this.0.insert(DESCRIBED.into(), described.into());
            }
        }
        Ok(this)
    }

    /// The kind of tokenizer: by the class that the files name, or else by the model's type.
    pub(super) fn kind<Kind: Copy>(&self, kinds: &[KindRow<Kind>], model_type: &str) -> Option<Kind> {
        let class = self
            .text("tokenizer_class")
            .map(|class| class.trim_end_matches("Fast").trim_end_matches("Tokenizer"));
        let row = kinds.iter().find(|(known, model_types, _)| match class {
            Some(class) => class == *known,
            None => model_types.split_whitespace().any(|known| known == model_type),
        });
        row.map(|(.., kind)| *kind)
    }

    /// What `added_tokens.json` lists, a map from texts to ids, as newer files have it. Tokens that have names are
    /// special.
    fn described_by_age(&self, listed: Map<String, Value>) -> Result<Map<String, Value>> {
        let special: Vec<&str> = self.special().filter_map(content).collect();
        let described = |(text, id): (String, Value)| {
            let Some(id) = id.as_u64() else {
                return Err(Error::Damaged {
                    file: "added_tokens.json".into(),
                    reason: format!("{text:?} has the id {id}, which is no number"),
                });
            };
            let is_special = special.contains(&text.as_str());
            let token = json!({"content": text, "special": is_special, "normalized": !is_special});
            Ok((id.to_string(), token))
        };
        listed.into_iter().map(described).collect()
    }

    /// The tokens that have names, and further special ones.
    fn special(&self) -> impl Iterator<Item = &Value> {
        let lists = ["additional_special_tokens", "extra_special_tokens"].into_iter();
        let extra = lists.filter_map(|key| self.0.get(key)?.as_array()).flatten();
        NAMES.iter().filter_map(|name| self.0.get(*name)).chain(extra)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        self.0.get(key).and_then(Value::as_bool)
    }

    pub(super) fn number(&self, key: &str) -> Option<u64> {
        self.0.get(key).and_then(Value::as_u64)
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(Value::as_str)
    }

    /// The text of a named token, `bos_token`.
    pub(crate) fn named(&self, name: &str) -> Option<&str> {
        content(self.0.get(name)?)
    }

    /// Every token that the files name or describe, in the order of ids where they say one.
    fn tokens(&self) -> Vec<AddedToken> {
        let mut described: Vec<(u64, AddedToken)> = self
            .0
            .get(DESCRIBED)
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(id, token)| Some((id.parse().ok()?, added(token)?)))
            .collect();
        described.sort_by_key(|(id, _)| *id);
        let special = self.special().filter_map(added);
        described
            .into_iter()
            .map(|(_, token)| token)
            .chain(special.map(|token| token.special(true)))
            .collect()
    }

    /// Adds the tokens that `tokenizer` does not have yet, as transformers does.
    pub(super) fn add_tokens(&self, tokenizer: &mut Tokenizer) -> Result<()> {
        let known: std::collections::HashSet<String> = tokenizer
            .get_added_tokens_decoder()
            .into_values()
            .map(|token| token.content)
            .collect();
        let mut missing: Vec<AddedToken> = Vec::new();
        for token in self.tokens() {
            if !known.contains(&token.content) && !missing.iter().any(|one| one.content == token.content) {
                missing.push(token);
            }
        }
        let added = tokenizer.add_tokens(missing);
        added.map(|_| ()).map_err(|error| damaged(error.to_string()))
    }

    /// Adds tokens to a tokenizer whose ids are `ids`, the files' own and `usual`, named ones with what they are where the
    /// files are silent: those that have no id come behind all others. Their ids, and whether they are special.
    pub(super) fn add_numbered(
        &self,
        tokenizer: &mut Tokenizer,
        ids: &mut HashMap<String, u32>,
        usual: &[(&str, &str)],
        special: impl Iterator<Item = String>,
    ) -> Result<Vec<(u32, bool)>> {
        let described = self.0.get(DESCRIBED).and_then(Value::as_object);
        for (id, token) in described.into_iter().flatten() {
            if let (Ok(id), Some(text)) = (id.parse(), content(token)) {
                ids.insert(text.to_owned(), id);
            }
        }
        let named = usual
            .iter()
            .map(|(name, token)| self.named(name).unwrap_or(token).to_owned());
        let special = named.chain(special).map(|token| AddedToken::from(token, true));
        let mut tokens: Vec<AddedToken> = Vec::new();
        for token in self.tokens().into_iter().chain(special) {
            match tokens.iter_mut().find(|known| known.content == token.content) {
                Some(known) => known.special |= token.special,
                // What is around a token is normalised, and the token is not.
                None => tokens.push(token.normalized(false)),
            }
        }
        let added = tokens.iter().map(|token| {
            let next = ids.len() as u32;
            (*ids.entry(token.content.clone()).or_insert(next), token.special)
        });
        let added = added.collect();
        let result = tokenizer.add_tokens(tokens);
        result.map_err(|error| damaged(error.to_string()))?;
        Ok(added)
    }

    /// Puts special tokens around texts, where the settings say so.
    pub(super) fn set_ends(&self, tokenizer: &mut Tokenizer) -> Result<()> {
        let (first, last) = (self.flag("add_bos_token"), self.flag("add_eos_token"));
        if first.is_none() && last.is_none() {
            return Ok(());
        }
        // Where a file names none, the class has its own, which is the first of these that the vocabulary has.
        let token = |wanted: Option<bool>, name: &str, usual: &[&str]| {
            let named = self.named(name);
            let tokens = named.as_ref().map_or(usual, std::slice::from_ref).iter();
            let (token, id) = tokens
                .copied()
                .find_map(|token| Some((token, tokenizer.token_to_id(token)?)))?;
            (wanted == Some(true)).then(|| (token.to_owned(), id))
        };
        let first = token(first, "bos_token", &["<s>", "<bos>"]);
        let last = token(last, "eos_token", &["</s>", "<eos>"]);
        let special =
            |(token, _): &(String, u32)| serde_json::json!({"SpecialToken": {"id": token, "type_id": 0}});
        let text = serde_json::json!({"Sequence": {"id": "A", "type_id": 0}});
        let single: Vec<Value> = first
            .iter()
            .map(special)
            .chain([text])
            .chain(last.iter().map(special))
            .collect();
        let ids = first.iter().chain(&last).map(|(token, id)| {
            let described = serde_json::json!({"id": token, "ids": [id], "tokens": [token]});
            (token.clone(), described)
        });
        let processor = serde_json::json!({
            "type": "TemplateProcessing",
            "single": single,
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": ids.collect::<Map<_, _>>(),
        });
        let processor: tokenizers::PostProcessorWrapper =
            serde_json::from_value(processor).map_err(|error| damaged(error.to_string()))?;
        tokenizer.with_post_processor(Some(processor));
        Ok(())
    }
}

fn damaged(reason: String) -> Error {
    Error::Damaged {
        file: "tokenizer_config.json".into(),
        reason,
    }
}

fn object(files: &TokenizerFiles, name: &'static str) -> Result<Map<String, Value>> {
    let Some(bytes) = files.get(name) else {
        return Ok(Map::new());
    };
    serde_json::from_slice(bytes).map_err(|error| Error::Damaged {
        file: name.into(),
        reason: error.to_string(),
    })
}

/// A token is written as its text, or as a map that has it.
fn content(token: &Value) -> Option<&str> {
    token.as_str().or_else(|| token.get("content")?.as_str())
}

fn added(token: &Value) -> Option<AddedToken> {
    let content = content(token)?;
    let is_set = |key: &str| token.get(key).and_then(Value::as_bool).unwrap_or(false);
    Some(
        AddedToken::from(content, is_set("special"))
            .lstrip(is_set("lstrip"))
            .rstrip(is_set("rstrip"))
            .single_word(is_set("single_word"))
            .normalized(token.get("normalized").and_then(Value::as_bool).unwrap_or(false)),
    )
}
