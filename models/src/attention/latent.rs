//! Queries, keys and values that are made of short vectors (multi-head latent attention, 2405.04434). Keys and values are
//! kept whole, as those of all models are, so that every site has them.

use tch::{Kind, Tensor};

use crate::config::{Config, Latent as LatentConfig, NormConfig, NormKind};
use crate::error::Result;
use crate::layers::{Linear, Norm};
use crate::rules::Rule;
use crate::weights::Weights;

/// Of the short vectors' norms, whatever epsilon the file has for the others.
const NORM: NormConfig = NormConfig {
    kind: NormKind::Rms { from_one: false },
    epsilon: 1e-6,
};

pub struct Latent {
    /// To the short vector of queries, and its norm; without, they are made of the stream.
    query_down: Option<(Linear, Norm)>,
    query: Linear,
    /// To the short vector of keys and values, and behind it the part of keys that is that of all heads.
    down: Linear,
    norm: Norm,
    /// For each head its own part of the key, and the value.
    up: Linear,
    n_heads: i64,
    /// Numbers of the short vector.
    rank: i64,
    /// Of a head's own part of the key, and of the part of all.
    own: i64,
    shared: i64,
}

impl Latent {
    pub(super) fn load(config: &Config, of: LatentConfig, name: &str, weights: &mut Weights) -> Result<Self> {
        let (hidden, n_heads, bias) = (config.hidden_size, config.n_heads, config.attention.qkv_bias);
        let own = config.head_dim - of.shared;
        let mut linear = |part: &str, inputs: usize, outputs: usize, bias: bool| {
            Linear::load(weights, &format!("{name}.{part}"), inputs, outputs, bias)
        };
        let query_down = match of.query_rank {
            Some(rank) => Some((linear("query_down", hidden, rank, bias)?, rank)),
            None => None,
        };
        let query_inputs = of.query_rank.unwrap_or(hidden);
        let query = linear("query", query_inputs, n_heads * config.head_dim, false)?;
        let down = linear("down", hidden, of.rank + of.shared, bias)?;
        let up = linear("up", of.rank, n_heads * (own + config.value_dim), false)?;
        let mut norm =
            |part: &str, rank: usize| Norm::load(weights, &format!("{name}.{part}"), &[rank], NORM);
        Ok(Self {
            query_down: match query_down {
                Some((down, rank)) => Some((down, norm("query_down_norm", rank)?)),
                None => None,
            },
            query,
            down,
            norm: norm("down_norm", of.rank)?,
            up,
            n_heads: n_heads as i64,
            rank: of.rank as i64,
            own: own as i64,
            shared: of.shared as i64,
        })
    }

    /// Queries, keys and values, heads side by side: `[.., position, heads · head_dim]`.
    pub(super) fn project(
        &self,
        x: &Tensor,
        norm: &dyn Fn(&Norm, &Tensor) -> Tensor,
    ) -> (Tensor, Tensor, Tensor) {
        let query = match &self.query_down {
            Some((down, of_query)) => self.query.forward(&norm(of_query, &down.forward(x))),
            None => self.query.forward(x),
        };
        let down = self.down.forward(x);
        let both = self.up.forward(&norm(&self.norm, &down.narrow(-1, 0, self.rank)));
        let both = both.unflatten(-1, [self.n_heads, -1]); // [.., position, head, own + value_dim]
        let (own, value) = self.parts(&both);
        let shared = down.narrow(-1, self.rank, self.shared).unsqueeze(-2);
        let mut size = own.size();
        size.pop();
        size.push(self.shared);
        let key = Tensor::cat(&[own, shared.expand(size, false)], -1);
        (query, key.flatten(-2, -1), value.flatten(-2, -1))
    }

    /// A head's own part of the key, and its value.
    fn parts(&self, both: &Tensor) -> (Tensor, Tensor) {
        let all = both.size()[both.dim() - 1];
        (
            both.narrow(-1, 0, self.own),
            both.narrow(-1, self.own, all - self.own),
        )
    }

    /// From the cotangents of keys (none where patterns are held) and values, heads side by side, to that of `x`.
    pub(crate) fn backward(&self, x: &Tensor, key: Option<&Tensor>, value: &Tensor, rule: Rule) -> Tensor {
        let by_head = |x: &Tensor| x.unflatten(-1, [self.n_heads, -1]);
        let value = by_head(value);
        let key = match key {
            Some(key) => by_head(key),
            None => {
                let mut size = value.size();
                size.pop();
                size.push(self.own + self.shared);
                Tensor::zeros(size, (value.kind(), value.device()))
            }
        };
        let shared = key.narrow(-1, self.own, self.shared);
        let shared = shared.sum_dim_intlist(-2, false, None::<Kind>);
        let both = Tensor::cat(&[key.narrow(-1, 0, self.own), value], -1).flatten(-2, -1);
        let raw = self.down.forward(x).narrow(-1, 0, self.rank);
        let short = self.norm.backward_by(&raw, &self.up.backward(&both), rule);
        self.down.backward(&Tensor::cat(&[short, shared], -1))
    }

    /// From the cotangent of queries, heads side by side, to that of `x`, which is the stream at their positions.
    pub(crate) fn query_backward(&self, x: &Tensor, query: &Tensor) -> Tensor {
        let cotangent = self.query.backward(query);
        match &self.query_down {
            Some((down, norm)) => down.backward(&norm.backward(&down.forward(x), &cotangent)),
            None => cotangent,
        }
    }
}
