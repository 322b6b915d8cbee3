//! What can go wrong in an explanation.

use ecco_interpreter::{Diagnostic, Kind};

/// An error of this crate. `Display` says what was wrong with which value; its hint what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is nothing to explain: no token was generated")]
    NothingGenerated,

    #[error("{option} is {value}: {reason}")]
    Option {
        option: &'static str,
        value: String,
        reason: String,
    },

    #[error(
        "the clean text has {} tokens ({}) and the corrupted one {} ({}): patching needs as many of both",
        clean.len(), quoted(clean), corrupted.len(), quoted(corrupted)
    )]
    Lengths {
        clean: Vec<String>,
        corrupted: Vec<String>,
    },

    #[error("{what} reads what a model says of tokens, and {model} says {says}")]
    NoTokens {
        what: &'static str,
        model: String,
        says: &'static str,
    },

    #[error("{what} needs a head that is linear in the stream, and that of {model} ({model_type}) is not")]
    NotLinear {
        what: &'static str,
        model: String,
        model_type: String,
    },

    #[error("{what} needs attention in every layer, and layer {layer} of {model} ({model_type}) has {mixer}")]
    NoAttention {
        what: &'static str,
        layer: usize,
        mixer: &'static str,
        model: String,
        model_type: String,
    },

    #[error("the span {}..{} of {unit}: {reason}", span.start, span.end)]
    Span {
        span: std::ops::Range<usize>,
        unit: &'static str,
        reason: String,
    },

    #[error("{one} and {other} explain different targets or sources")]
    Unlike { one: String, other: String },

    /// Of numbers that were kept in a file.
    #[error("{0}")]
    Stored(String),

    #[error(transparent)]
    Model(#[from] ecco_models::Error),
}

impl Diagnostic for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NothingGenerated => Some("generate at least one token".into()),
            Self::Option { .. } | Self::Span { .. } | Self::Stored(_) => None,
            Self::NoTokens { .. } | Self::NotLinear { .. } | Self::NoAttention { .. } => None,
            Self::Unlike { .. } => Some("compare attributions of the same text and targets".into()),
            Self::Lengths { .. } => Some("choose words of as many tokens".into()),
            Self::Model(error) => error.hint(),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Model(error) => error.kind(),
            _ => Kind::Value,
        }
    }

    fn at(&self) -> Option<&str> {
        match self {
            Self::Option { option, .. } => Some(option),
            Self::Model(error) => error.at(),
            _ => None,
        }
    }
}

/// Refuses what goes through attention alone of a model with layers that have something else.
pub(crate) fn ensure_attention(model: &ecco_models::Model, what: &'static str) -> Result<()> {
    let config = model.config();
    match config.without_attention() {
        None => Ok(()),
        Some((layer, mixer)) => Err(Error::NoAttention {
            what,
            layer,
            mixer: mixer.name(),
            model: model.name().to_owned(),
            model_type: config.model_type.clone(),
        }),
    }
}

/// A refusal of an option's value.
pub(crate) fn refuse(option: &'static str, value: impl ToString, reason: impl Into<String>) -> Error {
    Error::Option {
        option,
        value: value.to_string(),
        reason: reason.into(),
    }
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Tokens as they are, those of a long text in part.
fn quoted(tokens: &[String]) -> String {
    const MOST: usize = 24;
    let shown: Vec<String> = tokens
        .iter()
        .take(MOST)
        .map(|token| format!("{token:?}"))
        .collect();
    match tokens.len() > MOST {
        true => format!("{}, …", shown.join(" ")),
        false => shown.join(" "),
    }
}
