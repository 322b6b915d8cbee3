//! `lm.attribution_patching`: what patching would find, estimated by gradients.

use std::rc::Rc;

use ecco_explain::intervention::estimate::{
    Estimate, EstimateOptions, Measured, attribution_patching, attribution_patching_aligned,
};
use ecco_models::Prompt;
use ecco_widgets::{Explorable, MeasuredCell, PatchEstimate};
use rhai::{Array, Dynamic, FLOAT, INT, Map};

use super::patching::{AlignOptions, Pair, PairOptions};
use crate::attribution::saliency_members::completeness_map;
use crate::models::model::Model;
use crate::text::chat::Chat;
use ecco_scripting::result::numbers::short;
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::session::watched;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{Registry, ScriptError, members, options};

options! {
    /// What `attribution_patching` can be told.
    pub struct AttributionPatchingOptions {
        ..pair: PairOptions,
        ..alignment: AlignOptions,
        /// steps from the corrupted text to the clean one, along which gradients are averaged; 0: the gradient at the
        /// corrupted text
        n_steps: usize = 0,
        /// how many parts are patched indeed, to compare: half of them the strongest, the others drawn at random
        measure: usize = 20,
        /// which are drawn
        seed: u64 = 0,
    }
}

#[derive(Clone)]
pub(crate) struct AttributionPatching {
    found: Rc<Estimate>,
    pair: Rc<Pair>,
}

impl AttributionPatching {
    fn new(
        lm: &Model,
        clean: Prompt,
        corrupted: Prompt,
        options: &AttributionPatchingOptions,
    ) -> Result<Self, ScriptError> {
        let (loaded, state) = (lm.loaded()?, lm.state()?);
        let align = options.alignment.align.as_ref();
        let pair = Pair::read(lm, clean, corrupted, &options.pair, align)?;
        let settings = EstimateOptions {
            patch: pair.patch,
            n_steps: options.n_steps,
            n_measured: options.measure,
            seed: options.seed,
        };
        let (of_clean, of_corrupted) = (&pair.clean, &pair.corrupted);
        let found = watched(&state, lm.verbose, |watch| match &pair.alignment {
            Some(alignment) => {
                attribution_patching_aligned(&loaded, of_clean, of_corrupted, &settings, alignment, watch)
            }
            None => attribution_patching(&loaded, of_clean, of_corrupted, &settings, watch),
        })?;
        Ok(Self {
            found: Rc::new(found),
            pair: Rc::new(pair),
        })
    }

    fn elements(&self) -> Result<Tensor, ScriptError> {
        let place = self.pair.patch.place;
        Ok(Tensor::new(
            self.found.elements.array(place, None, 0)?,
            place.axes(),
        ))
    }

    fn gap(&self) -> f64 {
        self.found.clean - self.found.corrupted
    }

    /// The measured parts, the strongest estimate first.
    fn measured(&self) -> Vec<&Measured> {
        let mut all: Vec<&Measured> = self.found.measured.iter().collect();
        let size = |one: &Measured| self.found.changes[one.at].abs();
        all.sort_by(|a, b| size(b).total_cmp(&size(a)));
        all
    }

    fn measured_maps(&self) -> Array {
        let axes = self.pair.patch.by.axes();
        let n_heads = self.pair.cell((1, 0), self.found.changes.ncols()).0;
        let map = |one: &Measured| {
            let (row, column) = self.cell(one);
            let part = match axes {
                [_, _] => vec![row % n_heads, column],
                _ => vec![column],
            };
            let place = axes.iter().zip(part);
            let place = place.map(|(axis, at)| ((*axis).into(), Dynamic::from_int(at as INT)));
            let numbers = [
                (
                    "layer".into(),
                    Dynamic::from_int(self.found.layers[one.at.0] as INT),
                ),
                (
                    "estimated".into(),
                    (self.found.changes[one.at] / self.gap()).into(),
                ),
                ("restored".into(), (one.change / self.gap()).into()),
            ];
            Dynamic::from_map(numbers.into_iter().chain(place).collect::<Map>())
        };
        self.measured().into_iter().map(map).collect()
    }

    /// Its row and column in the view.
    fn cell(&self, one: &Measured) -> (usize, usize) {
        self.pair.cell(one.at, self.found.changes.ncols())
    }

    fn by(&self) -> String {
        match self.found.options.n_steps {
            0 => "gradients at the corrupted text".to_owned(),
            1 => "gradients at both texts".to_owned(),
            n => format!("gradients along {n} steps from the corrupted text to the clean one"),
        }
    }

    fn view(&self) -> ecco_widgets::PatchMap {
        let cell = |one: &Measured| {
            let (row, column) = self.cell(one);
            MeasuredCell {
                row,
                column,
                restored: (one.change / self.gap()) as f32,
            }
        };
        ecco_widgets::PatchMap {
            estimate: Some(PatchEstimate {
                by: self.by(),
                measured: self.found.measured.iter().map(cell).collect(),
                correlation: self.found.correlation(),
            }),
            ..self.pair.view(
                &self.found.layers,
                &self.found.restored(),
                self.found.clean,
                self.found.corrupted,
            )
        }
    }
}

impl Show for AttributionPatching {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(Box::new(self.view()))
    }

    fn line(&self) -> String {
        let measured = match self.found.correlation() {
            Some(r) => format!(", r = {r:.2} with {} measured", self.found.measured.len()),
            None => String::new(),
        };
        format!(
            "attribution patching of {} ({}), {} {} corrupted, {} clean{measured}",
            self.pair.patch.place.name(),
            self.pair.extent(self.found.changes.dim()),
            self.pair.answer,
            short(self.found.corrupted),
            short(self.found.clean)
        )
    }
}

impl Explanation for AttributionPatching {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        Ok(vec![
            ("restored", self.pair.tensor(&self.found.restored())),
            ("changes", self.pair.tensor(&self.found.changes)),
            ("elements", self.elements()?),
        ])
    }

    fn labels(&self, axis: &str) -> Option<Vec<String>> {
        self.pair.labels(axis, &self.found.layers)
    }
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Model];
        /// What `lm.patch_map` would find, estimated for all parts at once: the difference of what stands at the site in the
        /// two texts, times the gradient at the corrupted one. One pass over each text and one back, however many parts there
        /// are; some are patched indeed, and the correlation says how far the estimates are to be trusted. Swap the texts to ask
        /// what breaks the clean answer. Models bend: with `n_steps` gradients are averaged on the way between the texts.
        ///
        /// Example:
        /// ```rhai
        /// lm.attribution_patching("The capital of France is", "The capital of Italy is",
        ///     #{target: " Paris", contrast: " Rome", site: "mlp_inner", by: "neuron"})
        /// ```
        volatile fn attribution_patching(lm: &Model, clean: &str, corrupted: &str; options: AttributionPatchingOptions) -> AttributionPatching {
            AttributionPatching::new(lm, clean.into(), corrupted.into(), &options)
        }

        volatile fn attribution_patching(lm: &Model, clean: Chat, corrupted: Chat; options: AttributionPatchingOptions) -> AttributionPatching {
            AttributionPatching::new(lm, clean.prompt(), corrupted.prompt(), &options)
        }
    }
    members! { registry, [AttributionPatching];
        /// How much of the clean answer would come back: a tensor (layer, position), (layer, head), (layer, head, position)
        /// or (layer, neuron).
        get restored(map: &AttributionPatching) -> Tensor { Ok(map.pair.tensor(&map.found.restored())) }

        /// The same in the units of the answer: by how much it would change.
        get changes(map: &AttributionPatching) -> Tensor { Ok(map.pair.tensor(&map.found.changes)) }

        /// The same number by number: a tensor with the axes of the site.
        get elements(map: &AttributionPatching) -> Tensor { map.elements() }

        /// The answer to the clean text.
        get clean(map: &AttributionPatching) -> FLOAT { Ok(map.found.clean) }

        /// The answer to the corrupted text.
        get corrupted(map: &AttributionPatching) -> FLOAT { Ok(map.found.corrupted) }

        /// The parts that were patched indeed, the strongest first: maps with `layer`, the part, `estimated` and `restored`.
        get measured(map: &AttributionPatching) -> Array { Ok(map.measured_maps()) }

        /// Pearson's correlation of what was estimated and what was measured; `()` where either does not vary.
        get correlation(map: &AttributionPatching) -> Dynamic {
            Ok(map.found.correlation().map_or(Dynamic::UNIT, Dynamic::from_float))
        }

        /// With steps, at the residual stream: whether a layer's parts together make all of the difference of the answers. For each layer
        /// a map with `promised`, `error` and `relative`; elsewhere `()`.
        get completeness(map: &AttributionPatching) -> Array {
            Ok(map.found.completeness.iter().map(completeness_map).collect::<Vec<Dynamic>>())
        }
    }
}
