//! The first half of a layer: attention.

use tch::{Device, Kind, Tensor};

use crate::config::{Config, Disentangled, NormConfig, Positions, Projection, QkNorm};
use crate::error::Result;
use crate::layers::{Linear, Norm, soft_cap};
use crate::rope::Turns;
use crate::tap::{Site, Tap};
use crate::weights::Weights;

/// Attention of one layer, without the norms around it.
pub struct Attention {
    pub projections: Projections,
    pub query_norm: Option<HeadNorm>,
    pub key_norm: Option<HeadNorm>,
    pub output: Linear,
    pub n_heads: i64,
    pub n_kv_heads: i64,
    pub head_dim: i64,
    /// The factor on query · key.
    pub scale: f64,
    pub soft_cap: Option<f64>,
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

pub enum Projections {
    Separate {
        query: Linear,
        key: Linear,
        value: Linear,
    },
    Joined(Linear),
    Grouped(Linear),
}

/// A norm on queries or keys.
pub struct HeadNorm {
    pub norm: Norm,
    /// Over all heads together.
    pub whole: bool,
}

impl Attention {
    /// A layer's attention to its own positions, or to another stack's: `part` is its name.
    pub fn load(config: &Config, layer: usize, part: &str, weights: &mut Weights) -> Result<Self> {
        let attention = &config.attention;
        let (hidden, head_dim) = (config.hidden_size, config.head_dim);
        let (queries, keys) = (config.n_heads * head_dim, config.n_kv_heads * head_dim);
        let name = config.name_in_layer(layer, part);
        let mut linear = |part: &str, inputs, outputs, bias| {
            Linear::load(weights, &format!("{name}.{part}"), inputs, outputs, bias)
        };
        let bias = attention.qkv_bias;
        let projections = match attention.projection {
            Projection::Separate => Projections::Separate {
                query: linear("query", hidden, queries, bias)?,
                key: linear("key", hidden, keys, bias)?,
                value: linear("value", hidden, keys, bias)?,
            },
            Projection::Joined => Projections::Joined(linear("qkv", hidden, queries + 2 * keys, bias)?),
            Projection::Grouped => Projections::Grouped(linear("qkv", hidden, queries + 2 * keys, bias)?),
        };
        let output = linear("output", queries, hidden, attention.output_bias)?;
        let mut norm = |part: &str, heads| {
            HeadNorm::load(
                weights,
                &format!("{name}.{part}"),
                heads,
                head_dim,
                attention.qk_norm,
                config.norm,
            )
        };
        let (query_norm, key_norm) = (
            norm("query_norm", config.n_heads)?,
            norm("key_norm", config.n_kv_heads)?,
        );
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
            output,
            n_heads: config.n_heads as i64,
            n_kv_heads: config.n_kv_heads as i64,
            head_dim: head_dim as i64,
            scale: attention.scales[layer],
            soft_cap: attention.soft_cap,
            window: attention.windows[layer].map(|window| window as i64),
            rope,
            distance,
        })
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
        let (query, key, value) = self.project(x);
        let turn = |x: Tensor| {
            self.rope
                .map_or_else(|| x.shallow_clone(), |rope| view.turns[rope].forward(&x))
        };
        let query = tap.visit(Site::Query, layer, turn(query)); // [batch, head, query, head_dim]
        let mut key = tap.visit(Site::Key, layer, turn(key));
        let mut value = tap.visit(Site::Value, layer, value);
        if let Some(memory) = memory {
            (key, value) = memory.extend(&key, &value);
        }
        let mixed = if self.needs_pattern(view) || tap.wants(Site::AttentionPattern, layer) {
            let pattern = tap.visit(Site::AttentionPattern, layer, self.pattern(&query, &key, view));
            self.mix(&pattern, &value)
        } else {
            self.fused(&query, &key, &value, view)
        };
        let mixed = tap.visit(Site::HeadOutput, layer, mixed); // [batch, head, query, head_dim]
        self.output.forward(&mixed.transpose(1, 2).flatten(2, 3))
    }

    /// Queries, keys and values by head, before they are turned: `[batch, head, position, head_dim]`.
    fn project(&self, x: &Tensor) -> (Tensor, Tensor, Tensor) {
        let (query, key, value) = self.project_joined(x);
        let norm = |norm: &Option<HeadNorm>, x: Tensor, n_heads| match norm {
            Some(norm) => norm.forward(&x, n_heads),
            None => split_heads(&x, n_heads),
        };
        (
            norm(&self.query_norm, query, self.n_heads),
            norm(&self.key_norm, key, self.n_kv_heads),
            split_heads(&value, self.n_kv_heads),
        )
    }

    /// Queries and keys before their norms, heads side by side.
    pub fn project_raw(&self, x: &Tensor) -> (Tensor, Tensor) {
        let (query, key, _) = self.project_joined(x);
        (query, key)
    }

    /// Queries, keys and values, heads side by side: `[batch, position, heads · head_dim]`.
    fn project_joined(&self, x: &Tensor) -> (Tensor, Tensor, Tensor) {
        let (queries, keys) = (self.n_heads * self.head_dim, self.n_kv_heads * self.head_dim);
        match &self.projections {
            Projections::Separate { query, key, value } => {
                (query.forward(x), key.forward(x), value.forward(x))
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
        }
    }

    /// Attention to the states of an encoder, `[batch, key, hidden]`.
    pub fn across(&self, x: &Tensor, memory: &CrossMemory, layer: usize, tap: &mut dyn Tap) -> Tensor {
        let (query, _, _) = self.project(x);
        let view = View::across(query.size()[2], memory);
        // One text may be read and several written.
        let whole = |x: &Tensor| x.expand([query.size()[0], -1, -1, -1], false);
        let (key, value) = (whole(&memory.key), whole(&memory.value));
        let mixed = if tap.wants(Site::CrossPattern, layer) {
            let pattern = tap.visit(Site::CrossPattern, layer, self.pattern(&query, &key, &view));
            self.mix(&pattern, &value)
        } else {
            self.fused(&query, &key, &value, &view)
        };
        self.output.forward(&mixed.transpose(1, 2).flatten(2, 3))
    }

    /// Keys and values of an encoder's states.
    pub fn remember(&self, states: &Tensor, padding: Option<&Tensor>) -> CrossMemory {
        let (_, key, value) = self.project(states);
        CrossMemory {
            key,
            value,
            padding: padding.map(Tensor::shallow_clone),
        }
    }

    /// Whether the scores are more than a product and a mask.
    fn needs_pattern(&self, view: &View) -> bool {
        self.soft_cap.is_some() || view.bias.is_some() || self.distance.is_some()
    }

    /// softmax(scale · q kᵀ) over the keys that each query sees: `[batch, head, query, key]`.
    fn pattern(&self, query: &Tensor, key: &Tensor, view: &View) -> Tensor {
        let per_group = self.n_heads / self.n_kv_heads;
        let query = query.unflatten(1, [self.n_kv_heads, per_group]);
        let scores = query.matmul(&key.unsqueeze(2).transpose(-2, -1)).flatten(1, 2);
        let scores = match &view.bias {
            Some(bias) if bias.scaled => (scores + &bias.scores) * self.scale,
            Some(bias) => scores * self.scale + &bias.scores,
            None => soft_cap(scores * self.scale, self.soft_cap),
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
        let wide = if kind == Kind::Double { kind } else { Kind::Float };
        scores.softmax(-1, wide).to_kind(kind)
    }

    /// What queries and keys have to do with their distance: `[batch, head, query, key]`.
    fn meet(&self, distance: &Distance, distances: &Distances, query: &Tensor, key: &Tensor) -> Tensor {
        let heads = |own: &Option<Linear>, shared: usize| match (own, &self.projections) {
            (Some(linear), _) => split_heads(&linear.forward(&distances.vectors), self.n_heads),
            (None, Projections::Separate { query, key, .. }) => {
                split_heads(&[query, key][shared].forward(&distances.vectors), self.n_heads)
            }
            (None, Projections::Joined(_) | Projections::Grouped(_)) => {
                Tensor::zeros_like(&distances.vectors)
            }
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

    /// The heads' mixtures of values, `[batch, head, query, head_dim]`.
    fn mix(&self, pattern: &Tensor, value: &Tensor) -> Tensor {
        let per_group = self.n_heads / self.n_kv_heads;
        let pattern = pattern.unflatten(1, [self.n_kv_heads, per_group]);
        pattern.matmul(&value.unsqueeze(2)).flatten(1, 2)
    }

    /// Both in one, without the pattern in memory.
    fn fused(&self, query: &Tensor, key: &Tensor, value: &Tensor, view: &View) -> Tensor {
        let hidden = match view.is_plainly_causal(self.window) {
            true => None,
            false => view.hidden(self.window),
        };
        let is_causal = hidden.is_none() && view.causal && view.n_queries > 1;
        Tensor::scaled_dot_product_attention(
            query,
            key,
            value,
            hidden.map(|hidden| hidden.logical_not()),
            0.0,
            is_causal,
            self.scale,
            self.n_heads != self.n_kv_heads,
        )
    }
}

/// `[.., position, hidden]` to `[.., head, position, head_dim]`.
pub fn split_heads(x: &Tensor, n_heads: i64) -> Tensor {
    x.unflatten(-1, [n_heads, -1]).transpose(-3, -2)
}

impl HeadNorm {
    fn load(
        weights: &mut Weights,
        name: &str,
        n_heads: usize,
        head_dim: usize,
        place: QkNorm,
        config: NormConfig,
    ) -> Result<Option<Self>> {
        let norm = match place {
            QkNorm::None => return Ok(None),
            QkNorm::Head => Norm::load(weights, name, &[head_dim], config)?,
            QkNorm::Whole => Norm::load(weights, name, &[n_heads * head_dim], config)?,
            QkNorm::EachHead => {
                let of_head = |head| weights.take(&format!("{name}.{head}.weight"), &[head_dim]);
                let each: Vec<Tensor> = (0..n_heads).map(of_head).collect::<Result<_>>()?;
                match each.iter().all(Tensor::defined) {
                    true => Norm::with_weight(Tensor::stack(&each, 0).unsqueeze(1), config), // [head, 1, head_dim]
                    false => return Ok(None),
                }
            }
        };
        let whole = place == QkNorm::Whole;
        Ok(Some(Self { norm, whole }))
    }

    fn forward(&self, x: &Tensor, n_heads: i64) -> Tensor {
        match self.whole {
            true => split_heads(&self.norm.forward(x), n_heads),
            false => self.norm.forward(&split_heads(x, n_heads)),
        }
    }
}

/// Keys and values of what an encoder has read, for one layer.
pub struct CrossMemory {
    key: Tensor,   // [batch, head, position, head_dim]
    value: Tensor, // [batch, head, position, head_dim]
    padding: Option<Tensor>,
}

/// What the queries of one pass, which stand at the last of the keys' positions, see.
pub struct View {
    causal: bool,
    /// True where a key is no token: `[batch, 1, 1, key]`.
    padding: Option<Tensor>,
    pub n_queries: i64,
    pub n_keys: i64,
    pub turns: Vec<Turns>,
    bias: Option<Bias>,
    distances: Option<Distances>,
    device: Device,
}

/// What is added to scores, `[head, query or 1, key]`.
struct Bias {
    scores: Tensor,
    scaled: bool,
}

/// Vectors of distances, and which of them is whose.
struct Distances {
    vectors: Tensor, // [distance, hidden]
    ahead: Tensor,   // [query, key]
    behind: Tensor,  // [key, query]
}

impl View {
    /// The positions from `start` on. `relative` is what the model has learned about distances.
    pub fn new(
        config: &Config,
        relative: Option<&Tensor>,
        start: i64,
        n_queries: i64,
        padding: Option<&Tensor>,
        (kind, device): (Kind, Device),
    ) -> Self {
        let n_keys = start + n_queries;
        let mut view = Self {
            causal: config.attention.causal,
            padding: padding.map(|padding| padding.unsqueeze(1).unsqueeze(1)),
            n_queries,
            n_keys,
            turns: Vec::new(),
            bias: None,
            distances: None,
            device,
        };
        match (&config.positions, relative) {
            (Positions::Rotary { ropes, .. }, _) => {
                view.turns = ropes
                    .iter()
                    .map(|rope| rope.turns(start, n_queries, kind, device))
                    .collect();
            }
            (Positions::Alibi { scaled }, _) => {
                let scores = alibi(config.n_heads, n_keys, kind, device);
                view.bias = Some(Bias {
                    scores,
                    scaled: *scaled,
                });
            }
            (
                Positions::Buckets {
                    n_buckets,
                    max_distance,
                },
                Some(table),
            ) => {
                let index = buckets(
                    &-view.distance(),
                    *n_buckets,
                    *max_distance,
                    !config.attention.causal,
                );
                let scores = table.index_select(0, &index.flatten(0, -1)).tr(); // [head, query · key]
                let scores = scores.unflatten(1, [n_queries, n_keys]);
                view.bias = Some(Bias {
                    scores,
                    scaled: false,
                });
            }
            (Positions::Disentangled(kind), Some(vectors)) => {
                let span = kind.span as i64;
                let distance = log_buckets(&view.distance(), *kind);
                let index = |x: Tensor| (x + span).clamp(0, 2 * span - 1).to_kind(Kind::Int64);
                view.distances = Some(Distances {
                    vectors: vectors.shallow_clone(),
                    ahead: index(distance.shallow_clone()),
                    behind: index(-distance),
                });
            }
            _ => {}
        }
        view
    }

    /// All of an encoder's positions.
    fn across(n_queries: i64, memory: &CrossMemory) -> Self {
        Self {
            causal: false,
            padding: memory
                .padding
                .as_ref()
                .map(|padding| padding.unsqueeze(1).unsqueeze(1)),
            n_queries,
            n_keys: memory.key.size()[2],
            turns: Vec::new(),
            bias: None,
            distances: None,
            device: memory.key.device(),
        }
    }

    /// How far each key is behind each query, `[query, key]`.
    fn distance(&self) -> Tensor {
        let positions = |from: i64, to: i64| Tensor::arange_start(from, to, (Kind::Int64, self.device));
        let queries = positions(self.n_keys - self.n_queries, self.n_keys);
        queries.unsqueeze(1) - positions(0, self.n_keys).unsqueeze(0)
    }

    /// Each query sees all keys up to it and no other.
    fn is_plainly_causal(&self, window: Option<i64>) -> bool {
        let is_start = self.n_queries == self.n_keys || self.n_queries == 1;
        self.causal && self.padding.is_none() && is_start && window.is_none_or(|window| window >= self.n_keys)
    }

    /// Where a query does not see a key, `[query, key]` or `[batch, 1, query, key]`; `None` when each sees all.
    fn hidden(&self, window: Option<i64>) -> Option<Tensor> {
        let window = window.filter(|&window| window < self.n_keys);
        let start = self.n_keys - self.n_queries;
        let ones = || Tensor::ones([self.n_queries, self.n_keys], (Kind::Bool, self.device));
        let future = (self.causal && self.n_queries > 1).then(|| ones().triu(start + 1));
        let past = window.map(|window| ones().tril(start - window));
        let ahead = window
            .filter(|_| !self.causal)
            .map(|window| ones().triu(start + window));
        let window = [future, past, ahead].into_iter().flatten();
        let window = window.reduce(|all, more| all.logical_or(&more));
        match (window, &self.padding) {
            // A query that is no token may see no token in its window: what it sees does not matter, but a softmax
            // over nothing is NaN, which would spread.
            (Some(window), Some(padding)) => {
                let is_token = padding.logical_not().transpose(-2, -1); // [batch, 1, query, 1]
                Some(window.logical_or(padding).logical_and(&is_token))
            }
            (window, padding) => window.or_else(|| padding.as_ref().map(Tensor::shallow_clone)),
        }
    }
}

/// T5's bucket of each distance (positive ahead): half of them one distance each, the others wider and wider;
/// of their own for what is ahead, where that is seen.
fn buckets(ahead: &Tensor, n_buckets: usize, max_distance: usize, both_ways: bool) -> Tensor {
    let n = if both_ways { n_buckets / 2 } else { n_buckets } as i64;
    let (offset, distance) = match both_ways {
        true => (ahead.gt(0).to_kind(Kind::Int64) * n, ahead.abs()),
        false => (ahead.zeros_like(), (-ahead).clamp_min(0)),
    };
    let exact = n / 2;
    let ratio = (max_distance as f64 / exact as f64).ln();
    let wide = (distance.to_kind(Kind::Float) / exact as f64).log() / ratio * (n - exact) as f64;
    let wide = (wide.to_kind(Kind::Int64) + exact).clamp_max(n - 1);
    offset + distance.where_self(&distance.lt(exact), &wide)
}

/// DeBERTa's bucket of each distance: itself up to half of the span, then by its logarithm.
fn log_buckets(distance: &Tensor, kind: Disentangled) -> Tensor {
    if kind.max_distance == 0 {
        return distance.shallow_clone();
    }
    let middle = kind.span as i64 / 2;
    let length = distance.abs().clamp_min(middle - 1);
    let ratio = ((kind.max_distance as f64 - 1.0) / middle as f64).ln();
    let logarithm = (length.to_kind(Kind::Float) / middle as f64).log() / ratio * (middle - 1) as f64;
    let far = (logarithm.ceil().to_kind(Kind::Int64) + middle) * distance.sign();
    distance.where_self(&length.le(middle), &far)
}

/// Slopes 2^(−8 i / n) of the powers of two, and every second one of the next power for the heads beyond.
fn alibi(n_heads: usize, n_keys: i64, kind: Kind, device: Device) -> Tensor {
    let power = 1 << n_heads.ilog2();
    let slope = |base: f64, i: usize| 2f64.powf(-8.0 / base * i as f64);
    let first = (1..=power).map(|i| slope(power as f64, i));
    let rest = (0..n_heads - power).map(|i| slope(2.0 * power as f64, 2 * i + 1));
    let slopes: Vec<f64> = first.chain(rest).collect();
    let slopes = Tensor::from_slice(&slopes)
        .to_kind(Kind::Float)
        .reshape([-1, 1, 1]);
    let positions = Tensor::arange(n_keys, (Kind::Float, Device::Cpu));
    (slopes * positions).to_kind(kind).to_device(device)
}

/// Keys and values of what sequences hold so far (KV cache), with room for what is to come. All are equally long.
pub struct Cache {
    keys: Vec<Tensor>, // by layer: [sequence, head, position, head_dim]
    values: Vec<Tensor>,
    pub length: i64,
}

impl Cache {
    /// For one sequence of up to `capacity` positions.
    pub fn new(config: &Config, capacity: usize, kind: Kind, device: Device) -> Self {
        let size = [
            1,
            config.n_kv_heads as i64,
            capacity as i64,
            config.head_dim as i64,
        ];
        let room = || {
            (0..config.n_layers)
                .map(|_| Tensor::empty(size, (kind, device)))
                .collect()
        };
        Self {
            keys: room(),
            values: room(),
            length: 0,
        }
    }

    /// Goes on with these of the sequences, each as often as it is named.
    pub fn select(&mut self, sequences: &[i64]) {
        let Some(first) = self.keys.first() else { return };
        let n = first.size()[0];
        if sequences.len() as i64 == n && (0..n).eq(sequences.iter().copied()) {
            return;
        }
        let index = Tensor::from_slice(sequences).to_device(first.device());
        for room in self.keys.iter_mut().chain(&mut self.values) {
            *room = room.index_select(0, &index);
        }
    }

    /// Bytes one sequence's cache of `capacity` positions takes.
    pub fn bytes(config: &Config, capacity: usize, kind: Kind) -> u64 {
        let per_position = 2 * config.n_layers * config.n_kv_heads * config.head_dim;
        (per_position * capacity * kind.elt_size_in_bytes()) as u64
    }

    pub fn layer(&self, layer: usize, n_new: i64) -> LayerMemory<'_> {
        LayerMemory {
            keys: &self.keys[layer],
            values: &self.values[layer],
            start: self.length,
            n_new,
        }
    }
}

pub struct LayerMemory<'a> {
    keys: &'a Tensor,
    values: &'a Tensor,
    start: i64,
    n_new: i64,
}

impl LayerMemory<'_> {
    /// Writes the new keys and values behind the old and gives back views of all.
    fn extend(&self, key: &Tensor, value: &Tensor) -> (Tensor, Tensor) {
        let write = |room: &Tensor, new: &Tensor| {
            room.narrow(2, self.start, self.n_new).copy_(new);
            room.narrow(2, 0, self.start + self.n_new)
        };
        (write(self.keys, key), write(self.values, value))
    }
}
