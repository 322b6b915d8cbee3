//! Keys and values that are kept: of the sequence so far, and of what an encoder has read.

use tch::{Device, Kind, Tensor};

use crate::config::Config;

/// Keys and values of what an encoder has read, for one layer.
pub struct CrossMemory {
    pub(super) key: Tensor,   // [batch, head, position, head_dim]
    pub(super) value: Tensor, // [batch, head, position, head_dim]
    pub(super) padding: Option<Tensor>,
}

/// Keys and values of what sequences hold so far (KV cache), with room for what is to come. All are equally long.
pub struct Cache {
    keys: Vec<Tensor>, // by layer: [sequence, head, position, head_dim]
    values: Vec<Tensor>,
    pub length: i64,
}

impl Cache {
    /// For one sequence of up to `capacity` positions; `places` are those of the layers.
    pub fn new(config: &Config, capacity: usize, places: &[(Kind, Device)]) -> Self {
        let size = [
            1,
            config.n_kv_heads as i64,
            capacity as i64,
            config.head_dim as i64,
        ];
        let room = || {
            let rooms = places.iter().map(|place| Tensor::empty(size, *place));
            rooms.collect()
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
        let mut index = Tensor::from_slice(sequences);
        for (key, value) in self.keys.iter_mut().zip(&mut self.values) {
            index = index.to_device(key.device());
            *key = key.index_select(0, &index);
            *value = value.index_select(0, &index);
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
    pub(super) fn extend(&self, key: &Tensor, value: &Tensor) -> (Tensor, Tensor) {
        let write = |room: &Tensor, new: &Tensor| {
            room.narrow(2, self.start, self.n_new).copy_(new);
            room.narrow(2, 0, self.start + self.n_new)
        };
        (write(self.keys, key), write(self.values, value))
    }
}
