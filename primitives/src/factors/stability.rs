//! Whether the same factors are found from other starts.

use std::rc::Rc;

use ecco_explain::ica::{IcaOptions, ica};
use ecco_explain::matching::{assign, cosines};
use ecco_explain::nmf::{NmfOptions, factorize};
use ecco_widgets::Explorable;
use ecco_widgets::SimilarityGrid;
use ndarray::{Array2, ArrayView2};
use rhai::{Array, Dynamic, FLOAT};
use serde_json::Value;

use super::factorization::{Factorization, Fit};
use ecco_scripting::result::numbers::short;
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members, options};

options! {
    /// What `stability` can be told.
    pub struct StabilityOptions {
        /// how many other seeds the factors are looked for from, at most 1,000
        seeds: usize [1..] = 5,
    }
}

const MOST_SEEDS: usize = 1_000;

/// Each factor's likeness to its counterpart from every other seed.
#[derive(Clone)]
pub(crate) struct Stability(Rc<Counterparts>);

struct Counterparts {
    method: &'static str,
    seeds: Vec<u64>,
    /// The texts and their model.
    source: Value,
    /// |cosine| over the neurons: (component, seed).
    cosines: Array2<f32>,
}

impl Stability {
    /// Looks for the factors again from `n` other seeds, and pairs each factor with its counterpart.
    ///
    /// # Errors
    /// Components that have no seed, factors that were found in other texts, an interrupt.
    pub(crate) fn new(factors: &Factorization, n: usize) -> Result<Self, ScriptError> {
        if n > MOST_SEEDS {
            let message =
                format!("seeds is {n}: expected 1 to {MOST_SEEDS}, each is a factorization of its own");
            return Err(ScriptError::new(ErrorKind::Value, message).pointing_at("seeds"));
        }
        let inner = &*factors.0;
        if inner.is_transform {
            let message = "these factors were found in other texts: ask the factorization of those";
            return Err(ScriptError::new(ErrorKind::Value, message));
        }
        let first = match &*inner.fit {
            Fit::Nmf { options, .. } => options.seed,
            Fit::Ica(_, options) => options.seed,
            Fit::Pca(_) => {
                let message = "principal components have no seed: they are the same in every run";
                return Err(ScriptError::new(ErrorKind::Value, message));
            }
        };
        let captures = inner.at.captures(&inner.passages)?;
        let matrix = captures.positions_by_neurons(matches!(&*inner.fit, Fit::Nmf { .. }));
        // numpy's generator takes 32 bits.
        let seeds: Vec<u64> = (1..=n as u64).map(|step| (first + step) % (1 << 32)).collect();
        let mut all = Array2::zeros((factors.n_components(), n));
        for (&seed, mut column) in seeds.iter().zip(all.columns_mut()) {
            let neurons = neurons_from(factors, matrix.view(), seed)?;
            let alike = cosines(inner.fit.neurons().view(), neurons.view());
            for (factor, counterpart) in assign(alike.view()).into_iter().enumerate() {
                column[factor] = alike[[factor, counterpart]] as f32;
            }
        }
        Ok(Self(Rc::new(Counterparts {
            method: factors.method(),
            seeds,
            source: inner.at.summary(&inner.passages),
            cosines: all,
        })))
    }

    pub(crate) fn cosines(&self) -> Tensor {
        Tensor::new(self.0.cosines.clone().into_dyn(), &["component", "seed"])
    }

    /// Over all factors and seeds.
    pub(crate) fn mean(&self) -> f64 {
        let values = self.0.cosines.iter().map(|&value| f64::from(value));
        values.sum::<f64>() / self.0.cosines.len() as f64
    }

    /// Each factor's mean over seeds.
    pub(crate) fn by_factor(&self) -> Vec<f64> {
        let mean = |row: ndarray::ArrayView1<f32>| {
            row.iter().map(|&value| f64::from(value)).sum::<f64>() / row.len() as f64
        };
        self.0.cosines.outer_iter().map(mean).collect()
    }

    fn labels_of(&self, axis: &str) -> Vec<String> {
        let (n_components, _) = self.0.cosines.dim();
        match axis {
            "component" => (0..n_components).map(|factor| factor.to_string()).collect(),
            _ => self.0.seeds.iter().map(u64::to_string).collect(),
        }
    }
}

/// The neurons (component, neuron) that another seed finds in a matrix (position, neuron).
fn neurons_from(
    factors: &Factorization,
    matrix: ArrayView2<f32>,
    seed: u64,
) -> Result<Array2<f32>, ScriptError> {
    let inner = &*factors.0;
    inner.passages[0].watched(|watch| match &*inner.fit {
        Fit::Nmf { options, .. } => {
            let options = NmfOptions {
                seed,
                n_components: factors.n_components(),
                ..options.clone()
            };
            Ok(factorize(matrix, &options, watch)?.neurons)
        }
        Fit::Ica(_, options) => {
            let options = IcaOptions {
                seed,
                ..options.clone()
            };
            Ok(ica(matrix, &options, watch)?.neurons)
        }
        Fit::Pca(pca) => Ok(pca.neurons.clone()),
    })?
}

impl Show for Stability {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        let view = SimilarityGrid {
            title: format!("Stability of {} factors", self.0.method),
            about: format!(
                "cosine of each factor with its counterpart from another seed; mean {}",
                short(self.mean())
            ),
            rows: ("factor".into(), self.labels_of("component")),
            columns: ("seed".into(), self.labels_of("seed")),
            values: self.0.cosines.outer_iter().map(|row| row.to_vec()).collect(),
            notes: vec![],
            sources: vec![self.0.source.clone()],
        };
        Ok(Box::new(view))
    }

    fn line(&self) -> String {
        let (n_components, n_seeds) = self.0.cosines.dim();
        format!(
            "stability of {n_components} {} factors over {n_seeds} seeds: mean cosine {}",
            self.0.method,
            short(self.mean())
        )
    }
}

impl Explanation for Stability {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        Ok(vec![("cosines", self.cosines())])
    }

    fn labels(&self, axis: &str) -> Option<Vec<String>> {
        (axis == "seed").then(|| self.labels_of(axis))
    }
}

pub(crate) fn register(registry: &mut Registry) {
    members! { registry, [Factorization];
        /// Looks for the same number of factors from other seeds, 5 unless told, and pairs each with its counterpart: the
        /// closer the cosines are to 1, the less the factors are an accident of the start.
        ///
        /// Example:
        /// ```rhai
        /// nmf.stability(#{seeds: 10}).by_factor
        /// ```
        fn stability(factors: &Factorization; options: StabilityOptions) -> Stability {
            Stability::new(factors, options.seeds)
        }
    }
    members! { registry, [Stability];
        /// The cosine of each factor with its counterpart from each seed: a tensor (component, seed).
        get cosines(stability: &Stability) -> Tensor { Ok(stability.cosines()) }

        /// The mean cosine of each factor over the seeds.
        get by_factor(stability: &Stability) -> Array {
            Ok(stability.by_factor().into_iter().map(Dynamic::from_float).collect())
        }

        /// The mean cosine over factors and seeds.
        get mean(stability: &Stability) -> FLOAT { Ok(stability.mean()) }
    }
}
