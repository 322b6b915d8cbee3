//! What layers read beside the stream, on the way back.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use tch::{Device, Kind, Tensor};

use super::Layer;
use crate::host::bring;
use crate::tap::Site;

/// Cotangents that later layers leave for earlier ones, and for the embedding.
#[derive(Default)]
pub(super) struct Cotangents {
    /// Of keys and values, turned and normed, by the layer that made them: `[target, key head, position, head_dim]`.
    shared: RefCell<HashMap<usize, [Tensor; 2]>>,
    /// Of each layer's own input, `[target, position, number]`.
    inputs: RefCell<BTreeMap<usize, Tensor>>,
}

impl Cotangents {
    /// Adds those of one more layer that reads a layer's keys and values.
    pub(super) fn leave(&self, layer: usize, both: [Tensor; 2]) {
        let mut shared = self.shared.borrow_mut();
        let sum = match shared.remove(&layer) {
            Some(before) => added(both, before),
            None => both,
        };
        shared.insert(layer, sum);
    }

    /// A layer's own with those that others have left for it.
    pub(super) fn with_left(&self, layer: usize, own: [Tensor; 2]) -> [Tensor; 2] {
        match self.shared.borrow_mut().remove(&layer) {
            Some(left) => added(own, left),
            None => own,
        }
    }

    /// Of all layers' inputs, `[target, position, layer, number]`; `None` of a model without.
    pub(super) fn of_inputs(&self, place: (Kind, Device)) -> Option<Tensor> {
        let inputs = self.inputs.borrow();
        let inputs: Vec<Tensor> = inputs.values().map(|input| bring(input, place)).collect();
        (!inputs.is_empty()).then(|| Tensor::stack(&inputs, 2))
    }
}

/// Where the first are.
fn added(own: [Tensor; 2], left: [Tensor; 2]) -> [Tensor; 2] {
    let [key, value] = own;
    let [more_keys, more_values] = left.map(|left| bring(&left, (key.kind(), key.device())));
    [key + more_keys, value + more_values]
}

impl Layer<'_> {
    /// From the cotangent of a layer's output before its factor to that behind its two branches, at the queries.
    pub(super) fn own_input(&self, cotangent: Tensor) -> Tensor {
        let Some(own) = &self.block.own_input else {
            return cotangent;
        };
        let x = self.at_queries(Site::ResidualMid) + self.at_queries(Site::MlpOutput);
        let input = self.view.beside.input(self.layer, self.block.place());
        let (of_stream, of_input) = own.backward(&x, &self.queries.of(&input, 1), &cotangent, self.rule);
        let mut inputs = self.others.inputs.borrow_mut();
        inputs.insert(self.layer, self.at_all(of_input));
        cotangent + of_stream
    }
}
