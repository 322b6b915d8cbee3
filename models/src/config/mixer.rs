//! What a layer mixes positions with, as data.

use super::{Activation, Config};

/// The first branch of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mixer {
    Attention,
    ShortConvolution(ShortConvolution),
}

/// A gated convolution over the last few positions (2511.23404): out(C · conv(B · x)), B, C and x three projections of the
/// stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShortConvolution {
    /// Positions that it looks at, its own included.
    pub width: usize,
    pub bias: bool,
}

/// A convolution over positions of the first layer's input, added to its output: norm(output + act(conv x)).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Convolution {
    /// Positions that it looks at, an odd number.
    pub width: usize,
    pub n_groups: usize,
    pub activation: Activation,
}

impl Mixer {
    /// For people: `attention`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Attention => "attention",
            Self::ShortConvolution(_) => "a short convolution",
        }
    }

    /// The sizes of what a layer keeps of each sequence of up to `capacity` positions: keys and values, or the state, which
    /// does not grow.
    pub fn kept(self, config: &Config, capacity: usize) -> Vec<Vec<usize>> {
        match self {
            Self::Attention => [config.head_dim, config.value_dim]
                .map(|numbers| vec![config.n_kv_heads, capacity, numbers])
                .into(),
            Self::ShortConvolution(of) => vec![vec![of.width - 1, config.hidden_size]],
        }
    }
}

impl Config {
    /// What a layer mixes positions with.
    pub fn mixer(&self, layer: usize) -> Mixer {
        self.mixers.get(layer).copied().unwrap_or(Mixer::Attention)
    }

    /// Numbers that a layer keeps of each sequence of up to `capacity` positions; of more than there are numbers for, the
    /// largest.
    pub fn kept_numbers(&self, layer: usize, capacity: usize) -> u64 {
        let numbers = |size: Vec<usize>| size.iter().fold(1, |all, &n| (n as u64).saturating_mul(all));
        let kept = self.mixer(layer).kept(self, capacity).into_iter();
        kept.map(numbers).fold(0, u64::saturating_add)
    }

    /// The first layer that mixes positions with something else than attention.
    pub fn without_attention(&self) -> Option<(usize, Mixer)> {
        let mut mixers = self.mixers.iter().copied().enumerate();
        mixers.find(|(_, mixer)| *mixer != Mixer::Attention)
    }
}
