//! Vectors of distances, which queries and keys also meet.

use tch::Tensor;

use super::view::Distances;
use super::{Attention, Projections, split_heads};
use crate::config::{Config, Disentangled};
use crate::error::Result;
use crate::layers::Linear;
use crate::weights::Weights;

/// What makes keys and queries of the vectors of distances.
pub(super) struct Distance {
    kind: Disentangled,
    key: Option<Linear>,
    query: Option<Linear>,
}

impl Distance {
    pub(super) fn load(
        config: &Config,
        kind: Disentangled,
        name: &str,
        weights: &mut Weights,
    ) -> Result<Self> {
        let (hidden, heads) = (config.hidden_size, config.n_heads * config.head_dim);
        let mut linear = |wanted: bool, part: &str| match wanted && !kind.shared {
            true => Linear::load(weights, &format!("{name}.{part}"), hidden, heads, true).map(Some),
            false => Ok(None),
        };
        Ok(Self {
            kind,
            key: linear(kind.content_to_position, "distance_key")?,
            query: linear(kind.position_to_content, "distance_query")?,
        })
    }
}

impl Attention {
    /// What queries and keys have to do with their distance: `[batch, head, query, key]`.
    pub(super) fn meet(
        &self,
        distance: &Distance,
        distances: &Distances,
        query: &Tensor,
        key: &Tensor,
    ) -> Tensor {
        let heads = |own: &Option<Linear>, shared: usize| match (own, &self.projections) {
            (Some(linear), _) => split_heads(&linear.forward(&distances.vectors), self.n_heads),
            (None, Projections::Separate { query, key, .. }) => {
                split_heads(&[query, key][shared].forward(&distances.vectors), self.n_heads)
            }
            (None, _) => Tensor::zeros_like(&distances.vectors),
        };
        let gathered = |x: &Tensor, vectors: Tensor, index: &Tensor| {
            let all = x.matmul(&vectors.transpose(-2, -1)); // [batch, head, query, distance]
            let size = [&all.size()[..3], &[index.size()[1]]].concat();
            all.gather(-1, &index.expand(size, false), false)
        };
        let ahead = || gathered(query, heads(&distance.key, 1), &distances.ahead);
        let behind = || gathered(key, heads(&distance.query, 0), &distances.behind).transpose(-2, -1);
        let kind = distance.kind;
        let sum = match (kind.content_to_position, kind.position_to_content) {
            (true, true) => ahead() + behind(),
            (true, false) => ahead(),
            (false, true) => behind(),
            (false, false) => Tensor::zeros([1], (query.kind(), query.device())),
        };
        sum * self.scale
    }
}
