//! How good a probe is, by what it said of texts that it had not seen.

/// Bins of the probability that calibration is judged in.
const BINS: usize = 10;

/// Share of labels that are on their side.
pub(super) fn accuracy(decisions: &[f64], labels: &[bool]) -> f64 {
    let right = decisions
        .iter()
        .zip(labels)
        .filter(|(f, label)| (**f > 0.0) == **label);
    right.count() as f64 / labels.len() as f64
}

/// The area under the curve of true over false positives, which is the probability that a text of the true label has the
/// larger f, ties by half. None of one label only.
pub(super) fn auc(decisions: &[f64], labels: &[bool]) -> Option<f64> {
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_by(|&a, &b| decisions[a].total_cmp(&decisions[b]));
    let n_true = labels.iter().filter(|label| **label).count();
    let n_false = labels.len() - n_true;
    if n_true == 0 || n_false == 0 {
        return None;
    }
    let (mut below, mut wins) = (0.0, 0.0);
    for tied in order.chunk_by(|&a, &b| decisions[a] == decisions[b]) {
        let of_true = tied.iter().filter(|&&text| labels[text]).count() as f64;
        let of_false = tied.len() as f64 - of_true;
        wins += of_true * (below + of_false / 2.0);
        below += of_false;
    }
    Some(wins / (n_true as f64 * n_false as f64))
}

/// Expected calibration error: over bins of equal width of the probability of the true label, how far its mean is from the
/// share of texts that have the label, weighted by their number (Naeini et al. 2015).
pub(super) fn calibration_error(decisions: &[f64], labels: &[bool]) -> f64 {
    let mut bins = [(0.0, 0.0); BINS];
    for (f, label) in decisions.iter().zip(labels) {
        let probability = 1.0 / (1.0 + (-f).exp());
        // A probability at a bin's edge is in the lower one.
        let bin = ((probability * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
        bins[bin].0 += probability;
        bins[bin].1 += f64::from(u8::from(*label));
    }
    let apart = bins.iter().map(|(told, is)| f64::abs(told - is));
    apart.sum::<f64>() / labels.len() as f64
}

/// Both NaN of nothing.
pub(super) fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n;
    (mean, variance.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_is_a_share_of_pairs() {
        let labels = [false, false, true, true];
        assert_eq!(auc(&[0.1, 0.4, 0.35, 0.8], &labels), Some(0.75));
        assert_eq!(auc(&[0.0, 1.0, 1.0, 2.0], &labels), Some(0.875));
        assert_eq!(auc(&[0.0; 4], &labels), Some(0.5));
        assert_eq!(auc(&[0.0; 2], &[true, true]), None);
    }

    #[test]
    fn a_sure_probe_that_errs_is_badly_calibrated() {
        let sure = [30.0, 30.0, -30.0, -30.0];
        assert!(calibration_error(&sure, &[true, true, false, false]) < 1e-9);
        assert!((calibration_error(&sure, &[true, false, true, false]) - 0.5).abs() < 1e-9);
        assert!(calibration_error(&[0.0; 4], &[true, false, true, false]) < 1e-9);
    }
}
