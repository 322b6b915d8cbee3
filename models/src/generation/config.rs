//! What a model's files say about generating text.

use serde_json::Value;

use crate::error::{Error, Result};

/// When a beam search ends before the texts are as long as they may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EarlyStopping {
    /// When the best open text, as long as it is now, scores no better than the worst finished one
    /// (transformers' `False`).
    #[default]
    Unlikely,
    /// When there are as many finished texts as beams (`True`).
    Full,
    /// When no open text can get better than the worst finished one (`"never"`).
    Impossible,
}

/// Defaults of generation, from `generation_config.json` (from `config.json` where that is not there), and
/// transformers' own where both are silent.
///
/// Whether to sample and how many beams to follow is not among them: as in the Python library, a cell has to ask
/// for either. What then bears on it, and everything that bears on greedy generation too (penalties, forced and
/// suppressed tokens, lengths), is the model's.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationConfig {
    pub temperature: f64,
    pub top_k: usize,
    pub top_p: f64,
    pub min_p: f64,
    pub repetition_penalty: f64,
    /// 0 for none.
    pub no_repeat_ngram_size: usize,
    pub length_penalty: f64,
    pub early_stopping: EarlyStopping,
    /// Length of the whole sequence, where the model says one; of what is written, for an encoder–decoder.
    pub max_length: Option<usize>,
    pub max_new_tokens: Option<usize>,
    /// Before this length nothing ends a text.
    pub min_length: usize,
    pub min_new_tokens: Option<usize>,
    /// The tokens that end a text.
    pub end_ids: Vec<u32>,
    /// What an encoder–decoder's decoder starts with.
    pub start_id: Option<u32>,
    /// What fills up the shorter texts of a batch.
    pub pad_id: Option<u32>,
    /// What follows a sequence of one token.
    pub forced_first_id: Option<u32>,
    /// One of these stands at the last position that there is room for; empty for any.
    pub forced_last_ids: Vec<u32>,
    /// Tokens that are never made.
    pub suppressed_ids: Vec<u32>,
    /// Tokens that are not made first.
    pub suppressed_first_ids: Vec<u32>,
    /// Sequences that are never completed.
    pub bad_words: Vec<Vec<u32>>,
}

impl GenerationConfig {
    /// `vocab_size` bounds the ids that are forced.
    pub fn parse(file: Option<&[u8]>, config: &[u8], vocab_size: usize) -> Result<Self> {
        let name = file.map_or("config.json", |_| "generation_config.json");
        let parse = |name: &str, text: &[u8]| -> Result<Value> {
            serde_json::from_slice(text).map_err(|error| Error::Damaged {
                file: name.into(),
                reason: error.to_string(),
            })
        };
        let map = parse(name, file.unwrap_or(config))?;
        let said = |key: &str| Some(&map[key]).filter(|value| !value.is_null());
        let number = |key: &str, default: f64| map[key].as_f64().unwrap_or(default);
        let size = |key: &str| map[key].as_u64().and_then(|n| usize::try_from(n).ok());
        let known = |key: &str, ids: Vec<u32>| match ids.iter().find(|&&id| id as usize >= vocab_size) {
            Some(id) => Err(Error::Config {
                file: name,
                key: key.into(),
                value: id.to_string(),
                reason: format!("the vocabulary has {vocab_size} tokens"),
            }),
            None => Ok(ids),
        };
        // Some generation_config.json leave it to config.json, and transformers takes the first token for it.
        let config = parse("config.json", config)?;
        let start = said("decoder_start_token_id")
            .or(Some(&config["decoder_start_token_id"]).filter(|value| !value.is_null()))
            .or(said("bos_token_id"));
        Ok(Self {
            temperature: number("temperature", 1.0),
            top_k: size("top_k").unwrap_or(50),
            top_p: number("top_p", 1.0),
            min_p: number("min_p", 0.0),
            repetition_penalty: number("repetition_penalty", 1.0),
            no_repeat_ngram_size: size("no_repeat_ngram_size").unwrap_or(0),
            length_penalty: number("length_penalty", 1.0),
            early_stopping: match &map["early_stopping"] {
                Value::Bool(true) => EarlyStopping::Full,
                Value::String(text) if text == "never" => EarlyStopping::Impossible,
                _ => EarlyStopping::Unlikely,
            },
            max_length: size("max_length"),
            max_new_tokens: size("max_new_tokens"),
            min_length: size("min_length").unwrap_or(0),
            min_new_tokens: size("min_new_tokens"),
            end_ids: ids(&map["eos_token_id"]),
            start_id: start.and_then(|value| ids(value).first().copied()),
            pad_id: ids(said("pad_token_id").unwrap_or(&config["pad_token_id"]))
                .into_iter()
                .find(|&id| (id as usize) < vocab_size),
            forced_first_id: known("forced_bos_token_id", ids(&map["forced_bos_token_id"]))?
                .first()
                .copied(),
            forced_last_ids: known("forced_eos_token_id", ids(&map["forced_eos_token_id"]))?,
            suppressed_ids: ids(&map["suppress_tokens"]),
            suppressed_first_ids: ids(&map["begin_suppress_tokens"]),
            bad_words: match &map["bad_words_ids"] {
                Value::Array(words) => words.iter().map(ids).filter(|word| !word.is_empty()).collect(),
                _ => Vec::new(),
            },
        })
    }
}

/// One id or a list of them; what is none is left out.
fn ids(value: &Value) -> Vec<u32> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match value {
        Value::Array(ids) => ids.iter().filter_map(id).collect(),
        value => id(value).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(file: Option<&str>, config: &str) -> Result<GenerationConfig> {
        GenerationConfig::parse(file.map(str::as_bytes), config.as_bytes(), 10)
    }

    #[test]
    fn silence_is_what_transformers_does() {
        let found = parse(Some("{}"), "{}").expect("nothing is wrong");
        assert_eq!(
            (found.temperature, found.top_k, found.top_p, found.min_p),
            (1.0, 50, 1.0, 0.0)
        );
        assert_eq!((found.repetition_penalty, found.length_penalty), (1.0, 1.0));
        assert_eq!((found.max_length, found.start_id), (None, None));
    }

    #[test]
    fn what_the_decoder_starts_with() {
        let start = |file, config| parse(file, config).expect("nothing is wrong").start_id;
        let of_config = r#"{"decoder_start_token_id": 3, "bos_token_id": 4}"#;
        assert_eq!(start(None, of_config), Some(3));
        assert_eq!(
            start(Some(r#"{"decoder_start_token_id": 5}"#), of_config),
            Some(5)
        );
        assert_eq!(start(Some(r#"{"bos_token_id": 6}"#), of_config), Some(3));
        assert_eq!(start(Some(r#"{"bos_token_id": 6}"#), "{}"), Some(6));
    }

    #[test]
    fn an_id_beyond_the_vocabulary_is_named() {
        let error = parse(Some(r#"{"forced_bos_token_id": 10}"#), "{}").expect_err("there are 0 to 9");
        let expected = "generation_config.json: forced_bos_token_id is 10: the vocabulary has 10 tokens";
        assert_eq!(error.to_string(), expected);
        // What is only compared with may be anything.
        assert!(parse(Some(r#"{"eos_token_id": [10], "suppress_tokens": [99]}"#), "{}").is_ok());
    }
}
