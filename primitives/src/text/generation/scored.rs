//! How probable the model finds each token of an output that was not input.

use std::rc::Rc;

use ecco_explain::score::TokenScore;
use ecco_scripting::ScriptError;
use ecco_scripting::session::watched;
use ecco_widgets::{Score, ScoredToken};

use super::Generation;
use crate::text::reading;
use crate::text::shown::{shown, shown_one};

impl Generation {
    /// How probable the model finds each of the tokens that were not input; one pass, made once.
    pub(crate) fn scores(&self) -> Result<Rc<Vec<TokenScore>>, ScriptError> {
        if let Some(scores) = &*self.0.scores.borrow() {
            return Ok(Rc::clone(scores));
        }
        let model = &self.0.model;
        let (loaded, state) = (model.loaded()?, model.state()?);
        let from = if self.is_pair() { 1 } else { self.n_input() };
        let scores = watched(&state, model.verbose, |watch| {
            ecco_explain::score::score(&loaded, &self.input(), from, watch)
        })?;
        let are_there = !scores.iter().any(|score| score.log_probability.is_nan());
        reading::about_numbers(model, are_there)?;
        let scores = Rc::new(scores);
        *self.0.scores.borrow_mut() = Some(Rc::clone(&scores));
        Ok(scores)
    }

    /// Scores that were computed together with others'.
    pub(crate) fn has_scores(&self, scores: Vec<TokenScore>) {
        self.0.scores.replace(Some(Rc::new(scores)));
    }

    pub(super) fn score_view(&self) -> Result<Score, ScriptError> {
        let (scores, loaded) = (self.scores()?, self.0.model.loaded()?);
        let scored = scores.iter().enumerate().map(|(index, score)| {
            let before = (self.n_input() + index)
                .checked_sub(1)
                .and_then(|before| self.tokens().get(before));
            let best = loaded
                .tokenizer()
                .token_after(before.map(|token| token.id), score.best.0);
            Some(ScoredToken {
                log_probability: score.log_probability as f32,
                rank: score.rank as u32,
                best: Some((shown_one(&best), score.best.1 as f32)),
            })
        });
        let context = std::iter::repeat_n(None, self.n_input());
        Ok(Score {
            model: Some(self.0.model.card().name.clone()),
            n_input: self.n_input(),
            is_pair: self.is_pair(),
            scored: context.chain(scored).collect(),
            vocab_size: loaded.config().vocab_size,
            tokens: shown(self.tokens()),
        })
    }
}
