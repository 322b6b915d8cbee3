//! Canonical correlations, by the formulas of the published code of SVCCA (google/svcca, `cca_core`, `pwcca`), which
//! the Python library uses: covariances scaled by their largest entry, neurons that hardly change left out, 1e-10 added
//! to the diagonal. The correlations are the singular values of Σxx^−½ · Σxy · Σyy^−½.

use ndarray::{Array1, Array2, ArrayView2, Axis};

use super::{Method, Similarity};
use crate::error::Result;
use crate::linalg;

/// Below this share of the largest covariance a neuron is left out; as much is added to each variance.
const EPSILON: f64 = 1e-10;
/// Share of the correlations' sum that the mean is taken over.
const THRESHOLD: f64 = 0.98;

pub(super) struct CcaBasis {
    /// Σ^−½ · X, so that the product of two of them is the matrix of correlations: (neuron, position).
    whitened: Array2<f64>,
    /// The neurons that are left, centred: (neuron, position).
    centred: Array2<f64>,
    /// Their means.
    mean: Array1<f64>,
}

/// `centred` (neuron, position) is not constant.
pub(super) fn prepare(centred: Array2<f64>, mean: Vec<f64>) -> Result<CcaBasis> {
    let freedom = (centred.ncols() - 1) as f64;
    let covariance = centred.dot(&centred.t()) / freedom;
    let largest = covariance
        .iter()
        .fold(0.0f64, |most, value| most.max(value.abs()));
    let kept: Vec<usize> = (0..centred.nrows())
        .filter(|&neuron| covariance[[neuron, neuron]] / largest >= EPSILON)
        .collect();
    let centred = centred.select(Axis(0), &kept);
    let mut covariance = covariance.select(Axis(0), &kept).select(Axis(1), &kept) / largest;
    covariance.diag_mut().mapv_inplace(|value| value + EPSILON);
    let (values, vectors) = linalg::eigh(covariance.view())?;
    // At least EPSILON but for rounding.
    let roots = values.mapv(|value| 1.0 / value.max(EPSILON / 2.0).sqrt());
    let inverse_root = (&vectors * &roots).dot(&vectors.t());
    Ok(CcaBasis {
        whitened: inverse_root.dot(&centred) / (freedom * largest).sqrt(),
        mean: kept.iter().map(|&neuron| mean[neuron]).collect(),
        centred,
    })
}

/// The `dims` strongest principal directions over the positions, each in its own strength: (direction, position).
pub(super) fn strongest(centred: ArrayView2<f64>, dims: usize) -> Result<Array2<f64>> {
    let (_, singular, vt) = linalg::svd(centred)?;
    let scale = singular.slice(ndarray::s![..dims]).insert_axis(Axis(1));
    Ok(&vt.slice(ndarray::s![..dims, ..]) * &scale)
}

pub(super) fn pair(a: &CcaBasis, b: &CcaBasis, method: Method) -> Result<Similarity> {
    let correlations = a.whitened.dot(&b.whitened.t()); // [neuron of a, neuron of b]
    if let Method::Pwcca { canonical } = method {
        let (u, singular, vt) = linalg::svd(correlations.view())?;
        let coefficients = singular.to_vec();
        let weights = match a.centred.nrows() <= b.centred.nrows() {
            true => weights(a, u.t(), canonical)?,
            false => weights(b, vt.view(), canonical)?,
        };
        let sum = weights.sum();
        let score = weights.iter().zip(&coefficients).map(|(w, c)| w * c).sum::<f64>() / sum;
        return Ok(Similarity { score, coefficients });
    }
    let coefficients = linalg::singular_values(correlations.view())?.to_vec();
    let counted = match method {
        Method::Cca => counted(&coefficients),
        _ => coefficients.len(),
    };
    Ok(Similarity {
        score: coefficients[..counted].iter().sum::<f64>() / counted as f64,
        coefficients,
    })
}

/// How many of the first correlations make up the threshold; the last one only if nothing less does.
fn counted(coefficients: &[f64]) -> usize {
    let total: f64 = coefficients.iter().sum();
    let mut sum = 0.0;
    for (before, coefficient) in coefficients.iter().enumerate() {
        if before > 0 && sum / total >= THRESHOLD {
            return before;
        }
        sum += coefficient;
    }
    coefficients.len()
}

/// How much each direction (a row of `directions`) shows in the neurons: Σ over neurons of |⟨direction, neuron⟩|.
///
/// The published code takes the directions in the neurons' own coordinates instead of the whitened ones, adds the
/// neurons' means to them and orthonormalises the result; the paper's are the canonical variables themselves.
fn weights(of: &CcaBasis, directions: ArrayView2<f64>, canonical: bool) -> Result<Array1<f64>> {
    let mean = of.mean.view().insert_axis(Axis(1));
    let basis = match canonical {
        true => directions.dot(&of.whitened).reversed_axes(),
        false => {
            let shown = directions.dot(&of.centred) + mean;
            linalg::orthonormal(shown.t())?
        }
    }; // [position, direction]
    let neurons = &of.centred + &mean;
    let shares = basis.t().dot(&neurons.t()).mapv(f64::abs);
    Ok(shares.sum_axis(Axis(1)))
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn the_mean_stops_where_98_percent_are_reached() {
        assert_eq!(counted(&[1.0, 0.99, 0.01, 0.001]), 2);
        assert_eq!(counted(&[1.0, 1.0]), 2);
        assert_eq!(counted(&[0.3]), 1);
    }
}
