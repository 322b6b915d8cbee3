//! Texts as they are read: each once, long ones in pieces.

use std::borrow::Cow;
use std::collections::HashSet;

use ecco_models::Model;
use ecco_models::model::Body;
use ecco_models::run::Input;

use crate::error::{Result, refuse};

/// A text, or a part of a long one.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// Which of the texts.
    pub text: usize,
    pub input: Input,
    /// Positions that count: what the tokenizer puts around a text does not.
    pub counted: Vec<bool>,
}

/// What is read of some texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Pieces {
    pub all: Vec<Piece>,
    pub n_texts: usize,
    /// Texts that stand there once more, and are not read again.
    pub n_same: usize,
}

impl Piece {
    pub(super) fn n_counted(&self) -> usize {
        self.counted.iter().filter(|counts| **counts).count()
    }

    /// Which positions of a stack count: of a decoder beside an encoder all.
    pub(super) fn counted_in(&self, of_encoder: bool) -> Cow<'_, [bool]> {
        match !of_encoder && !self.input.target.is_empty() {
            true => vec![true; self.input.target.len()].into(),
            false => self.counted.as_slice().into(),
        }
    }
}

/// Of texts' ids, as the tokenizer has them, pieces of at most so many tokens. A piece that is not a text's first begins with
/// the special tokens that the text begins with, and so does its end.
///
/// # Errors
/// More tokens than the model reads, or none.
pub fn pieces(model: &Model, texts: &[Vec<u32>], max_tokens: usize) -> Result<Pieces> {
    let tokenizer = model.tokenizer();
    let config = model.config().encoder.as_deref().unwrap_or(model.config());
    let most = config.context_length;
    let is_special = |id: &&u32| tokenizer.is_special(**id);
    let (mut all, mut known, mut n_same) = (Vec::new(), HashSet::new(), 0);
    for (text, ids) in texts.iter().enumerate() {
        if !known.insert(ids.as_slice()) {
            n_same += 1;
            continue;
        }
        let n_before = ids.iter().take_while(is_special).count();
        let n_behind = ids[n_before..].iter().rev().take_while(is_special).count();
        let (before, rest) = ids.split_at(n_before);
        let (own, behind) = rest.split_at(rest.len() - n_behind);
        let around = before.len() + behind.len();
        if max_tokens <= around || max_tokens > most {
            let reason = format!("expected {} to {most}, which the model reads at once", around + 1);
            return Err(refuse("max_tokens", max_tokens, reason));
        }
        for part in own.chunks(max_tokens - around) {
            all.push((text, [before, part, behind].concat()));
        }
    }
    Pieces::of_ids(model, all, texts.len(), n_same)
}

impl Pieces {
    /// Of each piece's text and ids.
    ///
    /// # Errors
    /// Ids that the model does not have, or more of them than it reads.
    pub fn of_ids(model: &Model, all: Vec<(usize, Vec<u32>)>, n_texts: usize, n_same: usize) -> Result<Self> {
        let target = match model.body() {
            Body::EncoderDecoder(_) => Input::new(model, "a", None)?.target,
            _ => vec![],
        };
        let piece = |(text, ids): (usize, Vec<u32>)| {
            let counted = ids.iter().map(|id| !model.tokenizer().is_special(*id)).collect();
            let input = Input::of(model, ids, target.clone())?;
            Ok(Piece { text, input, counted })
        };
        Ok(Self {
            all: all.into_iter().map(piece).collect::<Result<_>>()?,
            n_texts,
            n_same,
        })
    }

    /// About what they take: of each token its number, twice where passes are made of them, and whether it counts.
    pub(super) fn bytes(&self) -> u64 {
        let of = |piece: &Piece| 9 * (piece.input.ids.len() + piece.input.target.len()) + size_of::<Piece>();
        self.all.iter().map(|piece| of(piece) as u64).sum()
    }

    /// How many of a piece's positions can be a place.
    pub(super) fn n_positions(&self, piece: usize, of_encoder: bool) -> usize {
        let input = self.all.get(piece).map(|piece| &piece.input);
        input.map_or(0, |input| match of_encoder {
            true => input.ids.len(),
            false => input.spoken().len(),
        })
    }
}
