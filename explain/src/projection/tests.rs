use std::time::{Duration, Instant};

use ecco_interpreter::unwatched;

use super::*;
use crate::random::RandomState;

const TSNE: ProjectionMethod = ProjectionMethod::Tsne { perplexity: None };

/// `RandomState(seed).randn(n, width)` with 8 added to feature r % k of row r.
fn planted(n: usize, width: usize, seed: u32, k: usize) -> Array2<f32> {
    let mut random = RandomState::new(seed);
    let mut x = Array2::from_shape_simple_fn((n, width), || random.normal() as f32);
    for row in 0..n {
        x[[row, row % k]] += 8.0;
    }
    x
}

/// `PCA(2, svd_solver="full")` of scikit-learn 1.9 on `planted(60, 8, 3, 3)`, as it is and divided by `x.std(0)`: the shares, and
/// the first three points.
const COMPONENTS_OF: [(bool, [f64; 2], [[f64; 2]; 3]); 2] = [
    (
        false,
        [0.478_208_665_508_44, 0.397_441_825_522_216_35],
        [
            [-5.759_179_381_296_822, -5.785_946_976_461_065],
            [-3.098_757_213_662_826_5, 6.006_497_573_585_713],
            [7.491_722_922_079_473, -2.633_148_049_423_014_4],
        ],
    ),
    (
        true,
        [0.219_577_816_295_827_15, 0.184_965_929_029_774_5],
        [
            [-1.439_108_665_168_663, -1.582_340_225_729_027_8],
            [-0.223_929_446_944_703_01, 2.157_349_223_064_972],
            [0.997_192_359_871_980_6, -1.578_802_573_862_713],
        ],
    ),
];

#[test]
fn components_are_scikit_learns_up_to_their_signs() {
    let x = planted(60, 8, 3, 3);
    for (standardize, shares, points) in COMPONENTS_OF {
        let found = projection(x.view(), ProjectionMethod::Pca, standardize, &mut unwatched).unwrap();
        for axis in 0..2 {
            assert!(
                (found.shares[axis] - shares[axis]).abs() < 1e-6,
                "{:?}",
                found.shares
            );
            let sign = (found.points[[0, axis]] * points[0][axis]).signum();
            for (row, point) in points.iter().enumerate() {
                let gap = sign * found.points[[row, axis]] - point[axis];
                assert!(gap.abs() < 1e-5, "{standardize}: {gap} at {row}, {axis}");
            }
        }
    }
}

/// How far neighbours of the map are neighbours of the rows, as scikit-learn's `trustworthiness` has it.
fn trustworthiness(x: &Array2<f32>, points: &Array2<f64>, k: usize) -> f64 {
    let n = x.nrows();
    let nearest = |row: usize, distance: &dyn Fn(usize) -> f64| -> Vec<usize> {
        let mut others: Vec<usize> = (0..n).filter(|other| *other != row).collect();
        others.sort_by(|&a, &b| distance(a).total_cmp(&distance(b)));
        others
    };
    let mut lost = 0.0;
    for row in 0..n {
        let there = |other: usize| {
            (&x.row(row) - &x.row(other))
                .mapv(|gap| f64::from(gap).powi(2))
                .sum()
        };
        let here = |other: usize| {
            (&points.row(row) - &points.row(other))
                .mapv(|gap| gap.powi(2))
                .sum()
        };
        let order = nearest(row, &there);
        for other in &nearest(row, &here)[..k] {
            let rank = order.iter().position(|known| known == other).unwrap() + 1;
            lost += rank.saturating_sub(k) as f64;
        }
    }
    1.0 - 2.0 * lost / (n * k * (2 * n - 3 * k - 1)) as f64
}

/// `TSNE(perplexity=…, init="pca", random_state=0)` of scikit-learn 1.9 on `planted(200, 10, 6, 4)` ends at these divergences and
/// trustworthiness (5 neighbours), principal components at 0.917.
const NEIGHBOURS: [(f64, f64, f64); 2] = [(30.0, 0.242_369, 0.974_276), (10.0, 0.611_790, 0.975_198)];

#[test]
fn neighbours_stay_neighbours_as_much_as_scikit_learns() {
    let x = planted(200, 10, 6, 4);
    for (perplexity, divergence, trust) in NEIGHBOURS {
        let method = ProjectionMethod::Tsne {
            perplexity: Some(perplexity),
        };
        let found = projection(x.view(), method, false, &mut unwatched).unwrap();
        let own = trustworthiness(&x, &found.points, 5);
        assert!(own > trust - 0.01, "{own} of {trust}");
        let reached = found.divergence.unwrap();
        // Both end in a minimum near by, and there are several.
        assert!(reached < 1.25 * divergence, "{reached} of {divergence}");
        let again = projection(x.view(), method, false, &mut unwatched).unwrap();
        assert_eq!(found, again, "the same rows, the same map");
    }
    let plain = projection(x.view(), ProjectionMethod::Pca, false, &mut unwatched).unwrap();
    assert!((trustworthiness(&x, &plain.points, 5) - 0.916_64).abs() < 1e-4);
}

#[test]
fn rows_that_are_the_same_are_one_point() {
    let mut x = planted(40, 5, 2, 2);
    for row in 1..12 {
        let first = x.row(0).to_owned();
        x.row_mut(row).assign(&first);
    }
    let found = projection(x.view(), TSNE, false, &mut unwatched).unwrap();
    assert!(found.points.iter().all(|value| value.is_finite()));
    let same = projection(Array2::<f32>::ones((9, 3)).view(), TSNE, true, &mut unwatched).unwrap();
    assert_eq!(same.points, Array2::<f64>::zeros((9, 2)));
    let line = projection(
        Array2::from_shape_fn((5, 1), |(row, _)| row as f32).view(),
        ProjectionMethod::Pca,
        false,
        &mut unwatched,
    );
    let line = line.unwrap();
    assert_eq!((line.shares, line.points.column(1).sum()), (vec![1.0, 0.0], 0.0));
    let four = projection(planted(4, 3, 1, 2).view(), TSNE, false, &mut unwatched).unwrap();
    assert_eq!(four.perplexity, Some(1.0));
    assert!(four.points.iter().all(|value| value.is_finite()));
}

#[test]
fn a_map_that_is_drawn_can_be_interrupted() {
    let x = planted(600, 20, 5, 5);
    let mut asked = None;
    let begun = Instant::now();
    let error = projection(x.view(), TSNE, false, &mut |progress| match progress.done > 3 {
        true => {
            asked.get_or_insert_with(Instant::now);
            ControlFlow::Break(())
        }
        false => ControlFlow::Continue(()),
    });
    assert!(matches!(error, Err(DecompositionError::Interrupted)), "{error:?}");
    assert!(
        asked.unwrap().elapsed() < Duration::from_millis(500),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn what_has_no_map_is_said() {
    let error = |x: &Array2<f32>, method: ProjectionMethod| {
        projection(x.view(), method, false, &mut unwatched)
            .unwrap_err()
            .to_string()
    };
    let mut x = planted(10, 3, 1, 2);
    let one = x.select(Axis(0), &[0]);
    assert_eq!(
        error(&one, ProjectionMethod::Pca),
        "states is 1 × 3: a map takes two rows or more, of a feature or more"
    );
    assert_eq!(
        error(&x.select(Axis(0), &[0, 1, 2]), TSNE),
        "states is 3 rows: t-SNE takes four or more"
    );
    for perplexity in [0.5, 4.0, f64::NAN] {
        let method = ProjectionMethod::Tsne {
            perplexity: Some(perplexity),
        };
        assert_eq!(
            error(&x, method),
            format!("perplexity is {perplexity}: expected 1 to 3.0, a third of the other 9 rows")
        );
    }
    x[[4, 1]] = f32::INFINITY;
    assert_eq!(
        error(&x, ProjectionMethod::Pca),
        "a value is inf in row 4 at 1: a map needs finite numbers"
    );
}
