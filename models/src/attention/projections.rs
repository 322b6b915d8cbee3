//! From the stream to queries, keys and values.

use tch::Tensor;

use super::{Attention, HeadNorm, Latent, clip_slope, split_heads};
use crate::config::{Config, HeadSizes, Projection};
use crate::error::Result;
use crate::layers::{Linear, Norm};
use crate::rules::Rule;
use crate::weights::Weights;

pub enum Projections {
    Separate {
        query: Linear,
        key: Linear,
        value: Linear,
    },
    /// The same, where that of queries has of each head its query and its gate.
    Gated {
        query: Linear,
        key: Linear,
        value: Linear,
    },
    Joined(Linear),
    Grouped(Linear),
    /// So many parts of queries, values and keys.
    Sharded(Linear, i64),
    Latent(Box<Latent>),
    /// Of queries alone: keys and values are an earlier layer's.
    Queries(Linear),
}

impl Projections {
    pub(super) fn load(config: &Config, heads: HeadSizes, name: &str, weights: &mut Weights) -> Result<Self> {
        let hidden = config.hidden_size;
        let (queries, keys) = (config.n_heads * heads.head_dim, heads.n_kv_heads * heads.head_dim);
        let bias = config.attention.qkv_bias;
        let mut linear =
            |part: &str, outputs| Linear::load(weights, &format!("{name}.{part}"), hidden, outputs, bias);
        Ok(match config.attention.projection {
            Projection::Separate => {
                let (query, key) = (linear("query", queries)?, linear("key", keys)?);
                let value = match heads.joined {
                    true => key.shallow_clone(),
                    false => linear("value", keys)?,
                };
                Self::Separate { query, key, value }
            }
            Projection::Gated => Self::Gated {
                query: linear("query", 2 * queries)?,
                key: linear("key", keys)?,
                value: linear("value", keys)?,
            },
            Projection::Joined => Self::Joined(linear("qkv", queries + 2 * keys)?),
            Projection::Grouped => Self::Grouped(linear("qkv", queries + 2 * keys)?),
            Projection::Sharded { parts } => Self::Sharded(linear("qkv", queries + 2 * keys)?, parts as i64),
            Projection::Latent(latent) => {
                Self::Latent(Box::new(Latent::load(config, latent, name, weights)?))
            }
        })
    }
}

impl Projections {
    /// Of a layer that reads the keys and values of an earlier one. Files may have what would make its own.
    pub(super) fn load_queries(
        config: &Config,
        heads: HeadSizes,
        name: &str,
        weights: &mut Weights,
    ) -> Result<Self> {
        for part in ["key", "value", "key_norm", "value_norm"] {
            for kind in ["weight", "bias"] {
                weights.pass_over(&format!("{name}.{part}.{kind}"));
            }
        }
        let outputs = config.n_heads * heads.head_dim;
        let name = format!("{name}.query");
        let bias = config.attention.qkv_bias;
        Ok(Self::Queries(Linear::load(
            weights,
            &name,
            config.hidden_size,
            outputs,
            bias,
        )?))
    }
}

impl Attention {
    /// The projection of a layer that makes queries alone.
    pub fn to_queries(&self) -> Option<&Linear> {
        match &self.projections {
            Projections::Queries(query) => Some(query),
            _ => None,
        }
    }

    /// Queries of such a layer by head, before they are turned: `[batch, head, position, head_dim]`.
    pub(super) fn queries(&self, x: &Tensor, rule: Rule) -> Tensor {
        let to_queries = self.to_queries().expect("a layer without keys of its own");
        let query = to_queries.forward(x);
        let query = match &self.query_norm {
            Some(norm) if !norm.turned => norm.forward(&query, self.n_heads, rule),
            _ => split_heads(&query, self.n_heads),
        };
        self.clipped(query, rule)
    }

    /// Queries, keys and values by head, before they are turned: `[batch, head, position, head_dim]`.
    pub fn project(&self, x: &Tensor, rule: Rule) -> (Tensor, Tensor, Tensor) {
        let (query, key, value) = self.project_unclipped(x, rule);
        (
            self.clipped(query, rule),
            self.clipped(key, rule),
            self.clipped(value, rule),
        )
    }

    pub(super) fn clipped(&self, x: Tensor, rule: Rule) -> Tensor {
        match self.clip {
            Some(clip) => rule.elementwise(&x, |x| x.clamp(-clip, clip), |x| clip_slope(x, clip)),
            None => x,
        }
    }

    /// The same before they are cut off.
    pub fn project_unclipped(&self, x: &Tensor, rule: Rule) -> (Tensor, Tensor, Tensor) {
        let (query, key, value) = self.project_joined(x, &|norm, x| norm.forward_by(x, rule));
        let norm = |norm: &Option<HeadNorm>, x: Tensor, n_heads| match norm {
            Some(norm) if !norm.turned => norm.forward(&x, n_heads, rule),
            _ => split_heads(&x, n_heads),
        };
        (
            norm(&self.query_norm, query, self.n_heads),
            norm(&self.key_norm, key, self.n_kv_heads),
            norm(&self.value_norm, value, self.n_kv_heads),
        )
    }

    /// Queries and keys before their norms, heads side by side.
    pub fn project_raw(&self, x: &Tensor) -> (Tensor, Tensor) {
        match &self.projections {
            Projections::Separate { query, key, .. } => (query.forward(x), key.forward(x)),
            _ => {
                let (query, key, _) = self.project_joined(x, &Norm::forward);
                (query, key)
            }
        }
    }

    /// Queries, keys and values before their norms, heads side by side: `[batch, position, heads · head_dim]`. `norm` is what
    /// a norm within makes of its input.
    pub fn project_joined(
        &self,
        x: &Tensor,
        norm: &dyn Fn(&Norm, &Tensor) -> Tensor,
    ) -> (Tensor, Tensor, Tensor) {
        let (queries, keys) = (self.n_heads * self.head_dim, self.n_kv_heads * self.head_dim);
        match &self.projections {
            Projections::Separate { query, key, value } => {
                (query.forward(x), key.forward(x), value.forward(x))
            }
            Projections::Gated { query, key, value } => {
                let query = self.of_gated(&query.forward(x), 0);
                (query, key.forward(x), value.forward(x))
            }
            Projections::Joined(all) => {
                let all = all.forward(x);
                let part = |start, length| all.narrow(-1, start, length);
                (part(0, queries), part(queries, keys), part(queries + keys, keys))
            }
            Projections::Grouped(all) => {
                let per_group = self.n_heads / self.n_kv_heads;
                let all = all
                    .forward(x)
                    .unflatten(-1, [self.n_kv_heads, per_group + 2, self.head_dim]);
                let part = |start, length| all.narrow(-2, start, length).flatten(-3, -1);
                (part(0, per_group), part(per_group, 1), part(per_group + 1, 1))
            }
            Projections::Sharded(all, parts) => {
                let all = all.forward(x).unflatten(-1, [*parts, 3, -1]);
                let part = |index| all.select(-2, index).flatten(-2, -1);
                (part(0), part(2), part(1))
            }
            Projections::Latent(latent) => latent.project(x, norm),
            Projections::Queries(_) => unreachable!("keys and values are an earlier layer's"),
        }
    }

    /// The factors on what heads mix where they have gates, `[batch, head, position, value_dim]`, before the sigmoid. Their projection is
    /// that of queries, and computed once more: it is little beside the rest of a layer.
    pub(crate) fn gates(&self, x: &Tensor) -> Option<Tensor> {
        match &self.projections {
            Projections::Gated { query, .. } => {
                Some(split_heads(&self.of_gated(&query.forward(x), 1), self.n_heads))
            }
            _ => None,
        }
    }

    /// Of queries beside gates either, heads side by side.
    fn of_gated(&self, both: &Tensor, which: i64) -> Tensor {
        let by_head = both.unflatten(-1, [self.n_heads, 2, self.head_dim]);
        by_head.select(-2, which).flatten(-2, -1)
    }
}
