//! The first half of a layer: attention.
//!
//! - [`Attention`]: projections, scores, mixtures
//! - [`Projections`]: to queries, keys and values; [`HeadNorm`]: norms on them
//! - [`view`]: which keys a query sees, and what their distance adds
//! - [`memory`]: keys and values that are kept
//! - [`Beside`]: what layers read besides the stream
//! - `latent`: queries, keys and values of short vectors
//! - `distance`: what queries and keys have to do with how far apart they are
//! - `apart`: heads that read streams of their own
//! - [`cursor`]: passes over one token more whose place is a number on the device; `one`: their attention

mod apart;
mod beside;
pub mod cursor;
mod distance;
mod head_norm;
mod latent;
pub mod memory;
mod one;
mod projections;
pub mod view;

use tch::{Device, Kind, Tensor};

use crate::config::{Config, Positions, QkNorm};
use crate::error::Result;
use crate::fused;
use crate::host::{self, bring, wide};
use crate::layers::{Linear, sigmoid_slope};
use crate::rules::Rule;
use crate::tap::{Site, Tap};
use crate::weights::Weights;

pub use beside::Beside;
pub use cursor::{Cursor, Start};
use distance::Distance;
pub use head_norm::HeadNorm;
pub use latent::Latent;
pub use memory::{Cache, CrossMemory, LayerMemory};
pub use projections::Projections;
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
    /// The earlier layer whose keys and values it reads, where it makes none.
    pub source: Option<usize>,
    /// Whether later layers read its own.
    is_source: bool,
    distance: Option<Distance>,
}

/// The name of attention to a stack's own positions.
pub const OWN: &str = "attention";

impl Attention {
    /// A layer's attention to its own positions, or to another stack's: `part` is its name.
    pub fn load(config: &Config, layer: usize, part: &str, weights: &mut Weights) -> Result<Self> {
        let attention = &config.attention;
        let heads = config.heads(layer);
        let name = config.name_in_layer(layer, part);
        let source = config.source(layer).filter(|_| part == OWN);
        let projections = match source {
            Some(_) => Projections::load_queries(config, heads, &name, weights)?,
            None => Projections::load(config, heads, &name, weights)?,
        };
        let mixed = config.n_heads * heads.value_dim;
        let output = format!("{name}.output");
        let output = Linear::load(weights, &output, mixed, config.hidden_size, attention.output_bias)?;
        let mut norm = |part: &str, n_heads, place, norm| {
            let name = format!("{name}.{part}");
            HeadNorm::load(weights, &name, [n_heads, heads.head_dim], place, norm)
        };
        let of_values = match attention.value_norm && source.is_none() {
            true => QkNorm::Head,
            false => QkNorm::None,
        };
        let of_keys = match source {
            Some(_) => QkNorm::None,
            None => attention.qk_norm,
        };
        let (query_norm, key_norm, value_norm) = (
            norm("query_norm", config.n_heads, attention.qk_norm, config.norm)?,
            norm("key_norm", heads.n_kv_heads, of_keys, config.norm)?,
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
            source,
            is_source: part == OWN && config.sources().contains(&layer),
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
        let rule = tap.rule();
        let projected = match self.source {
            Some(_) => (self.queries(x, rule), None),
            None => {
                let (query, key, value) = self.project(x, rule);
                (query, Some([key, value]))
            }
        };
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
        let (query, key, value) = self.project_apart(streams, tap.rule());
        let projected = (query, Some([key, value]));
        let gates = self.gates_apart(&streams[0], tap.rule());
        self.attend(projected, gates, None, view, layer, tap)
    }

    /// From queries, keys and values that are not turned yet; without the latter they are an earlier layer's.
    fn attend(
        &self,
        (query, own): (Tensor, Option<[Tensor; 2]>),
        gates: Option<Tensor>,
        memory: Option<LayerMemory>,
        view: &View,
        layer: usize,
        tap: &mut dyn Tap,
    ) -> Tensor {
        let rule = tap.rule();
        let (query, own) = self.placed(query, own, view);
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
        let (key, value) = match own {
            Some([key, value]) => {
                let key = tap.visit(Site::Keys, layer, turn(key, &self.key_norm));
                let value = tap.visit(Site::Values, layer, value);
                let (key, value) = match memory {
                    Some(memory) => memory.extend(&key, &value),
                    None => (key, value),
                };
                if self.is_source {
                    view.beside.share(layer, [&key, &value]);
                }
                (key, value)
            }
            None => self.shared(&query, memory.is_some(), view, layer, tap),
        };
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

    /// Queries and keys with what their positions add, where these are not in the stream.
    fn placed(&self, query: Tensor, own: Option<[Tensor; 2]>, view: &View) -> (Tensor, Option<[Tensor; 2]>) {
        match (&view.places, &self.projections, own) {
            (
                Some(places),
                Projections::Separate {
                    query: of,
                    key: of_key,
                    ..
                },
                Some([key, value]),
            ) => {
                let query = query + split_heads(&of.linear(places), self.n_heads);
                let key = key + split_heads(&of_key.linear(places), self.n_kv_heads);
                (query, Some([key, value]))
            }
            (_, _, own) => (query, own),
        }
    }

    /// Keys and values of an earlier layer. Where they are all there are, and not what is kept of more, a tap sees them as this layer
    /// reads them.
    fn shared(
        &self,
        query: &Tensor,
        is_kept: bool,
        view: &View,
        layer: usize,
        tap: &mut dyn Tap,
    ) -> (Tensor, Tensor) {
        let source = self.source.expect("a layer without keys of its own");
        let [key, value] = view.beside.shared(source, query.size()[0], self.place());
        if is_kept {
            return (key, value);
        }
        (
            tap.visit(Site::Keys, layer, key),
            tap.visit(Site::Values, layer, value),
        )
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
