//! How good a probe is, by what it said of texts that it had not seen.

use ndarray::{Array2, ArrayView1};

use super::several::softmax;

/// Bins of the probability that calibration is judged in.
const BINS: usize = 10;

/// The class that a text is told to have, of how far it is on the side of each plane.
fn told(planes: ArrayView1<f64>) -> usize {
    match planes.len() {
        1 => usize::from(planes[0] > 0.0),
        n => (1..n).fold(
            0,
            |best, class| if planes[class] > planes[best] { class } else { best },
        ),
    }
}

/// Share of labels that are right, of (text, plane).
pub(super) fn accuracy(decisions: &Array2<f64>, labels: &[usize]) -> f64 {
    let texts = decisions.outer_iter().zip(labels);
    let right = texts.filter(|(planes, label)| told(*planes) == **label);
    right.count() as f64 / labels.len() as f64
}

/// Of two classes the area under the curve; of more the mean over those that come up of each against the others, by its
/// probability where there is one. None where there is nothing to tell apart.
pub(super) fn auc(decisions: &Array2<f64>, labels: &[usize], has_probabilities: bool) -> Option<f64> {
    let n_planes = decisions.dim().1;
    let is = |class: usize| labels.iter().map(|label| *label == class).collect::<Vec<bool>>();
    if n_planes == 1 {
        return area(&decisions.column(0).to_vec(), &is(1));
    }
    let scores = match has_probabilities {
        true => softmax(decisions.clone()),
        false => decisions.clone(),
    };
    let areas: Vec<f64> = (0..n_planes)
        .filter_map(|class| area(&scores.column(class).to_vec(), &is(class)))
        .collect();
    (!areas.is_empty()).then(|| areas.iter().sum::<f64>() / areas.len() as f64)
}

/// The area under the curve of true over false positives, which is the probability that a text of the true label has the
/// larger f, ties by half. None of one label only.
fn area(decisions: &[f64], labels: &[bool]) -> Option<f64> {
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

/// Expected calibration error: over bins of equal width of a probability, how far its mean is from the share of texts of which
/// what it is of is true, weighted by their number (Naeini et al. 2015). Of two classes that is the second; of more the one that
/// a text is told to have (Guo et al. 2017).
pub(super) fn calibration_error(decisions: &Array2<f64>, labels: &[usize]) -> f64 {
    let shares = softmax(decisions.clone());
    let probability = |text: usize| match decisions.dim().1 {
        1 => (1.0 / (1.0 + (-decisions[[text, 0]]).exp()), labels[text] == 1),
        _ => {
            let class = told(decisions.row(text));
            (shares[[text, class]], labels[text] == class)
        }
    };
    let mut bins = [(0.0, 0.0); BINS];
    for text in 0..labels.len() {
        let (probability, is_true) = probability(text);
        // A probability at a bin's edge is in the lower one.
        let bin = ((probability * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
        bins[bin].0 += probability;
        bins[bin].1 += f64::from(u8::from(is_true));
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
        assert_eq!(area(&[0.1, 0.4, 0.35, 0.8], &labels), Some(0.75));
        assert_eq!(area(&[0.0, 1.0, 1.0, 2.0], &labels), Some(0.875));
        assert_eq!(area(&[0.0; 4], &labels), Some(0.5));
        assert_eq!(area(&[0.0; 2], &[true, true]), None);
    }

    #[test]
    fn a_sure_probe_that_errs_is_badly_calibrated() {
        let of = |decisions: &[f64], labels: &[usize]| {
            let decisions = Array2::from_shape_vec((decisions.len(), 1), decisions.to_vec());
            calibration_error(&decisions.unwrap(), labels)
        };
        let sure = [30.0, 30.0, -30.0, -30.0];
        assert!(of(&sure, &[1, 1, 0, 0]) < 1e-9);
        assert!((of(&sure, &[1, 0, 1, 0]) - 0.5).abs() < 1e-9);
        assert!(of(&[0.0; 4], &[1, 0, 1, 0]) < 1e-9);
        // Of several classes, by how sure it is of the one it tells.
        let several = ndarray::array![[0.0, 30.0, 0.0], [30.0, 0.0, 0.0]];
        assert!(calibration_error(&several, &[1, 0]) < 1e-9);
        assert!((calibration_error(&several, &[1, 2]) - 0.5).abs() < 1e-9);
    }
}
