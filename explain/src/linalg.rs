//! Decompositions of small matrices in float64: libtorch's, on arrays.

// All of it is on the host.
#![allow(clippy::disallowed_methods)]

use ecco_models::device::ensure_room;
use ecco_models::guard::guard;
use ndarray::{Array1, Array2, ArrayView2};
use tch::{Device, Tensor};

use crate::error::Result;

/// `a = u · diag(s) · vt`, s falling: (u, s, vt).
pub(crate) fn svd(a: ArrayView2<f64>) -> Result<(Array2<f64>, Array1<f64>, Array2<f64>)> {
    let bytes = 4 * size_of::<f64>() * a.len();
    ensure_room(Device::Cpu, bytes as u64, "a singular value decomposition")?;
    Ok(guard(|| {
        let (u, s, v) = tensor(a).svd(true, true);
        Ok((matrix(&u), vector(&s), matrix(&v.tr())))
    })?)
}

/// Falling.
pub(crate) fn singular_values(a: ArrayView2<f64>) -> Result<Array1<f64>> {
    Ok(guard(|| {
        let (_, s, _) = tensor(a).svd(true, false);
        Ok(vector(&s))
    })?)
}

/// Of a symmetric matrix: eigenvalues, rising, and eigenvectors in columns.
pub(crate) fn eigh(a: ArrayView2<f64>) -> Result<(Array1<f64>, Array2<f64>)> {
    Ok(guard(|| {
        let (values, vectors) = tensor(a).linalg_eigh("L");
        Ok((vector(&values), matrix(&vectors)))
    })?)
}

/// An orthonormal basis of the columns of `a`, by QR.
pub(crate) fn orthonormal(a: ArrayView2<f64>) -> Result<Array2<f64>> {
    Ok(guard(|| {
        let (q, _) = Tensor::linalg_qr(&tensor(a), "reduced");
        Ok(matrix(&q))
    })?)
}

fn tensor(a: ArrayView2<f64>) -> Tensor {
    let size = [a.nrows() as i64, a.ncols() as i64];
    let a = a.as_standard_layout();
    // Standard layout is one slice.
    Tensor::from_slice(a.as_slice().unwrap_or_default()).reshape(size)
}

fn matrix(tensor: &Tensor) -> Array2<f64> {
    let (rows, columns) = (tensor.size()[0] as usize, tensor.size()[1] as usize);
    let tensor = tensor.contiguous();
    let mut values = Array2::zeros((rows, columns));
    if let Some(slice) = values.as_slice_mut() {
        tensor.copy_data(slice, rows * columns);
    }
    values
}

fn vector(tensor: &Tensor) -> Array1<f64> {
    let mut values = Array1::zeros(tensor.numel());
    if let Some(slice) = values.as_slice_mut() {
        tensor.contiguous().copy_data(slice, tensor.numel());
    }
    values
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn parts_make_the_whole() {
        let a = array![[1.0, 2.0, 3.0], [4.0, 5.0, 7.0]];
        let close = |x: &Array2<f64>, y: &Array2<f64>| (x - y).iter().all(|gap| gap.abs() < 1e-12);
        for a in [a.view(), a.t()] {
            let (u, s, vt) = svd(a).unwrap();
            assert!(close(&u.dot(&Array2::from_diag(&s)).dot(&vt), &a.to_owned()));
            assert!(
                (singular_values(a).unwrap() - &s)
                    .iter()
                    .all(|gap| gap.abs() < 1e-12)
            );
            let q = orthonormal(u.view()).unwrap();
            assert!(close(&q.t().dot(&q), &Array2::eye(2)));
        }
        let gram = a.dot(&a.t());
        let (values, vectors) = eigh(gram.view()).unwrap();
        assert!(values[0] < values[1]);
        assert!(close(
            &vectors.dot(&Array2::from_diag(&values)).dot(&vectors.t()),
            &gram
        ));
    }
}
