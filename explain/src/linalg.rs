//! Decompositions of small matrices in float64: libtorch's, on arrays.

// All of it is on the host.
#![allow(clippy::disallowed_methods)]

use ecco_models::device::ensure_room;
use ecco_models::guard::guard;
use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView2, Axis};
use tch::{Device, Tensor};

use crate::error::Result;

/// Of a product, between two questions: about a tenth of a second.
const MULTIPLICATIONS: f64 = 3e8;

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

/// x with `a · x = b`; not finite where `a` is singular.
pub(crate) fn solve(a: ArrayView2<f64>, b: ArrayView2<f64>) -> Result<Array2<f64>> {
    Ok(guard(|| {
        let (x, info) = Tensor::linalg_solve_ex(&tensor(a), &tensor(b), true, false);
        match info.int64_value(&[]) {
            0 => Ok(matrix(&x)),
            _ => Ok(Array2::from_elem(b.dim(), f64::NAN)),
        }
    })?)
}

/// An orthonormal basis of the columns of `a`, by QR.
pub(crate) fn orthonormal(a: ArrayView2<f64>) -> Result<Array2<f64>> {
    Ok(guard(|| {
        let (q, _) = Tensor::linalg_qr(&tensor(a), "reduced");
        Ok(matrix(&q))
    })?)
}

/// a · b, some rows at a time: `ask` is asked before each, and ends it with its error.
pub(crate) fn product<E>(
    a: ArrayView2<f64>,
    b: ArrayView2<f64>,
    mut ask: impl FnMut() -> Result<(), E>,
) -> Result<Array2<f64>, E> {
    let each = (b.len() as f64).max(1.0);
    let rows = ((MULTIPLICATIONS / each) as usize).clamp(1, a.nrows().max(1));
    let mut whole = Array2::zeros((a.nrows(), b.ncols()));
    let parts = whole.axis_chunks_iter_mut(Axis(0), rows);
    for (a, mut part) in a.axis_chunks_iter(Axis(0), rows).zip(parts) {
        ask()?;
        general_mat_mul(1.0, &a, &b, 0.0, &mut part);
    }
    Ok(whole)
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
    fn a_product_listens() {
        let a = Array2::from_shape_fn((7, 3), |(i, j)| (i * 3 + j) as f64);
        let mut asked = 0;
        let whole = product(a.view(), a.t(), || {
            asked += 1;
            Ok::<(), ()>(())
        });
        assert_eq!((whole, asked), (Ok(a.dot(&a.t())), 1));
        let large = Array2::<f64>::zeros((4, 20_000));
        let wide = Array2::<f64>::zeros((20_000, 10_000));
        let mut asked = 0;
        let ended = product(large.view(), wide.view(), || {
            asked += 1;
            if asked == 2 { Err("stopped") } else { Ok(()) }
        });
        assert_eq!(ended, Err("stopped"));
    }

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
