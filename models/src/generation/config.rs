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
    /// What a text starts with that has nothing before it.
    pub begin_id: Option<u32>,
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
    /// What is added to the score of the token that completes a sequence.
    pub sequence_bias: Vec<(Vec<u32>, f64)>,
    /// After so many tokens those that end a text become more probable, by this factor for each token more.
    pub end_growth: Option<(usize, f64)>,
    /// Above 1, tokens that were given become more probable.
    pub encoder_repetition_penalty: f64,
    /// No sequence of so many tokens comes that was given; 0 for no such rule.
    pub encoder_no_repeat_ngram_size: usize,
    /// How far scores go from those that the last token of what was given has alone: 1 for those of the text
    /// (classifier-free guidance, 2306.17806).
    pub guidance_scale: f64,
    /// Texts that end the generation, where the caller names none.
    pub stop: Vec<String>,
    /// Keys of the file that change what is written and are not followed here.
    pub not_followed: Vec<&'static str>,
}

/// Keys that are not followed, and what they are where they change nothing.
const NOT_FOLLOWED: &[(&str, &[f64])] = &[
    ("typical_p", &[1.0]),
    ("epsilon_cutoff", &[0.0]),
    ("eta_cutoff", &[0.0]),
    ("top_h", &[]),
    ("penalty_alpha", &[0.0]),
    ("num_beam_groups", &[1.0]),
    ("diversity_penalty", &[0.0]),
    ("renormalize_logits", &[]),
    ("remove_invalid_values", &[]),
    ("token_healing", &[]),
    ("watermarking_config", &[]),
    ("constraints", &[]),
    ("force_words_ids", &[]),
    ("dola_layers", &[]),
    ("max_time", &[]),
];

impl GenerationConfig {
    /// `vocab_size` bounds the ids that are forced, and the one that the decoder starts with, of a model that reads one
    /// text and writes another (`is_both`).
    pub fn parse(file: Option<&[u8]>, config: &[u8], vocab_size: usize, is_both: bool) -> Result<Self> {
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
        let config = parse("config.json", config)?;
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
            start_id: match is_both {
                true => start(name, &map, &config, vocab_size)?,
                false => None,
            },
            begin_id: ids(said("bos_token_id").unwrap_or(&config["bos_token_id"]))
                .into_iter()
                .find(|&id| (id as usize) < vocab_size),
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
            sequence_bias: list(&map, "sequence_bias", |pair| biased(pair, vocab_size))
                .map(last_of_each)
                .map_err(|(value, reason)| refused(name, "sequence_bias", value, reason))?,
            end_growth: end_growth(name, &map)?,
            encoder_repetition_penalty: above_zero(name, &map, "encoder_repetition_penalty")?,
            encoder_no_repeat_ngram_size: size("encoder_no_repeat_ngram_size").unwrap_or(0),
            guidance_scale: guidance_scale(name, &map, is_both)?,
            stop: texts(&map["stop_strings"]),
            not_followed: not_followed(&map, is_both),
        })
    }

    /// The token that an encoder–decoder's decoder starts with.
    ///
    /// # Errors
    /// The model's files name none.
    pub fn decoder_start(&self) -> Result<u32> {
        let reason = "an encoder–decoder needs a token to start writing with";
        self.start_id
            .ok_or_else(|| refused("config.json", START, "missing".into(), reason.into()))
    }
}

/// One text or a list of them.
fn texts(value: &Value) -> Vec<String> {
    let all = match value {
        Value::Array(texts) => texts.as_slice(),
        one => std::slice::from_ref(one),
    };
    all.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

const START: &str = "decoder_start_token_id";

/// What the decoder starts with. Some generation_config.json leave it to config.json; where both are silent, transformers
/// takes the first token of texts.
fn start(name: &'static str, map: &Value, config: &Value, vocab_size: usize) -> Result<Option<u32>> {
    let places = [
        (name, map, START),
        ("config.json", config, START),
        (name, map, "bos_token_id"),
    ];
    let said = places.into_iter().find(|(_, map, key)| !map[*key].is_null());
    let Some((file, map, key)) = said else {
        return Ok(None);
    };
    match ids(&map[key]).first() {
        Some(&id) if (id as usize) < vocab_size => Ok(Some(id)),
        _ => {
            let reason = format!("the decoder has to start with one of {vocab_size} tokens");
            Err(refused(file, key, map[key].to_string(), reason))
        }
    }
}

fn not_followed(map: &Value, is_both: bool) -> Vec<&'static str> {
    let changes = |key: &str, neutral: &[f64]| !map[key].is_null() && !is_neutral(&map[key], neutral);
    // An encoder has nothing to read for a text without what was given.
    let guided = Some(&NOT_OF_BOTH).filter(|_| is_both);
    let keys = NOT_FOLLOWED.iter().chain(guided);
    keys.filter(|(key, neutral)| changes(key, neutral))
        .map(|(key, _)| *key)
        .collect()
}

const GUIDANCE: &str = "guidance_scale";
const NOT_OF_BOTH: (&str, &[f64]) = (GUIDANCE, &[1.0]);

fn guidance_scale(file: &'static str, map: &Value, is_both: bool) -> Result<f64> {
    match &map[GUIDANCE] {
        _ if is_both => Ok(1.0),
        Value::Null => Ok(1.0),
        said => said.as_f64().ok_or_else(|| {
            let reason = "expected a number; 1 changes nothing".to_owned();
            refused(file, GUIDANCE, said.to_string(), reason)
        }),
    }
}

/// A number above 0; 1 where there is none.
fn above_zero(file: &'static str, map: &Value, key: &str) -> Result<f64> {
    match map[key].as_f64().unwrap_or(1.0) {
        number if number > 0.0 => Ok(number),
        number => Err(refused(
            file,
            key,
            number.to_string(),
            "expected a number above 0".to_owned(),
        )),
    }
}

fn is_neutral(value: &Value, neutral: &[f64]) -> bool {
    *value == Value::Bool(false) || value.as_f64().is_some_and(|value| neutral.contains(&value))
}

fn refused(file: &'static str, key: &str, value: String, reason: String) -> Error {
    Error::Config {
        file,
        key: key.to_owned(),
        value,
        reason,
    }
}

/// The entries of a list that may be missing; the entry that is wrong, and why.
fn list<T>(
    map: &Value,
    key: &str,
    entry: impl Fn(&Value) -> Result<T, String>,
) -> Result<Vec<T>, (String, String)> {
    match &map[key] {
        Value::Null => Ok(vec![]),
        Value::Array(entries) => entries
            .iter()
            .map(|value| entry(value).map_err(|reason| (value.to_string(), reason)))
            .collect(),
        other => Err((other.to_string(), "expected a list".to_owned())),
    }
}

/// `[[id, …], number]`.
fn biased(pair: &Value, vocab_size: usize) -> Result<(Vec<u32>, f64), String> {
    let expected = || "expected pairs of a list of token ids and a number".to_owned();
    let [Value::Array(sequence), bias] = &pair.as_array().map_or(&[][..], Vec::as_slice) else {
        return Err(expected());
    };
    let (sequence, n) = (ids(&pair[0]), sequence.len());
    let bias = bias.as_f64().filter(|bias| bias.is_finite());
    let bias = bias
        .filter(|_| n > 0 && sequence.len() == n)
        .ok_or_else(expected)?;
    match sequence.iter().find(|&&id| id as usize >= vocab_size) {
        Some(id) => Err(format!(
            "there is no token {id}: the vocabulary has {vocab_size} tokens"
        )),
        None => Ok((sequence, bias)),
    }
}

/// Where a sequence stands twice, the last bias counts, as in a dictionary of Python's.
fn last_of_each(pairs: Vec<(Vec<u32>, f64)>) -> Vec<(Vec<u32>, f64)> {
    let is_last = |at: usize| pairs[at + 1..].iter().all(|(later, _)| *later != pairs[at].0);
    (0..pairs.len())
        .filter(|&at| is_last(at))
        .map(|at| pairs[at].clone())
        .collect()
}

/// `[tokens, factor]`.
fn end_growth(file: &'static str, map: &Value) -> Result<Option<(usize, f64)>> {
    let key = "exponential_decay_length_penalty";
    let pair = &map[key];
    match pair.as_array().map(Vec::as_slice) {
        None if pair.is_null() => Ok(None),
        Some([start, factor]) if start.is_u64() && factor.is_number() => {
            let start = start.as_u64().and_then(|start| usize::try_from(start).ok());
            Ok(start.zip(factor.as_f64()))
        }
        _ => {
            let reason = "expected a number of tokens and a factor".to_owned();
            Err(refused(file, key, pair.to_string(), reason))
        }
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
        parse_of(file, config, false)
    }

    fn parse_both(file: Option<&str>, config: &str) -> Result<GenerationConfig> {
        parse_of(file, config, true)
    }

    fn parse_of(file: Option<&str>, config: &str, is_both: bool) -> Result<GenerationConfig> {
        GenerationConfig::parse(file.map(str::as_bytes), config.as_bytes(), 10, is_both)
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
        let start = |file, config| parse_both(file, config).expect("nothing is wrong").start_id;
        let of_config = r#"{"decoder_start_token_id": 3, "bos_token_id": 4}"#;
        assert_eq!(parse(None, of_config).expect("it writes alone").start_id, None);
        assert_eq!(start(None, of_config), Some(3));
        assert_eq!(
            start(Some(r#"{"decoder_start_token_id": 5}"#), of_config),
            Some(5)
        );
        assert_eq!(start(Some(r#"{"bos_token_id": 6}"#), of_config), Some(3));
        assert_eq!(start(Some(r#"{"bos_token_id": 6}"#), "{}"), Some(6));
    }

    #[test]
    fn rules_are_read_and_wrong_ones_named() {
        let rules = r#"{"sequence_bias": [[[3, 4], 1.0], [[3, 4], -2.5]], "exponential_decay_length_penalty": [5, 1.5], "stop_strings": "x",
            "encoder_repetition_penalty": 2.0, "encoder_no_repeat_ngram_size": 3, "guidance_scale": 1.5, "typical_p": 0.9}"#;
        let both = parse_both(Some(rules), "{}").expect("nothing is wrong");
        assert_eq!(
            (both.guidance_scale, both.not_followed),
            (1.0, vec!["typical_p", "guidance_scale"])
        );
        let found = parse(Some(rules), "{}").expect("nothing is wrong");
        assert_eq!(found.guidance_scale, 1.5);
        assert_eq!(found.sequence_bias, [(vec![3, 4], -2.5)]);
        assert_eq!(found.end_growth, Some((5, 1.5)));
        assert_eq!(
            (
                found.encoder_repetition_penalty,
                found.encoder_no_repeat_ngram_size
            ),
            (2.0, 3)
        );
        assert_eq!(
            (found.stop, found.not_followed),
            (vec!["x".to_owned()], vec!["typical_p"])
        );
        let refused = |file: &str| parse(Some(file), "{}").expect_err("it is wrong").to_string();
        let expected = "generation_config.json: sequence_bias is [[12],1.0]: there is no token 12: the vocabulary has 10 tokens";
        assert_eq!(refused(r#"{"sequence_bias": [[[12], 1.0]]}"#), expected);
        for wrong in [
            "3",
            "[3]",
            "[[3, 1.0]]",
            "[[[], 1.0]]",
            r#"[[["a"], 1.0]]"#,
            "[[[1], null]]",
        ] {
            let error = refused(&format!(r#"{{"sequence_bias": {wrong}}}"#));
            assert!(error.contains("sequence_bias is"), "{error}");
        }
        assert!(
            refused(r#"{"exponential_decay_length_penalty": [1]}"#)
                .contains("a number of tokens and a factor")
        );
        assert!(
            refused(r#"{"guidance_scale": "high"}"#)
                .contains("guidance_scale is \"high\": expected a number")
        );
        assert!(refused(r#"{"encoder_repetition_penalty": 0}"#).contains("expected a number above 0"));
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
