//! A text that was generated or read, as what looks inside the model sees it: which position is predicted where.

use ecco_models::Token;
use ecco_models::run::{Input, masked_positions};
use ecco_widgets::Token as Shown;

use crate::models::model::Model;
use crate::text::generation::{Generation, token_sequence};
use crate::text::run::Run;
use ecco_scripting::errors::{ErrorKind, ScriptError};

/// A text and the model that has read it. Positions are those of its tokens as scripts see them.
#[derive(Clone)]
pub struct Subject {
    pub model: Model,
    pub input: Input,
    tokens: Vec<Token>,
    /// A token at a position is predicted so many positions before it, in the sequence whose head speaks.
    shift: usize,
    /// The positions that are predicted.
    first: usize,
    last: usize,
    /// The first written one, where some were.
    written: Option<usize>,
    what: String,
}

impl Subject {
    pub fn of_generation(output: &Generation) -> Self {
        let (tokens, n_input) = (output.tokens().to_vec(), output.n_input());
        let (input, shift, first) = match output.start_id() {
            None => (
                Input {
                    ids: tokens.iter().map(|token| token.id).collect(),
                    target: vec![],
                },
                1,
                1,
            ),
            // The decoder has its own sequence, whose first token is not among these.
            Some(start) => {
                let ids = |tokens: &[Token]| tokens.iter().map(|token| token.id).collect::<Vec<u32>>();
                let target = [&[start], ids(&tokens[n_input..]).as_slice()].concat();
                let input = Input {
                    ids: ids(&tokens[..n_input]),
                    target,
                };
                (input, n_input, n_input)
            }
        };
        Self {
            model: output.model().plain(),
            input,
            shift,
            first,
            last: tokens.len(),
            written: (n_input < tokens.len()).then_some(n_input),
            what: ecco_scripting::result::Show::line(output),
            tokens,
        }
    }

    pub fn of_run(run: &Run) -> Self {
        let input = run.input().clone();
        let is_pair = !input.target.is_empty();
        let tokens = match is_pair {
            true => run.target_tokens(),
            false => run.tokens(),
        };
        let reads_ahead = run.is_causal();
        let last_read = tokens.len().saturating_sub(1);
        Self {
            model: run.model().plain(),
            input,
            shift: usize::from(reads_ahead),
            first: usize::from(reads_ahead),
            last: if reads_ahead { tokens.len() } else { last_read },
            written: None,
            what: ecco_scripting::result::Show::line(run),
            tokens: tokens.to_vec(),
        }
    }

    /// The position in the sequence whose head speaks that predicts the token at `position`.
    ///
    /// # Errors
    /// A position that nothing is predicted for.
    pub fn row(&self, position: usize) -> Result<usize, ScriptError> {
        if (self.first..=self.last).contains(&position) {
            return Ok(position - self.shift);
        }
        let message = format!("nothing is predicted at position {position}");
        let (first, last) = (self.first, self.last);
        let behind = if self.shift > 0 {
            ", the last of which follows the text"
        } else {
            ""
        };
        Err(ScriptError::new(ErrorKind::Index, message)
            .with_hint(format!("valid are {first} to {last}{behind}"))
            .pointing_at("position"))
    }

    /// The first written token, else the first mask, else what follows the text.
    ///
    /// # Errors
    /// A text without a mask, to a model that reads all at once.
    pub fn default_position(&self) -> Result<usize, ScriptError> {
        if let Some(written) = self.written {
            return Ok(written);
        }
        if self.shift > 0 {
            return Ok(self.last);
        }
        let loaded = self.model.loaded()?;
        let masks = masked_positions(&loaded, &self.input.ids);
        masks.first().copied().ok_or_else(|| {
            ScriptError::new(
                ErrorKind::Value,
                "the text has no mask, so it does not say which position is meant",
            )
            .with_hint(format!("choose one: #{{position: {}}}", self.last.min(1)))
        })
    }

    /// Where the last written token stands, if any was written.
    pub fn last_written(&self) -> Option<usize> {
        self.written.map(|_| self.tokens.len() - 1)
    }

    /// What was read on the way: all but the last written token.
    pub fn read_input(&self) -> Input {
        let mut input = self.input.clone();
        match input.target.is_empty() {
            true => input.ids.pop(),
            false => input.target.pop(),
        };
        input
    }

    /// Whether each position sees those before it only.
    pub fn reads_ahead(&self) -> bool {
        self.shift > 0
    }

    /// How many of the tokens in the sequence whose head speaks were given.
    pub fn n_given(&self) -> usize {
        match (self.written, self.input.target.is_empty()) {
            (Some(written), true) => written,
            (Some(_), false) => 1,
            (None, _) => usize::MAX,
        }
    }

    /// Tokens of a beginning of the text, where the ids are those.
    pub fn tokens_of(&self, ids: &[u32]) -> Option<Vec<Token>> {
        let known = self.tokens.get(..ids.len())?;
        let is_same = known.iter().map(|token| token.id).eq(ids.iter().copied());
        is_same.then(|| known.to_vec())
    }

    /// The written positions, else all that are predicted and hold a token.
    pub fn positions(&self) -> Vec<usize> {
        let last = self.last.min(self.tokens.len().saturating_sub(1));
        match self.written {
            Some(first) => (first..=last).collect(),
            None => (self.first..=last).collect(),
        }
    }

    /// The token that stands at a position; `None` for a mask, and behind the end.
    pub fn token(&self, position: usize) -> Option<&Token> {
        let token = self.tokens.get(position)?;
        let is_mask =
            |model: &ecco_models::Model| model.tokenizer().mask().is_some_and(|mask| mask.id == token.id);
        let hidden = self.shift == 0 && self.model.loaded().is_ok_and(|model| is_mask(&model));
        (!hidden).then_some(token)
    }

    /// What is before a position, as views show it.
    pub fn before(&self, position: usize) -> Vec<Shown> {
        let n = position.min(self.tokens.len());
        shown(&self.tokens[..n])
    }

    /// `output of 7 input and 12 generated tokens`
    pub fn line(&self) -> &str {
        &self.what
    }
}

/// Tokens as views show them.
pub fn shown(tokens: &[Token]) -> Vec<Shown> {
    token_sequence(tokens, tokens.len(), false).tokens
}

pub fn shown_one(token: &Token) -> Shown {
    Shown {
        text: token.text.clone(),
        id: token.id,
        part: token.part,
    }
}
