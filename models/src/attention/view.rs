//! Which keys the queries of a pass see, and what their distance adds to the scores.

use std::cell::RefCell;
use std::rc::Rc;

use tch::{Device, Kind, Tensor};

use super::beside::Beside;
use super::cursor::{Cursor, Start};
use super::memory::CrossMemory;
use crate::config::{Disentangled, Positions};
use crate::host::Constants;
use crate::host::bring;
use crate::rope::Turns;
use crate::stack::common::Common;

/// What the queries of one pass, which stand at the last of the keys' positions, see.
pub struct View<'a> {
    /// Where the one query stands, if only the device knows.
    cursor: Option<&'a Cursor>,
    pub(super) causal: bool,
    /// True where a key is no token: `[batch, 1, 1, key]`.
    padding: Option<Tensor>,
    pub n_queries: i64,
    pub n_keys: i64,
    pub turns: Vec<Turns>,
    pub(super) bias: Option<Bias>,
    pub(super) distances: Option<Distances>,
    /// What is added to what queries and keys are made of, `[query, hidden]`.
    pub(super) places: Option<Tensor>,
    /// What layers read beside the stream, of all views of a pass.
    pub beside: Rc<Beside>,
    device: Device,
    /// What was made of [`Self::hidden`], by window.
    hidden: RefCell<Vec<(Option<i64>, Option<Tensor>)>>,
}

/// Views of one pass, made where its layers are: neighbours share one.
pub struct Views<'a> {
    common: &'a Common,
    start: Start<'a>,
    n_queries: i64,
    padding: Option<&'a Tensor>,
    beside: Rc<Beside>,
    last: Option<((Kind, Device), View<'a>)>,
}

impl<'a> Views<'a> {
    /// Of a stack's positions from `start` on.
    pub fn new(common: &'a Common, start: Start<'a>, n_queries: i64, padding: Option<&'a Tensor>) -> Self {
        Self {
            common,
            start,
            n_queries,
            padding,
            beside: Rc::default(),
            last: None,
        }
    }

    /// The same where layers also read this.
    pub fn with(self, beside: Rc<Beside>) -> Self {
        Self { beside, ..self }
    }

    /// The view of a layer whose weights are there.
    pub fn at(&mut self, place: (Kind, Device)) -> &View<'a> {
        let last = self.last.take().filter(|(at, _)| *at == place);
        let make = || {
            let mut view = match self.start {
                Start::OnDevice(cursor) => View::one(self.common, cursor, place.1),
                Start::Known(start) => {
                    let padding = self.padding.map(|padding| bring(padding, (Kind::Bool, place.1)));
                    View::new(self.common, start, self.n_queries, padding.as_ref(), place)
                }
            };
            view.beside = Rc::clone(&self.beside);
            view
        };
        let now = last.unwrap_or_else(|| (place, make()));
        &self.last.insert(now).1
    }
}

/// What is added to scores, `[head, query or 1, key]`.
pub(super) struct Bias {
    pub scores: Tensor,
    pub scaled: bool,
}

/// Vectors of distances, and which of them is whose.
pub(super) struct Distances {
    pub vectors: Tensor, // [distance, hidden]
    pub ahead: Tensor,   // [query, key]
    pub behind: Tensor,  // [key, query]
}

impl<'a> View<'a> {
    /// The positions from `start` on.
    fn new(
        common: &Common,
        start: i64,
        n_queries: i64,
        padding: Option<&Tensor>,
        (kind, device): (Kind, Device),
    ) -> Self {
        let (config, n_keys) = (&common.config, start + n_queries);
        let relative = common.relative.as_ref();
        let relative = relative.map(|relative| bring(relative, (kind, device)));
        let mut view = Self {
            cursor: None,
            causal: config.attention.causal,
            padding: padding.map(|padding| padding.unsqueeze(1).unsqueeze(1)),
            n_queries,
            n_keys,
            turns: Vec::new(),
            bias: None,
            distances: None,
            places: None,
            beside: Rc::default(),
            device,
            hidden: RefCell::default(),
        };
        match (&config.positions, &relative) {
            (Positions::Rotary { ropes, .. }, _) => {
                view.turns = ropes
                    .iter()
                    .map(|rope| rope.turns(start, n_queries, (kind, device), &common.constants))
                    .collect();
            }
            (Positions::Shortformer, Some(vectors)) => {
                view.places = Some(vectors.narrow(0, start, n_queries));
            }
            (Positions::Alibi { scaled }, _) => {
                let scores = alibi(config.n_heads, n_keys, (kind, device), &common.constants);
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

    /// One query of a causal stack, whose positions are turned, told by ALiBi, in the embedding or where it is read.
    fn one(common: &Common, cursor: &'a Cursor, device: Device) -> Self {
        let turns = match &common.config.positions {
            Positions::Rotary { ropes, .. } => cursor.turns(ropes),
            _ => Vec::new(),
        };
        let scaled = matches!(common.config.positions, Positions::Alibi { scaled: true });
        let vectors = common.relative.as_ref();
        let is_read = common.config.positions == Positions::Shortformer;
        let places = vectors
            .filter(|_| is_read)
            .map(|vectors| vectors.index_select(0, &cursor.position));
        Self {
            cursor: Some(cursor),
            causal: true,
            padding: None,
            n_queries: 1,
            n_keys: cursor.capacity,
            turns,
            bias: cursor.alibi().map(|scores| Bias { scores, scaled }),
            distances: None,
            places,
            beside: Rc::default(),
            device,
            hidden: RefCell::default(),
        }
    }

    /// Whether only the device knows where the query stands.
    pub(super) fn has_cursor(&self) -> bool {
        self.cursor.is_some()
    }

    /// All of an encoder's positions.
    pub(super) fn across(n_queries: i64, memory: &CrossMemory) -> Self {
        Self {
            cursor: None,
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
            places: None,
            beside: Rc::default(),
            device: memory.key.device(),
            hidden: RefCell::default(),
        }
    }

    /// True where a position holds no token: `[batch, position, 1]`.
    pub fn padding(&self) -> Option<Tensor> {
        let padding = self.padding.as_ref();
        padding.map(|padding| padding.squeeze_dim(1).transpose(-2, -1))
    }

    /// How far each key is behind each query, `[query, key]`.
    fn distance(&self) -> Tensor {
        let positions = |from: i64, to: i64| Tensor::arange_start(from, to, (Kind::Int64, self.device));
        let queries = positions(self.n_keys - self.n_queries, self.n_keys);
        queries.unsqueeze(1) - positions(0, self.n_keys).unsqueeze(0)
    }

    /// Each query sees all keys up to it and no other.
    pub(super) fn is_plainly_causal(&self, window: Option<i64>) -> bool {
        let is_start = self.n_queries == self.n_keys || self.n_queries == 1;
        self.causal && self.padding.is_none() && is_start && window.is_none_or(|window| window >= self.n_keys)
    }

    /// Where a query does not see a key, `[query, key]` or `[batch, 1, query, key]`; `None` when each sees all.
    /// Made once for all layers of a window.
    pub(super) fn hidden(&self, window: Option<i64>) -> Option<Tensor> {
        let window = window.filter(|&window| window < self.n_keys);
        let mut made = self.hidden.borrow_mut();
        let known = made.iter().find(|(of, _)| *of == window);
        if let Some((_, hidden)) = known {
            return hidden.as_ref().map(Tensor::shallow_clone);
        }
        let hidden = self.hidden_by(window);
        made.push((window, hidden.as_ref().map(Tensor::shallow_clone)));
        hidden
    }

    fn hidden_by(&self, window: Option<i64>) -> Option<Tensor> {
        if let Some(cursor) = self.cursor {
            return Some(cursor.hidden(window));
        }
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
pub(super) fn slopes(n_heads: usize) -> Vec<f32> {
    let power = 1 << n_heads.ilog2();
    let slope = |base: f64, i: usize| 2f64.powf(-8.0 / base * i as f64);
    let first = (1..=power).map(|i| slope(power as f64, i));
    let rest = (0..n_heads - power).map(|i| slope(2.0 * power as f64, 2 * i + 1));
    first.chain(rest).map(|slope| slope as f32).collect()
}

/// What a key's position adds to scores: `[head, 1, key]`.
fn alibi(n_heads: usize, n_keys: i64, (kind, device): (Kind, Device), constants: &Constants) -> Tensor {
    let slopes = constants.get(&slopes(n_heads), device).reshape([-1, 1, 1]);
    let positions = Tensor::arange(n_keys, (Kind::Float, device));
    (slopes * positions).to_kind(kind)
}
