//! Tokens as views show them.

use ecco_models::Token;
use ecco_widgets::{Token as ShownToken, TokenSequence};

/// Those of a text that is being made, or was.
pub(crate) fn token_sequence(tokens: &[Token], n_input: usize, in_progress: bool) -> TokenSequence {
    TokenSequence {
        tokens: shown(tokens),
        n_input,
        in_progress,
        ..TokenSequence::default()
    }
}

pub(crate) fn shown(tokens: &[Token]) -> Vec<ShownToken> {
    tokens.iter().map(shown_one).collect()
}

pub(crate) fn shown_one(token: &Token) -> ShownToken {
    ShownToken {
        text: token.text.clone(),
        id: token.id,
        part: token.part,
    }
}

/// Tokens beside numbers, one for each place where the numbers stand.
#[derive(Clone)]
pub(crate) struct TokenAxis {
    pub tokens: Vec<ShownToken>,
    /// How many were given.
    pub n_input: usize,
}

impl TokenAxis {
    pub(crate) fn of(tokens: &[Token], n_input: usize) -> Self {
        Self {
            tokens: shown(tokens),
            n_input,
        }
    }
}
