//! `lm.patch_map` of several pairs of texts: the mean map, and how sure it is.

use std::rc::Rc;

use ecco_widgets::{Explorable, PatchPairs};
use ndarray::{Array2, Array3, Axis};
use rhai::{Array, Dynamic, INT};

use super::patch_map::PatchMap;
use super::patching::{PatchMapOptions, map};
use crate::models::model::Model;
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::table::student;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members};

/// Maps of pairs, or draws of noise, with the same layers and parts.
#[derive(Clone)]
pub(crate) struct PatchMaps(Rc<Vec<PatchMap>>, Option<Rc<str>>);

impl PatchMaps {
    /// Of one text with noise on some of its tokens, named for people.
    pub(super) fn of_noise(maps: Vec<PatchMap>, at: String) -> Self {
        Self(Rc::new(maps), Some(at.into()))
    }

    fn new(
        lm: &Model,
        clean: &Array,
        corrupted: &Array,
        options: &PatchMapOptions,
    ) -> Result<Self, ScriptError> {
        let (clean, corrupted) = (texts("clean", clean)?, texts("corrupted", corrupted)?);
        if clean.len() != corrupted.len() {
            let message = format!(
                "{} clean texts and {} corrupted ones",
                clean.len(),
                corrupted.len()
            );
            return Err(ScriptError::new(ErrorKind::Value, message).with_hint("a pair has one of each"));
        }
        let of_pair = |(at, (clean, corrupted)): (usize, (&String, &String))| {
            let error = |error: ScriptError| ScriptError {
                message: format!("pair {at}: {}", error.message),
                ..error
            };
            map(lm, clean.into(), corrupted.into(), options).map_err(error)
        };
        let maps: Vec<PatchMap> = clean
            .iter()
            .zip(&corrupted)
            .enumerate()
            .map(of_pair)
            .collect::<Result<_, _>>()?;
        let dim = |map: &PatchMap| map.map.patched.dim();
        match maps.iter().position(|map| dim(map) != dim(&maps[0])) {
            None => Ok(Self(Rc::new(maps), None)),
            Some(at) => {
                let message = format!(
                    "pair {at} has {} parts a layer, and pair 0 has {}: there is no mean",
                    dim(&maps[at]).1,
                    dim(&maps[0]).1
                );
                Err(ScriptError::new(ErrorKind::Value, message)
                    .with_hint("patch by head or neuron, or choose texts of as many tokens"))
            }
        }
    }

    /// (pair, layer, part)
    fn each(&self) -> Array3<f64> {
        let each: Vec<Array2<f64>> = self.0.iter().map(|map| map.map.restored()).collect();
        let (n_rows, n_columns) = each[0].dim();
        Array3::from_shape_fn((each.len(), n_rows, n_columns), |(pair, row, column)| {
            each[pair][(row, column)]
        })
    }

    fn mean(&self) -> Array2<f64> {
        self.each().sum_axis(Axis(0)) / self.0.len() as f64
    }

    /// Half of the 95 % confidence interval of each mean, by Student's distribution; NaN of one pair.
    fn interval(&self) -> Array2<f64> {
        let n = self.0.len();
        if n < 2 {
            return self.mean().mapv(|_| f64::NAN);
        }
        self.each().std_axis(Axis(0), 1.0) * (student(n - 1) / (n as f64).sqrt())
    }

    fn tensor(&self, values: Array2<f64>) -> Tensor {
        self.0[0].pair.tensor(&values)
    }
}

/// # Errors
/// For an empty list, and what is no text.
fn texts(what: &str, given: &Array) -> Result<Vec<String>, ScriptError> {
    let text = |(at, value): (usize, &Dynamic)| {
        value.clone().into_string().map_err(|kind| {
            ScriptError::new(ErrorKind::Type, format!("{what} text {at} is {kind}, not a text"))
        })
    };
    match given.is_empty() {
        true => Err(
            ScriptError::new(ErrorKind::Value, format!("there are no {what} texts"))
                .with_hint("a list of texts, or a column of a table"),
        ),
        false => given.iter().enumerate().map(text).collect(),
    }
}

impl Show for PatchMaps {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        let rows = |values: &Array2<f64>| self.0[0].pair.rows(values);
        let n = self.0.len() as f64;
        let mean = |of: fn(&PatchMap) -> f64| self.0.iter().map(of).sum::<f64>() / n;
        let first = &self.0[0];
        Ok(Box::new(ecco_widgets::PatchMap {
            pairs: Some(PatchPairs {
                n: self.0.len(),
                noise_at: self.1.as_deref().map(str::to_owned),
                interval: rows(&self.interval()),
            }),
            restored: rows(&self.mean()),
            clean: mean(|map| map.map.clean),
            corrupted: mean(|map| map.map.corrupted),
            ..first.view()
        }))
    }

    fn line(&self) -> String {
        let of = if self.1.is_some() {
            "draws of noise"
        } else {
            "pairs"
        };
        format!(
            "mean of the patching maps of {} {of} ({})",
            self.0.len(),
            self.0[0].pair.extent(self.0[0].map.patched.dim())
        )
    }
}

impl Explanation for PatchMaps {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        let each = self.each().mapv(|x| x as f32).into_dyn();
        let each = self.0[0].pair.tensor_of(each, &["pair", "layer"]);
        Ok(vec![
            ("restored", self.tensor(self.mean())),
            ("interval", self.tensor(self.interval())),
            ("each", each),
        ])
    }
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Model];
        /// The mean over several pairs of texts, the first clean one with the first corrupted one and so on, with its 95 %
        /// confidence interval. Pairs have as many parts as each other: by head or neuron any, by position texts of as many tokens.
        ///
        /// Example:
        /// ```rhai
        /// lm.patch_map(["The capital of France is", "The capital of Spain is"], ["The capital of Italy is", "The capital of Greece is"],
        ///     #{site: "head_outputs"})
        /// ```
        volatile fn patch_map(lm: &Model, clean: Array, corrupted: Array; options: PatchMapOptions) -> PatchMaps {
            PatchMaps::new(lm, &clean, &corrupted, &options)
        }
    }
    members! { registry, [PatchMaps];
        /// How much of the clean answer comes back, the mean over the pairs or draws: a tensor (layer, position), (layer, head),
        /// (layer, head, position) or (layer, neuron).
        get restored(maps: &PatchMaps) -> Tensor { Ok(maps.tensor(maps.mean())) }

        /// Half of the mean's 95 % confidence interval, by Student's distribution; no numbers of one pair.
        get interval(maps: &PatchMaps) -> Tensor { Ok(maps.tensor(maps.interval())) }

        /// The map of each pair or draw.
        get each(maps: &PatchMaps) -> Array { Ok(maps.0.iter().map(|map| Dynamic::from(map.clone())).collect()) }

        /// How many pairs, or draws.
        get n_pairs(maps: &PatchMaps) -> INT { Ok(maps.0.len() as INT) }
    }
}
