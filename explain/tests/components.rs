//! Transforms, principal and independent components against scikit-learn's on stored matrices, and by what must hold
//! for any; the choice of a number of components by planted ones.

mod arrays;

use std::ops::ControlFlow;

use arrays::{Fixtures, assert_close, normal};
use ecco_explain::ica::{IcaOptions, ica};
use ecco_explain::matching::{assign, cosines};
use ecco_explain::nmf::{NmfError, NmfOptions, choose, factorize, transform};
use ecco_explain::pca::pca;
use ecco_explain::similarity::{Method, compare};
use ecco_interpreter::unwatched;
use ndarray::{Array2, ArrayView2, Axis, s};

#[test]
fn transforms_are_scikit_learns() {
    let fixtures = Fixtures::read();
    let neurons = fixtures.single("nmf.neurons");
    for (x, expected) in [("nmf.x", "nmf.of_x"), ("nmf.y", "nmf.of_y")] {
        let found = transform(
            fixtures.single(x).view(),
            neurons.view(),
            &NmfOptions::default(),
            &mut unwatched,
        );
        assert_close(found.unwrap().view(), fixtures.matrix(expected).view(), 1e-4, x);
    }
}

#[test]
fn a_transform_finds_where_its_own_factors_are() {
    let (w, h) = (positive((6, 3), 1), positive((3, 40), 2));
    let options = NmfOptions {
        tol: 0.0,
        max_iter: 3000,
        ..NmfOptions::default()
    };
    let found = transform(w.dot(&h).view(), h.view(), &options, &mut unwatched).unwrap();
    assert_close(found.view(), w.t().mapv(f64::from).view(), 1e-4, "w");
    // A position does not know of the others.
    let one = transform(w.dot(&h).slice(s![2..3, ..]), h.view(), &options, &mut unwatched).unwrap();
    assert_close(
        one.view(),
        w.slice(s![2..3, ..]).t().mapv(f64::from).view(),
        1e-4,
        "one",
    );
}

#[test]
fn other_neurons_are_refused() {
    let (x, h) = (positive((4, 9), 1), positive((2, 8), 2));
    let error = transform(x.view(), h.view(), &NmfOptions::default(), &mut unwatched).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the text has 9 neurons at that site, the factors have 8"
    );
    let pca = pca(signed((5, 8), 3).view(), 2, &mut unwatched).unwrap();
    assert!(
        pca.transform(signed((5, 9), 3).view(), &mut unwatched)
            .unwrap_err()
            .to_string()
            .contains("9 neurons")
    );
}

#[test]
fn principal_components_are_scikit_learns() {
    let fixtures = Fixtures::read();
    for case in ["pca_wide", "pca_tall"] {
        let stored = |name: &str| fixtures.matrix(&format!("{case}.{name}"));
        let x = fixtures.single(&format!("{case}.x"));
        let components = stored("components");
        let found = pca(x.view(), components.nrows(), &mut unwatched).unwrap();
        assert_close(found.components.view(), components.view(), 1e-6, case);
        assert_close(found.neurons.view(), stored("neurons").view(), 1e-6, case);
        for (found, name) in [
            (&found.explained_variance, "variance"),
            (&found.explained_variance_ratio, "ratio"),
        ] {
            for (found, expected) in found.iter().zip(&stored(name)) {
                assert!(
                    (found - expected).abs() < 1e-10 * expected,
                    "{case} {name}: {found} {expected}"
                );
            }
        }
        let half = x.slice(s![..x.nrows() / 2, ..]).mapv(|value| value * 0.5);
        let of_half = found.transform(half.view(), &mut unwatched).unwrap();
        assert_close(of_half.view(), stored("of_half").view(), 1e-6, case);
    }
}

#[test]
fn what_components_leave_is_the_error() {
    let x = signed((12, 30), 5);
    let mut last = f64::INFINITY;
    for k in 1..=12 {
        let found = pca(x.view(), k, &mut unwatched).unwrap();
        let rest = left(&x, &found.components, &found.neurons);
        assert!(
            (rest - found.error).abs() < 1e-5 * norm(&x),
            "{k}: {rest} is not {}",
            found.error
        );
        assert!(found.error <= last);
        last = found.error;
        let explained: f64 = found.explained_variance_ratio.iter().sum();
        assert!((explained + found.relative_error.powi(2) - 1.0).abs() < 1e-10);
    }
    assert!(last < 1e-5, "all components leave {last}");
}

/// Equal to the last digit that float32 has, signs and order included: scikit-learn draws the same start.
#[test]
fn independent_components_are_scikit_learns() {
    let fixtures = Fixtures::read();
    for (case, seed) in [("ica_sources", 0), ("ica_wide", 7)] {
        let stored = |name: &str| fixtures.matrix(&format!("{case}.{name}"));
        let components = stored("components");
        let options = IcaOptions {
            n_components: components.nrows(),
            seed,
            max_iter: 400,
            ..IcaOptions::default()
        };
        let x = fixtures.single(&format!("{case}.x"));
        let found = ica(x.view(), &options, &mut unwatched).unwrap();
        assert_eq!(
            found.n_iter as u64,
            fixtures.facts[case].as_u64().unwrap(),
            "{case}"
        );
        assert!(found.converged);
        assert_close(found.components.view(), components.view(), 1e-4, case);
        assert_close(found.neurons.view(), stored("neurons").view(), 1e-4, case);
        assert_close(found.unmixing.view(), stored("unmixing").view(), 1e-4, case);
        assert_close(
            found.transform(x.view(), &mut unwatched).unwrap().view(),
            components.view(),
            1e-4,
            case,
        );
        let rest = left(&x, &found.components, &found.neurons);
        assert!(
            (rest - found.error).abs() < 1e-5 * norm(&x),
            "{case}: {rest} is not {}",
            found.error
        );
    }
}

/// Three signals of other shapes, mixed: each comes back, up to sign and order. Principal components mix them.
#[test]
fn mixed_signals_are_told_apart() {
    let n = 400;
    let signals = Array2::from_shape_fn((3, n), |(k, i)| match k {
        0 => (i as f64 / 7.0).sin().signum(),
        1 => (i % 11) as f64,
        _ => normal((1, n), 3)[[0, i]].powi(3),
    });
    let x = signals.t().dot(&normal((3, 12), 8)).mapv(|value| value as f32);
    let options = IcaOptions {
        n_components: 3,
        ..IcaOptions::default()
    };
    let found = ica(x.view(), &options, &mut unwatched).unwrap();
    let centred = &signals - &signals.mean_axis(Axis(1)).unwrap().insert_axis(Axis(1));
    let centred = centred.mapv(|value| value as f32);
    let recovery = |components: &Array2<f32>| {
        let alike = cosines(centred.view(), components.view());
        let partners = assign(alike.view());
        partners
            .iter()
            .enumerate()
            .map(|(i, &j)| alike[[i, j]])
            .fold(1.0, f64::min)
    };
    let (independent, principal) = (
        recovery(&found.components),
        recovery(&pca(x.view(), 3, &mut unwatched).unwrap().components),
    );
    assert!(
        independent > 0.98 && principal < 0.95,
        "{independent} {principal}"
    );
}

#[test]
fn bad_numbers_of_components_are_named() {
    let x = signed((5, 8), 1);
    let fails = |k| pca(x.view(), k, &mut unwatched).unwrap_err().to_string();
    assert_eq!(
        fails(0),
        "n_components is 0: a principal component analysis of 5 positions × 8 neurons takes 1 to 5"
    );
    assert!(fails(6).contains("takes 1 to 5"));
    let fails = |k, x: &Array2<f32>| {
        let options = IcaOptions {
            n_components: k,
            ..IcaOptions::default()
        };
        ica(x.view(), &options, &mut unwatched).unwrap_err().to_string()
    };
    assert!(fails(5, &x).contains("takes 1 to 4"), "the mean takes one");
    let flat = Array2::from_shape_fn((9, 6), |(i, j)| (i * (j + 1)) as f32);
    assert_eq!(
        fails(2, &flat),
        "the activations are of rank 1 without their mean, so they do not have 2 independent components"
    );
    assert!(fails(1, &Array2::zeros((1, 8))).contains("at least 2 positions"));
    let mut x = x.clone();
    x[[3, 2]] = f32::NAN;
    assert!(fails(2, &x).contains("position 3, neuron 2 is NaN"));
    assert!(
        pca(x.view(), 2, &mut unwatched)
            .unwrap_err()
            .to_string()
            .contains("position 3, neuron 2")
    );
}

#[test]
fn the_number_of_planted_components_is_found() {
    for (planted, seed) in [(2, 0), (4, 1), (7, 2)] {
        let clean = positive((40, planted), 10 + seed).dot(&positive((planted, 300), 20 + seed));
        let noise = normal((40, 300), 30 + seed).mapv(|value| value as f32 * 0.3);
        let x = (clean + noise).mapv(|value| value.max(0.0));
        let options = NmfOptions {
            seed,
            ..NmfOptions::default()
        };
        let choice = choose(x.view(), 20, &options, &mut unwatched).unwrap();
        assert_eq!(choice.n_components, planted, "{:?}", choice.curve);
        let error = |n: usize| {
            choice
                .curve
                .iter()
                .find(|held| held.n_components == n)
                .unwrap()
                .error
        };
        assert!(error(1) > 1.5 * error(planted));
        assert_eq!(
            choose(x.view(), 20, &options, &mut unwatched).unwrap(),
            choice,
            "seeded"
        );
    }
}

#[test]
fn a_choice_needs_something_to_hold_out_and_can_be_stopped() {
    let small = choose(
        positive((3, 50), 1).view(),
        5,
        &NmfOptions::default(),
        &mut unwatched,
    );
    assert!(matches!(
        small,
        Err(NmfError::TooSmall {
            positions: 3,
            neurons: 50
        })
    ));
    let x = positive((20, 50), 1);
    let mut asked = 0;
    let stopped = choose(x.view(), 5, &NmfOptions::default(), &mut |_| {
        asked += 1;
        if asked > 7 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert!(matches!(stopped, Err(NmfError::Interrupted { .. })));
    assert_eq!(asked, 8);
    let choice = choose(
        Array2::zeros((20, 50)).view(),
        5,
        &NmfOptions::default(),
        &mut unwatched,
    )
    .unwrap();
    assert_eq!(choice.n_components, 1, "nothing needs one at most");
}

/// Well separated factors are the same ones from any start; where there are fewer than asked for, they are not.
#[test]
fn factors_of_structure_are_stable() {
    let stability = |x: ArrayView2<f32>| {
        let of = |seed| {
            let options = NmfOptions {
                n_components: 4,
                seed,
                ..NmfOptions::default()
            };
            factorize(x, &options, &mut unwatched).unwrap().neurons
        };
        let (first, second) = (of(0), of(1));
        let alike = cosines(first.view(), second.view());
        let partners = assign(alike.view());
        partners
            .iter()
            .enumerate()
            .map(|(i, &j)| alike[[i, j]])
            .sum::<f64>()
            / 4.0
    };
    let blocks = Array2::from_shape_fn((24, 80), |(i, j)| {
        if i % 4 == j % 4 {
            1.0 + (i * j % 5) as f32
        } else {
            0.0
        }
    });
    assert!(stability(blocks.view()) > 0.999);
    let of_two = stability(positive((24, 2), 4).dot(&positive((2, 80), 5)).view());
    assert!(of_two < 0.97, "{of_two}");
}

fn signed(shape: (usize, usize), seed: u64) -> Array2<f32> {
    normal(shape, seed).mapv(|value| value as f32)
}

fn positive(shape: (usize, usize), seed: u64) -> Array2<f32> {
    normal(shape, seed).mapv(|value| value.abs() as f32)
}

fn norm(x: &Array2<f32>) -> f64 {
    x.iter()
        .map(|&value| f64::from(value).powi(2))
        .sum::<f64>()
        .sqrt()
}

/// ‖x − mean − componentsᵀ·neurons‖
fn left(x: &Array2<f32>, components: &Array2<f32>, neurons: &Array2<f32>) -> f64 {
    let centred = x - &x.mean_axis(Axis(0)).unwrap();
    norm(&(centred - components.t().dot(neurons)))
}

/// libtorch does not listen in the middle of a decomposition: it is left behind, and the next one waits for it.
#[test]
fn a_long_decomposition_is_left_when_it_is_to_stop() {
    let x = normal((600, 2500), 5).mapv(|value| value as f32);
    for method in ["pca", "ica", "svcca"] {
        let (mut looks, begun) = (0, std::time::Instant::now());
        let mut watch = |_: &ecco_interpreter::Progress| {
            looks += 1;
            match looks > 4 {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        let options = IcaOptions::default();
        let stopped = match method {
            "pca" => pca(x.view(), 20, &mut watch).unwrap_err().to_string(),
            "ica" => ica(x.view(), &options, &mut watch).unwrap_err().to_string(),
            _ => {
                let (a, method) = (x.mapv(f64::from).reversed_axes(), Method::Svcca { dims: 20 });
                compare(a.view(), a.view(), method, &mut watch)
                    .unwrap_err()
                    .to_string()
            }
        };
        assert_eq!(stopped, "interrupted", "{method}");
        assert!(
            begun.elapsed() < std::time::Duration::from_secs(2),
            "{method}: {:?}",
            begun.elapsed()
        );
    }
    let found = pca(x.view(), 2, &mut unwatched).unwrap();
    assert_eq!(found.components.dim(), (2, 600));
}
