//! Known factors in another matrix: non-negative least squares by the same coordinate descent.

use std::borrow::Cow;
use std::ops::ControlFlow;

use ecco_interpreter::{Progress, Watch};
use ndarray::{Array2, ArrayView2};

use crate::linalg::product;

use super::{NmfError, NmfOptions, check_matrix, check_options};

/// Where the factors `neurons` (component, neuron) are active in `x` (position, neuron): the W ≥ 0 that minimises
/// ‖x − W·neurons‖, answered as (component, position). From W = 0, with the stopping rule of
/// [`factorize`](super::factorize), as scikit-learn's `NMF.transform`; in float64. Each position is on its own, so
/// other positions beside it change nothing but the number of sweeps.
///
/// # Errors
/// A matrix without entries, of other neurons than the factors', or with an entry that is negative or not finite;
/// options out of range; `watch` breaking.
pub fn transform(
    x: ArrayView2<f32>,
    neurons: ArrayView2<f32>,
    options: &NmfOptions,
    watch: &mut Watch,
) -> Result<Array2<f32>, NmfError> {
    check_options(options)?;
    check_matrix(x)?;
    if x.ncols() != neurons.ncols() {
        return Err(NmfError::Neurons {
            given: x.ncols(),
            expected: neurons.ncols(),
        });
    }
    let w = least_squares(x, neurons, options, watch)?;
    Ok(w.reversed_axes().mapv(|value| value as f32))
}

/// W (row, component) of the checked matrix `x` (row, column) and the factors `h` (component, column).
pub(super) fn least_squares(
    x: ArrayView2<f32>,
    h: ArrayView2<f32>,
    options: &NmfOptions,
    watch: &mut Watch,
) -> Result<Array2<f64>, NmfError> {
    let h = h.mapv(f64::from);
    let mut ask = || match watch(&sweeps(0, options)) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(NmfError::Interrupted { n_iter: 0 }),
    };
    let gram = product(h.view(), h.t(), &mut ask)?; // [component, component]
    let products = product(x.mapv(f64::from).view(), h.t(), &mut ask)?; // [row, component]
    let mut w = Array2::zeros(products.raw_dim());
    let mut first = 0.0;
    for n_iter in 0..options.max_iter {
        if let ControlFlow::Break(()) = watch(&sweeps(n_iter, options)) {
            return Err(NmfError::Interrupted { n_iter });
        }
        let violation = sweep(&mut w, &gram, &products);
        if n_iter == 0 {
            first = violation;
        }
        if violation <= options.tol * first {
            break;
        }
    }
    Ok(w)
}

fn sweeps(n_iter: usize, options: &NmfOptions) -> Progress {
    Progress {
        label: Cow::Borrowed("finding the factors"),
        done: n_iter as u64,
        total: Some(options.max_iter as u64),
        unit: "sweeps",
    }
}

/// Each coordinate once, to its exact minimum, cut at 0; answers the sum of the absolute projected gradients met.
fn sweep(w: &mut Array2<f64>, gram: &Array2<f64>, products: &Array2<f64>) -> f64 {
    let mut violation = 0.0;
    for (mut row, products) in w.rows_mut().into_iter().zip(products.rows()) {
        for t in 0..row.len() {
            let gradient = gram.row(t).dot(&row) - products[t];
            violation += if row[t] == 0.0 {
                gradient.min(0.0).abs()
            } else {
                gradient.abs()
            };
            if gram[[t, t]] > 0.0 {
                row[t] = (row[t] - gradient / gram[[t, t]]).max(0.0);
            }
        }
    }
    violation
}
