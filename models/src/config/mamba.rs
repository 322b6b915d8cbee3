//! Selective state spaces as data.

/// A selective state space (2312.00752) behind a short convolution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mamba {
    pub kind: MambaKind,
    /// Numbers of a state, of each channel.
    pub state: usize,
    /// Positions that the convolution looks at, its own included.
    pub width: usize,
    pub kernel_bias: bool,
    /// Of the projections from the stream and to it.
    pub bias: bool,
    /// What a step is at least and at most.
    pub step_limits: (f64, f64),
}

/// What decays together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MambaKind {
    /// Each number of a state by itself.
    ByChannel {
        n_channels: usize,
        /// Numbers that steps are made of.
        rank: usize,
        /// Norms without weights on these and on what a state takes and gives, with this epsilon.
        norm: Option<f64>,
    },
    /// All of a head's (2405.21060).
    ByHead {
        n_heads: usize,
        head_dim: usize,
        /// Heads of a group share what a state takes and gives.
        n_groups: usize,
        /// Groups of channels that are normed together.
        n_norm_groups: usize,
    },
}

impl Mamba {
    pub fn is_by_channel(self) -> bool {
        matches!(self.kind, MambaKind::ByChannel { .. })
    }

    /// Channels whose states are carried.
    pub fn inner(self) -> usize {
        let [n_heads, read] = self.heads();
        n_heads * read
    }

    /// Of the convolution.
    pub fn channels(self) -> usize {
        match self.kind {
            MambaKind::ByChannel { n_channels, .. } => n_channels,
            MambaKind::ByHead { n_groups, .. } => self.inner() + 2 * n_groups * self.state,
        }
    }

    pub fn n_norm_groups(self) -> usize {
        match self.kind {
            MambaKind::ByChannel { .. } => 1,
            MambaKind::ByHead { n_norm_groups, .. } => n_norm_groups,
        }
    }

    /// How many carry states, and numbers that each of them is read to.
    pub fn heads(self) -> [usize; 2] {
        match self.kind {
            MambaKind::ByChannel { n_channels, .. } => [n_channels, 1],
            MambaKind::ByHead {
                n_heads, head_dim, ..
            } => [n_heads, head_dim],
        }
    }
}
