//! How much of the answer goes through each node, and how much of it the graph explains.
//!
//! As in Ameisen et al. (2025, Circuit Tracing, and its program circuit-tracer): what goes into a node is divided in the
//! proportion of absolute values; the answer has 1, and each node passes on what it has. What comes from parts that are no
//! nodes counts as errors do; constants take no part.

use super::Sum;

pub(super) struct Share {
    /// By node.
    pub influence: Vec<f64>,
    pub completeness: f64,
    pub replacement: f64,
    pub error: f64,
}

/// `sums` are of the nodes behind the tokens, each behind those that it owes something; the last one is the answer. By node
/// whether it is an error.
pub(super) fn influence(n_tokens: usize, sums: &[Sum], is_error: &[bool]) -> Share {
    let n = n_tokens + sums.len();
    let mut influence = vec![0.0; n];
    influence[n - 1] = 1.0;
    let (mut explained, mut all, mut lost, mut errors) = (0.0, 0.0, 0.0, 0.0);
    for (row, sum) in sums.iter().enumerate().rev() {
        let own = influence[n_tokens + row];
        if is_error[n_tokens + row] {
            lost += own;
            errors += own;
            continue;
        }
        let (mut known, mut of_errors) = (0.0, 0.0);
        for (edge, is_error) in sum.edges.iter().zip(is_error) {
            *(if *is_error { &mut of_errors } else { &mut known }) += edge.abs();
        }
        let size = known + of_errors + sum.others_size;
        all += own;
        if size <= 0.0 || !size.is_finite() {
            continue;
        }
        for (from, edge) in sum.edges.iter().enumerate() {
            influence[from] += own * edge.abs() / size;
        }
        explained += own * known / size;
        lost += own * sum.others_size / size;
        errors += own * sum.error_size / size;
    }
    let tokens: f64 = influence[..n_tokens].iter().sum();
    let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    Share {
        completeness: share(explained, all),
        replacement: share(tokens, tokens + lost),
        error: share(errors, tokens + lost),
        influence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(edges: &[f64], others_size: f64) -> Sum {
        Sum {
            value: 0.0,
            constant: 0.0,
            edges: edges.to_vec(),
            others: 0.0,
            others_size,
            error_size: 0.0,
        }
    }

    #[test]
    fn influence_is_passed_on() {
        // One token, a node that owes it half, an answer that owes the node 3 of 4 and the token 1.
        let sums = [sum(&[-1.0, 0.0, 0.0], 1.0), sum(&[1.0, 3.0, 0.0], 0.0)];
        let share = influence(1, &sums, &[false; 3]);
        assert_eq!(share.influence, [0.25 + 0.375, 0.75, 1.0]);
        assert_eq!(share.replacement, 0.625);
        assert_eq!(share.completeness, (1.0 + 0.75 * 0.5) / 1.75);
    }

    #[test]
    fn errors_are_ends_without_being_explained() {
        // A token, an error, a feature that owes both 1 and other errors 2, an answer that owes the feature 1 and the error 3.
        let feature = Sum {
            error_size: 2.0,
            ..sum(&[1.0, -1.0, 0.0], 2.0)
        };
        let sums = [sum(&[0.0; 3], 0.0), feature, sum(&[0.0, 3.0, 1.0], 0.0)];
        let share = influence(1, &sums, &[false, true, false, false]);
        assert_eq!(share.influence, [0.0625, 0.75 + 0.0625, 0.25, 1.0]);
        assert_eq!((share.replacement, share.error), (0.0625, 0.9375));
        assert_eq!(share.completeness, (0.25 + 0.25 * 0.25) / 1.25);
    }

    #[test]
    fn nothing_is_no_division() {
        let share = influence(1, &[sum(&[0.0, 0.0], 0.0)], &[false; 2]);
        assert_eq!((share.completeness, share.replacement), (0.0, 0.0));
    }
}
