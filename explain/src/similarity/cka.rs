//! Centred kernel alignment: ⟨K, L⟩ / (‖K‖·‖L‖) of two centred kernel matrices over the positions.
//!
//! Plainly centred it is the estimate of Kornblith et al., which is far above 0 for unrelated captures of many neurons
//! and few positions. The unbiased one (Song et al. 2012, the estimator HSIC₁ as in Nguyen et al. 2021, 2010.15327)
//! leaves the diagonal out and centres by it: then ⟨K, L⟩ is n(n−3)·HSIC₁.
//!
//! With a linear kernel and fewer neurons than positions, the same numbers come from products of the neurons.

use ecco_models::device::ensure_room;
use ndarray::{Array1, Array2, Axis, s};
use tch::Device;

use super::{Kernel, Steps};

/// Positions whose kernel is computed at once.
const BLOCK: usize = 512;

pub(super) enum CkaKernel {
    /// The centred kernel (position, position), in units of its norm.
    Kernel(Array2<f64>),
    /// Of a linear kernel.
    Neurons {
        /// (neuron, position)
        centred: Array2<f64>,
        /// The kernel's diagonal, where it must not count.
        diagonal: Option<Array1<f64>>,
        norm: f64,
    },
}

/// `centred` is (neuron, position); `widest` the largest number of neurons among what it is compared with.
pub(super) fn prepare(
    centred: Array2<f64>,
    kernel: Kernel,
    unbiased: bool,
    widest: usize,
    steps: &mut Steps,
) -> Result<CkaKernel, super::SimilarityError> {
    let positions = centred.ncols();
    if kernel == Kernel::Linear && widest <= positions {
        let diagonal = unbiased.then(|| (&centred * &centred).sum_axis(Axis(0)));
        let mut prepared = CkaKernel::Neurons {
            centred,
            diagonal,
            norm: 1.0,
        };
        let size = product(&prepared, &prepared).max(0.0).sqrt();
        if let CkaKernel::Neurons { norm, .. } = &mut prepared {
            *norm = size;
        }
        return Ok(prepared);
    }
    let bytes = 3 * size_of::<f64>() * positions * positions;
    ensure_room(Device::Cpu, bytes as u64, "the kernel of all pairs of positions")
        .map_err(crate::Error::from)?;
    let mut matrix = gram(&centred, steps)?;
    if let Kernel::Rbf { bandwidth } = kernel {
        radial(&mut matrix, bandwidth);
    }
    if unbiased {
        centre_unbiased(&mut matrix);
    } else {
        centre(&mut matrix);
    }
    let norm = matrix.iter().map(|value| value * value).sum::<f64>().sqrt();
    matrix /= norm;
    Ok(CkaKernel::Kernel(matrix))
}

pub(super) fn pair(a: &CkaKernel, b: &CkaKernel) -> f64 {
    let norm = |prepared: &CkaKernel| match prepared {
        CkaKernel::Kernel(_) => 1.0,
        CkaKernel::Neurons { norm, .. } => *norm,
    };
    product(a, b) / (norm(a) * norm(b))
}

/// ⟨K, L⟩ of the centred kernels.
fn product(a: &CkaKernel, b: &CkaKernel) -> f64 {
    match (a, b) {
        (CkaKernel::Kernel(a), CkaKernel::Kernel(b)) => a.iter().zip(b).map(|(a, b)| a * b).sum(),
        (
            CkaKernel::Neurons {
                centred: x,
                diagonal: k,
                ..
            },
            CkaKernel::Neurons {
                centred: y,
                diagonal: l,
                ..
            },
        ) => {
            let squares = x.dot(&y.t()).iter().map(|value| value * value).sum::<f64>();
            match (k, l) {
                (Some(k), Some(l)) => {
                    let n = k.len() as f64;
                    squares - n / (n - 2.0) * k.dot(l) + k.sum() * l.sum() / ((n - 1.0) * (n - 2.0))
                }
                _ => squares,
            }
        }
        // All captures of a comparison are prepared alike.
        _ => f64::NAN,
    }
}

/// Xᵀ·X, block by block of positions.
fn gram(x: &Array2<f64>, steps: &mut Steps) -> Result<Array2<f64>, super::SimilarityError> {
    let positions = x.ncols();
    let mut matrix = Array2::zeros((positions, positions));
    for from in (0..positions).step_by(BLOCK) {
        steps.ask()?;
        let to = (from + BLOCK).min(positions);
        let rows = x.slice(s![.., from..to]).t().dot(x);
        matrix.slice_mut(s![from..to, ..]).assign(&rows);
    }
    Ok(matrix)
}

/// From products to exp(−d² / (2 · bandwidth² · median d²)).
fn radial(matrix: &mut Array2<f64>, bandwidth: f64) {
    let squares = matrix.diag().to_owned();
    for ((i, j), value) in matrix.indexed_iter_mut() {
        *value = squares[i] + squares[j] - 2.0 * *value;
    }
    let scale = 2.0 * bandwidth * bandwidth * median(matrix);
    matrix.mapv_inplace(|distance| (-distance / scale).exp());
}

/// Of all entries, the diagonal included; of an even number the mean of the middle two.
fn median(matrix: &Array2<f64>) -> f64 {
    let mut values: Vec<f64> = matrix.iter().copied().collect();
    let middle = values.len() / 2;
    let is_even = values.len().is_multiple_of(2);
    let (below, &mut upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    match is_even {
        true => (below.iter().copied().fold(f64::MIN, f64::max) + upper) / 2.0,
        false => upper,
    }
}

/// H·K·H
fn centre(matrix: &mut Array2<f64>) {
    let n = matrix.nrows() as f64;
    let means = matrix.sum_axis(Axis(1)) / n;
    let mean = means.sum() / n;
    for ((i, j), value) in matrix.indexed_iter_mut() {
        *value += mean - means[i] - means[j];
    }
}

/// Off the diagonal, by the sums off the diagonal; the diagonal is 0.
fn centre_unbiased(matrix: &mut Array2<f64>) {
    let n = matrix.nrows() as f64;
    matrix.diag_mut().fill(0.0);
    let sums = matrix.sum_axis(Axis(1));
    let total = sums.sum() / ((n - 1.0) * (n - 2.0));
    for ((i, j), value) in matrix.indexed_iter_mut() {
        *value = if i == j {
            0.0
        } else {
            *value + total - (sums[i] + sums[j]) / (n - 2.0)
        };
    }
}
