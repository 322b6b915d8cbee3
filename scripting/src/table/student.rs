//! How far the mean of a few numbers may be off.

/// The 97.5 % quantile of Student's distribution.
pub fn student(freedom: usize) -> f64 {
    const FIRST: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145,
        2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048,
        2.045, 2.042,
    ];
    match FIRST.get(freedom.wrapping_sub(1)) {
        Some(quantile) => *quantile,
        // Cornish and Fisher's expansion, to 1e-3.
        None => 1.95996 + 2.37227 / freedom as f64 + 2.8225 / (freedom as f64).powi(2),
    }
}
