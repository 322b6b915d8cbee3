//! How much a tokenizer makes of a text: by what its file says of the steps, before they are made.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use super::patterns;
use crate::error::{Error, Result};
use crate::files::json;

/// Bytes that the steps before a vocabulary may make of one. Those in use make up to some 40.
const MOST_GROWTH: u64 = 1 << 16;
/// Bytes that the steps back to text may make of one of a token.
const MOST_SHOWN: u64 = 256;
/// Bytes of a token: the longest in use are some hundred spaces.
const LONGEST_TOKEN: usize = 16 << 10;

/// What a file says of its steps; the vocabulary is passed over.
#[derive(Deserialize)]
struct Steps {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    decoder: Value,
}

/// What a tokenizer makes of texts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Measure {
    /// Bytes that may become of one.
    pub growth: u64,
    /// Whether every byte of a text is in one of its tokens.
    pub is_whole: bool,
    /// Whether a short text may take long.
    pub is_slow: bool,
}

/// Measures a `tokenizer.json`.
///
/// # Errors
/// One that is no such file, that makes more of a text than memory is for, or that would not fit into it.
pub(super) fn measure(file: &str, text: &[u8]) -> Result<Measure> {
    json::ensure_room(file, text)?;
    let damaged = |reason: String| Error::Damaged {
        file: file.to_owned(),
        reason,
    };
    let steps: Steps = serde_json::from_slice(text).map_err(|error| damaged(error.to_string()))?;
    let growth = growth(&steps.normalizer).map_err(|reason| damaged(format!("normalizer: {reason}")))?;
    if growth > MOST_GROWTH {
        return Err(damaged(format!(
            "its normalizers make up to {growth} bytes of one, more than {MOST_GROWTH}"
        )));
    }
    let shown = self::growth(&steps.decoder).map_err(|reason| damaged(format!("decoder: {reason}")))?;
    if shown > MOST_SHOWN {
        return Err(damaged(format!(
            "its decoders make up to {shown} bytes of one, more than {MOST_SHOWN}"
        )));
    }
    Ok(Measure {
        growth,
        is_whole: steps.normalizer.is_null() && splits_bytes(&steps.pre_tokenizer),
        is_slow: [&steps.normalizer, &steps.pre_tokenizer]
            .into_iter()
            .any(patterns::may_be_slow),
    })
}

/// The bytes of the longest token.
///
/// # Errors
/// One that is no token.
pub(super) fn longest(file: &str, vocabulary: &HashMap<String, u32>) -> Result<usize> {
    match vocabulary.keys().map(String::len).max().unwrap_or(0) {
        longest if longest > LONGEST_TOKEN => Err(Error::Damaged {
            file: file.to_owned(),
            reason: format!("has a token of {longest} bytes, more than {LONGEST_TOKEN}"),
        }),
        longest => Ok(longest),
    }
}

/// Bytes that a step, or all of a sequence, may make of one; a reason where it cannot be made.
fn growth(step: &Value) -> Result<u64, String> {
    let text = |key: &str| step[key].as_str().unwrap_or_default();
    Ok(match text("type") {
        "Sequence" => {
            let steps = ["normalizers", "decoders"].map(|key| step[key].as_array());
            let steps = steps.into_iter().flatten().flatten();
            steps
                .map(growth)
                .try_fold(1, |all: u64, one| Ok::<_, String>(all.saturating_mul(one?)))?
        }
        "Replace" => {
            let content = text("content").len() as u64;
            match (
                step["pattern"]["String"].as_str(),
                step["pattern"]["Regex"].as_str(),
            ) {
                (Some(""), _) | (_, Some("")) => return Err("replaces an empty text".to_owned()),
                (Some(pattern), _) => content.div_ceil(pattern.len() as u64).max(1),
                // It may match nothing, between any two letters.
                (None, _) => content + 1,
            }
        }
        // Once for a text, and for each part of it between special tokens.
        "Prepend" => text("prepend").len() as u64 + 1,
        "Precompiled" => longest_entry(text("precompiled_charsmap"))?,
        _ => 1,
    })
}

/// The bytes of the longest text that a map of characters puts in place of one: its texts stand behind a trie, whose
/// length is said first, each with a zero behind it.
fn longest_entry(map: &str) -> Result<u64, String> {
    let damaged = || "precompiled_charsmap is not one".to_owned();
    let bytes = STANDARD.decode(map).map_err(|_| damaged())?;
    let (length, rest) = bytes.split_first_chunk().ok_or_else(damaged)?;
    let length = u32::from_le_bytes(*length) as usize;
    let texts = rest.get(length..).filter(|_| length.is_multiple_of(4));
    let texts = texts.ok_or_else(damaged)?;
    let longest = texts.split(|byte| *byte == 0).map(<[u8]>::len).max();
    Ok(longest.unwrap_or(0).max(1) as u64)
}

/// Whether words are split and nothing of them is left out.
fn splits_bytes(step: &Value) -> bool {
    match step["type"].as_str() {
        Some("ByteLevel") => true,
        Some("Sequence") => {
            let steps = step["pretokenizers"].as_array();
            let keeps = |step: &Value| match step["type"].as_str() {
                Some("Split") => step["behavior"].as_str() != Some("Removed"),
                Some("Digits") => true,
                _ => false,
            };
            let split = steps.and_then(|steps| steps.split_last());
            split.is_some_and(|(last, others)| last["type"] == "ByteLevel" && others.iter().all(keeps))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refusal(document: &Value) -> String {
        let text = document.to_string();
        measure("tokenizer.json", text.as_bytes())
            .unwrap_err()
            .to_string()
    }

    fn replace(pattern: &str, content: &str) -> Value {
        json!({"type": "Replace", "pattern": {"String": pattern}, "content": content})
    }

    #[test]
    fn steps_that_multiply_a_text_are_refused() {
        let ten = vec![replace("a", &"a".repeat(1000)); 10];
        let text = refusal(&json!({"normalizer": {"type": "Sequence", "normalizers": ten}}));
        assert!(
            text.starts_with("tokenizer.json: its normalizers make up to "),
            "{text}"
        );
        let long = "x".repeat(100_000);
        let text = refusal(&json!({"normalizer": {"type": "Prepend", "prepend": long}}));
        assert!(text.contains("100001 bytes of one"), "{text}");
        let text = refusal(&json!({"decoder": replace("a", &"a".repeat(1000))}));
        assert!(
            text.starts_with("tokenizer.json: its decoders make up to 1000 bytes"),
            "{text}"
        );
        let text = refusal(&json!({"normalizer": replace("", "a")}));
        assert_eq!(text, "tokenizer.json: normalizer: replaces an empty text");
        let text = refusal(&json!({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}}));
        assert!(text.contains("precompiled_charsmap is not one"), "{text}");
    }

    #[test]
    fn usual_ones_are_measured() {
        let of = |document: Value| measure("tokenizer.json", document.to_string().as_bytes()).unwrap();
        let llama = json!({"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"}, replace(" ", "▁"),
        ]});
        assert_eq!(of(json!({"normalizer": llama})).growth, 12);
        let gpt2 = json!({"pre_tokenizer": {"type": "ByteLevel"}, "normalizer": null, "decoder": null});
        let whole = Measure {
            growth: 1,
            is_whole: true,
            is_slow: false,
        };
        assert_eq!(of(gpt2), whole);
        assert!(!of(json!({"pre_tokenizer": {"type": "Whitespace"}})).is_whole);
    }
}
