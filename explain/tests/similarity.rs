//! Similarities against the published formulas on stored captures, and by what must hold for any: in float64.

mod arrays;

use std::ops::ControlFlow;

use arrays::{Fixtures, normal};
use ecco_explain::similarity::{Kernel, Method, SimilarityError, compare, grid};
use ecco_interpreter::unwatched;
use ndarray::{Array2, ArrayView2, Axis, concatenate};

const CKA: Method = cka(Kernel::Linear, false);
const UNBIASED: Method = cka(Kernel::Linear, true);
const RBF: Kernel = Kernel::Rbf { bandwidth: 1.0 };

const fn cka(kernel: Kernel, unbiased: bool) -> Method {
    Method::Cka { kernel, unbiased }
}

fn score(a: ArrayView2<f64>, b: ArrayView2<f64>, method: Method) -> f64 {
    compare(a, b, method, &mut unwatched).unwrap().score
}

#[test]
fn scores_are_those_of_the_published_formulas() {
    let fixtures = Fixtures::read();
    let methods = [
        ("cca", Method::Cca),
        ("svcca", Method::Svcca { dims: 5 }),
        ("pwcca", Method::Pwcca { canonical: false }),
        ("pwcca_canonical", Method::Pwcca { canonical: true }),
        ("cka", CKA),
        ("cka_unbiased", UNBIASED),
        ("cka_rbf", cka(RBF, false)),
        ("cka_rbf_half", cka(Kernel::Rbf { bandwidth: 0.5 }, false)),
        ("cka_rbf_unbiased", cka(RBF, true)),
    ];
    let pairs = fixtures.facts["similarity"].as_object().unwrap();
    assert_eq!(pairs.len(), 4);
    for (pair, expected) in pairs {
        let stored = |which: &str| fixtures.matrix(&format!("similarity.{pair}.{which}"));
        let (x, y) = (stored("x"), stored("y"));
        for (name, method) in methods {
            let found = score(x.view(), y.view(), method);
            let expected = expected[name].as_f64().unwrap();
            assert!(
                (found - expected).abs() < 1e-9,
                "{pair} {name}: {found} is not {expected}"
            );
        }
        let found = compare(x.view(), y.view(), Method::Cca, &mut unwatched)
            .unwrap()
            .coefficients;
        let expected = expected["correlations"].as_array().unwrap();
        assert_eq!(found.len(), expected.len(), "{pair}");
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected.as_f64().unwrap()).abs() < 1e-9, "{pair}");
        }
    }
}

/// Orthogonal: a product of reflections.
fn rotation(n: usize, seed: u64) -> Array2<f64> {
    let mut q = Array2::eye(n);
    for i in 0..4 {
        let v = normal((n, 1), seed + i);
        let square = (&v * &v).sum();
        q = q.dot(&(Array2::eye(n) - v.dot(&v.t()) * (2.0 / square)));
    }
    q
}

/// By either way to compute it: more positions than neurons, and fewer.
#[test]
fn cka_knows_no_rotation_scale_or_shift() {
    for (positions, seed) in [(60, 1), (12, 5)] {
        let (a, b) = (normal((20, positions), seed), normal((15, positions), seed + 1));
        let b = concatenate(Axis(0), &[b.view(), a.view()]).unwrap();
        let turned = rotation(20, seed).dot(&a) * 7.5 + &normal((20, 1), seed + 2);
        for method in [CKA, UNBIASED, cka(RBF, false), cka(RBF, true)] {
            let (plain, turned) = (
                score(a.view(), b.view(), method),
                score(turned.view(), b.view(), method),
            );
            assert!(
                (plain - turned).abs() < 1e-12,
                "{method:?}, {positions}: {plain} {turned}"
            );
            assert!((score(a.view(), a.view(), method) - 1.0).abs() < 1e-12);
            let back = score(b.view(), a.view(), method);
            assert!((plain - back).abs() < 1e-12, "{method:?} is not symmetric");
        }
        let stretched = &a * &Array2::from_shape_fn((20, 1), |(i, _)| (1 + i) as f64);
        let gap = score(a.view(), b.view(), CKA) - score(stretched.view(), b.view(), CKA);
        assert!(gap.abs() > 1e-3, "a linear map is another matter: {gap}");
    }
}

#[test]
fn both_ways_to_compute_cka_agree() {
    let (a, b) = (normal((20, 25), 1), normal((6, 25), 2) + 3.0);
    let wide = concatenate(Axis(0), &[a.view(), Array2::zeros((10, 25)).view()]).unwrap();
    for unbiased in [false, true] {
        let method = cka(Kernel::Linear, unbiased);
        let gap = score(a.view(), b.view(), method) - score(wide.view(), b.view(), method);
        assert!(
            gap.abs() < 1e-12,
            "neurons that are always 0 change nothing: {gap}"
        );
    }
}

#[test]
fn cca_knows_no_invertible_map() {
    let (a, noise) = (normal((6, 80), 1), normal((5, 80), 2));
    let b = concatenate(Axis(0), &[noise.view(), (&a + &normal((6, 80), 3)).view()]).unwrap();
    let map = Array2::eye(6) + normal((6, 6), 4) * 0.15;
    let mapped = map.dot(&a) + &normal((6, 1), 5);
    let of = |a: &Array2<f64>| compare(a.view(), b.view(), Method::Cca, &mut unwatched).unwrap();
    let (plain, mapped) = (of(&a), of(&mapped));
    assert!(
        (plain.score - mapped.score).abs() < 1e-8,
        "{} {}",
        plain.score,
        mapped.score
    );
    for (plain, mapped) in plain.coefficients.iter().zip(&mapped.coefficients) {
        assert!((plain - mapped).abs() < 1e-8, "{plain} {mapped}");
    }
    assert!(plain.score < 0.95, "there is something to tell apart");
    let own = compare(a.view(), map.dot(&a).view(), Method::Cca, &mut unwatched).unwrap();
    assert!((own.score - 1.0).abs() < 1e-8);
}

/// The published directions depend on signs that no computation decides; the canonical ones do not.
#[test]
fn canonical_pwcca_knows_no_map_of_the_other_side_nor_shift() {
    let (a, b) = (normal((5, 60), 1), normal((8, 60), 2) + &normal((1, 60), 3));
    let of = |a: &Array2<f64>, b: &Array2<f64>| score(a.view(), b.view(), Method::Pwcca { canonical: true });
    let map = Array2::eye(8) + normal((8, 8), 4) * 0.2;
    let gap = of(&a, &b) - of(&(&a + 5.0), &(map.dot(&b) - 2.0));
    assert!(gap.abs() < 1e-8, "{gap}");
}

#[test]
fn unrelated_noise_is_unlike_where_the_estimate_is_unbiased() {
    let mut mean = [0.0; 2];
    for seed in 0..20 {
        let (a, b) = (normal((30, 40), 2 * seed + 1), normal((30, 40), 2 * seed + 2));
        mean[0] += score(a.view(), b.view(), CKA) / 20.0;
        mean[1] += score(a.view(), b.view(), UNBIASED) / 20.0;
    }
    assert!(mean[0] > 0.4, "biased: {}", mean[0]);
    assert!(mean[1].abs() < 0.02, "unbiased: {}", mean[1]);
}

#[test]
fn a_grid_has_the_score_of_each_pair() {
    let single = |shape, seed| normal(shape, seed).mapv(|value| value as f32);
    let rows = [single((5, 40), 1), single((9, 40), 2), Array2::ones((4, 40))];
    let columns = [single((7, 40), 3), rows[1].clone()];
    let (a, b) = (
        rows.each_ref().map(|x| x.view()),
        columns.each_ref().map(|x| x.view()),
    );
    for method in [Method::Cca, Method::Svcca { dims: 3 }, CKA, UNBIASED] {
        let grid = grid(&a, &b, method, &mut unwatched).unwrap();
        assert_eq!(grid.dim(), (3, 2));
        for ((i, j), &found) in grid.indexed_iter().filter(|((i, _), _)| *i < 2) {
            let wide = [&rows[i], &columns[j]].map(|x| x.mapv(f64::from));
            let expected = score(wide[0].view(), wide[1].view(), method);
            assert!(
                (found - expected).abs() < 1e-12,
                "{method:?} {i} {j}: {found} {expected}"
            );
        }
        assert!(
            (grid[[1, 1]] - 1.0).abs() < 1e-6,
            "the same capture: {}",
            grid[[1, 1]]
        );
        assert!(
            grid[[2, 0]].is_nan() && grid[[2, 1]].is_nan(),
            "what never changes is like nothing"
        );
    }
}

#[test]
fn a_grid_can_be_stopped() {
    let x = normal((5, 40), 1).mapv(|value| value as f32);
    let all = [x.view(), x.view(), x.view()];
    let mut seen = Vec::new();
    let stopped = grid(&all, &all, Method::Cca, &mut |progress| {
        seen.push((progress.done, progress.total));
        if progress.done == 8 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert!(matches!(stopped, Err(SimilarityError::Interrupted)));
    assert_eq!(seen.last(), Some(&(8, Some(15))));
}

#[test]
fn bad_input_is_named() {
    let fails = |a: &Array2<f64>, b: &Array2<f64>, method| {
        compare(a.view(), b.view(), method, &mut unwatched)
            .unwrap_err()
            .to_string()
    };
    let (a, b) = (normal((6, 20), 1), normal((4, 20), 2));
    assert_eq!(
        fails(&a, &normal((5, 18), 3), CKA),
        "the captures have other positions: (neuron 6, position 20) and (neuron 5, position 18)"
    );
    assert!(fails(&normal((20, 20), 3), &b, Method::Cca).contains("(neuron 20, position 20)"));
    assert!(
        fails(&b, &normal((30, 20), 3), Method::Pwcca { canonical: false })
            .contains("(neuron 30, position 20)")
    );
    assert_eq!(
        fails(&a, &b, Method::Svcca { dims: 5 }),
        "dims is 5: a capture (neuron 4, position 20) has 1 to 4 directions to compare"
    );
    assert!(fails(&a, &b, Method::Svcca { dims: 0 }).contains("dims is 0"));
    let wide = normal((30, 20), 3);
    assert!(
        fails(&wide, &wide, Method::Svcca { dims: 19 }).contains("1 to 18"),
        "19 would be all there is"
    );
    let mut odd = a.clone();
    odd[[2, 7]] = f64::NAN;
    assert_eq!(
        fails(&b, &odd, CKA),
        "the activation of neuron 2 at position 7 is NaN: it must be a finite number"
    );
    assert!(fails(&a, &Array2::from_elem((3, 20), 0.1), CKA).contains("the second capture changes"));
    assert!(fails(&a, &Array2::zeros((0, 20)), CKA).contains("empty"));
    assert!(fails(&normal((6, 3), 1), &normal((6, 3), 2), UNBIASED).contains("at least 4 positions"));
    assert!(fails(&a, &b, cka(Kernel::Rbf { bandwidth: 0.0 }, false)).contains("bandwidth is 0"));
}
