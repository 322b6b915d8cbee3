//! Conversations as text: a model's chat template, in Jinja, rendered as transformers renders it.
//!
//! A template comes with the model, so it is not trusted: its steps, its depth and its memory are bounded, and it
//! sees nothing but the messages, the special tokens and the options.

mod jinja;

use minijinja::ErrorKind;
use serde_json::{Map, Value, json};

use jinja::{FUEL, environment, without_generation_tags};

use crate::error::{Error, Result, refuse};
use crate::files::TokenizerFiles;
use crate::tokenizer::Tokenizer;
use crate::tokenizer::settings::{NAMES, Settings};

/// How to render a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatOptions {
    /// End with what begins an answer.
    pub add_generation_prompt: bool,
    /// End within the last message, for the model to go on with it. Wins over `add_generation_prompt`.
    pub continue_final_message: bool,
    /// What else the template may ask for: `tools`, `documents`, `enable_thinking` …
    pub variables: Map<String, Value>,
}

impl Default for ChatOptions {
    fn default() -> Self {
        Self {
            add_generation_prompt: true,
            continue_final_message: false,
            variables: Map::new(),
        }
    }
}

/// A rendered conversation: a text that has its special tokens already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chat {
    pub text: String,
}

/// What a model is given to read.
#[derive(Debug, Clone, Copy)]
pub enum Prompt<'a> {
    /// A text, around which the tokenizer puts the special tokens that the model expects.
    Text(&'a str),
    /// A text to which nothing is added.
    Bare(&'a str),
}

impl Prompt<'_> {
    /// What is read, without special tokens that the tokenizer puts around it.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Bare(text) => text,
        }
    }

    pub fn ids(self, tokenizer: &Tokenizer) -> Result<Vec<u32>> {
        match self {
            Self::Text(text) => tokenizer.encode(text),
            Self::Bare(text) => tokenizer.encode_bare(text),
        }
    }
}

impl<'a> From<&'a str> for Prompt<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Prompt<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a Chat> for Prompt<'a> {
    fn from(chat: &'a Chat) -> Self {
        Self::Bare(&chat.text)
    }
}

/// Bytes of a template; the longest in use have some 20 kB.
const LARGEST_TEMPLATE: usize = 1 << 20;

/// A model's template and the texts of its special tokens.
pub struct ChatTemplate {
    source: String,
    /// `bos_token` and the like.
    special: Map<String, Value>,
}

impl ChatTemplate {
    /// `chat_template.jinja`, or what `tokenizer_config.json` has: one template, or several of which one is the
    /// default.
    pub fn read(files: &TokenizerFiles) -> Result<Option<Self>> {
        let settings = Settings::read(files)?;
        let inside = match settings.get("chat_template") {
            Some(Value::Array(templates)) => templates
                .iter()
                .find(|template| template["name"] == "default")
                .and_then(|template| template["template"].as_str()),
            template => template.and_then(Value::as_str),
        };
        let beside = files.get("chat_template.jinja").map(String::from_utf8_lossy);
        let Some(source) = beside.or(inside.map(Into::into)) else {
            return Ok(None);
        };
        if source.len() > LARGEST_TEMPLATE {
            return Err(Error::ChatTemplate {
                reason: format!("has {} bytes, more than any conversation needs", source.len()),
            });
        }
        let token = |name: &&str| Some(((*name).to_owned(), settings.named(name)?.into()));
        Ok(Some(Self {
            source: without_generation_tags(&source),
            special: NAMES.iter().filter_map(token).collect(),
        }))
    }

    /// A conversation as text.
    ///
    /// # Errors
    /// [`Error::Option`] for what are no messages, [`Error::ChatTemplate`] for those that the template refuses.
    pub fn render(&self, messages: &Value, options: &ChatOptions) -> Result<Chat> {
        check(messages)?;
        if options.continue_final_message {
            let (marked, last) = mark_last(messages)?;
            let text = self.fill(&marked, false, &options.variables)?;
            return Ok(Chat {
                text: up_to_mark(&text, &last)?,
            });
        }
        Ok(Chat {
            text: self.fill(messages, options.add_generation_prompt, &options.variables)?,
        })
    }

    fn fill(
        &self,
        messages: &Value,
        add_generation_prompt: bool,
        variables: &Map<String, Value>,
    ) -> Result<String> {
        let mut context = json!({"tools": null, "documents": null});
        if let Value::Object(context) = &mut context {
            context.extend(self.special.clone());
            context.extend(variables.clone());
            context.insert("messages".into(), messages.clone());
            context.insert("add_generation_prompt".into(), add_generation_prompt.into());
        }
        let context = minijinja::value::Serde(context);
        let text = environment().and_then(|environment| environment.render_str(&self.source, context));
        text.map_err(refused)
    }
}

/// Stands at the end of a message that is to be continued while a template is filled; transformers' own, so that
/// templates that trim it do so alike.
const MARK: &str = "CONTINUE_FINAL_MESSAGE_TAG ";

/// The messages with a mark at the end of the last one's text, and that text.
fn mark_last(messages: &Value) -> Result<(Value, String)> {
    let mut marked = messages.clone();
    let last = marked.as_array_mut().and_then(|list| list.last_mut());
    let text = last.and_then(|message| match message.get_mut("content") {
        Some(Value::Array(parts)) => parts.iter_mut().rev().find_map(|part| part.get_mut("text")),
        content => content,
    });
    match text {
        Some(Value::String(text)) => {
            let last = text.clone();
            text.push_str(MARK);
            Ok((marked, last))
        }
        _ => Err(refuse(
            "continue_final_message",
            "true",
            "the last message has no text to go on with",
        )),
    }
}

/// What a template made of messages up to the mark.
fn up_to_mark(text: &str, last: &str) -> Result<String> {
    let place = text.rfind(MARK.trim_end());
    match place.filter(|_| text.contains(last.trim())) {
        Some(place) if text[place..].starts_with(MARK) => Ok(text[..place].to_owned()),
        Some(place) => Ok(text[..place].trim_end().to_owned()),
        None => Err(Error::ChatTemplate {
            reason: "leaves out parts of the last message, so it cannot be continued".into(),
        }),
    }
}

/// What every template builds on; whether a role is known is the template's to say.
fn check(messages: &Value) -> Result<()> {
    let refused = |value: &Value, reason: &str| {
        let value: String = value.to_string().chars().take(60).collect();
        Err(refuse("messages", value, reason))
    };
    let Some(list) = messages.as_array().filter(|list| !list.is_empty()) else {
        return refused(messages, "expected a list of at least one message");
    };
    for (number, message) in list.iter().enumerate() {
        let has_role = message["role"].as_str().is_some_and(|role| !role.is_empty());
        if !has_role {
            let reason =
                format!("message {number} has no role; expected #{{role: \"user\", content: \"…\"}}");
            return refused(message, &reason);
        }
    }
    Ok(())
}

fn refused(error: minijinja::Error) -> Error {
    let reason = match error.kind() {
        ErrorKind::OutOfFuel => format!("takes more than {FUEL} steps"),
        ErrorKind::SyntaxError => format!("cannot be read: {error}"),
        _ => match error.detail() {
            Some(detail) => format!("refuses these messages: {detail}"),
            None => format!("refuses these messages: {error}"),
        },
    };
    Error::ChatTemplate { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str) -> Result<String> {
        let template = ChatTemplate {
            source: without_generation_tags(source),
            special: Map::new(),
        };
        let messages = json!([{"role": "user", "content": "hi"}]);
        template
            .render(&messages, &ChatOptions::default())
            .map(|chat| chat.text)
    }

    fn refusal(source: &str) -> String {
        render(source).unwrap_err().to_string()
    }

    #[test]
    fn values_are_written_as_python_writes_them() {
        assert_eq!(
            render("{{ none }} {{ true }} {{ 1.0 }}").unwrap(),
            "None True 1.0"
        );
        let json = r#"{{ {"a": [1, "é<"], "b": {}} | tojson }}"#;
        assert_eq!(render(json).unwrap(), r#"{"a": [1, "é<"], "b": {}}"#);
        let year = render("{{ strftime_now('%Y') }}").unwrap();
        assert!(year.parse::<u32>().unwrap() > 2024);
        let date = render("{{ strftime_now('%d %b %Y, %-d %B, 100%%') }}").unwrap();
        assert!(date.ends_with(", 100%") && date.contains(&year), "{date}");
        assert!(refusal("{{ strftime_now('%Q') }}").contains("is not a pattern"));
        assert!(refusal("{{ strftime_now('%Y' * 200) }}").contains("256 bytes"));
    }

    #[test]
    fn the_last_message_goes_on() {
        let messages = json!([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "I am "}]);
        let of = |source: &str, messages: &Value| {
            let template = ChatTemplate {
                source: source.into(),
                special: Map::new(),
            };
            let options = ChatOptions {
                continue_final_message: true,
                ..Default::default()
            };
            template.render(messages, &options).map(|chat| chat.text)
        };
        let plain = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>{% endfor %}{% if add_generation_prompt %}!{% endif %}";
        assert_eq!(of(plain, &messages).unwrap(), "<user>hi</><assistant>I am ");
        let trims = "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}</>{% endfor %}";
        assert_eq!(of(trims, &messages).unwrap(), "<user>hi</><assistant>I am");
        let error = of("{{ messages[0].content }}", &messages)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "the chat template leaves out parts of the last message, so it cannot be continued"
        );
        let parts = json!([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image"}]}]);
        assert_eq!(of("{{ messages[0].content[0].text }}.", &parts).unwrap(), "a");
        let error = of(plain, &json!([{"role": "user"}])).unwrap_err().to_string();
        assert!(error.contains("the last message has no text"), "{error}");
    }

    #[test]
    fn what_marks_generated_text_is_left_out() {
        assert_eq!(
            render("a {%- generation -%} b {%- endgeneration %}c").unwrap(),
            "abc"
        );
    }

    #[test]
    fn a_template_that_never_ends_is_stopped() {
        let loops = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}";
        assert_eq!(refusal(loops), "the chat template takes more than 2000000 steps");
        let writes = "{% set x = 'xxxxxxxxxxxxxxxx' * 99999 %}{% for a in range(99) %}{{ x }}{% endfor %}";
        let doubles =
            "{% set n = namespace(x='x') %}{% for a in range(50) %}{% set n.x = n.x ~ n.x %}{% endfor %}";
        for source in [writes, doubles] {
            assert_eq!(refusal(source), "the chat template takes more than 2000000 steps");
        }
        let recursion = "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}";
        assert!(refusal(recursion).contains("recursion"), "{}", refusal(recursion));
        assert_eq!(
            refusal("{{ raise_exception('only users') }}"),
            "the chat template refuses these messages: only users"
        );
        assert!(refusal("{% if %}").starts_with("the chat template cannot be read"));
    }
}
