//! Attention of one token whose place is a number on the device: by products and a mask alone, whose shapes do not depend on
//! the length, and which wait for nothing.

use tch::Tensor;

use super::{Attention, View, beside_sinks};
use crate::host::wide;
use crate::rules::Rule;

impl Attention {
    /// The heads' mixtures of values, `[batch, head, 1, value_dim]`, of one query for each head and the keys and values there
    /// is room for. Heads that share keys are rows of one product, so that keys are not copied for each.
    pub(super) fn one(&self, query: &Tensor, key: &Tensor, value: &Tensor, view: &View) -> Tensor {
        let (n_groups, per_group) = (self.n_kv_heads, self.n_heads / self.n_kv_heads);
        let query = query.reshape([-1, n_groups, per_group, self.head_dim]);
        let scores = query.matmul(&key.transpose(-2, -1)); // [batch, kv head, head of it, key]
        let bias = view.bias.as_ref().map(|bias| {
            let scores = bias.scores.reshape([n_groups, per_group, -1]);
            (scores, bias.scaled)
        });
        let scores = match bias {
            Some((bias, true)) => (scores + bias) * self.scale,
            Some((bias, false)) => scores * self.scale + bias,
            None => Rule::Gradient.soft_cap(scores * self.scale, self.soft_cap),
        };
        let scores = match view.hidden(self.window) {
            Some(hidden) => scores.masked_fill(&hidden, f64::NEG_INFINITY),
            None => scores,
        };
        let kind = scores.kind();
        let wide = wide(kind);
        let softmax = |scores: &Tensor| scores.softmax(-1, wide).to_kind(kind);
        let pattern = match &self.sinks {
            Some(sinks) => beside_sinks(&scores, &sinks.reshape([n_groups, per_group, 1]), softmax),
            None => softmax(&scores),
        };
        pattern
            .matmul(value)
            .reshape([-1, self.n_heads, 1, self.value_dim])
    }
}
