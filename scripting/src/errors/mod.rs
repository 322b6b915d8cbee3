//! Errors of cells: what was wrong, where, and what to do about it.
//!
//! [`ScriptError`] is an error of a primitive, before it has a place; [`nearest()`] finds the name someone probably
//! meant. What a cell shows of errors is the session's.

mod nearest;

use std::any::Any;
use std::cell::Cell;

use ecco_interpreter::Diagnostic;
use rhai::{Dynamic, EvalAltResult, NativeCallContext, Position};

pub use ecco_interpreter::Kind as ErrorKind;
pub use nearest::nearest;

/// What a primitive returns to Rhai.
pub type RhaiResult<T> = Result<T, Box<EvalAltResult>>;

/// What was wrong, with which value, and what to do.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ScriptError {
    pub kind: ErrorKind,
    pub message: String,
    pub hint: Option<String>,
    /// The word of the call the error is about, to point at: an option's name.
    pub at: Option<String>,
}

/// Characters of a message: who gives a book where a name is wanted does not get it back.
const MOST_CHARS: usize = 4_000;

/// A message without the middle of what is too long to be read.
fn readable(message: String) -> String {
    let n_chars = match message.len() > MOST_CHARS {
        true => message.chars().count(),
        false => return message,
    };
    if n_chars <= MOST_CHARS {
        return message;
    }
    let part = MOST_CHARS / 2;
    let start: String = message.chars().take(part).collect();
    let end: String = message.chars().skip(n_chars - part).collect();
    format!("{start} … ({} characters) … {end}", n_chars - MOST_CHARS)
}

impl ScriptError {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: readable(message.into()),
            hint: None,
            at: None,
        }
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(readable(hint.into()));
        self
    }

    /// "did you mean …", where a candidate is near enough.
    pub fn with_nearest<'a>(self, name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(name, candidates) {
            Some(meant) => self.with_hint(format!("did you mean `{meant}`?")),
            None => self,
        }
    }

    pub fn pointing_at(mut self, word: impl Into<String>) -> Self {
        self.at = Some(word.into());
        self
    }

    pub fn interrupted() -> Self {
        Self::new(ErrorKind::Interrupt, "interrupted")
    }

    /// As Rhai's error, at the place of the call. An interruption cannot be caught by the script.
    pub fn raise(self, context: &NativeCallContext) -> Box<EvalAltResult> {
        self.raise_at(context.call_position())
    }

    pub fn raise_at(self, position: Position) -> Box<EvalAltResult> {
        Box::new(match self.kind {
            ErrorKind::Interrupt => EvalAltResult::ErrorTerminated(Dynamic::from(self), position),
            _ => EvalAltResult::ErrorRuntime(Dynamic::from(self), position),
        })
    }
}

/// How a hint is said in a script, where the crate below cannot know.
pub type Wording = fn(&dyn Any) -> Option<String>;

thread_local! {
    /// About types of errors, and so the same in every session of the thread.
    static WORDING: Cell<Option<Wording>> = const { Cell::new(None) };
}

pub(crate) fn set_wording(wording: Wording) {
    WORDING.set(Some(wording));
}

/// Errors of the crates below, in their own words; but hints speak of scripts.
impl<E: Diagnostic> From<E> for ScriptError {
    fn from(error: E) -> Self {
        let worded = WORDING.get().and_then(|word| word(&error));
        Self {
            kind: error.kind(),
            message: readable(error.to_string()),
            hint: worded.or_else(|| error.hint()).map(readable),
            at: error.at().map(str::to_owned),
        }
    }
}

/// Without a place: Rhai fills in that of the call. An interruption cannot be caught by the script.
impl From<ScriptError> for Box<EvalAltResult> {
    fn from(error: ScriptError) -> Self {
        error.raise_at(Position::NONE)
    }
}

/// `text` with the names of characters that a terminal would obey, or that turn or hide what follows, in their places;
/// line breaks and tabs stay.
pub fn printable(text: &str) -> String {
    let parts: Vec<String> = text
        .split('\t')
        .map(|part| ecco_widgets::printable(part, true))
        .collect();
    parts.join("\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_turns_or_hides_a_text_is_shown_as_its_name() {
        assert_eq!(printable("a\tb\nc größe 名"), "a\tb\nc größe 名");
        assert_eq!(
            printable("\u{202e}\u{2066}\u{2028}\u{fffe}\u{1b}\0\r"),
            "U+202EU+2066U+2028U+FFFE\\x1b\\0\\r"
        );
    }

    #[test]
    fn what_is_too_long_to_be_read_loses_its_middle_whoever_says_it() {
        let long = "é".repeat(1_000_000);
        let said = ScriptError::from(NotRhai(long.clone()));
        let raised = ScriptError::new(ErrorKind::Value, long.clone()).with_hint(long);
        for text in [said.message, raised.message, raised.hint.expect("a hint")] {
            assert!(text.contains("… (996000 characters) …"), "{}", text.len());
            assert!(text.chars().count() < MOST_CHARS + 50);
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct NotRhai(String);

    impl Diagnostic for NotRhai {}
}
