//! What is kept: keys, values and states of the sequence so far, and keys and values of what an encoder has read.

use tch::{Device, Kind, Tensor};

use super::cursor::Start;
use crate::config::{Config, Kept, Mixer};
use crate::host::{self, bring};
use crate::tap::{Capture, Site};

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

/// What sequences hold so far, with room for what is to come: keys and values (KV cache), and of layers without attention
/// their states. All sequences are equally long.
pub struct Cache {
    /// By layer keys and values, each `[sequence, head, position, head_dim]`, or a state, see [`Mixer`].
    layers: Vec<Vec<Tensor>>,
    pub length: i64,
}

impl Cache {
    /// What a pass has to record for [`Self::of_pass`].
    pub const SITES: &[Site] = &[
        Site::Keys,
        Site::Values,
        Site::ConvolutionInput,
        Site::AttentionInput,
    ];

    /// For one sequence of up to `capacity` positions; `places` are those of the layers.
    pub fn new(config: &Config, capacity: usize, places: &[(Kind, Device)]) -> Self {
        Self::of_several(1, config, capacity, places)
    }

    /// For `n` sequences.
    pub fn of_several(n: usize, config: &Config, capacity: usize, places: &[(Kind, Device)]) -> Self {
        let room = |(layer, place): (usize, &(Kind, Device))| {
            let kept = config.mixer(layer).kept(config, layer, capacity);
            let room = |kept: Kept| {
                let kind = kept.kind(place.0);
                let size = std::iter::once(n).chain(kept.size).map(|n| n as i64);
                Tensor::empty(size.collect::<Vec<_>>(), (kind, place.1))
            };
            kept.into_iter().map(room).collect()
        };
        Self {
            layers: places.iter().enumerate().map(room).collect(),
            length: 0,
        }
    }

    /// For `n` sequences of up to `capacity` positions that begin as one text does, in whose pass `recorded` was at
    /// [`Self::SITES`]; `length` positions of them. `kept_of` says what a layer keeps of what its mixer reads,
    /// `[1, position, hidden]`.
    pub fn of_pass(
        config: &Config,
        recorded: &Capture,
        kept_of: impl Fn(usize, &Tensor) -> Vec<Tensor>,
        [length, n, capacity]: [i64; 3],
    ) -> Self {
        let room = |x: &Tensor| {
            let [_, n_heads, _, head_dim] = x.size()[..] else {
                return x.shallow_clone();
            };
            let room = Tensor::empty([n, n_heads, capacity, head_dim], (x.kind(), x.device()));
            room.narrow(2, 0, length).copy_(&x.narrow(2, 0, length));
            room
        };
        let kept = |layer: usize| match config.mixer(layer) {
            Mixer::Attention if config.source(layer).is_some() => vec![],
            Mixer::Attention => [Site::Keys, Site::Values]
                .map(|site| room(recorded.tensor(site, layer)))
                .into(),
            Mixer::ShortConvolution(of) => {
                let kept = of.width as i64 - 1;
                let inputs = recorded
                    .tensor(Site::ConvolutionInput, layer)
                    .narrow(1, 0, length);
                let state = inputs.constant_pad_nd([0, 0, kept, 0]).narrow(1, length, kept);
                vec![state.repeat([n, 1, 1])]
            }
            // A state at every position would take more memory than the pass: those of one are made anew.
            Mixer::DeltaNet(_) | Mixer::Mamba(_) => {
                let read = recorded.tensor(Site::AttentionInput, layer).narrow(1, 0, length);
                let kept = kept_of(layer, &read);
                let copies = |kept: Tensor| {
                    kept.expand([&[n], &kept.size()[1..]].concat(), false)
                        .contiguous()
                };
                kept.into_iter().map(copies).collect()
            }
            Mixer::Nothing => vec![],
        };
        Self {
            layers: (0..config.n_layers).map(kept).collect(),
            length,
        }
    }

    /// Goes on with these of the sequences, each as often as it is named.
    pub fn select(&mut self, sequences: &[i64]) {
        let mut all = self.layers.iter_mut().flatten().peekable();
        let Some(first) = all.peek() else { return };
        let n = first.size()[0];
        if sequences.len() as i64 == n && (0..n).eq(sequences.iter().copied()) {
            return;
        }
        let mut index = host::tensor(sequences, first.device());
        for kept in all {
            index = bring(&index, (Kind::Int64, kept.device()));
            *kept = kept.index_select(0, &index);
        }
    }

    /// Bytes one sequence's cache of `capacity` positions takes; of more than there are numbers for, the largest.
    pub fn bytes(config: &Config, capacity: usize, kind: Kind) -> u64 {
        let layers = (0..config.n_layers).map(|layer| config.kept_bytes(layer, capacity, kind));
        layers.fold(0, u64::saturating_add)
    }

    /// Of a pass over `n_new` tokens that follow what is held.
    pub fn layer<'a>(&'a self, layer: usize, start: Start<'a>, n_new: i64) -> LayerMemory<'a> {
        LayerMemory {
            kept: &self.layers[layer],
            start,
            n_new,
        }
    }

    /// What a layer has kept.
    pub(crate) fn of_layer(&self, layer: usize) -> Vec<Tensor> {
        self.layers[layer].iter().map(Tensor::shallow_clone).collect()
    }

    /// Another hold on the same memory, as if nothing had been read.
    pub fn anew(&self) -> Self {
        let same = |kept: &Vec<Tensor>| kept.iter().map(Tensor::shallow_clone).collect();
        Self {
            layers: self.layers.iter().map(same).collect(),
            length: 0,
        }
    }

    /// Puts one number everywhere.
    pub fn fill(&mut self, value: f64) {
        for x in self.layers.iter_mut().flatten() {
            let _ = x.fill_(value);
        }
    }
}

pub struct LayerMemory<'a> {
    kept: &'a [Tensor],
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
        (write(&self.kept[0], key), write(&self.kept[1], value))
    }

    /// Of the states that what was read has left, one; `None` before the first token.
    pub(crate) fn state(&self, index: usize) -> Option<Tensor> {
        let is_first = matches!(self.start, Start::Known(0));
        (!is_first).then(|| self.kept[index].shallow_clone())
    }

    /// Puts another in its place, for what follows.
    pub(crate) fn keep(&self, index: usize, state: &Tensor) {
        self.kept[index].shallow_clone().copy_(state);
    }
}
