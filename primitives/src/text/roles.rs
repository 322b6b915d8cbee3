//! Whose message each token of a rendered conversation is of.

use std::ops::Range;
use std::sync::Arc;

use ecco_models::Token;
use serde_json::Value;

/// The role of what a template puts around messages.
const TEMPLATE: &str = "template";

/// The role of each token of a text that a template made of messages: that of the message whose content it has a part of, or
/// "template". Contents are looked for in order, each behind a token that names its role where there is one, since a content may
/// stand in the template too. Empty where tokens are not the text's, letter by letter: spaces aside, which some tokenizers add.
pub(super) fn roles(text: &str, messages: &Value, tokens: &[Token]) -> Vec<Arc<str>> {
    let places = places(tokens);
    if tokens.is_empty() || places.last().is_none_or(|last| last.end != n_letters(text)) {
        return Vec::new();
    }
    let template: Arc<str> = TEMPLATE.into();
    let mut roles = vec![template; tokens.len()];
    let mut from = 0;
    for message in messages.as_array().into_iter().flatten() {
        let role: Arc<str> = message["role"].as_str().unwrap_or(TEMPLATE).into();
        for content in contents(&message["content"]) {
            let read = n_letters(&text[..from]);
            let mut later = tokens
                .iter()
                .zip(&places)
                .filter(|(_, place)| place.start >= read);
            let named = later.find(|(token, _)| token.text.trim() == &*role);
            // A token that names the role may be one of the content itself.
            let behind = named.and_then(|(_, place)| found(text, content, behind(text, place.end)));
            let Some(at) = behind.or_else(|| found(text, content, from)) else {
                continue;
            };
            let [start, end] = [at.start, at.end].map(|byte| n_letters(&text[..byte]));
            for (place, of) in places.iter().zip(&mut roles) {
                if place.start < end && place.end > start {
                    *of = Arc::clone(&role);
                }
            }
            from = at.end;
        }
    }
    roles
}

/// A text, or those among parts.
fn contents(content: &Value) -> Vec<&str> {
    match content {
        Value::String(text) => vec![text.trim()],
        Value::Array(parts) => {
            let texts = parts.iter().filter_map(|part| part["text"].as_str());
            texts.map(str::trim).collect()
        }
        _ => vec![],
    }
}

/// Where a content stands, from a byte on.
fn found(text: &str, content: &str, from: usize) -> Option<Range<usize>> {
    let start = from + text.get(from..)?.find(content).filter(|_| !content.is_empty())?;
    Some(start..start + content.len())
}

fn is_letter(character: &char) -> bool {
    !character.is_whitespace()
}

fn n_letters(text: &str) -> usize {
    text.chars().filter(is_letter).count()
}

/// The byte behind so many letters.
fn behind(text: &str, n: usize) -> usize {
    let letters = text.char_indices().filter(|(_, character)| is_letter(character));
    letters
        .take(n)
        .last()
        .map_or(0, |(at, character)| at + character.len_utf8())
}

/// The letters that each token is, counted from the text's first; those that are a part of one have it together.
fn places(tokens: &[Token]) -> Vec<Range<usize>> {
    let (mut places, mut last) = (Vec::new(), 0..0);
    for token in tokens {
        if token.part.is_none_or(|(part, _)| part == 1) {
            last = last.end..last.end + n_letters(&token.text);
        }
        places.push(last.clone());
    }
    places
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The first letter of each token's role.
    fn told(text: &str, pieces: &[&str], messages: Value) -> String {
        let token = |text: &&str| Token {
            id: 0,
            text: text.to_string(),
            span: 0..0,
            part: None,
        };
        let tokens: Vec<Token> = pieces.iter().map(token).collect();
        let roles = roles(text, &messages, &tokens);
        roles.iter().map(|role| role.chars().next().unwrap()).collect()
    }

    #[test]
    fn each_token_is_of_the_message_whose_content_it_has() {
        let pieces = [
            "<s>",
            "system",
            "\n",
            "Be",
            " a",
            " user",
            ".",
            "</s>",
            "<s>",
            "user",
            "\n",
            "user",
            "</s>",
            "<s>",
            "assistant",
            "\n",
            "a",
            "</s>\n",
            "<s>",
            "assistant",
            "\n",
        ];
        let messages = json!([
            {"role": "system", "content": " Be a user.\n"},
            {"role": "user", "content": [{"type": "text", "text": "user"}]},
            {"role": "assistant", "content": "a"},
        ]);
        assert_eq!(told(&pieces.concat(), &pieces, messages), "tttssssttttuttttatttt");
    }

    #[test]
    fn templates_without_names_and_other_texts() {
        let pieces = ["[INST]", " The", " user", " é", "sat", " [/INST]", " Yes", "</s>"];
        let messages = json!([
            {"role": "user", "content": "The user ésat"},
            {"role": "assistant", "content": "Yes"},
        ]);
        // Some tokenizers put a space before what follows a special token.
        let text = "[INST]The user ésat [/INST] Yes</s>";
        assert_eq!(told(text, &pieces, messages.clone()), "tuuuutat");
        // What the template left out has no tokens, and tokens of another text no roles.
        let none = json!([{"role": "user", "content": "No"}, {"role": "tool"}]);
        assert_eq!(told(text, &pieces, none), "tttttttt");
        assert_eq!(told("The user", &pieces, messages.clone()), "");
        assert_eq!(told("", &[], messages), "");
    }
}
