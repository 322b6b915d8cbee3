//! Student's test whether two samples have one mean.

/// The probability of two sides that means at least as far apart come of samples of one normal distribution (Student 1908): scipy's
/// `ttest_ind`. Of samples without any spread 1 where they are equal, else 0.
pub(super) fn equal_means(one: &[f64], two: &[f64]) -> f64 {
    let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
    let (a, b) = (mean(one), mean(two));
    let squares = |of: &[f64], mean: f64| of.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
    let (n, m) = (one.len() as f64, two.len() as f64);
    let freedom = n + m - 2.0;
    let variance = (squares(one, a) + squares(two, b)) / freedom * (1.0 / n + 1.0 / m);
    // Rounding leaves something of equal numbers.
    if variance < 1e-24 {
        return if (a - b).abs() < 1e-12 { 1.0 } else { 0.0 };
    }
    let t2 = (a - b).powi(2) / variance;
    regularised_beta(freedom / 2.0, 0.5, freedom / (freedom + t2))
}

/// I_x(a, b), by its continued fraction (Abramowitz and Stegun 26.5.8, evaluated by Lentz's method).
fn regularised_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - regularised_beta(b, a, 1.0 - x);
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp() / a;
    let tiny = |value: f64| if value.abs() < 1e-300 { 1e-300 } else { value };
    let (mut c, mut d) = (1.0, 1.0 / tiny(1.0 - (a + b) * x / (a + 1.0)));
    let mut fraction = d;
    for m in 1..10_000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let before = fraction;
        for step in [even, odd] {
            d = 1.0 / tiny(1.0 + step * d);
            c = tiny(1.0 + step / c);
            fraction *= c * d;
        }
        if (fraction / before - 1.0).abs() < 1e-15 {
            break;
        }
    }
    front * fraction
}

/// ln Γ(x) of x above 0, by Stirling's series behind some steps of Γ(x + 1) = x Γ(x).
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut below) = (x, 0.0);
    while x < 10.0 {
        below += x.ln();
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    let series = (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square / 1680.0))) / x;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_scipys() {
        // scipy.stats.ttest_ind
        let cases: [(&[f64], &[f64], f64); 3] = [
            (&[1.0, 2.0, 3.0], &[2.0, 4.0, 9.0], 0.2372403298),
            (&[0.9, 1.0, 0.95, 1.0], &[0.4, 0.6, 0.5, 0.45, 0.7], 0.0002781652),
            (&[0.5, 0.6], &[0.55, 0.5], 0.6984886554),
        ];
        for (one, two, expected) in cases {
            let found = equal_means(one, two);
            assert!((found - expected).abs() < 1e-7, "{found}, expected {expected}");
        }
        assert_eq!(equal_means(&[1.0; 3], &[1.0; 3]), 1.0);
        assert_eq!(equal_means(&[1.0; 3], &[0.0; 3]), 0.0);
        assert!((ln_gamma(0.5) - std::f64::consts::PI.sqrt().ln()).abs() < 1e-10);
    }
}
