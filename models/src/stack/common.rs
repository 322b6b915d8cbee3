//! What passes through one stack need besides the weights of its blocks.

use tch::Tensor;

use crate::config::{Config, Positions};
use crate::error::Result;
use crate::host::Constants;
use crate::layers::Norm;
use crate::weights::Weights;

/// Of one stack, shared by all views on it.
pub struct Common {
    pub config: Config,
    /// What it has learned about distances, or of positions that are not in the stream.
    pub relative: Option<Tensor>,
    /// What passes need besides weights and does not change.
    pub constants: Constants,
}

impl Common {
    pub(super) fn load(config: Config, weights: &mut Weights) -> Result<Self> {
        Ok(Self {
            relative: relative(&config, weights)?,
            config,
            constants: Constants::default(),
        })
    }
}

/// What the learned part of relative positions is.
fn relative(config: &Config, weights: &mut Weights) -> Result<Option<Tensor>> {
    Ok(match config.positions {
        Positions::Buckets { n_buckets, .. } => {
            Some(weights.take(&config.name("relative_bias.weight"), &[n_buckets, config.n_heads])?)
        }
        Positions::Shortformer => {
            let shape = [config.context_length, config.hidden_size];
            Some(weights.take(&config.name("position_embedding.weight"), &shape)?)
        }
        Positions::Disentangled(kind) => {
            let shape = [2 * kind.span, config.hidden_size];
            let vectors = weights.take(&config.name("relative_embedding.weight"), &shape)?;
            let norm = match kind.norm {
                true => Some(Norm::load(
                    weights,
                    &config.name("relative_norm"),
                    &shape[1..],
                    config.norm,
                )?),
                false => None,
            };
            Some(match norm {
                Some(norm) if vectors.defined() => norm.forward(&vectors),
                _ => vectors,
            })
        }
        _ => None,
    })
}
