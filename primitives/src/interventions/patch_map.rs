//! Activation patching between two texts.

use std::rc::Rc;

use ecco_widgets::Explorable;
use rhai::FLOAT;

use super::asking::{AskedCall, AskedPair};
use super::patching::{Pair, PatchMapOptions};
use crate::models::model::Model;
use ecco_scripting::live::Live;
use ecco_scripting::options::OptionSet;
use ecco_scripting::result::numbers::short;
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{Registry, ScriptError, members};

#[derive(Clone)]
pub(crate) struct PatchMap {
    pub(super) map: Rc<ecco_explain::intervention::patching::PatchMap>,
    pub(super) pair: Rc<Pair>,
    /// Of two plain texts, and options that a line of script spells out.
    pub(super) asked: Option<Rc<AskedPair>>,
}

impl PatchMap {
    /// A map that can be asked: of these texts, clean and corrupted.
    pub(super) fn asked(
        mut self,
        lm: &Model,
        [clean, corrupted]: [&str; 2],
        options: &PatchMapOptions,
    ) -> Self {
        let pair = |options| AskedPair {
            call: AskedCall {
                model: lm.plain(),
                member: "patch_map",
                arguments: vec![clean.into(), corrupted.into()],
                options,
                rows: vec![PatchMapOptions::rows()],
                pieces: vec![],
            },
            site: self.map.options.place.name(),
        };
        self.asked = options.told.given().map(pair).map(Rc::new);
        self
    }

    /// By layer and part: 0 as for the corrupted text, 1 as for the clean one.
    pub(crate) fn restored(&self) -> Tensor {
        self.pair.tensor(&self.map.restored())
    }

    /// The same as the answers themselves.
    pub(crate) fn answers(&self) -> Tensor {
        self.pair.tensor(&self.map.patched)
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

    fn live(&self) -> Option<Rc<dyn Live>> {
        self.asked.clone().map(|asked| asked as Rc<dyn Live>)
    }

    fn line(&self) -> String {
        format!(
            "patching map of {} ({}), {} {} corrupted, {} clean",
            self.map.options.place.name(),
            self.pair.extent(self.map.patched.dim()),
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
        /// How much of the clean answer comes back: a tensor (layer, position), (layer, head), (layer, head, position) or (layer, neuron).
        get restored(map: &PatchMap) -> Tensor { Ok(map.restored()) }

        /// The answers themselves with each part patched: a tensor (layer, position), (layer, head), (layer, head, position) or (layer, neuron).
        get answers(map: &PatchMap) -> Tensor { Ok(map.answers()) }

        /// The answer to the clean text.
        get clean(map: &PatchMap) -> FLOAT { Ok(map.map.clean) }

        /// The answer to the corrupted text.
        get corrupted(map: &PatchMap) -> FLOAT { Ok(map.map.corrupted) }
    }
}
