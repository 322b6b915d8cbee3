//! Keys and values that are kept: of the sequence so far, and of what an encoder has read.

use tch::{Device, Kind, Tensor};

use super::cursor::Start;
use crate::config::Config;
use crate::host::{self, bring};

/// Keys and values of what an encoder has read, for one layer.
pub struct CrossMemory {
    pub(super) key: Tensor,   // [batch, head, position, head_dim]
    pub(super) value: Tensor, // [batch, head, position, value_dim]
    pub(super) padding: Option<Tensor>,
}

impl CrossMemory {
    /// How many positions were read.
    pub fn n_positions(&self) -> i64 {
        self.key.size()[2]
    }

    /// Goes on with these of the texts. One that several sequences look at stays.
    pub fn select(&mut self, texts: &[i64]) {
        if self.key.size()[0] == 1 {
            return;
        }
        let index = host::index(texts, self.key.device());
        self.key = self.key.index_select(0, &index);
        self.value = self.value.index_select(0, &index);
        self.padding = self
            .padding
            .as_ref()
            .map(|padding| padding.index_select(0, &index));
    }

    /// Of one text as many copies as there are positions in `from..to`, each with the value of one of them zero.
    pub fn without_values(&self, from: i64, to: i64) -> Self {
        let copies = |x: &Tensor| x.repeat([to - from, 1, 1, 1]);
        let value = copies(&self.value);
        for position in from..to {
            let _ = value.get(position - from).select(1, position).zero_();
        }
        Self {
            key: copies(&self.key),
            value,
            padding: self
                .padding
                .as_ref()
                .map(|padding| padding.repeat([to - from, 1])),
        }
    }
}

/// Keys and values of what sequences hold so far (KV cache), with room for what is to come. All are equally long.
pub struct Cache {
    keys: Vec<Tensor>,   // by layer: [sequence, head, position, head_dim]
    values: Vec<Tensor>, // by layer: [sequence, head, position, value_dim]
    pub length: i64,
}

impl Cache {
    /// For one sequence of up to `capacity` positions; `places` are those of the layers.
    pub fn new(config: &Config, capacity: usize, places: &[(Kind, Device)]) -> Self {
        Self::of_several(1, config, capacity, places)
    }

    /// For `n` sequences.
    pub fn of_several(n: usize, config: &Config, capacity: usize, places: &[(Kind, Device)]) -> Self {
        let room = |numbers: usize| {
            let size = [n, config.n_kv_heads, capacity, numbers].map(|size| size as i64);
            let rooms = places.iter().map(|place| Tensor::empty(size, *place));
            rooms.collect()
        };
        Self {
            keys: room(config.head_dim),
            values: room(config.value_dim),
            length: 0,
        }
    }

    /// For `n` sequences of up to `capacity` positions that begin as one text does, whose pass had these keys and
    /// values, by layer, each `[1, head, position, head_dim]`; `length` positions of them.
    pub fn of_pass(layers: &[(Tensor, Tensor)], length: i64, n: i64, capacity: i64) -> Self {
        let room = |x: &Tensor| {
            let [_, n_heads, _, head_dim] = x.size()[..] else {
                return x.shallow_clone();
            };
            let room = Tensor::empty([n, n_heads, capacity, head_dim], (x.kind(), x.device()));
            room.narrow(2, 0, length).copy_(&x.narrow(2, 0, length));
            room
        };
        Self {
            keys: layers.iter().map(|(key, _)| room(key)).collect(),
            values: layers.iter().map(|(_, value)| room(value)).collect(),
            length,
        }
    }

    /// Goes on with these of the sequences, each as often as it is named.
    pub fn select(&mut self, sequences: &[i64]) {
        let Some(first) = self.keys.first() else { return };
        let n = first.size()[0];
        if sequences.len() as i64 == n && (0..n).eq(sequences.iter().copied()) {
            return;
        }
        let mut index = host::tensor(sequences, first.device());
        for (key, value) in self.keys.iter_mut().zip(&mut self.values) {
            index = bring(&index, (Kind::Int64, key.device()));
            *key = key.index_select(0, &index);
            *value = value.index_select(0, &index);
        }
    }

    /// Bytes one sequence's cache of `capacity` positions takes; of more than there are numbers for, the largest.
    pub fn bytes(config: &Config, capacity: usize, kind: Kind) -> u64 {
        let per_position =
            config.n_layers * config.n_kv_heads * config.numbers_by_head() * kind.elt_size_in_bytes();
        (per_position as u64).saturating_mul(capacity as u64)
    }

    /// Of a pass over `n_new` tokens that follow what is held.
    pub fn layer<'a>(&'a self, layer: usize, start: Start<'a>, n_new: i64) -> LayerMemory<'a> {
        LayerMemory {
            keys: &self.keys[layer],
            values: &self.values[layer],
            start,
            n_new,
        }
    }

    /// Another hold on the same memory, as if nothing had been read.
    pub fn anew(&self) -> Self {
        let same = |all: &[Tensor]| all.iter().map(Tensor::shallow_clone).collect();
        Self {
            keys: same(&self.keys),
            values: same(&self.values),
            length: 0,
        }
    }

    /// Puts one number everywhere.
    pub fn fill(&mut self, value: f64) {
        for x in self.keys.iter_mut().chain(&mut self.values) {
            let _ = x.fill_(value);
        }
    }
}

pub struct LayerMemory<'a> {
    keys: &'a Tensor,
    values: &'a Tensor,
    start: Start<'a>,
    n_new: i64,
}

impl LayerMemory<'_> {
    /// Writes the new keys and values behind the old and gives back views of all; where their place is known to the device
    /// alone, of all there is room for.
    pub(super) fn extend(&self, key: &Tensor, value: &Tensor) -> (Tensor, Tensor) {
        let write = |room: &Tensor, new: &Tensor| match self.start {
            Start::Known(start) => {
                room.narrow(2, start, self.n_new).copy_(new);
                room.narrow(2, 0, start + self.n_new)
            }
            Start::OnDevice(cursor) => {
                let _ = room.shallow_clone().index_copy_(2, &cursor.position, new);
                room.shallow_clone()
            }
        };
        (write(self.keys, key), write(self.values, value))
    }
}
