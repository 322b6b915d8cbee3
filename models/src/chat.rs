//! Conversations as text: a model's chat template, in Jinja, rendered as transformers renders it.
//!
//! A template comes with the model, so it is not trusted: its steps are bounded, it sees nothing but the messages, the
//! special tokens and the options, and it is rendered in a process of its own, whose memory, depth and time are bounded
//! whatever it does with them.

mod arguments;
mod bounds;
mod filters;
mod globals;
mod jinja;
mod layout;
mod links;
mod markup;
mod methods;
mod python;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use minijinja::ErrorKind;
use serde_json::{Map, Value, json};

use jinja::{FUEL, environment, without_generation_tags};

use crate::apart::{Bounds, Fault, in_process};
use crate::error::{Error, Result, format_bytes, refuse};
use crate::files::{TEMPLATE_FOLDER, TokenizerFiles};
use crate::tokenizer::Tokenizer;
use crate::tokenizer::settings::{NAMES, Settings};

/// How to render a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatOptions {
    /// Which of the model's templates, by name; by default the one that is for tools where some are given, else the
    /// default one.
    pub template: Option<String>,
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
            template: None,
            add_generation_prompt: true,
            continue_final_message: false,
            variables: Map::new(),
        }
    }
}

/// A rendered conversation, or what a model has read and written: a text that has its special tokens already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chat {
    pub text: String,
    /// What is read of it, where that is known: the tokens that the text alone would be read as may be others.
    pub read: Option<TokenSequence>,
}

/// Tokens with what stands around them, as a model reads them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenSequence {
    pub ids: Vec<u32>,
    /// The token type of each; empty where all are 0.
    pub segments: Vec<u32>,
    /// Of two texts that are read together, where the second one's tokens are.
    pub second: Option<Range<usize>>,
    /// Of a conversation, whose message each token is of, by its role, or "template"; empty where that is not known.
    pub roles: Vec<Arc<str>>,
}

/// What a model is given to read.
#[derive(Debug, Clone, Copy)]
pub enum Prompt<'a> {
    /// A text, around which the tokenizer puts the special tokens that the model expects.
    Text(&'a str),
    /// A text to which nothing is added.
    Bare(&'a str),
    /// A text whose tokens are these.
    Read(&'a str, &'a TokenSequence),
}

impl Prompt<'_> {
    /// What is read, without special tokens that the tokenizer puts around it.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Bare(text) | Self::Read(text, _) => text,
        }
    }

    pub fn ids(self, tokenizer: &Tokenizer) -> Result<Vec<u32>> {
        match self {
            Self::Text(text) => tokenizer.encode(text),
            Self::Bare(text) => tokenizer.encode_bare(text),
            Self::Read(_, read) => Ok(read.ids.clone()),
        }
    }

    /// What is known of its tokens.
    pub(crate) fn read(&self) -> Option<&TokenSequence> {
        match self {
            Self::Read(_, read) => Some(read),
            Self::Text(_) | Self::Bare(_) => None,
        }
    }
}

impl From<Vec<u32>> for TokenSequence {
    /// Of one text.
    fn from(ids: Vec<u32>) -> Self {
        Self {
            ids,
            ..Self::default()
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
        match &chat.read {
            Some(read) => Self::Read(&chat.text, read),
            None => Self::Bare(&chat.text),
        }
    }
}

/// Bytes of a template; the longest in use have some 20 kB.
const LARGEST_TEMPLATE: usize = 1 << 20;

/// What rendering may take. Steps that are counted take a second at most; those of any length are not. A million tokens are
/// some 5 MB.
const BOUNDS: Bounds = Bounds {
    memory: 1 << 30,
    time: Duration::from_secs(20),
    output: 8 << 20,
};

/// A model's templates and the texts of its special tokens.
pub struct ChatTemplate {
    /// By name; a single one is `default`.
    sources: BTreeMap<String, Source>,
    /// `bos_token` and the like.
    special: Map<String, Value>,
}

/// A template, and the file that it is from.
struct Source {
    file: String,
    text: String,
}

/// Where a template of its own stands.
const FILE: &str = "chat_template.jinja";
const DEFAULT: &str = "default";
/// The name of the template that is meant where tools are given.
const FOR_TOOLS: &str = "tool_use";

impl ChatTemplate {
    /// `chat_template.jinja` and those of `additional_chat_templates`, else what `tokenizer_config.json` has: one
    /// template, or several with names.
    pub fn read(files: &TokenizerFiles) -> Result<Option<Self>> {
        let settings = Settings::read(files)?;
        let source = |file: String, bytes: &[u8]| Source {
            file,
            text: String::from_utf8_lossy(bytes).into_owned(),
        };
        let default = files.get(FILE).map(|bytes| {
            let source = source(FILE.to_owned(), bytes);
            (DEFAULT.to_owned(), source)
        });
        let named = files.templates().map(|(name, bytes)| {
            let file = format!("{TEMPLATE_FOLDER}/{name}.jinja");
            (name.to_owned(), source(file, bytes))
        });
        let mut sources: BTreeMap<String, Source> = default.into_iter().chain(named).collect();
        if sources.is_empty() {
            sources = inside(&settings);
        }
        if sources.is_empty() {
            return Ok(None);
        }
        for Source { file, text } in sources.values_mut() {
            if text.len() > LARGEST_TEMPLATE {
                let n = text.len();
                return Err(Error::ChatTemplate {
                    reason: format!("in {file} has {n} bytes, more than any conversation needs"),
                });
            }
            *text = without_generation_tags(text);
        }
        let token = |name: &&str| Some(((*name).to_owned(), settings.named(name)?.into()));
        Ok(Some(Self {
            sources,
            special: NAMES.iter().filter_map(token).collect(),
        }))
    }

    /// The template that is meant.
    fn source(&self, options: &ChatOptions) -> Result<&Source> {
        let has_tools = options
            .variables
            .get("tools")
            .is_some_and(|tools| !tools.is_null());
        let for_tools = Some(FOR_TOOLS).filter(|name| has_tools && self.sources.contains_key(*name));
        let asked = options.template.as_deref();
        let name = asked.or(for_tools).unwrap_or(DEFAULT);
        self.sources.get(name).ok_or_else(|| {
            let names: Vec<String> = self.sources.keys().map(|name| format!("{name:?}")).collect();
            let reason = format!("the model has {}", names.join(", "));
            refuse("chat_template", format!("{name:?}"), reason)
        })
    }

    /// A conversation as text.
    ///
    /// # Errors
    /// [`Error::Option`] for what are no messages, [`Error::ChatTemplate`] for those that the template refuses.
    pub fn render(&self, messages: &Value, options: &ChatOptions) -> Result<Chat> {
        check(messages)?;
        let messages = &with_reasoning(messages);
        if options.continue_final_message {
            let (marked, last) = mark_last(messages)?;
            let text = self.fill(&marked, false, options)?;
            return Ok(Chat {
                text: up_to_mark(&text, &last)?,
                read: None,
            });
        }
        Ok(Chat {
            text: self.fill(messages, options.add_generation_prompt, options)?,
            read: None,
        })
    }

    fn fill(&self, messages: &Value, add_generation_prompt: bool, options: &ChatOptions) -> Result<String> {
        let source = self.source(options)?;
        let mut context = json!({"tools": null, "documents": null});
        if let Value::Object(context) = &mut context {
            context.extend(self.special.clone());
            context.extend(options.variables.clone());
            context.insert("messages".into(), messages.clone());
            context.insert("add_generation_prompt".into(), add_generation_prompt.into());
        }
        let rendered = in_process(BOUNDS, || {
            let context = minijinja::value::Serde(context);
            let text = environment().and_then(|environment| environment.render_str(&source.text, context));
            text.map(String::into_bytes)
                .map_err(|error| refused(&source.file, &error))
        });
        let rendered = rendered.map_err(|fault| unbounded(&source.file, fault))?;
        rendered
            .map(|text| String::from_utf8_lossy(&text).into_owned())
            .map_err(|reason| Error::ChatTemplate { reason })
    }
}

/// What `tokenizer_config.json` has.
fn inside(settings: &Settings) -> BTreeMap<String, Source> {
    let source = |text: &str| Source {
        file: "tokenizer_config.json".to_owned(),
        text: text.to_owned(),
    };
    match settings.get("chat_template") {
        Some(Value::Array(templates)) => {
            let named = |template: &Value| {
                let name = template["name"].as_str()?.to_owned();
                Some((name, source(template["template"].as_str()?)))
            };
            templates.iter().filter_map(named).collect()
        }
        Some(Value::String(template)) => [(DEFAULT.to_owned(), source(template))].into(),
        _ => BTreeMap::new(),
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

/// Names that templates have for what a model thought before it answered; the first is the usual one.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// Messages in which what was thought has the names that templates read, as transformers has it.
fn with_reasoning(messages: &Value) -> Value {
    let mut messages = messages.clone();
    for message in messages.as_array_mut().into_iter().flatten() {
        let Value::Object(fields) = message else { continue };
        let mut found = REASONING.iter().filter_map(|name| fields.get(*name));
        let Some(thought) = found.find(|thought| !thought.is_null()).cloned() else {
            continue;
        };
        let mut renamed = Map::from_iter([("thinking".to_owned(), thought.clone())]);
        renamed.extend(std::mem::take(fields));
        renamed.insert("reasoning_content".into(), thought);
        *fields = renamed;
    }
    messages
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

/// What a template, or the engine, says is wrong.
fn refused(file: &str, error: &minijinja::Error) -> String {
    match error.kind() {
        ErrorKind::OutOfFuel => format!("takes more than {FUEL} steps"),
        ErrorKind::SyntaxError => format!("in {file} cannot be read: {error}"),
        _ => match error.detail() {
            Some(detail) => format!("refuses these messages: {detail}"),
            None => format!("refuses these messages: {error}"),
        },
    }
}

/// What is wrong with a template that goes over what it may take.
fn unbounded(file: &str, fault: Fault) -> Error {
    let reason = match fault {
        Fault::Interrupted => return Error::Interrupted,
        Fault::NoProcess(source) => {
            return Error::NoProcess {
                what: "rendering a chat template",
                source,
            };
        }
        Fault::Panic(words) => format!("in {file} cannot be read: {words}"),
        Fault::Depth => format!("in {file} nests values too deeply"),
        Fault::Memory => format!("in {file} takes more than {}", format_bytes(BOUNDS.memory)),
        Fault::Time => format!("in {file} takes more than {} seconds", BOUNDS.time.as_secs()),
        Fault::Output => format!(
            "in {file} writes more than {}",
            format_bytes(BOUNDS.output as u64)
        ),
    };
    Error::ChatTemplate { reason }
}
