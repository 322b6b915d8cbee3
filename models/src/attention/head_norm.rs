//! Norms on queries, keys and values.

use tch::Tensor;

use super::split_heads;
use crate::config::{NormConfig, QkNorm};
use crate::error::Result;
use crate::layers::Norm;
use crate::rules::Rule;
use crate::weights::Weights;

/// A norm on queries or keys.
pub struct HeadNorm {
    pub norm: Norm,
    /// Over all heads together.
    pub whole: bool,
    /// Behind the turn.
    pub turned: bool,
}

impl HeadNorm {
    pub(super) fn load(
        weights: &mut Weights,
        name: &str,
        [n_heads, head_dim]: [usize; 2],
        place: QkNorm,
        config: NormConfig,
    ) -> Result<Option<Self>> {
        let norm = match place {
            QkNorm::None => return Ok(None),
            QkNorm::Head | QkNorm::TurnedHead => Norm::load(weights, name, &[head_dim], config)?,
            QkNorm::Whole => Norm::load(weights, name, &[n_heads * head_dim], config)?,
            QkNorm::EachHead { joined } => {
                let of_head = |head| weights.take(&format!("{name}.{head}.weight"), &[head_dim]);
                let each: Vec<Tensor> = match joined {
                    true => vec![weights.take(&format!("{name}.weight"), &[n_heads, head_dim])?],
                    false => (0..n_heads).map(of_head).collect::<Result<_>>()?,
                };
                match each.iter().all(Tensor::defined) {
                    true => Norm::with_weight(Tensor::vstack(&each).unsqueeze(1), config), // [head, 1, head_dim]
                    false => return Ok(None),
                }
            }
        };
        Ok(Some(Self {
            norm,
            whole: place == QkNorm::Whole,
            turned: place == QkNorm::TurnedHead,
        }))
    }

    pub(super) fn forward(&self, x: &Tensor, n_heads: i64, rule: Rule) -> Tensor {
        match self.whole {
            true => split_heads(&self.norm.forward_by(x, rule), n_heads),
            false => self.norm.forward_by(&split_heads(x, n_heads), rule),
        }
    }
}
