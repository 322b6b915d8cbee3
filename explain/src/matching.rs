//! The same factors in two factorizations: who is whose counterpart.

use ndarray::{Array2, ArrayView2};

/// |cosine| of each row of `a` with each of `b`, both (component, neuron).
pub fn cosines(a: ArrayView2<f32>, b: ArrayView2<f32>) -> Array2<f64> {
    let unit = |matrix: ArrayView2<f32>| {
        let mut matrix = matrix.mapv(f64::from);
        for mut row in matrix.rows_mut() {
            let norm = row.dot(&row).sqrt();
            if norm > 0.0 {
                row /= norm;
            }
        }
        matrix
    };
    unit(a).dot(&unit(b).t()).mapv(f64::abs)
}

/// For each row of the square matrix `gain` a column of its own, so that the sum of the chosen entries is largest
/// (Kuhn 1955; by shortest augmenting paths: Jonker & Volgenant 1987, doi:10.1007/BF02278710).
///
/// # Panics
/// If the matrix is not square.
pub fn assign(gain: ArrayView2<f64>) -> Vec<usize> {
    let n = gain.nrows();
    assert_eq!(n, gain.ncols(), "a square matrix");
    // Columns and their rows are counted from 1; column 0 is where a new row enters.
    let cost = |row: usize, column: usize| -gain[[row - 1, column - 1]];
    let (mut of_rows, mut of_columns) = (vec![0.0; n + 1], vec![0.0; n + 1]);
    let mut row_of = vec![0; n + 1];
    for row in 1..=n {
        row_of[0] = row;
        let mut column = 0;
        let mut least = vec![f64::INFINITY; n + 1];
        let mut before = vec![0; n + 1];
        let mut seen = vec![false; n + 1];
        while row_of[column] != 0 {
            seen[column] = true;
            let (row, from) = (row_of[column], column);
            let mut step = f64::INFINITY;
            for to in (1..=n).filter(|&to| !seen[to]) {
                let reduced = cost(row, to) - of_rows[row] - of_columns[to];
                if reduced < least[to] {
                    (least[to], before[to]) = (reduced, from);
                }
                if least[to] < step {
                    (step, column) = (least[to], to);
                }
            }
            for at in 0..=n {
                if seen[at] {
                    of_rows[row_of[at]] += step;
                    of_columns[at] -= step;
                } else {
                    least[at] -= step;
                }
            }
        }
        while column != 0 {
            row_of[column] = row_of[before[column]];
            column = before[column];
        }
    }
    let mut columns = vec![0; n];
    for column in 1..=n {
        columns[row_of[column] - 1] = column - 1;
    }
    columns
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn the_best_assignment_is_not_the_greedy_one() {
        let gain = array![[0.9, 0.8, 0.0], [0.8, 0.1, 0.0], [0.0, 0.0, 0.3]];
        assert_eq!(assign(gain.view()), [1, 0, 2]);
        assert_eq!(assign(array![[0.5]].view()), [0]);
        assert!(assign(Array2::zeros((0, 0)).view()).is_empty());
    }

    /// Against all orders of 6.
    #[test]
    fn no_order_is_better() {
        let mut random = crate::random::RandomState::new(3);
        for _ in 0..20 {
            let gain = Array2::from_shape_simple_fn((6, 6), || random.normal());
            let sum = |order: &[usize]| order.iter().enumerate().map(|(i, &j)| gain[[i, j]]).sum::<f64>();
            let mut orders = vec![vec![]];
            for _ in 0..6 {
                let longer = orders.iter().flat_map(|order: &Vec<usize>| {
                    let free = (0..6).filter(|j| !order.contains(j));
                    free.map(|j| [order.as_slice(), &[j]].concat())
                        .collect::<Vec<_>>()
                });
                orders = longer.collect();
            }
            let best = orders.iter().map(|order| sum(order)).fold(f64::MIN, f64::max);
            assert!((sum(&assign(gain.view())) - best).abs() < 1e-12);
        }
    }

    #[test]
    fn cosines_forget_scale_and_sign() {
        let a = array![[1.0f32, 0.0], [3.0, 4.0]];
        let b = array![[-2.0f32, 0.0], [0.0, 0.0]];
        let cosines = cosines(a.view(), b.view());
        assert_eq!(cosines, array![[1.0, 0.0], [0.6, 0.0]]);
    }
}
