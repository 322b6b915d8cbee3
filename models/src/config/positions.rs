//! How a model knows where a token stands, as data.

use crate::rope::Rope;

/// How the model knows where a token stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Positions {
    /// A learned vector for each position is added to the embedding; the first `offset` are not used.
    Learned { offset: usize },
    /// The same, added to what queries and keys are made of and not to the stream (2012.15832).
    Shortformer,
    /// Queries and keys are turned by their position (2104.09864). By layer: which of the turns, or none.
    Rotary {
        ropes: Vec<Rope>,
        by_layer: Vec<Option<usize>>,
    },
    /// Fixed sines and cosines, halves side by side, are added to the embedding; computed where the file has none. The
    /// first `offset` are not used.
    Sinusoidal { sines: Sines, offset: usize },
    /// Scores fall off with distance (2108.12409), before or after their scaling.
    Alibi { scaled: bool },
    /// A learned number for each head and distance is added to the scores (1910.10683); distances share buckets
    /// that widen up to `max_distance`.
    Buckets { n_buckets: usize, max_distance: usize },
    /// Queries and keys also meet vectors of their distance (2006.03654).
    Disentangled(Disentangled),
}

impl Positions {
    /// Whether keys that were read in texts of one length are of no use in longer ones.
    pub fn turn_anew(&self, before: usize, after: usize) -> bool {
        match self {
            Self::Rotary { ropes, .. } => ropes.iter().any(|rope| rope.turns_anew(before, after)),
            _ => false,
        }
    }

    /// Whether texts up to a length are read as short ones are.
    pub fn are_steady(&self, length: usize) -> bool {
        match self {
            Self::Rotary { ropes, .. } => ropes.iter().all(|rope| rope.is_steady(length)),
            _ => true,
        }
    }

    /// Whether there are vectors for so many positions and no more.
    pub(super) fn are_counted(&self) -> bool {
        match self {
            Self::Learned { .. } | Self::Shortformer => true,
            Self::Sinusoidal { sines, .. } => *sines == Sines::Counted,
            _ => false,
        }
    }
}

/// Frequencies of sines, and how many positions there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sines {
    /// 10000^(-2i / width), as in 1706.03762; a table with an end, as transformers has it.
    Counted,
    /// From 1 to 1/10000 in even steps of their logarithm, as in tensor2tensor and fairseq; there is no last position.
    Endless,
}

/// Disentangled attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disentangled {
    /// Distances up to which there are vectors, either way.
    pub span: usize,
    /// Distances share buckets beyond half of the span, up to this one; 0 for none.
    pub max_distance: usize,
    /// Queries meet the distance's keys.
    pub content_to_position: bool,
    /// Keys meet the distance's queries.
    pub position_to_content: bool,
    /// The projections are those of the tokens.
    pub shared: bool,
    /// A norm on the vectors.
    pub norm: bool,
}
