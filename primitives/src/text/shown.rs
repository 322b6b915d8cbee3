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
    /// The token whose position is read once more, for the first generated one.
    twice: Option<usize>,
}

impl TokenAxis {
    pub(crate) fn of(tokens: &[Token], n_input: usize) -> Self {
        Self {
            tokens: shown(tokens),
            n_input,
            twice: None,
        }
    }

    /// An output is shown with the number of the position where it was predicted, one before it, so that the last
    /// input's stands twice.
    pub(crate) fn read_twice(self, n_input: usize) -> Self {
        Self {
            twice: Some(n_input),
            ..self
        }
    }

    /// A number for each token: for an input its own, for an output that of the position where it was predicted.
    pub(crate) fn values(&self, by_position: &[f32]) -> Vec<f32> {
        let mut values = by_position.to_vec();
        if let Some(at) = self.twice.filter(|at| *at > 0 && *at <= values.len()) {
            values.insert(at, values[at - 1]);
        }
        values
    }
}
