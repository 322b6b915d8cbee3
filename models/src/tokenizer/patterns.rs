//! Whether a tokenizer's regular expressions can take long for a short text.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// White space but the last of it, as most tokenizers of the GPT family have it. It needs looking ahead, and by itself takes
/// no more steps than there is white space.
const SPACES: &str = r"\s+(?!\S)";

/// Whether a search by any regular expression of a step may go back over a text again and again. The library searches by
/// backtracking what needs it, an alternative at a time, and all else in time that is linear in the text. Some that are
/// named here are quick nevertheless: reading apart costs them a few milliseconds.
pub(super) fn may_be_slow(step: &Value) -> bool {
    match step {
        Value::Object(fields) => fields.iter().any(|(key, value)| match (key.as_str(), value) {
            ("Regex", Value::String(pattern)) => backtracks(pattern),
            _ => may_be_slow(value),
        }),
        Value::Array(steps) => steps.iter().any(may_be_slow),
        _ => false,
    }
}

fn backtracks(pattern: &str) -> bool {
    let is_linear = |part: &str| !is_possessive(part) && Regex::new(part).is_ok();
    !is_linear(pattern)
        && alternatives(pattern)
            .iter()
            .any(|&part| part != SPACES && !is_linear(part))
}

/// `a++`, `a*+`, `a?+`, `a{2}+`: what is taken is not given back. To the linear engine these are repetitions of repetitions.
fn is_possessive(pattern: &str) -> bool {
    static POSSESSIVE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?:[+*?]|\{\d+(?:,\d*)?\})\+").expect("a pattern"));
    POSSESSIVE.is_match(pattern)
}

/// The parts between `|` that stand in no group and no class.
fn alternatives(pattern: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut classes, mut is_escaped) = (vec![], 0, 0_usize, 0_usize, false);
    for (at, c) in pattern.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '[' => classes += 1,
            ']' => classes = classes.saturating_sub(1),
            '(' if classes == 0 => depth += 1,
            ')' if classes == 0 => depth = depth.saturating_sub(1),
            '|' if classes == 0 && depth == 0 => {
                parts.push(&pattern[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&pattern[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::slow::QWEN2_WORDS;
    use serde_json::json;

    const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    #[test]
    fn those_in_use_are_quick() {
        let gpt2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
        for pattern in [QWEN2_WORDS, GPT4O, gpt2, " {2,}", r"\p{N}{1,3}", r"[|)(]+|x"] {
            assert!(!backtracks(pattern), "{pattern}");
        }
    }

    #[test]
    fn what_goes_back_is_not() {
        let slow = [
            r"(?=(a|a)*c)b|a",
            r"((x|\s+(?!\S)|y)*)*z",
            r"(a+)+\s+(?!\S)",
            r"(a)\1",
            r"((a?+a?)+)+b",
            r"(?>a)b",
        ];
        for pattern in slow {
            assert!(backtracks(pattern), "{pattern}");
            let step = json!({"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": pattern}},
            ]});
            assert!(may_be_slow(&step));
        }
        assert!(!may_be_slow(&json!({"pattern": {"String": r"(?=a)"}})));
    }
}
