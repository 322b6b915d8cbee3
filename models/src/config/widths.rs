//! Sizes that may differ from layer to layer.

use std::collections::BTreeSet;

use super::{Config, Mlp, NormConfig, NormKind};

/// Heads of keys and values of one layer, and how many numbers each has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadSizes {
    pub n_kv_heads: usize,
    /// Of queries and keys.
    pub head_dim: usize,
    pub value_dim: usize,
    /// What keys are made of is what values are made of, too: there is one matrix for both.
    pub joined: bool,
}

impl Config {
    /// Numbers that the stack reads of each token: its embedding, and that which layers read a part of each.
    pub fn input_size(&self) -> usize {
        self.embedding.size + self.n_layers * self.embedding.own
    }

    /// The earlier layer whose keys and values a layer reads, where these are not its own.
    pub fn source(&self, layer: usize) -> Option<usize> {
        self.attention.sources.get(layer).copied().flatten()
    }

    /// Layers whose keys and values others read, in order.
    pub fn sources(&self) -> Vec<usize> {
        let all: BTreeSet<usize> = self.attention.sources.iter().copied().flatten().collect();
        all.into_iter().collect()
    }

    /// Whether layers read more than the stream before them: a pass that goes on from the middle of another needs that, too.
    pub fn reads_beside(&self) -> bool {
        self.embedding.own > 0 || !self.attention.sources.is_empty()
    }

    /// Neurons of a layer's MLP, where it is one.
    pub fn neurons(&self, layer: usize) -> usize {
        self.neurons.get(layer).copied().unwrap_or(self.intermediate_size)
    }

    /// The heads of a layer: those of all layers where none has its own.
    pub fn heads(&self, layer: usize) -> HeadSizes {
        self.heads.get(layer).copied().unwrap_or(HeadSizes {
            n_kv_heads: self.n_kv_heads,
            head_dim: self.head_dim,
            value_dim: self.value_dim,
            joined: false,
        })
    }

    /// The most of something that a layer's heads have.
    pub(crate) fn most(&self, of: impl Fn(HeadSizes) -> usize) -> usize {
        (0..self.n_layers)
            .map(|layer| of(self.heads(layer)))
            .max()
            .unwrap_or(0)
    }

    /// What the MLP reads goes through. Where its parts have weights of their own on what they read, these are not the norm's.
    pub(crate) fn norm_of_mlp(&self) -> NormConfig {
        match &self.mlp {
            Mlp::Experts(experts) if experts.apart => self.bare_norm(),
            _ => self.norm,
        }
    }

    /// A root mean square without weights.
    pub(crate) fn bare_norm(&self) -> NormConfig {
        NormConfig {
            kind: NormKind::BareRms,
            ..self.norm
        }
    }
}
