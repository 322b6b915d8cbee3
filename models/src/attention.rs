//! The first half of a layer: attention.
//!
//! - [`Attention`]: projections, scores, mixtures
//! - [`Projections`]: to queries, keys and values; [`HeadNorm`]: norms on them
//! - [`view`]: which keys a query sees, and what their distance adds
//! - [`memory`]: keys and values that are kept
//! - `latent`: queries, keys and values of short vectors
//! - `apart`: heads that read streams of their own
//! - [`cursor`]: passes over one token more whose place is a number on the device; `one`: their attention

mod apart;
pub mod cursor;
mod head_norm;
mod latent;
pub mod memory;
mod one;
mod projections;
pub mod view;

use tch::{Device, Kind, Tensor};

use crate::config::{Config, Disentangled, Positions, QkNorm};
use crate::error::Result;
use crate::fused;
use crate::host::{self, bring, wide};
use crate::layers::{Linear, sigmoid_slope};
use crate::rules::Rule;
use crate::tap::{Site, Tap};
use crate::weights::Weights;

pub use cursor::{Cursor, Start};
pub use head_norm::HeadNorm;
pub use latent::Latent;
pub use memory::{Cache, CrossMemory, LayerMemory};
pub use projections::Projections;
use view::Distances;
pub use view::{View, Views};

/// Attention of one layer, without the norms around it.
pub struct Attention {
    pub projections: Projections,
    pub query_norm: Option<HeadNorm>,
    pub key_norm: Option<HeadNorm>,
    pub value_norm: Option<HeadNorm>,
    pub output: Linear,
    pub n_heads: i64,
    pub n_kv_heads: i64,
    pub head_dim: i64,
    /// Numbers of each head's value.
    pub value_dim: i64,
    /// The factor on query · key.
    pub scale: f64,
    pub soft_cap: Option<f64>,
    /// Queries, keys and values are cut off there, before they are turned.
    pub clip: Option<f64>,
    /// Each head's score of seeing nothing, `[head]`.
    pub sinks: Option<Tensor>,
    pub window: Option<i64>,
    /// Which of the model's turns is this layer's.
    pub rope: Option<usize>,
    distance: Option<Distance>,
}

/// What makes keys and queries of the vectors of distances.
struct Distance {
    kind: Disentangled,
    key: Option<Linear>,
    query: Option<Linear>,
}

impl Distance {
    fn load(config: &Config, kind: Disentangled, name: &str, weights: &mut Weights) -> Result<Self> {
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
    /// A layer's attention to its own positions, or to another stack's: `part` is its name.
    pub fn load(config: &Config, layer: usize, part: &str, weights: &mut Weights) -> Result<Self> {
        let attention = &config.attention;
        let heads = config.heads(layer);
        let name = config.name_in_layer(layer, part);
        let projections = Projections::load(config, heads, &name, weights)?;
        let mixed = config.n_heads * heads.value_dim;
        let output = format!("{name}.output");
        let output = Linear::load(weights, &output, mixed, config.hidden_size, attention.output_bias)?;
        let mut norm = |part: &str, n_heads, place, norm| {
            let name = format!("{name}.{part}");
            HeadNorm::load(weights, &name, [n_heads, heads.head_dim], place, norm)
        };
        let of_values = match attention.value_norm {
            true => QkNorm::Head,
            false => QkNorm::None,
        };
        let (query_norm, key_norm, value_norm) = (
            norm("query_norm", config.n_heads, attention.qk_norm, config.norm)?,
            norm("key_norm", heads.n_kv_heads, attention.qk_norm, config.norm)?,
            norm("value_norm", heads.n_kv_heads, of_values, config.bare_norm())?,
        );
        let sinks = match attention.sinks {
            true => Some(weights.take(&format!("{name}.sinks"), &[config.n_heads])?),
            false => None,
        };
        let rope = match &config.positions {
            Positions::Rotary { by_layer, .. } => by_layer[layer],
            _ => None,
        };
        let distance = match &config.positions {
            Positions::Disentangled(kind) => Some(Distance::load(config, *kind, &name, weights)?),
            _ => None,
        };
        Ok(Self {
            projections,
            query_norm,
            key_norm,
            value_norm,
            output,
            n_heads: config.n_heads as i64,
            n_kv_heads: heads.n_kv_heads as i64,
            head_dim: heads.head_dim as i64,
            value_dim: heads.value_dim as i64,
            scale: attention.scales[layer],
            soft_cap: attention.soft_cap,
            clip: attention.clip,
            sinks,
            window: attention.windows[layer].map(|window| window as i64),
            rope,
            distance,
        })
    }

    /// The same that sees all positions: another stack's are at no distance.
    pub(crate) fn without_window(self) -> Self {
        Self { window: None, ..self }
    }

    /// From the normalised stream `[batch, position, hidden]` to what is added to it.
    pub fn forward(
        &self,
        x: &Tensor,
        memory: Option<LayerMemory>,
        view: &View,
        layer: usize,
        tap: &mut dyn Tap,
    ) -> Tensor {
        let projected = self.project(x, tap.rule());
        self.attend(projected, self.gates(x), memory, view, layer, tap)
    }

    /// The same where heads read streams of their own: normalised ones of queries, keys and values,
    /// `[batch, head, position, hidden]` or with one for all heads. `apart` projects them.
    pub fn forward_apart(
        &self,
        streams: &[Tensor; 3],
        view: &View,
        layer: usize,
        tap: &mut dyn Tap,
    ) -> Tensor {
        let projected = self.project_apart(streams, tap.rule());
        let gates = self.gates_apart(&streams[0], tap.rule());
        self.attend(projected, gates, None, view, layer, tap)
    }

    /// From queries, keys and values that are not turned yet.
    fn attend(
        &self,
        (query, key, value): (Tensor, Tensor, Tensor),
        gates: Option<Tensor>,
        memory: Option<LayerMemory>,
        view: &View,
        layer: usize,
        tap: &mut dyn Tap,
    ) -> Tensor {
        let rule = tap.rule();
        let turn = |x: Tensor, norm: &Option<HeadNorm>| {
            let turned = self
                .rope
                .map_or_else(|| x.shallow_clone(), |rope| view.turns[rope].forward(&x));
            match norm {
                Some(norm) if norm.turned => norm.norm.forward_by(&turned, rule),
                _ => turned,
            }
        };
        let query = tap.visit(Site::Queries, layer, turn(query, &self.query_norm)); // [batch, head, query, head_dim]
        let mut key = tap.visit(Site::Keys, layer, turn(key, &self.key_norm));
        let mut value = tap.visit(Site::Values, layer, value);
        if let Some(memory) = memory {
            (key, value) = memory.extend(&key, &value);
        }
        let mixed = if view.has_cursor() {
            self.one(&query, &key, &value, view)
        } else if self.needs_pattern(view, rule) {
            let pattern = self.pattern(&query, &key, view, rule);
            self.mix(&tap.visit(Site::AttentionPattern, layer, pattern), &value, rule)
        } else {
            let other = self.other_pattern((&query, &key, view), Site::AttentionPattern, layer, tap);
            match other {
                Some(pattern) => self.mix(&pattern, &value, rule),
                None => self.fused(&query, &key, &value, view),
            }
        };
        let mixed = match gates {
            Some(gates) => {
                let factors = rule.elementwise(&gates, Tensor::sigmoid, sigmoid_slope);
                rule.product(&factors, &mixed)
            }
            None => mixed,
        };
        let mixed = tap.visit(Site::HeadOutputs, layer, mixed); // [batch, head, query, value_dim]
        self.output.forward(&mixed.transpose(1, 2).flatten(2, 3))
    }

    /// Attention to the states of an encoder, `[batch, key, hidden]`.
    pub fn across(&self, x: &Tensor, memory: &CrossMemory, layer: usize, tap: &mut dyn Tap) -> Tensor {
        let rule = tap.rule();
        let (query, _, _) = self.project(x, rule);
        let view = View::across(query.size()[2], memory);
        // One text may be read and several written.
        let whole = |x: &Tensor| x.expand([query.size()[0], -1, -1, -1], false);
        let (key, value) = (whole(&memory.key), whole(&memory.value));
        let mixed = if self.needs_pattern(&view, rule) {
            let pattern = self.pattern(&query, &key, &view, rule);
            self.mix(&tap.visit(Site::CrossPattern, layer, pattern), &value, rule)
        } else {
            let other = self.other_pattern((&query, &key, &view), Site::CrossPattern, layer, tap);
            match other {
                Some(pattern) => self.mix(&pattern, &value, rule),
                None => self.fused(&query, &key, &value, &view),
            }
        };
        self.output.forward(&mixed.transpose(1, 2).flatten(2, 3))
    }

    /// Keys and values of an encoder's states.
    pub fn remember(&self, states: &Tensor, padding: Option<&Tensor>, rule: Rule) -> CrossMemory {
        let place = self.place();
        let (_, key, value) = self.project(&bring(states, place), rule);
        CrossMemory {
            key,
            value,
            padding: padding.map(|padding| bring(padding, (Kind::Bool, place.1))),
        }
    }

    /// The pattern that a tap puts in the place of its own, or whose gradient is taken. `None` where it only looks, or does
    /// not: then what follows is computed as ever, since looking must not move it, not even by rounding.
    fn other_pattern(
        &self,
        (query, key, view): (&Tensor, &Tensor, &View),
        site: Site,
        layer: usize,
        tap: &mut dyn Tap,
    ) -> Option<Tensor> {
        if !tap.wants(site, layer) {
            return None;
        }
        let own = self.pattern(query, key, view, Rule::Gradient);
        let seen = tap.visit(site, layer, own.shallow_clone());
        let is_own = || seen.data_ptr() == own.data_ptr() || host::same(&seen, &own);
        (seen.requires_grad() || !is_own()).then_some(seen)
    }

    /// Whether the way back is best left to one operation of libtorch, which makes the pattern anew and never has all of
    /// it in memory: on a GPU, where reading and writing patterns takes longer than making them.
    pub(crate) fn is_fused_backward(&self, view: &View) -> bool {
        let (kind, device) = self.place();
        let is_even = self.head_dim % 8 == 0 && self.value_dim == self.head_dim;
        let has_one = kind != Kind::Double && is_even && self.head_dim <= 128;
        device.is_cuda() && has_one && !self.needs_pattern(view, Rule::Gradient)
    }

    /// Whether the scores are more than a product and a mask.
    fn needs_pattern(&self, view: &View, rule: Rule) -> bool {
        let is_more = self.soft_cap.is_some() || self.sinks.is_some() || self.distance.is_some();
        rule != Rule::Gradient || is_more || view.bias.is_some()
    }

    /// softmax(scale · q kᵀ) over the keys that each query sees: `[batch, head, query, key]`.
    fn pattern(&self, query: &Tensor, key: &Tensor, view: &View, rule: Rule) -> Tensor {
        let per_group = self.n_heads / self.n_kv_heads;
        let query = query.unflatten(1, [self.n_kv_heads, per_group]);
        let key_by_group = key.unsqueeze(2).transpose(-2, -1);
        let scores = rule.matmul(&query, &key_by_group).flatten(1, 2);
        let scores = match &view.bias {
            Some(bias) if bias.scaled => (scores + &bias.scores) * self.scale,
            Some(bias) => scores * self.scale + &bias.scores,
            None => rule.soft_cap(scores * self.scale, self.soft_cap),
        };
        let scores = match (&self.distance, &view.distances) {
            (Some(distance), Some(distances)) => {
                scores + self.meet(distance, distances, &query.flatten(1, 2), key)
            }
            _ => scores,
        };
        let scores = match view.hidden(self.window) {
            Some(hidden) => scores.masked_fill(&hidden, f64::NEG_INFINITY),
            None => scores,
        };
        let kind = scores.kind();
        let wide = wide(kind);
        let scores = scores.to_kind(wide);
        let pattern = match &self.sinks {
            Some(sinks) => beside_sinks(&scores, &sinks.reshape([-1, 1, 1]), |scores| rule.softmax(scores)),
            None => rule.softmax(&scores),
        };
        rule.held(&pattern.to_kind(kind))
    }

    /// What queries and keys have to do with their distance: `[batch, head, query, key]`.
    fn meet(&self, distance: &Distance, distances: &Distances, query: &Tensor, key: &Tensor) -> Tensor {
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

    /// The heads' mixtures of values, `[batch, head, query, value_dim]`.
    fn mix(&self, pattern: &Tensor, value: &Tensor, rule: Rule) -> Tensor {
        let per_group = self.n_heads / self.n_kv_heads;
        let pattern = pattern.unflatten(1, [self.n_kv_heads, per_group]);
        rule.matmul(&pattern, &value.unsqueeze(2)).flatten(1, 2)
    }

    /// Both in one, without the pattern in memory.
    pub(crate) fn fused(&self, query: &Tensor, key: &Tensor, value: &Tensor, view: &View) -> Tensor {
        let hidden = match view.is_plainly_causal(self.window) {
            true => None,
            false => view.hidden(self.window),
        };
        if hidden.is_none()
            && let Some(mixed) = fused::one_query(query, key, value, self.scale)
        {
            return mixed;
        }
        let is_causal = hidden.is_none() && view.causal && view.n_queries > 1;
        Tensor::scaled_dot_product_attention(
            query,
            key,
            value,
            hidden.map(|hidden| hidden.logical_not()),
            0.0,
            is_causal,
            self.scale,
            query.size()[1] != key.size()[1],
        )
    }
}

impl Attention {
    /// Where its weights are.
    pub fn place(&self) -> (Kind, Device) {
        self.output.place()
    }
}

/// Of scores `[.., query, key]` what a softmax leaves beside scores for no key, `[head, 1, 1]` or so.
fn beside_sinks(scores: &Tensor, sinks: &Tensor, softmax: impl Fn(&Tensor) -> Tensor) -> Tensor {
    let mut size = scores.size();
    let n_keys = size.pop().unwrap_or_default();
    let sinks = sinks
        .to_kind(scores.kind())
        .expand([&size[..], &[1]].concat(), false);
    softmax(&Tensor::cat(&[scores, &sinks], -1)).narrow(-1, 0, n_keys)
}

/// The slope of what is cut off at a number, either way.
pub(crate) fn clip_slope(x: &Tensor, clip: f64) -> Tensor {
    x.abs().le(clip).to_kind(x.kind())
}

/// `[.., position, hidden]` to `[.., head, position, head_dim]`.
pub fn split_heads(x: &Tensor, n_heads: i64) -> Tensor {
    x.unflatten(-1, [n_heads, -1]).transpose(-3, -2)
}
