//! Heads that read streams of their own, as the edges of a circuit have it.

use tch::Tensor;

use super::{Attention, Projections, split_heads};
use crate::layers::{Linear, Norm};
use crate::rules::Rule;

/// Which of the projections.
#[derive(Clone, Copy)]
enum Part {
    Query,
    Key,
    Value,
    Gate,
}

impl Attention {
    /// Queries, keys and values by head, before they are turned, `[batch, head, position, head_dim]`; `streams` are as
    /// [`Self::forward_apart`] has them.
    pub(super) fn project_apart(&self, streams: &[Tensor; 3], rule: Rule) -> (Tensor, Tensor, Tensor) {
        let [query, key, value] = streams;
        (
            self.heads(Part::Query, query, rule),
            self.heads(Part::Key, key, rule),
            self.heads(Part::Value, value, rule),
        )
    }

    fn heads(&self, part: Part, streams: &Tensor, rule: Rule) -> Tensor {
        let (n_heads, norm) = match part {
            Part::Query => (self.n_heads, self.query_norm.as_ref()),
            Part::Key => (self.n_kv_heads, self.key_norm.as_ref()),
            Part::Value => (self.n_kv_heads, self.value_norm.as_ref()),
            Part::Gate => (self.n_heads, None),
        };
        let stream = |head: i64| streams.select(1, head.min(streams.size()[1] - 1));
        let heads: Vec<Tensor> = match norm {
            // What is normed over all heads together depends on them all.
            Some(norm) if norm.whole => {
                let all = |head| {
                    let (query, key, _) = self.project_joined(&stream(head), &Norm::forward);
                    let own = if matches!(part, Part::Query) { query } else { key };
                    norm.forward(&own, n_heads, rule).select(1, head)
                };
                (0..n_heads).map(all).collect()
            }
            _ => (0..n_heads)
                .map(|head| self.head(part, head, &stream(head), rule))
                .collect(),
        };
        let heads = Tensor::stack(&heads, 1);
        let heads = match norm {
            Some(norm) if !norm.whole && !norm.turned => norm.norm.forward_by(&heads, rule),
            _ => heads,
        };
        self.clipped(heads, rule)
    }

    /// Where heads have gates, those of the streams that queries read.
    pub(super) fn gates_apart(&self, queries: &Tensor, rule: Rule) -> Option<Tensor> {
        let is_gated = matches!(self.projections, Projections::Gated { .. });
        is_gated.then(|| self.heads(Part::Gate, queries, rule))
    }

    /// One head's projection: `[batch, position, head_dim]`.
    fn head(&self, part: Part, head: i64, x: &Tensor, rule: Rule) -> Tensor {
        let (queries, keys) = (self.n_heads, self.n_kv_heads);
        let per_group = queries / keys;
        let (linear, at) = match (&self.projections, part) {
            (Projections::Separate { query, .. }, Part::Query) => (query, head),
            (Projections::Separate { key, .. }, Part::Key) => (key, head),
            (Projections::Separate { value, .. }, Part::Value) => (value, head),
            (Projections::Gated { query, .. }, Part::Query) => (query, 2 * head),
            (Projections::Gated { query, .. }, Part::Gate) => (query, 2 * head + 1),
            (Projections::Gated { key, .. }, Part::Key) => (key, head),
            (Projections::Gated { value, .. }, Part::Value) => (value, head),
            (_, Part::Gate) => unreachable!("heads without gates"),
            (Projections::Queries(_), _) => unreachable!("keys and values are an earlier layer's"),
            (Projections::Joined(all), Part::Query) => (all, head),
            (Projections::Joined(all), Part::Key) => (all, queries + head),
            (Projections::Joined(all), Part::Value) => (all, queries + keys + head),
            // Each group's queries, its key, its value.
            (Projections::Grouped(all), Part::Query) => {
                (all, head / per_group * (per_group + 2) + head % per_group)
            }
            (Projections::Grouped(all), Part::Key) => (all, head * (per_group + 2) + per_group),
            (Projections::Grouped(all), Part::Value) => (all, head * (per_group + 2) + per_group + 1),
            (Projections::Sharded(all, parts), part) => {
                let of_part = queries / parts;
                let of_kind = match part {
                    Part::Query => 0,
                    Part::Value => 1,
                    Part::Key => 2,
                    Part::Gate => unreachable!("heads without gates"),
                };
                (all, (head / of_part * 3 + of_kind) * of_part + head % of_part)
            }
            (Projections::Latent(latent), part) => {
                let (query, key, value) = latent.project(x, &|norm, x| norm.forward_by(x, rule));
                let (all, n_heads) = match part {
                    Part::Query => (query, queries),
                    Part::Key => (key, keys),
                    Part::Value => (value, keys),
                    Part::Gate => unreachable!("heads without gates"),
                };
                return split_heads(&all, n_heads).select(1, head);
            }
        };
        outputs(linear, at * self.head_dim, self.head_dim, x)
    }
}

/// So many outputs of a layer, with their biases.
fn outputs(linear: &Linear, start: i64, length: i64, x: &Tensor) -> Tensor {
    let y = linear.part(start, length).forward(x);
    match &linear.bias {
        Some(bias) => y + bias.narrow(0, start, length),
        None => y,
    }
}
