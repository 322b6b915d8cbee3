//! The start of the descent: numpy's legacy normal numbers, drawn in scikit-learn's order.

use ndarray::{Array2, ArrayView2};
use rand_mt::Mt;

/// scikit-learn's `init="random"`: |N(0, 1)| · √(mean(x) / n_components), H before W.
/// Answers W (position, component) and H (component, neuron).
pub(super) fn start(x: ArrayView2<f32>, n_components: usize, seed: u32) -> (Array2<f32>, Array2<f32>) {
    let mean = x.iter().map(|&value| f64::from(value)).sum::<f64>() / x.len() as f64;
    let scale = (mean / n_components as f64).sqrt() as f32;
    let mut random = RandomState::new(seed);
    let mut draw = |shape| Array2::from_shape_simple_fn(shape, || (scale * random.normal() as f32).abs());
    let h = draw((n_components, x.ncols()));
    let w = draw((x.nrows(), n_components));
    (w, h)
}

/// `numpy.random.RandomState(seed)`, as far as needed: its streams are frozen for compatibility.
struct RandomState {
    twister: Mt,
    /// The polar method makes two numbers at a time; the other one waits here.
    spare: Option<f64>,
}

impl RandomState {
    fn new(seed: u32) -> Self {
        Self {
            twister: Mt::new(seed),
            spare: None,
        }
    }

    /// A standard normal number, by Marsaglia's polar method.
    fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let x1 = 2.0 * self.uniform() - 1.0;
            let x2 = 2.0 * self.uniform() - 1.0;
            let r2 = x1 * x1 + x2 * x2;
            if r2 < 1.0 && r2 != 0.0 {
                let f = (-2.0 * r2.ln() / r2).sqrt();
                self.spare = Some(f * x1);
                return f * x2;
            }
        }
    }

    /// Uniform in [0, 1) with 53 random bits.
    fn uniform(&mut self) -> f64 {
        let high = f64::from(self.twister.next_u32() >> 5); // 27 bits
        let low = f64::from(self.twister.next_u32() >> 6); // 26 bits
        (high * 67_108_864.0 + low) / 9_007_199_254_740_992.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `np.random.RandomState(seed).randn(3)`.
    #[test]
    fn normal_numbers_are_numpys() {
        for (seed, expected) in [
            (
                0,
                [
                    1.764_052_345_967_664,
                    0.400_157_208_367_223_3,
                    0.978_737_984_105_739_2,
                ],
            ),
            (
                u32::MAX,
                [
                    0.648_408_674_230_652_7,
                    0.669_323_530_633_816_1,
                    -1.080_543_722_747_449_3,
                ],
            ),
        ] {
            let mut random = RandomState::new(seed);
            for value in expected {
                assert!((random.normal() - value).abs() < 1e-15, "seed {seed}: {value}");
            }
        }
    }
}
