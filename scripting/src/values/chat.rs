//! A conversation as a model was trained to read it.

use std::rc::Rc;

use ecco_interpreter::{Explorable, MimeBundle};
use ecco_models::{Prompt, Token};
use rhai::{Dynamic, Map};
use serde_json::Value;

use super::finding::Shown;
use super::generation::token_sequence;
use crate::errors::ScriptError;
use crate::values::show;

/// A rendered conversation. It has its special tokens already, so that none are added when a model reads it.
#[derive(Clone)]
pub struct Chat {
    chat: Rc<ecco_models::Chat>,
    tokens: Rc<[Token]>,
}

impl Chat {
    pub fn new(chat: ecco_models::Chat, tokens: Vec<Token>) -> Self {
        Self {
            chat: Rc::new(chat),
            tokens: tokens.into(),
        }
    }

    pub fn text(&self) -> &str {
        &self.chat.text
    }

    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    pub fn prompt(&self) -> Prompt<'_> {
        self.chat.as_ref().into()
    }
}

impl Shown for Chat {
    fn bundle(&self) -> Result<MimeBundle, ScriptError> {
        Ok(token_sequence(&self.tokens, self.tokens.len(), false).bundle())
    }

    fn line(&self) -> String {
        format!("conversation of {} tokens", self.tokens.len())
    }
}

/// What a primitive is given to read: a string, or a conversation that `lm.chat` made.
#[derive(Clone)]
pub enum Given {
    Text(String),
    Chat(Chat),
}

impl Given {
    /// # Errors
    /// A value that is neither; `expected` says what is.
    pub fn of(value: &Dynamic, expected: &str) -> Result<Self, ScriptError> {
        if let Some(chat) = value.read_lock::<Chat>() {
            return Ok(Self::Chat(chat.clone()));
        }
        match value.as_immutable_string_ref() {
            Ok(text) => Ok(Self::Text(text.to_string())),
            Err(_) => show::expected(expected, value),
        }
    }

    pub fn prompt(&self) -> Prompt<'_> {
        match self {
            Self::Text(text) => text.into(),
            Self::Chat(chat) => chat.prompt(),
        }
    }
}

impl From<&str> for Given {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Chat> for Given {
    fn from(chat: Chat) -> Self {
        Self::Chat(chat)
    }
}

/// A map of a script as JSON, keys in alphabetical order, as maps have them; `None` where something in it is neither a
/// plain value, nor an array or a map of such.
pub fn json_of_map(map: &Map) -> Option<Value> {
    nested_map(map, DEEPEST)
}

/// The same of any value.
pub fn json(value: &Dynamic) -> Option<Value> {
    nested(value, DEEPEST)
}

/// Levels of nesting: templates and tools have a handful.
const DEEPEST: usize = 64;

fn nested(value: &Dynamic, depth: usize) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    if value.is_unit() {
        return Some(Value::Null);
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        return Some(text.to_string().into());
    }
    if let Ok(array) = value.as_array_ref() {
        return array.iter().map(|item| nested(item, depth)).collect();
    }
    if let Ok(map) = value.as_map_ref() {
        return nested_map(&map, depth);
    }
    let number = || {
        value
            .as_int()
            .map(Value::from)
            .or_else(|_| value.as_float().map(Value::from))
    };
    let flag = || value.as_bool().map(Value::from);
    let letter = || value.as_char().map(|letter| letter.to_string().into());
    number().or_else(|_| flag()).or_else(|_| letter()).ok()
}

fn nested_map(map: &Map, depth: usize) -> Option<Value> {
    let entry = |(key, value): (&_, &_)| Some((str::to_owned(key), nested(value, depth)?));
    map.iter()
        .map(|(key, value)| entry((key.as_str(), value)))
        .collect()
}
