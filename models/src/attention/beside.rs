//! What layers of some models read besides the stream: inputs of their own, and keys and values of an earlier layer.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use tch::{Device, Kind, Tensor};

use crate::host::bring;

/// Of one pass. Whoever goes on from the middle of one needs it beside the stream.
#[derive(Default)]
pub struct Beside {
    /// Each layer's own, `[batch, position, layer, number]`.
    inputs: Option<Tensor>,
    /// What later layers read, by the layer that made it: keys and values, `[batch, key head, position, head_dim]`.
    shared: RefCell<HashMap<usize, [Tensor; 2]>>,
}

impl Beside {
    pub(crate) fn new(inputs: Option<Tensor>) -> Self {
        Self {
            inputs,
            ..Self::default()
        }
    }

    /// With keys and values that layers have left.
    pub(crate) fn of(inputs: Option<Tensor>, shared: HashMap<usize, [Tensor; 2]>) -> Self {
        let shared = RefCell::new(shared);
        Self { inputs, shared }
    }

    /// The same tensors, for another pass to go on with.
    pub(crate) fn again(&self) -> Rc<Self> {
        let same =
            |(layer, both): (&usize, &[Tensor; 2])| (*layer, both.each_ref().map(Tensor::shallow_clone));
        Rc::new(Self {
            inputs: self.inputs.as_ref().map(Tensor::shallow_clone),
            shared: RefCell::new(self.shared.borrow().iter().map(same).collect()),
        })
    }

    /// A layer's own input, `[batch, position, number]`.
    ///
    /// # Panics
    /// In a model without: a mistake of the caller's.
    pub(crate) fn input(&self, layer: usize, place: (Kind, Device)) -> Tensor {
        let inputs = self.inputs.as_ref().expect("a model whose layers have inputs");
        bring(&inputs.select(2, layer as i64), place)
    }

    /// Leaves keys and values for later layers.
    pub(crate) fn share(&self, layer: usize, both: [&Tensor; 2]) {
        let both = both.map(Tensor::shallow_clone);
        self.shared.borrow_mut().insert(layer, both);
    }

    /// Keys and values that a layer has left, for so many texts: one may stand for all.
    ///
    /// # Panics
    /// If it has not: a mistake of the caller's.
    pub(crate) fn shared(&self, layer: usize, n_texts: i64, place: (Kind, Device)) -> [Tensor; 2] {
        let shared = self.shared.borrow();
        let both = shared.get(&layer).expect("an earlier layer's keys and values");
        both.each_ref().map(|x| {
            let x = bring(x, place);
            if x.size()[0] == 1 {
                x.expand([n_texts, -1, -1, -1], false)
            } else {
                x
            }
        })
    }
}
