//! The start of the descent, drawn in scikit-learn's order.

use ndarray::{Array2, ArrayView2};

use super::descent;
use crate::random::RandomState;

/// scikit-learn's `init="random"`: |N(0, 1)| · √(mean(x) / n_components), H before W.
/// Answers W (position, component) and H (component, neuron).
pub(super) fn draw(x: ArrayView2<f32>, n_components: usize, seed: u32) -> (Array2<f32>, Array2<f32>) {
    let mean = descent::sum(x, |value| value) / x.len() as f64;
    let scale = (mean / n_components as f64).sqrt() as f32;
    let mut random = RandomState::new(seed);
    let mut draw = |shape| Array2::from_shape_simple_fn(shape, || (scale * random.normal() as f32).abs());
    let h = draw((n_components, x.ncols()));
    let w = draw((x.nrows(), n_components));
    (w, h)
}
