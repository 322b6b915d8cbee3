//! Rows of scores: checked, rescaled, and pooled.

/// The largest absolute value that is a number; 0 if there is none.
pub(crate) fn peak(row: &[f32]) -> f32 {
    row.iter()
        .filter(|v| v.is_finite())
        .fold(0.0, |peak, v| v.abs().max(peak))
}

/// A value in units of the row's peak, in 0..=1; `None` where it is not a number.
pub(crate) fn strength(value: f32, peak: f32) -> Option<f32> {
    (value.is_finite()).then(|| if peak > 0.0 { value.abs() / peak } else { 0.0 })
}

/// Indices of the `n` largest absolute values that are not zero, largest first, earlier positions first among
/// equals.
pub(crate) fn top(row: &[f32], n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..row.len())
        .filter(|&i| row[i].is_finite() && row[i] != 0.0)
        .collect();
    order.sort_by(|&a, &b| row[b].abs().total_cmp(&row[a].abs()).then(a.cmp(&b)));
    order.truncate(n);
    order
}

/// The largest strength in each of at most `n` equal stretches of a row.
pub(crate) fn pooled(row: &[f32], n: usize) -> Vec<f32> {
    let (peak, n) = (peak(row), n.min(row.len()));
    let edge = |i: usize| i * row.len() / n;
    let stretch = |i: usize| {
        row[edge(i)..edge(i + 1)]
            .iter()
            .filter_map(|&v| strength(v, peak))
            .fold(0.0, f32::max)
    };
    (0..n).map(stretch).collect()
}

/// The value of largest strength, with its sign, in each of at most `n` equal stretches of a row that is in -1..=1.
pub(crate) fn pooled_signed(row: &[f32], n: usize) -> Vec<f32> {
    let n = n.min(row.len());
    let edge = |i: usize| i * row.len() / n;
    let stronger = |a: f32, &b: &f32| if b.abs() > a.abs() { b } else { a };
    (0..n)
        .map(|i| row[edge(i)..edge(i + 1)].iter().fold(0.0, stronger))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_leaves_out_what_is_no_number() {
        assert_eq!(top(&[0.1, f32::NAN, 0.7, 0.0, -0.2, 0.7], 3), [2, 5, 4]);
        assert_eq!(top(&[], 3), [0usize; 0]);
    }

    #[test]
    fn pooling_keeps_peaks() {
        assert_eq!(pooled(&[0.0, 1.0, 0.5, f32::NAN, 0.25], 2), [1.0, 0.5]);
        assert_eq!(pooled(&[2.0, 4.0], 10), [0.5, 1.0]);
        assert!(pooled(&[], 10).is_empty());
        assert_eq!(pooled_signed(&[0.2, -1.0, 0.5, f32::NAN, 0.25], 2), [-1.0, 0.5]);
        assert!(pooled_signed(&[], 10).is_empty());
    }
}
