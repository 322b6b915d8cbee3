//! How much of the answer goes through each node, and how much of it the graph explains.
//!
//! As in Ameisen et al. (2025, Circuit Tracing, and its program circuit-tracer): what goes into a node is divided in the
//! proportion of absolute values; the answer has 1, and each node passes on what it has. What comes from parts that are no
//! nodes takes the place of errors; constants take no part.

use super::Sum;

pub(super) struct Share {
    /// By node.
    pub influence: Vec<f64>,
    pub completeness: f64,
    pub replacement: f64,
}

/// `sums` are of the nodes behind the tokens, each behind those that it owes something; the last one is the answer.
pub(super) fn influence(n_tokens: usize, sums: &[Sum]) -> Share {
    let n = n_tokens + sums.len();
    let mut influence = vec![0.0; n];
    influence[n - 1] = 1.0;
    let (mut explained, mut all, mut lost) = (0.0, 0.0, 0.0);
    for (row, sum) in sums.iter().enumerate().rev() {
        let own = influence[n_tokens + row];
        let known: f64 = sum.edges.iter().map(|edge| edge.abs()).sum();
        let size = known + sum.others_size;
        all += own;
        if size <= 0.0 || !size.is_finite() {
            continue;
        }
        for (from, edge) in sum.edges.iter().enumerate() {
            influence[from] += own * edge.abs() / size;
        }
        explained += own * known / size;
        lost += own * sum.others_size / size;
    }
    let tokens: f64 = influence[..n_tokens].iter().sum();
    let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    Share {
        completeness: share(explained, all),
        replacement: share(tokens, tokens + lost),
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
        }
    }

    #[test]
    fn influence_is_passed_on() {
        // One token, a node that owes it half, an answer that owes the node 3 of 4 and the token 1.
        let share = influence(1, &[sum(&[-1.0, 0.0, 0.0], 1.0), sum(&[1.0, 3.0, 0.0], 0.0)]);
        assert_eq!(share.influence, [0.25 + 0.375, 0.75, 1.0]);
        assert_eq!(share.replacement, 0.625);
        assert_eq!(share.completeness, (1.0 + 0.75 * 0.5) / 1.75);
    }

    #[test]
    fn nothing_is_no_division() {
        let share = influence(1, &[sum(&[0.0, 0.0], 0.0)]);
        assert_eq!((share.completeness, share.replacement), (0.0, 0.0));
    }
}
