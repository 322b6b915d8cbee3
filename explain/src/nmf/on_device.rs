//! The same descent where a GPU has room for the matrix: its products are libtorch's, and the coordinates of a component go
//! together, since those of other positions or neurons do not know of them.

use ecco_models::device::ensure_free;
use ecco_models::error::Result;
use ecco_models::guard::guard;
use ecco_models::host::{self, matrix};
use ndarray::{Array2, ArrayView2};
use tch::{Device, Kind, Tensor};

use super::descent::DEAD;

/// The state of a factorization between sweeps.
pub(super) struct Descent {
    x: Tensor, // [position, neuron]
    w: Tensor, // [component, position], float64
    h: Tensor, // [component, neuron]
}

/// Entries of the residual that are there in float64 at a time.
const RESIDUAL_ENTRIES: i64 = 1 << 24;

impl Descent {
    /// # Errors
    /// A device without room for the matrix and as much again, which its products need.
    pub(super) fn new(
        x: ArrayView2<f32>,
        w: ArrayView2<f32>,
        h: ArrayView2<f32>,
        device: Device,
    ) -> Result<Self> {
        ensure_free(device, (2 * size_of::<f32>() * x.len()) as u64, "the factors")?;
        guard(|| {
            Ok(Self {
                x: tensor(x, device),
                w: tensor(w, device).tr().to_kind(Kind::Double).contiguous(),
                h: tensor(h, device),
            })
        })
    }

    /// Every coordinate of W, then every one of H; the sum of the absolute projected gradients met.
    pub(super) fn sweep(&mut self) -> Result<f64> {
        guard(|| {
            let h = self.h.to_kind(Kind::Double);
            let products = self.h.matmul(&self.x.tr()).to_kind(Kind::Double); // [component, position]
            let of_w = update(&self.w, &h.matmul(&h.tr()), &products);
            let products = self.w.to_kind(Kind::Float).matmul(&self.x); // [component, neuron]
            let gram = self.w.matmul(&self.w.tr()).to_kind(Kind::Float);
            let of_h = update(&self.h, &gram, &products);
            Ok(host::number(&(of_w + of_h)))
        })
    }

    /// W (position, component), H (component, neuron), and ‖x − w·h‖, Frobenius.
    pub(super) fn factors(self) -> Result<(Array2<f32>, Array2<f32>, f64)> {
        guard(|| {
            let (w, h) = (self.w.to_kind(Kind::Float), self.h.to_kind(Kind::Double));
            let each = (RESIDUAL_ENTRIES / self.x.size()[1]).max(1);
            let mut squares = Tensor::zeros([1], (Kind::Double, self.x.device()));
            for (x, w) in self.x.split(each, 0).iter().zip(w.tr().split(each, 0)) {
                let residual = x.to_kind(Kind::Double) - w.to_kind(Kind::Double).matmul(&h);
                squares += residual.square().sum(Kind::Double);
            }
            Ok((matrix(&w.tr()), matrix(&self.h), host::number(&squares).sqrt()))
        })
    }
}

/// One sweep over `factor` `[component, n]`, whose gradient is `gram · factor − products`.
fn update(factor: &Tensor, gram: &Tensor, products: &Tensor) -> Tensor {
    let diagonal = gram.diagonal(0, 0, 1);
    let is_dead = diagonal.lt(f64::from(DEAD));
    let inverse = diagonal.reciprocal().masked_fill(&is_dead, 0.0);
    let mut violation = Tensor::zeros([1], (Kind::Double, factor.device()));
    for t in 0..factor.size()[0] {
        let mut row = factor.narrow(0, t, 1); // [1, n]
        let gradient = gram.narrow(0, t, 1).matmul(factor) - products.narrow(0, t, 1);
        let met = gradient.clamp_max(0.0).where_self(&row.eq(0.0), &gradient);
        violation += met.abs().sum(Kind::Double);
        let stepped = (&row - gradient * inverse.narrow(0, t, 1)).clamp_min(0.0);
        row.copy_(&stepped);
    }
    violation
}

fn tensor(x: ArrayView2<f32>, device: Device) -> Tensor {
    let size = [x.nrows() as i64, x.ncols() as i64];
    let x = x.as_standard_layout();
    // Standard layout is one slice.
    host::tensor(x.as_slice().unwrap_or_default(), device).reshape(size)
}

#[cfg(test)]
mod tests {
    use super::super::{descent, start};
    use super::*;
    use crate::random::RandomState;

    /// On the processor, whose numbers are those of a GPU but for the order of sums.
    #[test]
    fn it_is_the_descent_of_the_host() {
        let mut random = RandomState::new(5);
        let mut drawn = |shape| Array2::from_shape_simple_fn(shape, || random.normal().max(0.0) as f32);
        let mut x =
            drawn((23, 400)).dot(&Array2::from_diag_elem(400, 0.5)) + drawn((23, 6)).dot(&drawn((6, 400)));
        // A position and a neuron that are never active, and more components than the rank of some columns.
        x.row_mut(4).fill(0.0);
        x.column_mut(7).fill(0.0);
        let (w, h) = start::draw(x.view(), 7, 3);
        let mut here = descent::Descent::new(x.view(), w.view(), h.view());
        let mut there = Descent::new(x.view(), w.view(), h.view(), Device::Cpu).unwrap();
        for sweep in 0..40 {
            let (here, there) = (here.sweep(), there.sweep().unwrap());
            assert!(
                (here - there).abs() <= 1e-4 * here,
                "sweep {sweep}: {here} and {there}"
            );
        }
        let ((w, h), (w_there, h_there, error)) = (here.factors(), there.factors().unwrap());
        let close = |a: &Array2<f32>, b: &Array2<f32>| {
            let most = descent::largest(a.view());
            assert_eq!(a.dim(), b.dim());
            assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-3 * most));
        };
        close(&w, &w_there);
        close(&h, &h_there);
        let expected = descent::residual_norm(x.view(), w_there.view(), h_there.view());
        assert!(
            (error - expected).abs() < 1e-5 * expected,
            "{error} is not {expected}"
        );
    }
}
