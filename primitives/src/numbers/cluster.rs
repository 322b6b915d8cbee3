//! `ecco::cluster`: rows of a matrix in groups.

use std::rc::Rc;

use ecco_explain::cluster::{ClusterOptions, clusters};
use ecco_scripting::session::{State, watched};
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, functions, options};
use ndarray::Ix2;
use rhai::{Array, Dynamic, INT, Map};

options! {
    /// What clusters can be told.
    struct GroupingOptions {
        /// how many groups
        k: usize [1..] = 8,
        /// the same seed draws the same rows to begin with
        seed: u64 = 0,
        /// from how many starts the best end is taken
        n_init: usize [1..] = 10,
        /// rounds of each start at most
        max_iter: usize [1..] = 300,
    }
}

pub(super) fn register(registry: &mut Registry) {
    functions! { registry, "ecco";
        /// Rows of a tensor (row, feature) in groups, each around its mean (k-means), such as states of tokens. A map: `labels`, of
        /// each row the number of its group, the largest group being 0; `centers`, a tensor (cluster, feature) of their means;
        /// `inertia`, the sum of the squares of the rows' distances from these; `n_iterations` of the best start. Computed in
        /// float64.
        ///
        /// Example:
        /// ```rhai
        /// let found = ecco::cluster(run.hidden_states[-1], #{k: 3});
        /// found.labels
        /// ```
        fn cluster(state, tensor: Tensor; options: GroupingOptions) -> Map { cluster(&state, &tensor, &options) }
    }
}

/// As numpy takes it.
pub(super) fn seed_of(seed: u64) -> Result<u32, ScriptError> {
    u32::try_from(seed).map_err(|_| {
        let message = format!("seed is {seed}: at most {}", u32::MAX);
        ScriptError::new(ErrorKind::Value, message).pointing_at("seed")
    })
}

fn cluster(state: &Rc<State>, tensor: &Tensor, options: &GroupingOptions) -> Result<Map, ScriptError> {
    let x = tensor.data().into_dimensionality::<Ix2>().map_err(|_| {
        let message = format!(
            "clusters are of a tensor (row, feature), not {}",
            tensor.shape_text()
        );
        ScriptError::new(ErrorKind::Value, message)
            .with_hint("take one layer, or reshape it: states.reshape([-1, 768])")
    })?;
    let settings = ClusterOptions {
        k: options.k,
        seed: seed_of(options.seed)?,
        n_init: options.n_init,
        max_iter: options.max_iter,
    };
    let found = watched(state, true, |watch| clusters(x.view(), &settings, watch))?;
    let labels: Array = found
        .labels
        .iter()
        .map(|&label| Dynamic::from_int(label as INT))
        .collect();
    let centers = found.centers.mapv(|value| value as f32).into_dyn();
    let feature = tensor.axes().get(1).copied().unwrap_or_default();
    Ok(Map::from([
        ("labels".into(), labels.into()),
        (
            "centers".into(),
            Dynamic::from(Tensor::new(centers, &["cluster", feature])),
        ),
        ("inertia".into(), Dynamic::from_float(found.inertia)),
        ("n_iterations".into(), Dynamic::from_int(found.n_iter as INT)),
    ]))
}
