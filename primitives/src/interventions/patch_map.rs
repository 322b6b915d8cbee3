//! Activation patching between two texts.

use std::rc::Rc;

use ecco_explain::intervention::patching::PatchAxis;
use ecco_widgets::Explorable;
use ecco_widgets::{Columns, Token};
use ndarray::Array2;
use rhai::FLOAT;

use ecco_scripting::result::numbers::short;
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{Registry, ScriptError, members};

#[derive(Clone)]
pub(crate) struct PatchMap {
    pub map: Rc<ecco_explain::intervention::patching::PatchMap>,
    /// The watched number for people: `logit of " Denmark"`.
    pub answer: Rc<str>,
    /// Of what is patched: the corrupted text and the clean one.
    pub corrupted: Rc<[Token]>,
    pub clean: Rc<[Token]>,
}

impl PatchMap {
    fn axis(&self) -> &'static str {
        match self.map.options.by {
            PatchAxis::Position => "position",
            PatchAxis::Head => "head",
        }
    }

    fn tensor_of(&self, values: &Array2<f64>) -> Tensor {
        let values = values.mapv(|x| x as f32).into_dyn();
        Tensor::new(values, &["layer", self.axis()])
    }

    /// (layer, position or head): 0 as for the corrupted text, 1 as for the clean one.
    pub(crate) fn restored(&self) -> Tensor {
        self.tensor_of(&self.map.restored())
    }

    /// The same as the answers themselves.
    pub(crate) fn answers(&self) -> Tensor {
        self.tensor_of(&self.map.patched)
    }

    pub(crate) fn view(&self) -> ecco_widgets::PatchMap {
        let restored = self.map.restored();
        let row = |row: ndarray::ArrayView1<f64>| row.iter().map(|&x| x as f32).collect();
        ecco_widgets::PatchMap {
            site: self.map.options.place.name(),
            answer: self.answer.to_string(),
            clean: self.map.clean,
            corrupted: self.map.corrupted,
            layers: self.map.layers.clone(),
            columns: match self.map.options.by {
                PatchAxis::Position => Columns::Positions {
                    corrupted: self.corrupted.to_vec(),
                    clean: self.clean.to_vec(),
                },
                PatchAxis::Head => Columns::Heads(restored.ncols()),
            },
            restored: restored.outer_iter().map(row).collect(),
        }
    }
}

fn texts(tokens: &[Token]) -> Vec<String> {
    tokens.iter().map(|token| token.text.clone()).collect()
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
            self.axis(),
            self.answer,
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
        match axis {
            "layer" => Some(self.map.layers.iter().map(usize::to_string).collect()),
            "position" => Some(texts(&self.corrupted)),
            _ => None,
        }
    }
}

pub(crate) fn register(registry: &mut Registry) {
    members! { registry, [PatchMap];
        /// How much of the clean answer comes back: a tensor (layer, position) or (layer, head).
        get restored(map: &PatchMap) -> Tensor { Ok(map.restored()) }

        /// The answers themselves with each part patched: a tensor (layer, position) or (layer, head).
        get answers(map: &PatchMap) -> Tensor { Ok(map.answers()) }

        /// The answer to the clean text.
        get clean(map: &PatchMap) -> FLOAT { Ok(map.map.clean) }

        /// The answer to the corrupted text.
        get corrupted(map: &PatchMap) -> FLOAT { Ok(map.map.corrupted) }
    }
}
