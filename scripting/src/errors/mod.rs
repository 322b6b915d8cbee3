//! Errors of cells: what was wrong, where, and what to do about it.
//!
//! - [`ScriptError`]: an error of a primitive, before it has a place
//! - [`translate`]: Rhai's errors in the same words, with the places they passed through
//! - [`render`]: the lines a person reads
//! - [`nearest`]: the name someone probably meant

mod nearest;
mod render;
mod translate;

use ecco_explain::nmf::NmfError;
use ecco_explain::pca::DecompositionError;
use ecco_explain::similarity::SimilarityError;
use rhai::{Dynamic, EvalAltResult, NativeCallContext, Position};

pub use nearest::nearest;
pub use render::{as_cell_error, printable};
pub use translate::{Fault, Frame, Names, translate};

/// What a primitive returns to Rhai.
pub type RhaiResult<T> = Result<T, Box<EvalAltResult>>;

/// The kinds of error a cell can end with; Jupyter calls the name `ename`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    Syntax,
    Name,
    Type,
    Value,
    Option,
    Attribute,
    Index,
    Arithmetic,
    Import,
    File,
    Os,
    Memory,
    Recursion,
    Input,
    Interrupt,
    Runtime,
    Internal,
}

impl ErrorKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Syntax => "SyntaxError",
            Self::Name => "NameError",
            Self::Type => "TypeError",
            Self::Value => "ValueError",
            Self::Option => "OptionError",
            Self::Attribute => "AttributeError",
            Self::Index => "IndexError",
            Self::Arithmetic => "ArithmeticError",
            Self::Import => "ImportError",
            Self::File => "FileNotFoundError",
            Self::Os => "OSError",
            Self::Memory => "MemoryError",
            Self::Recursion => "RecursionError",
            Self::Input => "InputError",
            Self::Interrupt => "KeyboardInterrupt",
            Self::Runtime => "RuntimeError",
            Self::Internal => "InternalError",
        }
    }
}

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

impl ScriptError {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            at: None,
        }
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
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

    /// An error of the models or explanations, whose crates name kinds in words.
    fn of_kind(kind: &str, message: String, hint: Option<String>) -> Self {
        let kind = match kind {
            "FileNotFoundError" => ErrorKind::File,
            "OSError" => ErrorKind::Os,
            "ImportError" => ErrorKind::Import,
            "MemoryError" => ErrorKind::Memory,
            "KeyboardInterrupt" => ErrorKind::Interrupt,
            "RuntimeError" => ErrorKind::Runtime,
            _ => ErrorKind::Value,
        };
        Self {
            kind,
            message,
            hint,
            at: None,
        }
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

impl From<ecco_models::Error> for ScriptError {
    fn from(error: ecco_models::Error) -> Self {
        let made = Self::of_kind(error.kind(), error.to_string(), error.hint());
        match error {
            ecco_models::Error::Option { option, .. } => made.pointing_at(option),
            _ => made,
        }
    }
}

impl From<ecco_explain::Error> for ScriptError {
    fn from(error: ecco_explain::Error) -> Self {
        let made = Self::of_kind(error.kind(), error.to_string(), error.hint());
        match error {
            ecco_explain::Error::Option { option, .. } => made.pointing_at(option),
            _ => made,
        }
    }
}

impl From<NmfError> for ScriptError {
    fn from(error: NmfError) -> Self {
        let message = error.to_string();
        match error {
            NmfError::Interrupted { .. } => Self::new(ErrorKind::Interrupt, message),
            NmfError::Seed { .. } => Self::new(ErrorKind::Value, message).pointing_at("seed"),
            _ => Self::new(ErrorKind::Value, message),
        }
    }
}

impl From<DecompositionError> for ScriptError {
    fn from(error: DecompositionError) -> Self {
        let message = error.to_string();
        match error {
            DecompositionError::Explain(error) => error.into(),
            DecompositionError::Interrupted => Self::interrupted(),
            DecompositionError::Components { .. } | DecompositionError::Rank { .. } => {
                Self::new(ErrorKind::Value, message).pointing_at("n_components")
            }
            DecompositionError::Option { option, .. } => {
                Self::new(ErrorKind::Value, message).pointing_at(option)
            }
            _ => Self::new(ErrorKind::Value, message),
        }
    }
}

impl From<SimilarityError> for ScriptError {
    fn from(error: SimilarityError) -> Self {
        let (message, hint) = (error.to_string(), error.hint());
        match error {
            SimilarityError::Explain(error) => error.into(),
            SimilarityError::Interrupted => Self::interrupted(),
            SimilarityError::Dims { .. } => Self::of_kind("", message, hint).pointing_at("dims"),
            SimilarityError::Bandwidth { .. } => Self::of_kind("", message, hint).pointing_at("bandwidth"),
            _ => Self::of_kind("", message, hint),
        }
    }
}
