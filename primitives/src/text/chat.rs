//! A conversation as a model was trained to read it.

use std::rc::Rc;

use ecco_interpreter::{Explorable, MimeBundle};
use ecco_models::{Prompt, Token};
use rhai::Dynamic;

use super::shown::token_sequence;
use ecco_scripting::errors::ScriptError;
use ecco_scripting::result::Show;
use ecco_scripting::result::show;

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

impl Show for Chat {
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
