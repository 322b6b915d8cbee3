//! `lm.chat`: conversations as the model was trained to read them.

use ecco_models::ChatOptions;
use rhai::plugin::*;
use rhai::{Array, INT, Map};
use serde_json::Value;

use crate::models::model::Model;
use crate::text::chat::Chat;
use ecco_scripting::errors::{ErrorKind, RhaiResult, ScriptError};
use ecco_scripting::options::{OptionKind, OptionTable, Options, option};
use ecco_scripting::result::{json, show};

pub const CHAT_OPTIONS: OptionTable = OptionTable {
    primitive: "Model.chat",
    options: &[
        option(
            "add_generation_prompt",
            OptionKind::Bool,
            "true, unless `continue_final_message`",
            "end with what begins an answer",
        ),
        option(
            "continue_final_message",
            OptionKind::Bool,
            "false",
            "end within the last message, so that the model goes on with it",
        ),
        option(
            "tools",
            OptionKind::Maps,
            "none",
            "functions that the model may call, as JSON schemas",
        ),
        option(
            "documents",
            OptionKind::Maps,
            "none",
            "texts that the answer may draw on, each with what the template asks for (mostly `title` and `text`)",
        ),
        option(
            "variables",
            OptionKind::Map,
            "none",
            "what else the template asks for: `#{enable_thinking: false}`",
        ),
    ],
};

#[export_module]
pub mod functions {
    use super::*;

    /// A conversation as the text that the model was trained to read, ready for an answer: by the chat template in
    /// the model's `tokenizer_config.json` or `chat_template.jinja`. What comes out goes into `lm.generate`,
    /// `lm.run` and the like in the place of a text; it has its special tokens already, and none are added.
    ///
    /// Example:
    /// ```rhai
    /// let chat = lm.chat([#{role: "user", content: "Which countries are in the EU?"}]);
    /// lm.generate(chat, #{generate: 40})
    /// ```
    #[rhai_fn(name = "chat", return_raw, volatile)]
    pub fn chat(ctx: NativeCallContext, lm: &mut Model, messages: Array) -> RhaiResult<Chat> {
        super::render(lm, &messages, &Map::new()).map_err(|error| error.raise(&ctx))
    }

    /// A conversation with options. Tools and documents are arrays of maps, or JSON text of one: maps of a script
    /// have their keys in alphabetical order, text keeps them as they are.
    ///
    /// Example:
    /// ```rhai
    /// lm.chat([
    ///     #{role: "user", content: "Name a country."},
    ///     #{role: "assistant", content: "I would say"},
    /// ], #{continue_final_message: true})
    /// ```
    #[rhai_fn(name = "chat", return_raw, volatile)]
    pub fn chat_with(
        ctx: NativeCallContext,
        lm: &mut Model,
        messages: Array,
        options: Map,
    ) -> RhaiResult<Chat> {
        super::render(lm, &messages, &options).map_err(|error| error.raise(&ctx))
    }

    /// The text that the template made, special tokens included.
    #[rhai_fn(get = "text", pure)]
    pub fn text(chat: &mut Chat) -> String {
        chat.text().to_owned()
    }

    /// The texts of its tokens.
    #[rhai_fn(get = "tokens", pure)]
    pub fn tokens(chat: &mut Chat) -> Array {
        let tokens = chat.tokens().iter();
        tokens.map(|token| token.text.clone().into()).collect()
    }

    /// The tokens' numbers in the vocabulary: what the model reads.
    #[rhai_fn(get = "token_ids", pure)]
    pub fn token_ids(chat: &mut Chat) -> Array {
        let tokens = chat.tokens().iter();
        tokens
            .map(|token| Dynamic::from_int(INT::from(token.id)))
            .collect()
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn chat_text(chat: &mut Chat) -> String {
        chat.text().to_owned()
    }
}

fn render(lm: &Model, messages: &Array, options: &Map) -> Result<Chat, ScriptError> {
    let options = chat_options(&CHAT_OPTIONS.read(options)?)?;
    let loaded = lm.loaded()?;
    let message = |value: &Dynamic| match value.as_map_ref().ok().and_then(|map| json::json_of_map(&map)) {
        Some(message) => Ok(message),
        None => show::expected("messages such as #{role: \"user\", content: \"…\"}", value),
    };
    let messages: Vec<Value> = messages.iter().map(message).collect::<Result<_, _>>()?;
    let chat = loaded.chat(&messages.into(), &options)?;
    let tokenizer = loaded.tokenizer();
    let tokens = tokenizer.tokens(&tokenizer.encode_bare(&chat.text)?);
    Ok(Chat::new(chat, tokens))
}

fn chat_options(options: &Options) -> Result<ChatOptions, ScriptError> {
    let continue_final_message = options.bool("continue_final_message").unwrap_or(false);
    let add_generation_prompt = options.bool("add_generation_prompt");
    if continue_final_message && add_generation_prompt == Some(true) {
        let message = "add_generation_prompt begins an answer, continue_final_message goes on with one: give one of them";
        return Err(ScriptError::new(ErrorKind::Option, message).pointing_at("continue_final_message"));
    }
    let mut variables = match options.json("variables") {
        Some(Value::Object(variables)) => variables.clone(),
        _ => serde_json::Map::new(),
    };
    for name in ["tools", "documents"] {
        if let Some(value) = options.json(name) {
            variables.insert(name.to_owned(), value.clone());
        }
    }
    Ok(ChatOptions {
        add_generation_prompt: add_generation_prompt.unwrap_or(true),
        continue_final_message,
        variables,
    })
}
