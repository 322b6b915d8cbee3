//! Tokens that scripts name: by their text, or by their number.

use ecco_models::Token;
use rhai::Dynamic;

use crate::errors::{ErrorKind, ScriptError};

/// A token as a script names it.
#[derive(Debug, Clone, PartialEq)]
pub enum Word {
    Text(String),
    Id(u32),
}

impl Word {
    pub fn of(value: &Dynamic) -> Option<Self> {
        if let Ok(text) = value.as_immutable_string_ref() {
            return Some(Self::Text(text.to_string()));
        }
        value
            .as_int()
            .ok()
            .and_then(|id| u32::try_from(id).ok())
            .map(Self::Id)
    }

    /// One word, or an array of them.
    pub fn several(value: &Dynamic) -> Option<Vec<Self>> {
        if let Ok(array) = value.as_array_ref() {
            return array.iter().map(Self::of).collect();
        }
        Self::of(value).map(|word| vec![word])
    }

    /// The token it means, of a model's vocabulary.
    ///
    /// # Errors
    /// A text that is not exactly one token; a number that no token has. `option` is where it was given.
    pub fn token(&self, model: &ecco_models::Model, option: &str) -> Result<Token, ScriptError> {
        let refuse = |message: String| ScriptError::new(ErrorKind::Value, message).pointing_at(option);
        let named = |id: u32| model.tokenizer().tokens(&[id]).remove(0);
        let text = match self {
            Self::Id(id) if (*id as usize) < model.config().vocab_size => return Ok(named(*id)),
            Self::Id(id) => {
                let n = model.config().vocab_size;
                return Err(refuse(format!(
                    "there is no token {id}: the vocabulary has {n}, from 0"
                )));
            }
            Self::Text(text) => text,
        };
        let ids = model.tokenizer().encode_bare(text)?;
        if let [id] = ids[..] {
            return Ok(named(id));
        }
        // Tokenizers that put a space before the text themselves have words with one under the bare word.
        if let Some(bare) = text.strip_prefix(' ')
            && let [id] = model.tokenizer().encode_bare(bare)?[..]
            && model.tokenizer().tokens(&[id, id])[1].text == *text
        {
            return Ok(named(id));
        }
        let quoted = format!("{text:?}");
        if ids.is_empty() {
            return Err(refuse(format!("{quoted} is no token: it is empty")));
        }
        let parts: Vec<String> = model
            .tokenizer()
            .tokens(&ids)
            .into_iter()
            .map(|token| format!("{:?} ({})", token.text, token.id))
            .collect();
        let hint = match text.starts_with(' ') {
            true => "name one of these, by its text or its number".to_owned(),
            false => format!(
                "name one of these, by its text or its number; words within a text often start with a space: \" {text}\""
            ),
        };
        let message = format!("{quoted} is {} tokens, not one: {}", ids.len(), parts.join(", "));
        Err(refuse(message).with_hint(hint))
    }
}
