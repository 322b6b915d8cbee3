//! Gauss–Legendre quadrature on [0, 1].

use std::f64::consts::PI;

/// The n nodes and weights that integrate polynomials up to degree 2n − 1 exactly; weights sum to 1.
///
/// Newton's method on the Legendre polynomial from Tricomi's estimate of its roots.
pub fn gauss_legendre(n: usize) -> Vec<(f64, f64)> {
    (0..n).map(|index| node(n, index)).collect()
}

fn node(n: usize, index: usize) -> (f64, f64) {
    let mut x = -(PI * (index as f64 + 0.75) / (n as f64 + 0.5)).cos();
    let mut slope = 1.0;
    for _ in 0..100 {
        let (value, derivative) = legendre(n, x);
        slope = derivative;
        let step = value / derivative;
        x -= step;
        if step.abs() < 1e-15 {
            break;
        }
    }
    ((x + 1.0) / 2.0, 1.0 / ((1.0 - x * x) * slope * slope))
}

/// P_n(x) and its derivative, by the three-term recurrence.
fn legendre(n: usize, x: f64) -> (f64, f64) {
    let (mut previous, mut current) = (1.0, x);
    for k in 2..=n {
        let k = k as f64;
        let next = ((2.0 * k - 1.0) * x * current - (k - 1.0) * previous) / k;
        (previous, current) = (current, next);
    }
    (current, n as f64 * (x * current - previous) / (x * x - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integrate(n: usize, f: impl Fn(f64) -> f64) -> f64 {
        gauss_legendre(n)
            .into_iter()
            .map(|(x, weight)| weight * f(x))
            .sum()
    }

    #[test]
    fn polynomials_up_to_degree_2n_minus_1_are_exact() {
        for n in [1, 2, 5, 50, 200] {
            let degree = 2 * n as i32 - 1;
            let exact = 1.0 / f64::from(degree + 1);
            assert!(
                (integrate(n, |x| x.powi(degree)) - exact).abs() < 1e-14,
                "n = {n}"
            );
            assert!((integrate(n, |_| 1.0) - 1.0).abs() < 1e-13, "n = {n}");
        }
    }
}
