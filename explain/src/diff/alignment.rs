//! How alike two models' states are after each layer, whatever the turn and scale of their axes: linear CKA.
//!
//! CKA(X, Y) = ‖YᵀX‖² / (‖XᵀX‖ · ‖YᵀY‖) of centred states (position, hidden), in Frobenius norms (Kornblith et al. 2019,
//! 1905.00414, eq. 3 to 5). By products of positions or of features, whichever are fewer: the numbers are the same.

use ecco_interpreter::is_interrupted;
use ecco_models::Model;
use ecco_models::device::ensure_room;
use ecco_models::host::{self, bring};
use ecco_models::run::Input;
use tch::{Kind, Tensor};

use crate::error::Result;

/// Positions that are compared at most, so that neither memory nor a product grows with the texts.
const MOST: usize = 1024;

/// States of both models while texts pass: each of the two `[position, hidden]`, by depth and text.
pub(super) struct Alignment {
    /// Of all positions, counted through the texts, one in so many counts.
    stride: usize,
    /// Positions so far.
    n: usize,
    kept: Vec<Vec<(Tensor, Tensor)>>,
}

impl Alignment {
    /// # Errors
    /// No room for the states.
    pub(super) fn new(base: &Model, inputs: &[Input]) -> Result<Self> {
        let n: usize = inputs.iter().map(|input| input.spoken().len()).sum();
        let (config, n_kept) = (base.config(), n.min(MOST));
        // In float32 as they are kept, and in float64 as those of a depth are compared.
        let numbers = n_kept * config.hidden_size * (2 * (config.n_layers + 1) + 8) + 8 * n_kept * n_kept;
        let bytes = (numbers * size_of::<f32>()) as u64;
        ensure_room(base.stack().device(), bytes, "the states of both models")?;
        Ok(Self {
            stride: n.div_ceil(MOST).max(1),
            n: 0,
            kept: Vec::new(),
        })
    }

    /// States of a text by depth, `[1, position, hidden]`.
    pub(super) fn add(&mut self, states: &[(&Tensor, &Tensor)]) {
        let length = states.first().map_or(0, |(base, _)| base.size()[1] as usize);
        let first = self.n.next_multiple_of(self.stride) - self.n;
        self.n += length;
        let (first, stride) = (first.min(length) as i64, self.stride as i64);
        let rows = |x: &Tensor| x.get(0).slice(0, first, None, stride).contiguous();
        self.kept.resize_with(states.len(), Vec::new);
        for (depth, (base, tuned)) in self.kept.iter_mut().zip(states) {
            depth.push((rows(base), rows(tuned)));
        }
    }

    /// # Errors
    /// An interrupt.
    pub(super) fn by_depth(&self) -> ecco_models::error::Result<Vec<f64>> {
        let mut all = Vec::new();
        for depth in &self.kept {
            if is_interrupted() {
                return Err(ecco_models::Error::Interrupted);
            }
            let (base, tuned): (Vec<&Tensor>, Vec<&Tensor>) =
                depth.iter().map(|(base, tuned)| (base, tuned)).unzip();
            let base = Tensor::cat(&base, 0).to_kind(Kind::Double);
            let tuned = bring(&Tensor::cat(&tuned, 0), (Kind::Double, base.device()));
            let cka = cka(&base, &tuned);
            // Layers may be on several devices.
            all.push(bring(
                &cka,
                (Kind::Double, all.first().map_or(cka.device(), Tensor::device)),
            ));
        }
        match all.is_empty() {
            true => Ok(Vec::new()),
            false => Ok(host::numbers(&Tensor::stack(&all, 0))),
        }
    }
}

/// A number, of `[position, hidden]` each.
fn cka(x: &Tensor, y: &Tensor) -> Tensor {
    let centred = |x: &Tensor| x - x.mean_dim(0, true, None::<Kind>);
    let (x, y) = (centred(x), centred(y));
    let square = |x: &Tensor| x.square().sum(None::<Kind>);
    if x.size()[0] < x.size()[1] {
        let (k, l) = (x.matmul(&x.tr()), y.matmul(&y.tr())); // [position, position]
        return (&k * &l).sum(None::<Kind>) / (square(&k) * square(&l)).sqrt();
    }
    let own = |x: &Tensor| square(&x.tr().matmul(x)); // of [hidden, hidden]
    square(&y.tr().matmul(&x)) / (own(&x) * own(&y)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::RandomState;
    use tch::Device;

    /// Of `r = RandomState(5)`, `x = r.randn(n, h)`, `y = x + r.randn(n, h)`, in float32: numpy 2's
    /// `norm(y.T @ x) ** 2 / (norm(x.T @ x) * norm(y.T @ y))`, both centred.
    const VALUES: [(i64, i64, f64); 2] = [(12, 30, 0.866_910_979_310_083), (40, 6, 0.581_204_536_605_779_2)];

    #[test]
    fn values_are_numpys() {
        for (n, h, expected) in VALUES {
            let mut random = RandomState::new(5);
            let mut normal = || {
                let numbers: Vec<f32> = (0..n * h).map(|_| random.normal() as f32).collect();
                host::tensor(&numbers, Device::Cpu)
                    .reshape([n, h])
                    .to_kind(Kind::Double)
            };
            let x = normal();
            let y = &x + normal();
            let of = |x: &Tensor, y: &Tensor| host::numbers(&cka(x, y).reshape([1]))[0];
            assert!((of(&x, &y) - expected).abs() < 1e-12, "{}", of(&x, &y));
            assert!(
                (of(&x, &(3.0 * &x + 1.0)) - 1.0).abs() < 1e-12,
                "scales and shifts change nothing"
            );
            let turned = x.index_select(1, &Tensor::arange(h, (Kind::Int64, Device::Cpu)).flip([0]));
            assert!(
                (of(&x, &turned) - 1.0).abs() < 1e-12,
                "nor does another order of the axes"
            );
            assert!(of(&x, &x.ones_like()).is_nan());
        }
    }

    #[test]
    fn of_many_positions_as_many_as_fit_are_kept_from_all_texts() {
        let mut alignment = Alignment {
            stride: 3,
            n: 0,
            kept: Vec::new(),
        };
        for (from, to) in [(0, 4), (4, 5), (5, 12)] {
            let states = Tensor::arange_start(from, to, (Kind::Float, Device::Cpu)).reshape([1, -1, 1]);
            alignment.add(&[(&states, &states)]);
        }
        let kept: Vec<&Tensor> = alignment.kept[0].iter().map(|(base, _)| base).collect();
        assert_eq!(
            host::numbers(&Tensor::cat(&kept, 0).reshape([-1])),
            [0.0, 3.0, 6.0, 9.0]
        );
    }
}
