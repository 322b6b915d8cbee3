//! What a layer mixes positions with, as data.

use tch::Kind;

use super::{Activation, Config, Mamba};
use crate::host::wide;

/// The first branch of a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mixer {
    Attention,
    ShortConvolution(ShortConvolution),
    DeltaNet(DeltaNet),
    Mamba(Mamba),
    /// The layer is an MLP alone.
    Nothing,
}

/// Linear attention by the gated delta rule (2412.06464) behind a short convolution: a matrix for each head of values is carried
/// from position to position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeltaNet {
    /// Heads of queries and keys; each serves `n_value_heads / n_key_heads` heads of values.
    pub n_key_heads: usize,
    pub n_value_heads: usize,
    /// Numbers of a query and of a key.
    pub key_dim: usize,
    pub value_dim: usize,
    /// Positions that the convolution looks at, its own included.
    pub width: usize,
    /// The projections are two matrices, of each head of keys its queries, key, values and gates, and its rates and steps; else
    /// there are four.
    pub grouped: bool,
}

impl DeltaNet {
    /// Numbers of all queries, or of all keys.
    pub fn keys(self) -> usize {
        self.n_key_heads * self.key_dim
    }

    pub fn values(self) -> usize {
        self.n_value_heads * self.value_dim
    }
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

/// Positions that are computed at once where a state is carried from one to the next. A state is made at the end of each such
/// part.
pub const CHUNK: usize = 32;

impl Mixer {
    /// For people: `attention`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Attention => "attention",
            Self::ShortConvolution(_) => "a short convolution",
            Self::DeltaNet(_) => "a gated delta net",
            Self::Mamba(_) => "a selective state space",
            Self::Nothing => "an MLP alone",
        }
    }

    /// What a layer keeps of each sequence of up to `capacity` positions: keys and values, or the state, which does not grow.
    pub fn kept(self, config: &Config, layer: usize, capacity: usize) -> Vec<Kept> {
        let inputs = |width: usize| Kept::rounded(vec![width - 1, self.channels(config)]);
        match self {
            Self::Attention if config.source(layer).is_some() => vec![],
            Self::Attention => {
                let heads = config.heads(layer);
                [heads.head_dim, heads.value_dim]
                    .map(|numbers| Kept::rounded(vec![heads.n_kv_heads, capacity, numbers]))
                    .into()
            }
            Self::ShortConvolution(of) => vec![inputs(of.width)],
            Self::DeltaNet(of) => vec![
                inputs(of.width),
                Kept::carried(vec![of.n_value_heads, of.key_dim, of.value_dim]),
            ],
            Self::Mamba(of) => {
                let [n_heads, read] = of.heads();
                vec![inputs(of.width), Kept::carried(vec![n_heads, of.state, read])]
            }
            Self::Nothing => vec![],
        }
    }

    /// Of its convolution, where it has one.
    pub fn channels(self, config: &Config) -> usize {
        match self {
            Self::Attention | Self::Nothing => 0,
            Self::ShortConvolution(_) => config.hidden_size,
            Self::DeltaNet(of) => 2 * of.keys() + of.values(),
            Self::Mamba(of) => of.channels(),
        }
    }

    /// Numbers of each position that a pass with gradients has at once, about, where a state is carried on.
    pub fn work(self, config: &Config) -> usize {
        // Where each number of a state decays by itself, all states are there.
        let beside = |carried: Carried| match self {
            Self::Mamba(of) if of.is_by_channel() => 4 * carried.n_heads * carried.state,
            _ => carried.n_heads * 3 * CHUNK,
        };
        self.carried()
            .map_or(0, |carried| 12 * self.channels(config) + beside(carried))
    }

    /// Numbers of the state that is carried from position to position, and of what is read of it: by head.
    pub fn carried(self) -> Option<Carried> {
        match self {
            Self::Attention | Self::ShortConvolution(_) | Self::Nothing => None,
            Self::DeltaNet(of) => Some(Carried {
                n_heads: of.n_value_heads,
                state: of.key_dim * of.value_dim,
                read: of.value_dim,
            }),
            Self::Mamba(of) => {
                let [n_heads, read] = of.heads();
                let state = of.state * read;
                Some(Carried { n_heads, state, read })
            }
        }
    }
}

/// What is carried from position to position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carried {
    pub n_heads: usize,
    /// Numbers of a head's state.
    pub state: usize,
    /// Numbers that a position reads of it.
    pub read: usize,
}

/// Numbers that are kept of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub size: Vec<usize>,
    /// In single precision at least: what is carried on would else be rounded at each position.
    pub precise: bool,
}

impl Kept {
    fn rounded(size: Vec<usize>) -> Self {
        Self { size, precise: false }
    }

    fn carried(size: Vec<usize>) -> Self {
        Self { size, precise: true }
    }

    /// The type it is kept in by a model of another.
    pub fn kind(&self, kind: Kind) -> Kind {
        if self.precise { wide(kind) } else { kind }
    }
}

impl Config {
    /// What a layer mixes positions with.
    pub fn mixer(&self, layer: usize) -> Mixer {
        self.mixers.get(layer).copied().unwrap_or(Mixer::Attention)
    }

    /// Bytes that a layer of this type keeps of each sequence of up to `capacity` positions; of more than there are numbers
    /// for, the largest.
    pub fn kept_bytes(&self, layer: usize, capacity: usize, kind: Kind) -> u64 {
        let bytes = |kept: Kept| {
            let numbers = kept.size.iter().fold(1, |all, &n| (n as u64).saturating_mul(all));
            numbers.saturating_mul(kept.kind(kind).elt_size_in_bytes() as u64)
        };
        let kept = self.mixer(layer).kept(self, layer, capacity).into_iter();
        kept.map(bytes).fold(0, u64::saturating_add)
    }

    /// Whether a layer has an MLP.
    pub fn has_mlp(&self, layer: usize) -> bool {
        self.mlps.get(layer).copied().unwrap_or(true)
    }

    /// [`Mixer::work`] of the layer that has most.
    pub fn work_of_mixers(&self) -> usize {
        self.most_of_mixers(|mixer| mixer.work(self))
    }

    /// The most of something that a layer's mixer has.
    pub fn most_of_mixers(&self, of: impl Fn(Mixer) -> usize) -> usize {
        self.mixers.iter().copied().map(of).max().unwrap_or(0)
    }

    /// The first layer that mixes positions with something else than attention.
    pub fn without_attention(&self) -> Option<(usize, Mixer)> {
        let mut mixers = self.mixers.iter().copied().enumerate();
        mixers.find(|(_, mixer)| *mixer != Mixer::Attention)
    }
}
