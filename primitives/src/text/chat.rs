//! `lm.chat`: a conversation as a model was trained to read it.

use std::rc::Rc;

use ecco_models::{Prompt, Token, TokenSequence};
use ecco_scripting::options::{OptionKind, OptionValue};
use ecco_scripting::result::json::{json, json_of_map};
use ecco_scripting::result::{Show, show};
use ecco_scripting::{ErrorKind, Registry, ScriptError, members, options};
use ecco_widgets::Explorable;
use rhai::{Array, Dynamic, INT};
use serde_json::{Map, Value};

use super::roles::roles;
use super::shown::token_sequence;
use super::vocabulary::text_of_ids;
use crate::models::model::Model;

options! {
    /// What `lm.chat` can be told.
    pub struct ChatOptions {
        /// end with what begins an answer
        add_generation_prompt: Option<bool> = "true, unless `continue_final_message`",
        /// end within the last message, so that the model goes on with it
        continue_final_message: bool = false,
        /// which of the model's templates, by its name
        chat_template: Option<String> = "the one named tool_use where tools are given, else default",
        /// functions that the model may call, as JSON schemas
        tools: Option<Objects> = "none",
        /// texts that the answer may draw on, each with what the template asks for (mostly `title` and `text`)
        documents: Option<Objects> = "none",
        /// what else the template asks for: `#{enable_thinking: false}`
        variables: Option<Variables> = "none",
    }
}

/// JSON of an array of maps, from a script's value or from text.
#[derive(Debug, Clone)]
pub(crate) struct Objects(Value);

impl OptionValue for Objects {
    const KIND: OptionKind = OptionKind::Maps;

    fn of(value: &Dynamic) -> Option<Self> {
        let list = match value.as_immutable_string_ref() {
            Ok(text) => serde_json::from_str(&text).ok()?,
            Err(_) => json(value)?,
        };
        let is_maps = list.as_array()?.iter().all(Value::is_object);
        is_maps.then_some(Self(list))
    }
}

/// A template's variables by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Variables(Map<String, Value>);

impl OptionValue for Variables {
    const KIND: OptionKind = OptionKind::Map;

    fn of(value: &Dynamic) -> Option<Self> {
        match json_of_map(&*value.as_map_ref().ok()?)? {
            Value::Object(variables) => Some(Self(variables)),
            _ => None,
        }
    }
}

/// A rendered conversation. It has its special tokens already, so that none are added when a model reads it.
#[derive(Clone)]
pub(crate) struct Chat {
    chat: Rc<ecco_models::Chat>,
    tokens: Rc<[Token]>,
}

impl Chat {
    /// By the model's template.
    ///
    /// # Errors
    /// Messages that are no maps, or that the template refuses; a model without one.
    fn new(lm: &Model, messages: &Array, options: ChatOptions) -> Result<Self, ScriptError> {
        let options = model_options(options)?;
        let loaded = lm.loaded()?;
        let message = |value: &Dynamic| match value.as_map_ref().ok().and_then(|map| json_of_map(&map)) {
            Some(message) => Ok(message),
            None => show::expected("messages such as #{role: \"user\", content: \"…\"}", value),
        };
        let messages: Vec<Value> = messages.iter().map(message).collect::<Result<_, _>>()?;
        let messages = messages.into();
        let mut chat = loaded.chat(&messages, &options)?;
        let tokenizer = loaded.tokenizer();
        let ids = tokenizer.encode_bare(&chat.text)?;
        let tokens = tokenizer.tokens(&ids);
        let roles = roles(&chat.text, &messages, &tokens);
        chat.read = Some(TokenSequence {
            ids,
            roles,
            ..TokenSequence::default()
        });
        Ok(Self {
            chat: Rc::new(chat),
            tokens: tokens.into(),
        })
    }

    /// A text with exactly these tokens.
    pub(crate) fn of_tokens(text: String, tokens: Vec<Token>) -> Self {
        let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
        Self {
            chat: Rc::new(ecco_models::Chat {
                text,
                read: Some(ids.into()),
            }),
            tokens: tokens.into(),
        }
    }

    /// Two texts that are read together.
    pub(crate) fn pair(lm: &Model, first: &str, second: &str) -> Result<Self, ScriptError> {
        let loaded = lm.loaded()?;
        let chat = loaded.pair(first, second)?;
        let tokens = loaded
            .tokenizer()
            .tokens(chat.read.as_ref().map_or(&[], |read| &read.ids));
        Ok(Self {
            chat: Rc::new(chat),
            tokens: tokens.into(),
        })
    }

    pub(crate) fn text(&self) -> &str {
        &self.chat.text
    }

    pub(crate) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    pub(crate) fn prompt(&self) -> Prompt<'_> {
        self.chat.as_ref().into()
    }
}

/// Those that the model knows.
fn model_options(options: ChatOptions) -> Result<ecco_models::ChatOptions, ScriptError> {
    let continue_final_message = options.continue_final_message;
    let add_generation_prompt = options.add_generation_prompt;
    if continue_final_message && add_generation_prompt == Some(true) {
        let message = "add_generation_prompt begins an answer, continue_final_message goes on with one: give one of them";
        return Err(ScriptError::new(ErrorKind::Option, message).pointing_at("continue_final_message"));
    }
    let Variables(mut variables) = options.variables.unwrap_or_default();
    for (name, objects) in [("tools", options.tools), ("documents", options.documents)] {
        if let Some(Objects(list)) = objects {
            variables.insert(name.to_owned(), list);
        }
    }
    Ok(ecco_models::ChatOptions {
        template: options.chat_template,
        add_generation_prompt: add_generation_prompt.unwrap_or(true),
        continue_final_message,
        variables,
    })
}

impl Show for Chat {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(Box::new(token_sequence(&self.tokens, self.tokens.len(), false)))
    }

    fn line(&self) -> String {
        let what = match &self.chat.read {
            Some(read) if read.second.is_some() => "pair of texts",
            Some(read) if read.roles.is_empty() => "text",
            _ => "conversation",
        };
        format!("{what} of {} tokens", self.tokens.len())
    }
}

/// What a primitive is given to read: a string, or a conversation that `lm.chat` made.
#[derive(Clone)]
pub(crate) enum TextOrChat {
    Text(String),
    Chat(Chat),
}

impl TextOrChat {
    /// # Errors
    /// A value that is neither; `expected` says what is.
    pub(crate) fn of(value: &Dynamic, expected: &str) -> Result<Self, ScriptError> {
        if let Some(chat) = value.read_lock::<Chat>() {
            return Ok(Self::Chat(chat.clone()));
        }
        match value.as_immutable_string_ref() {
            Ok(text) => Ok(Self::Text(text.to_string())),
            Err(_) => show::expected(expected, value),
        }
    }

    /// Those of a list, in which a text may be given as its tokens' numbers.
    ///
    /// # Errors
    /// Values that are neither.
    pub(crate) fn all(lm: &Model, values: &Array) -> Result<Vec<Self>, ScriptError> {
        let one = |value: &Dynamic| match value.as_array_ref() {
            Ok(ids) => text_of_ids(lm, &ids).map(Self::from),
            Err(_) => Self::of(value, "a list of strings"),
        };
        values.iter().map(one).collect()
    }

    pub(crate) fn prompt(&self) -> Prompt<'_> {
        match self {
            Self::Text(text) => text.into(),
            Self::Chat(chat) => chat.prompt(),
        }
    }
}

impl From<&str> for TextOrChat {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Chat> for TextOrChat {
    fn from(chat: Chat) -> Self {
        Self::Chat(chat)
    }
}

/// The strings of an array.
///
/// # Errors
/// What is none.
pub(crate) fn strings(texts: &Array) -> Result<Vec<String>, ScriptError> {
    let text = |text: &Dynamic| match text.as_immutable_string_ref() {
        Ok(text) => Ok(text.to_string()),
        Err(_) => show::expected("a list of strings", text),
    };
    texts.iter().map(text).collect()
}

pub(crate) fn register(registry: &mut Registry) {
    members! { registry, [Model];
        /// A conversation as the text that the model was trained to read, ready for an answer: by the chat template in
        /// the model's `tokenizer_config.json` or `chat_template.jinja`. What comes out goes into `lm.generate`,
        /// `lm.run` and the like in the place of a text; it has its special tokens already, and none are added.
        ///
        /// Tools and documents are arrays of maps, or JSON text of one: maps of a script have their keys in
        /// alphabetical order, text keeps them as they are.
        ///
        /// Example:
        /// ```rhai
        /// let chat = lm.chat([#{role: "user", content: "Which countries are in the EU?"}]);
        /// lm.generate(chat, #{generate: 40})
        /// lm.chat([
        ///     #{role: "user", content: "Name a country."},
        ///     #{role: "assistant", content: "I would say"},
        /// ], #{continue_final_message: true})
        /// ```
        volatile fn chat(lm: &Model, messages: Array; options: ChatOptions) -> Chat {
            Chat::new(lm, &messages, options)
        }

        /// Two texts that the model reads together: a premise and a hypothesis, a question and the text with its answer. The
        /// tokenizer's template says what stands between and around them, and which token types they have. What comes out
        /// goes wherever a conversation does, and is shown as both texts, a line each.
        ///
        /// Example:
        /// ```rhai
        /// lm.run(lm.pair("A dog runs.", "An animal moves.")).predictions[0].label
        /// ```
        fn pair(lm: &Model, first: &str, second: &str) -> Chat { Chat::pair(lm, first, second) }

        /// Of two lists, such as a table's columns: an array of pairs.
        ///
        /// Example:
        /// ```rhai
        /// lm.run(lm.pair(table.column("premise"), table.column("hypothesis")))
        /// ```
        fn pair(lm: &Model, first: Array, second: Array) -> Array {
            let (n, other) = (first.len(), second.len());
            if n != other {
                let message = format!("the lists have {n} and {other} texts: a pair has one of each");
                return Err(ScriptError::new(ErrorKind::Value, message));
            }
            let (first, second) = (strings(&first)?, strings(&second)?);
            let pair = |(first, second): (&String, &String)| Chat::pair(lm, first, second).map(Dynamic::from);
            first.iter().zip(&second).map(pair).collect::<Result<Array, ScriptError>>()
        }
    }
    members! { registry, [Chat];
        /// The text that the template made, special tokens included; of a pair both texts, a line each.
        get text(chat: &Chat) -> String { Ok(chat.text().to_owned()) }

        /// The texts of its tokens.
        get tokens(chat: &Chat) -> Array {
            Ok(chat.tokens().iter().map(|token| token.text.clone().into()).collect())
        }

        /// The tokens' numbers in the vocabulary: what the model reads.
        get token_ids(chat: &Chat) -> Array {
            Ok(chat.tokens().iter().map(|token| Dynamic::from_int(INT::from(token.id))).collect())
        }

        /// The token types that the model reads beside the tokens: 1 for those of the second text of a pair, as its template
        /// has it. Empty where the model knows none, or all are 0.
        get token_types(chat: &Chat) -> Array {
            let read = chat.chat.read.as_ref();
            let types = read.map_or(&[][..], |read| &read.segments);
            Ok(types.iter().map(|&kind| Dynamic::from_int(kind.into())).collect())
        }

        fn to_string(chat: &Chat) -> String { Ok(chat.text().to_owned()) }

        fn to_debug(chat: &Chat) -> String { Ok(chat.text().to_owned()) }
    }
}
