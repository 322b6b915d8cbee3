//! Activation patching between two texts.

use std::rc::Rc;

use ecco_widgets::Explorable;
use ndarray::Array2;
use rhai::FLOAT;

use super::patching::Pair;
use ecco_scripting::result::numbers::short;
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{Registry, ScriptError, members};

#[derive(Clone)]
pub(crate) struct PatchMap {
    pub(super) map: Rc<ecco_explain::intervention::patching::PatchMap>,
    pub(super) pair: Rc<Pair>,
}

impl PatchMap {
    fn tensor_of(&self, values: &Array2<f64>) -> Tensor {
        let values = values.mapv(|x| x as f32).into_dyn();
        Tensor::new(values, &["layer", self.map.options.by.name()])
    }

    /// (layer, position, head or neuron): 0 as for the corrupted text, 1 as for the clean one.
    pub(crate) fn restored(&self) -> Tensor {
        self.tensor_of(&self.map.restored())
    }

    /// The same as the answers themselves.
    pub(crate) fn answers(&self) -> Tensor {
        self.tensor_of(&self.map.patched)
    }

    pub(crate) fn view(&self) -> ecco_widgets::PatchMap {
        let map = &self.map;
        self.pair
            .view(&map.layers, &map.restored(), map.clean, map.corrupted)
    }
}

impl Show for PatchMap {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(Box::new(self.view()))
    }

    fn line(&self) -> String {
        let (n_layers, n_columns) = self.map.patched.dim();
        format!(
            "patching map of {} ({n_layers} layers × {n_columns} {}s), {} {} corrupted, {} clean",
            self.map.options.place.name(),
            self.map.options.by.name(),
            self.pair.answer,
            short(self.map.corrupted),
            short(self.map.clean)
        )
    }
}

impl Explanation for PatchMap {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        Ok(vec![("restored", self.restored()), ("answers", self.answers())])
    }

    fn labels(&self, axis: &str) -> Option<Vec<String>> {
        self.pair.labels(axis, &self.map.layers)
    }
}

pub(crate) fn register(registry: &mut Registry) {
    members! { registry, [PatchMap];
        /// How much of the clean answer comes back: a tensor (layer, position), (layer, head) or (layer, neuron).
        get restored(map: &PatchMap) -> Tensor { Ok(map.restored()) }

        /// The answers themselves with each part patched: a tensor (layer, position), (layer, head) or (layer, neuron).
        get answers(map: &PatchMap) -> Tensor { Ok(map.answers()) }

        /// The answer to the clean text.
        get clean(map: &PatchMap) -> FLOAT { Ok(map.map.clean) }

        /// The answer to the corrupted text.
        get corrupted(map: &PatchMap) -> FLOAT { Ok(map.map.corrupted) }
    }
}
