//! What is looked at whatever its values are: texts, and tokens, that are drawn at random before anything is read.

use super::CorpusOptions;
use super::pieces::Pieces;
use crate::random::RandomState;

/// Each in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sample {
    /// Pieces of which each neuron's strongest place is kept.
    pub pieces: Vec<usize>,
    /// Pieces and positions at which each neuron's value is kept.
    pub tokens: Vec<(usize, usize)>,
}

impl Sample {
    pub(super) fn new(all: &Pieces, options: &CorpusOptions) -> Self {
        let mut random = RandomState::new(options.seed as u32);
        let mut pieces = random.shuffled(all.all.len());
        pieces.truncate(options.n_sample);
        pieces.sort_unstable();
        let counted = || {
            let each = all.all.iter().enumerate();
            each.flat_map(|(piece, of)| {
                let counted = of.counted_in(options.place.encoder).into_owned();
                let places = counted.into_iter().enumerate().filter(|(_, counts)| *counts);
                places.map(move |(position, _)| (piece, position))
            })
        };
        let chosen = random.chosen(counted().count(), options.n_tokens);
        let tokens = counted().enumerate().filter(|(at, _)| chosen.contains(at));
        Self {
            pieces,
            tokens: tokens.map(|(_, place)| place).collect(),
        }
    }

    /// The tokens of a piece: each one's number among all, and its position.
    pub(super) fn tokens_of(&self, piece: usize) -> impl Iterator<Item = (usize, usize)> {
        let start = self.tokens.partition_point(|&(of, _)| of < piece);
        let rest = self.tokens[start..].iter().enumerate();
        let own = rest.take_while(move |(_, (of, _))| *of == piece);
        own.map(move |(at, (_, position))| (start + at, *position))
    }
}
