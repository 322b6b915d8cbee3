//! A place in a text that is a number on the device: passes over one more token are then the same work on the same memory,
//! whatever the length.

use tch::{Device, Kind, Tensor};

use crate::config::Positions;
use crate::host;
use crate::rope::{Rope, Turns};
use crate::stack::common::Common;

use super::view::slopes;

/// Where the first of a pass's positions stands.
#[derive(Clone, Copy)]
pub enum Start<'a> {
    Known(i64),
    /// Of a pass over one token of one text.
    OnDevice(&'a Cursor),
}

impl<'a> Start<'a> {
    pub fn cursor(self) -> Option<&'a Cursor> {
        match self {
            Self::Known(_) => None,
            Self::OnDevice(cursor) => Some(cursor),
        }
    }
}

/// Where the token of a pass stands, and what is the same in all such passes. It owns all that is not made in the pass.
pub struct Cursor {
    /// `[1]`
    pub position: Tensor,
    /// Positions that the caches have room for: all are looked at, those behind the token's are hidden.
    pub capacity: i64,
    /// Of each of the model's turns: frequencies, and the factor on cosines and sines.
    frequencies: Vec<(Tensor, f64)>,
    slopes: Option<Tensor>, // [head]
    place: (Kind, Device),
}

impl Cursor {
    /// At the start, for a stack whose layers are all at one place.
    pub fn new(common: &Common, capacity: i64, place: (Kind, Device)) -> Self {
        let (config, device) = (&common.config, place.1);
        let of_rope = |rope: &Rope| {
            let (frequencies, factor) = rope.frequencies(1);
            (host::tensor(&frequencies, device), factor)
        };
        let (frequencies, slopes) = match &config.positions {
            Positions::Rotary { ropes, .. } => (ropes.iter().map(of_rope).collect(), None),
            Positions::Alibi { .. } => (vec![], Some(host::tensor(&slopes(config.n_heads), device))),
            _ => (vec![], None),
        };
        Self {
            position: Tensor::zeros([1], (Kind::Int64, device)),
            capacity,
            frequencies,
            slopes,
            place,
        }
    }

    pub fn set(&self, position: i64) {
        let _ = self.position.shallow_clone().fill_(position);
    }

    /// One position further.
    pub fn advance(&self) {
        let _ = self.position.shallow_clone().g_add_scalar_(1);
    }

    pub(super) fn turns(&self, ropes: &[Rope]) -> Vec<Turns> {
        let position = self.position.to_kind(Kind::Float);
        let of_rope = |(rope, (frequencies, factor)): (&Rope, &(Tensor, f64))| {
            rope.turns_at(&position, frequencies, *factor, self.place.0)
        };
        ropes.iter().zip(&self.frequencies).map(of_rope).collect()
    }

    /// What a key's position adds to scores: `[head, 1, key]`.
    pub(super) fn alibi(&self) -> Option<Tensor> {
        let slopes = self.slopes.as_ref()?.reshape([-1, 1, 1]);
        let positions = Tensor::arange(self.capacity, (Kind::Float, self.place.1));
        Some((slopes * positions).to_kind(self.place.0))
    }

    /// True where the token does not see a key, `[1, key]`.
    pub(super) fn hidden(&self, window: Option<i64>) -> Tensor {
        let keys = Tensor::arange(self.capacity, (Kind::Int64, self.place.1)).unsqueeze(0);
        let future = keys.gt_tensor(&self.position);
        match window {
            Some(window) => future.logical_or(&keys.le_tensor(&(&self.position - window))),
            None => future,
        }
    }
}
