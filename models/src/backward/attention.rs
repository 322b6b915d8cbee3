//! Back through attention.

use std::ops::Deref;

use tch::{Kind, Tensor};

use super::{Layer, Queries};
use crate::attention::{Attention, HeadNorm, Projections, clip_slope, split_heads};
use crate::layers::Norm;
use crate::rules::{Rule, over_itself};
use crate::stack::apply;
use crate::tap::Site;

impl Layer<'_> {
    /// From what attention adds at the queries to the normalised stream at all positions.
    pub(super) fn attention(&self, attention: &Attention, cotangent: &Tensor, pre: &Tensor) -> Tensor {
        OfAttention { of: self, attention }.backward(cotangent, pre)
    }
}

/// A layer's part of the way back, with its attention at hand.
struct OfAttention<'a> {
    of: &'a Layer<'a>,
    attention: &'a Attention,
}

impl<'a> Deref for OfAttention<'a> {
    type Target = Layer<'a>;

    fn deref(&self) -> &Layer<'a> {
        self.of
    }
}

impl OfAttention<'_> {
    fn backward(&self, cotangent: &Tensor, pre: &Tensor) -> Tensor {
        let attention = self.attention;
        let output = || {
            let mixed = self.queries.of(self.saved(Site::HeadOutputs), 2);
            attention.output.forward(&join_heads(&mixed))
        };
        let cotangent = self.branch(&self.block.attention_post_norm, cotangent, output);
        let gated = split_heads(&attention.output.backward(&cotangent), attention.n_heads);
        let gates = attention.gates(&apply(&self.block.attention_norm, pre));
        let gates = gates.map(|gates| self.queries.of(&gates, 2).sigmoid());
        let mixed = gates
            .as_ref()
            .map_or_else(|| gated.shallow_clone(), |gates| &gated * gates);
        if self.rule == Rule::Frozen {
            return self.attention_by_values(pre, &mixed);
        }
        let (query, key, value) = self.pattern(&mixed, &gated); // [target, head, query or key, head_dim]
        if let Some(source) = attention.source {
            self.others.leave(source, [key, value]);
            return self.queries_alone(pre, &query);
        }
        let [key, value] = self.others.with_left(self.layer, [key, value]);
        let (query, key) = self.turned_norms(pre, query, key);
        let (query, key) = self.turn_back(query, key);
        let (query, key, value) = self.unclip(pre, query, key, value);
        let (query, key) = self.head_norms(pre, query, key);
        let query = match gates {
            // Of each number that a head mixes σ(g) m: its slope along g is σ(g) m (1 − σ(g)).
            Some(gates) => {
                let of_gates = gated * self.queries.of(self.saved(Site::HeadOutputs), 2) * (1.0 - gates);
                let both = [split_heads(&query, attention.n_heads), of_gates];
                join_heads(&Tensor::cat(&both, -1))
            }
            None => query,
        };
        let value = self.value_norm(pre, &value);
        self.projections(pre, &query, &key, &value)
    }

    /// The same where patterns are held: values alone matter.
    fn attention_by_values(&self, pre: &Tensor, mixed: &Tensor) -> Tensor {
        let attention = self.attention;
        let per_group = attention.n_heads / attention.n_kv_heads;
        let group = |x: &Tensor| x.unflatten(1, [attention.n_kv_heads, per_group]);
        let pattern = self.queries.of(self.saved(Site::AttentionPattern), 2);
        let pattern = group(&pattern.narrow(3, 0, self.n_positions));
        let of_value = pattern.transpose(-2, -1).matmul(&group(mixed));
        let of_value = of_value.sum_dim_intlist(2, false, None::<Kind>);
        if let Some(source) = attention.source {
            let none = of_value.zeros_like();
            self.others.leave(source, [none, of_value]);
            let size = [mixed.size()[0], self.n_positions, pre.size()[2]];
            return Tensor::zeros(size, (pre.kind(), pre.device()));
        }
        let none = of_value.zeros_like();
        let [_, of_value] = self.others.with_left(self.layer, [none, of_value]);
        let value = self.value_norm(pre, &self.unclip_by_value(pre, of_value));
        let queries = attention.n_heads * attention.head_dim;
        match &attention.projections {
            Projections::Separate { value: to_value, .. } | Projections::Gated { value: to_value, .. } => {
                to_value.backward(&value)
            }
            Projections::Joined(all) => {
                let keys = value.size()[2];
                all.part(queries + keys, keys).backward(&value)
            }
            Projections::Grouped(all) => {
                let value = value.unflatten(-1, [attention.n_kv_heads, 1, attention.head_dim]);
                let size = [
                    value.size()[0],
                    value.size()[1],
                    attention.n_kv_heads,
                    per_group + 1,
                    attention.head_dim,
                ];
                let rest = Tensor::zeros(size, (value.kind(), value.device()));
                all.backward(&Tensor::cat(&[rest, value], -2).flatten(-3, -1))
            }
            Projections::Sharded(all, parts) => {
                let none = value.zeros_like();
                all.backward(&sharded([&none, &value, &none], *parts))
            }
            Projections::Latent(latent) => {
                latent.backward(&apply(&self.block.attention_norm, pre), None, &value, self.rule)
            }
            Projections::Queries(_) => unreachable!("values are an earlier layer's"),
        }
    }

    /// Back through pattern · v and the softmax to queries, keys and values: `[target, head, query or key, head_dim]`.
    /// `gated` is the cotangent of what is behind heads' gates, `mixed` itself where there are none.
    fn pattern(&self, mixed: &Tensor, gated: &Tensor) -> (Tensor, Tensor, Tensor) {
        match self.queries {
            Queries::Rows(_) => self.pattern_of_rows(mixed),
            Queries::First(length) if self.saved.has(Site::AttentionPattern, self.layer) => {
                self.pattern_of_all(mixed, gated, length)
            }
            Queries::First(_) => self.pattern_anew(mixed),
        }
    }

    /// By one operation for the pass and one for the way back, each target with a copy of the text.
    fn pattern_anew(&self, mixed: &Tensor) -> (Tensor, Tensor, Tensor) {
        let attention = self.attention;
        let copies = |site| {
            let saved = self.saved(site).narrow(2, 0, self.n_positions);
            let copies = saved.expand([mixed.size()[0], -1, -1, -1], false).contiguous();
            copies.detach().set_requires_grad(true)
        };
        // Not every such operation knows of heads that share keys.
        let by_head = |x: &Tensor| match attention.n_heads / attention.n_kv_heads {
            1 => x.shallow_clone(),
            per_group => x
                .unsqueeze(2)
                .expand([-1, -1, per_group, -1, -1], false)
                .flatten(1, 2),
        };
        let (query, key, value) = (copies(Site::Queries), copies(Site::Keys), copies(Site::Values));
        let back = tch::with_grad(|| {
            let outputs = attention.fused(&query, &by_head(&key), &by_head(&value), self.view);
            let total = (outputs * mixed).sum(None::<Kind>);
            Tensor::run_backward(&[total], &[&query, &key, &value], false, false)
        });
        let [query, key, value] = back.try_into().expect("a gradient for each");
        (query, key, value)
    }

    /// With P the pattern and dP its cotangent, softmax gives dS = P (dP − Σ P dP).
    fn pattern_of_rows(&self, mixed: &Tensor) -> (Tensor, Tensor, Tensor) {
        let attention = self.attention;
        let per_group = attention.n_heads / attention.n_kv_heads;
        let group = |x: &Tensor| x.unflatten(1, [attention.n_kv_heads, per_group]);
        let up_to = |site| self.saved(site).narrow(2, 0, self.n_positions).unsqueeze(2);
        let (key, value) = (up_to(Site::Keys), up_to(Site::Values)); // [1, key head, 1, key, head_dim]
        let query = group(&self.queries.of(self.saved(Site::Queries), 2));
        let pattern = self.queries.of(self.saved(Site::AttentionPattern), 2);
        let pattern = group(&pattern.narrow(3, 0, self.n_positions));
        let mixed = group(mixed);
        let of_value = pattern.transpose(-2, -1).matmul(&mixed);
        let of_pattern = mixed.matmul(&value.transpose(-2, -1)) * &pattern; // [target, key head, group, query, key]
        let total = of_pattern.sum_dim_intlist(-1, true, None::<Kind>);
        let mut of_scores = (of_pattern - pattern * total) * attention.scale;
        if let Some(cap) = attention.soft_cap {
            let uncapped = query.matmul(&key.transpose(-2, -1)) * (attention.scale / cap);
            of_scores *= 1.0 - uncapped.tanh().square();
        }
        let of_query = of_scores.matmul(&key);
        let of_key = of_scores.transpose(-2, -1).matmul(&query);
        let ungroup = |x: Tensor| match per_group {
            1 => x.squeeze_dim(2),
            _ => x.sum_dim_intlist(2, false, None::<Kind>),
        };
        (of_query.flatten(1, 2), ungroup(of_key), ungroup(of_value))
    }

    /// The same where all targets have the same queries, and so one pattern: it stays one, beside all of them. Σ P dP is the
    /// product of the heads' outputs with their cotangents, and queries go in blocks, which stop at their last key.
    fn pattern_of_all(&self, mixed: &Tensor, gated: &Tensor, length: i64) -> (Tensor, Tensor, Tensor) {
        let attention = self.attention;
        let (targets, heads, per_group) = (
            mixed.size()[0],
            attention.n_kv_heads,
            attention.n_heads / attention.n_kv_heads,
        );
        let group = |x: &Tensor| x.unflatten(1, [heads, per_group]);
        let saved = |site| self.saved(site).narrow(2, 0, self.n_positions).squeeze_dim(0);
        let (key, value) = (saved(Site::Keys), saved(Site::Values)); // [key head, key, head_dim]
        let query = group(&self.saved(Site::Queries).narrow(2, 0, length)).squeeze_dim(0);
        let pattern = group(&self.saved(Site::AttentionPattern).narrow(2, 0, length)).squeeze_dim(0);
        let outputs = self.saved(Site::HeadOutputs).narrow(2, 0, length);
        let total = (gated * outputs).sum_dim_intlist(-1, true, None::<Kind>);
        // [key head, group, target, query, ..]
        let by_target = |x: &Tensor| group(x).permute([1, 2, 0, 3, 4]);
        let (mixed, total) = (by_target(mixed), by_target(&total));
        let zeros = |numbers: i64| {
            let size = [heads, targets, self.n_positions, numbers];
            Tensor::zeros(size, (mixed.kind(), mixed.device()))
        };
        let mut of_query = Vec::new();
        let (of_key, of_value) = (zeros(attention.head_dim), zeros(attention.value_dim));
        let add = |sum: &Tensor, part: Tensor| drop(sum.narrow(2, 0, part.size()[2]).g_add_(&part));
        for start in (0..length).step_by(BLOCK) {
            let n = (BLOCK as i64).min(length - start);
            let keys = (start + n).min(self.n_positions);
            let cut = |x: &Tensor| x.narrow(1, 0, keys);
            let (key, value) = (cut(&key), cut(&value));
            let pattern = pattern.narrow(2, start, n).narrow(3, 0, keys); // [key head, group, query, key]
            let query = query.narrow(2, start, n);
            let mixed = mixed.narrow(3, start, n).contiguous();
            let rows = [heads, per_group * targets * n, -1];
            let by_row = [heads, per_group, targets, n, keys];
            let mut of_scores = mixed.reshape(rows).matmul(&value.transpose(1, 2)).reshape(by_row);
            of_scores -= total.narrow(3, start, n);
            of_scores *= (&pattern * attention.scale).unsqueeze(2);
            if let Some(cap) = attention.soft_cap {
                let uncapped = query.matmul(&key.unsqueeze(1).transpose(-2, -1)) * (attention.scale / cap);
                let slope: Tensor = 1.0 - uncapped.tanh().square();
                of_scores *= slope.unsqueeze(2);
            }
            let back = of_scores.reshape(rows).matmul(&key);
            of_query.push(back.reshape([heads, per_group, targets, n, -1]));
            let back = of_scores.transpose(-2, -1).matmul(&query.unsqueeze(2)); // [key head, group, target, key, head_dim]
            add(&of_key, back.sum_dim_intlist(1, false, None::<Kind>));
            // All targets beside each other, since the pattern is the same for them.
            let beside = mixed.transpose(2, 3).reshape([heads, per_group, n, -1]);
            let back = pattern
                .transpose(-2, -1)
                .matmul(&beside)
                .sum_dim_intlist(1, false, None::<Kind>);
            let back = back.reshape([heads, keys, targets, -1]).transpose(1, 2); // [key head, target, key, head_dim]
            add(&of_value, back);
        }
        let of_query = Tensor::cat(&of_query, 3).permute([2, 0, 1, 3, 4]).flatten(1, 2);
        (of_query, of_key.transpose(0, 1), of_value.transpose(0, 1))
    }

    fn turn_back(&self, query: Tensor, key: Tensor) -> (Tensor, Tensor) {
        let Some(rope) = self.attention.rope else {
            return (query, key);
        };
        let turns = &self.view.turns[rope];
        (self.query_turned_back(&query), turns.backward(&key))
    }

    fn query_turned_back(&self, query: &Tensor) -> Tensor {
        let Some(rope) = self.attention.rope else {
            return query.shallow_clone();
        };
        let turns = &self.view.turns[rope];
        match self.queries {
            Queries::Rows(rows) => turns.at(rows).backward(query),
            Queries::First(_) => turns.backward(query),
        }
    }

    /// Of a layer that reads an earlier one's keys and values: from the cotangent of its turned queries to the normalised stream at all
    /// positions.
    fn queries_alone(&self, pre: &Tensor, query: &Tensor) -> Tensor {
        let attention = self.attention;
        let to_queries = attention.to_queries().expect("a layer without keys of its own");
        let query = self.query_turned_back(query);
        let query = match &attention.query_norm {
            Some(norm) => {
                let raw = to_queries.forward(&apply(&self.block.attention_norm, pre));
                norm.backward(&self.queries.of(&raw, 1), &query, attention.n_heads, self.rule)
            }
            None => join_heads(&query),
        };
        self.at_all(to_queries.backward(&query))
    }

    /// Back through norms behind the turn.
    fn turned_norms(&self, pre: &Tensor, query: Tensor, key: Tensor) -> (Tensor, Tensor) {
        let attention = self.attention;
        let (query_norm, key_norm) = match (&attention.query_norm, &attention.key_norm) {
            (Some(query_norm), Some(key_norm)) if query_norm.turned => (query_norm, key_norm),
            _ => return (query, key),
        };
        let x = apply(&self.block.attention_norm, pre);
        let (raw_query, raw_key, _) = attention.project(&x, Rule::Gradient);
        let turned = |x: &Tensor| match attention.rope {
            Some(rope) => self.view.turns[rope].forward(x),
            None => x.shallow_clone(),
        };
        let raw_query = self.queries.of(&turned(&raw_query), 2);
        (
            query_norm.norm.backward(&raw_query, &query),
            key_norm.norm.backward(&turned(&raw_key), &key),
        )
    }

    /// Back through what values are cut off at where that is a factor.
    fn unclip_by_value(&self, pre: &Tensor, of_value: Tensor) -> Tensor {
        let attention = self.attention;
        let Some(clip) = attention.clip else {
            return of_value;
        };
        let x = apply(&self.block.attention_norm, pre);
        let (_, _, value) = attention.project_unclipped(&x, Rule::Gradient);
        of_value * over_itself(&value, &value.clamp(-clip, clip), &clip_slope(&value, clip))
    }

    /// Back through what queries, keys and values are cut off at.
    fn unclip(&self, pre: &Tensor, query: Tensor, key: Tensor, value: Tensor) -> (Tensor, Tensor, Tensor) {
        let attention = self.attention;
        let Some(clip) = attention.clip else {
            return (query, key, value);
        };
        let x = apply(&self.block.attention_norm, pre);
        let (raw_query, raw_key, raw_value) = attention.project_unclipped(&x, Rule::Gradient);
        (
            query * clip_slope(&self.queries.of(&raw_query, 2), clip),
            key * clip_slope(&raw_key, clip),
            value * clip_slope(&raw_value, clip),
        )
    }

    /// Back through the norms on queries and keys, to `[target, position, heads · head_dim]`.
    fn head_norms(&self, pre: &Tensor, query: Tensor, key: Tensor) -> (Tensor, Tensor) {
        let attention = self.attention;
        let (query_norm, key_norm) = match (&attention.query_norm, &attention.key_norm) {
            (Some(query_norm), Some(key_norm)) if !query_norm.turned => (query_norm, key_norm),
            _ => return (join_heads(&query), join_heads(&key)),
        };
        let x = apply(&self.block.attention_norm, pre);
        let (raw_query, raw_key) = attention.project_raw(&x);
        let raw_query = self.queries.of(&raw_query, 1);
        (
            query_norm.backward(&raw_query, &query, attention.n_heads, self.rule),
            key_norm.backward(&raw_key, &key, attention.n_kv_heads, self.rule),
        )
    }

    /// Back through the norm on values, to `[target, position, heads · value_dim]`.
    fn value_norm(&self, pre: &Tensor, value: &Tensor) -> Tensor {
        let attention = self.attention;
        match &attention.value_norm {
            Some(norm) => {
                let x = apply(&self.block.attention_norm, pre);
                let (_, _, raw) = attention.project_joined(&x, &Norm::forward);
                norm.backward(&raw, value, attention.n_kv_heads, self.rule)
            }
            None => join_heads(value),
        }
    }

    /// Back through the projections, queries at their positions, keys and values at all.
    fn projections(&self, pre: &Tensor, query: &Tensor, key: &Tensor, value: &Tensor) -> Tensor {
        let attention = self.attention;
        match &attention.projections {
            Projections::Separate {
                query: to_query,
                key: to_key,
                value: to_value,
            }
            | Projections::Gated {
                query: to_query,
                key: to_key,
                value: to_value,
            } => {
                let of_rest = to_key.backward(key) + to_value.backward(value);
                self.queries.add_to(of_rest, &to_query.backward(query))
            }
            Projections::Joined(all) => {
                let (queries, keys) = (query.size()[2], key.size()[2]);
                let back =
                    |start, cotangent: &Tensor| all.part(start, cotangent.size()[2]).backward(cotangent);
                let of_rest = back(queries, key) + back(queries + keys, value);
                self.queries.add_to(of_rest, &back(0, query))
            }
            Projections::Grouped(all) => {
                let size = [key.size()[0], key.size()[1], query.size()[2]];
                let whole = Tensor::zeros(size, (key.kind(), key.device()));
                let query = self.queries.add_to(whole, query);
                let group = |x: &Tensor| x.unflatten(-1, [attention.n_kv_heads, -1, attention.head_dim]);
                let all_of_group = Tensor::cat(&[group(&query), group(key), group(value)], -2);
                all.backward(&all_of_group.flatten(-3, -1))
            }
            Projections::Sharded(all, parts) => {
                let whole = Tensor::zeros(key.size(), (key.kind(), key.device()));
                let query = self.queries.add_to(whole, query);
                all.backward(&sharded([&query, value, key], *parts))
            }
            Projections::Latent(latent) => {
                let x = apply(&self.block.attention_norm, pre);
                let of_rest = latent.backward(&x, Some(key), value, self.rule);
                let of_query = latent.query_backward(&self.queries.of(&x, 1), query);
                self.queries.add_to(of_rest, &of_query)
            }
            Projections::Queries(_) => unreachable!("keys and values are an earlier layer's"),
        }
    }
}

/// Queries, values and keys, `[target, position, heads · head_dim]`, as the parts of one projection have them.
fn sharded(all: [&Tensor; 3], parts: i64) -> Tensor {
    let all = all.map(|x| x.unflatten(-1, [parts, -1]));
    Tensor::stack(&all, -2).flatten(-3, -1)
}

/// Queries that go together: of a long text a block has half of the keys on average.
const BLOCK: usize = 256;

/// `[target, head, position, head_dim]` to `[target, position, heads · head_dim]`.
fn join_heads(x: &Tensor) -> Tensor {
    x.transpose(1, 2).flatten(2, 3)
}

impl HeadNorm {
    /// From the cotangent by head to that of the joined projection; `raw` is what was normalised.
    fn backward(&self, raw: &Tensor, cotangent: &Tensor, n_heads: i64, rule: Rule) -> Tensor {
        let back = |raw: &Tensor, cotangent: &Tensor| self.norm.backward_by(raw, cotangent, rule);
        match self.whole {
            true => back(raw, &join_heads(cotangent)),
            false => join_heads(&back(&split_heads(raw, n_heads), cotangent)),
        }
    }
}
