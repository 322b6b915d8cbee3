//! Factorizations against scikit-learn's on stored matrices, and by what must hold for any.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::Path;

use ecco_explain::nmf::{Nmf, NmfError, NmfOptions, factorize};
use ecco_interpreter::unwatched;
use ndarray::{Array2, ArrayView2, array};
use safetensors::SafeTensors;

#[test]
fn factors_are_scikit_learns() {
    let fixtures = Fixtures::read();
    for (case, facts) in fixtures.cases() {
        let x = fixtures.matrix(&format!("{case}.x"));
        let nmf = run(x.view(), facts["n_components"].as_u64().unwrap() as usize);
        let (w, h) = (
            fixtures.matrix(&format!("{case}.w")),
            fixtures.matrix(&format!("{case}.h")),
        );
        assert_close(nmf.components.t(), w.view(), 1e-3, case);
        assert_close(nmf.neurons.view(), h.view(), 1e-3, case);

        let reference = facts["reconstruction_err"].as_f64().unwrap();
        // One row is met exactly, up to float32: compare with the matrix there, not with its residual.
        let slack = (1e-4 * reference).max(1e-6 * norm(x.view()));
        assert!(
            nmf.error <= reference + slack,
            "{case}: error {} above {reference}",
            nmf.error
        );
        let n_iter = facts["n_iter"].as_f64().unwrap();
        assert!(
            (nmf.n_iter as f64 - n_iter).abs() <= 2.0,
            "{case}: {} sweeps, not {n_iter}",
            nmf.n_iter
        );
        assert_eq!(nmf.converged, nmf.n_iter < 500, "{case}");
    }
}

#[test]
fn the_error_is_that_of_the_factors() {
    let x = low_rank(17, 333, 6);
    let nmf = run(x.view(), 4);
    let residual = norm((&x - &product(&nmf)).view());
    assert!(
        (nmf.error - residual).abs() < 1e-5 * residual,
        "{} is not {residual}",
        nmf.error
    );
    assert!((nmf.relative_error - nmf.error / norm(x.view())).abs() < 1e-6);
    assert!(nmf.relative_error > 0.01, "6 components do not fit in 4");
}

#[test]
fn the_error_never_rises_between_sweeps() {
    let x = low_rank(30, 500, 12).mapv(|value| (value - 2.5).max(0.0));
    let mut last = norm(x.view());
    for max_iter in 1..60 {
        let options = NmfOptions {
            n_components: 7,
            max_iter,
            tol: 0.0,
            seed: 3,
            ..Default::default()
        };
        let nmf = factorize(x.view(), &options, &mut unwatched).unwrap();
        assert_eq!((nmf.n_iter, nmf.converged), (max_iter, false));
        assert!(
            nmf.error <= last * (1.0 + 1e-6),
            "sweep {max_iter}: {last} → {}",
            nmf.error
        );
        last = nmf.error;
    }
}

#[test]
fn a_matrix_of_rank_one_is_recovered() {
    let u = Array2::from_shape_fn((12, 1), |(i, _)| i as f32);
    let v = Array2::from_shape_fn((1, 700), |(_, j)| ((j * j) % 17) as f32);
    let nmf = run(u.dot(&v).view(), 1);
    assert!(nmf.relative_error < 1e-6, "{}", nmf.relative_error);
    let scale = nmf.components[[0, 1]];
    assert_close(nmf.components.t(), (&u * scale).view(), 1e-5, "positions");
    assert_close(nmf.neurons.view(), (&v / scale).view(), 1e-5, "neurons");
}

#[test]
fn shapes_for_any_size() {
    for (positions, neurons, asked, components) in [
        (1, 1, 1, 1),
        (1, 40, 5, 1),
        (3, 1, 2, 2),
        (5, 33, 5, 5),
        (7, 16, 10, 7),
        (9, 257, 3, 3),
    ] {
        let x = low_rank(positions, neurons, 2);
        let nmf = run(x.view(), asked);
        assert_eq!(nmf.components.dim(), (components, positions));
        assert_eq!(nmf.neurons.dim(), (components, neurons));
        assert!(
            nmf.components
                .iter()
                .chain(&nmf.neurons)
                .all(|value| *value >= 0.0 && value.is_finite())
        );
        if components > 1 || positions == 1 {
            assert!(
                nmf.relative_error < 0.02,
                "{positions} × {neurons}: {}",
                nmf.relative_error
            );
        }
    }
}

/// Enough work for several threads where there are several. The first columns know only of the first
/// positions, the last of the last, so that whoever sees a part of the columns only cannot find both
/// components.
#[test]
fn every_column_of_a_large_matrix_counts() {
    let row = low_rank(1, 40_003, 3);
    let x = Array2::from_shape_fn((32, 40_003), |(i, j)| {
        if (i < 16) == (j < 20_000) {
            (i + 1) as f32 * row[[0, j]]
        } else {
            0.0
        }
    });
    let nmf = run(x.view(), 2);
    assert!(nmf.relative_error < 1e-3, "{}", nmf.relative_error);
    assert!(norm((&x - &product(&nmf)).view()) < 2e-3 * norm(x.view()));
}

/// A view with other strides is the same matrix.
#[test]
fn memory_order_does_not_matter() {
    let x = low_rank(14, 90, 4);
    let transposed = x.t().as_standard_layout().into_owned();
    assert_eq!(run(transposed.t(), 3), run(x.view(), 3));
}

/// Powers of two are divided out: no digit changes, nothing overflows or vanishes.
#[test]
fn the_scale_does_not_matter() {
    let x = low_rank(14, 90, 4);
    let plain = run(x.view(), 3);
    for exponent in [-100, 100] {
        let scaled = run((&x * 2f32.powi(exponent)).view(), 3);
        assert_eq!(scaled.relative_error, plain.relative_error);
        assert_eq!(scaled.neurons, &plain.neurons * 2f32.powi(exponent / 2));
    }
}

#[test]
fn nothing_is_factorized_into_nothing() {
    let nmf = run(Array2::zeros((4, 20)).view(), 2);
    assert_eq!((nmf.error, nmf.relative_error, nmf.n_iter), (0.0, 0.0, 1));
    assert!(
        nmf.components
            .iter()
            .chain(&nmf.neurons)
            .all(|value| *value == 0.0)
    );
}

#[test]
fn the_seed_decides() {
    let x = low_rank(14, 90, 8);
    let seeded = |seed| {
        factorize(
            x.view(),
            &NmfOptions {
                n_components: 3,
                seed,
                ..Default::default()
            },
            &mut unwatched,
        )
    };
    assert_eq!(seeded(1), seeded(1));
    assert_ne!(seeded(1).unwrap().components, seeded(2).unwrap().components);
    assert_eq!(seeded(1 << 32), Err(NmfError::Seed { seed: 1 << 32 }));
}

#[test]
fn interruption_stops_before_the_next_sweep() {
    let x = low_rank(14, 90, 4);
    let mut seen = Vec::new();
    let stopped = factorize(
        x.view(),
        &NmfOptions {
            tol: 0.0,
            ..Default::default()
        },
        &mut |progress| {
            seen.push((progress.done, progress.total));
            if progress.done == 3 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        },
    );
    assert_eq!(stopped, Err(NmfError::Interrupted { n_iter: 3 }));
    assert_eq!(seen, [0, 1, 2, 3].map(|done| (done, Some(500))));
}

#[test]
fn bad_input_is_named() {
    let fails = |x: ArrayView2<f32>, options: NmfOptions| {
        factorize(x, &options, &mut unwatched).unwrap_err().to_string()
    };
    let x = array![[1.0, 2.0], [3.0, -0.5], [f32::NAN, 4.0]];
    assert_eq!(
        fails(x.view(), NmfOptions::default()),
        "the activation at position 1, neuron 1 is negative (-0.5): clip the matrix to 0 before factorizing it"
    );
    let clipped = x.mapv(|value| if value < 0.0 { 0.0 } else { value });
    assert_eq!(
        fails(clipped.view(), NmfOptions::default()),
        "the activation at position 2, neuron 0 is NaN: it must be a finite number"
    );
    let infinite = array![[1.0, f32::INFINITY]];
    assert!(fails(infinite.view(), NmfOptions::default()).contains("position 0, neuron 1 is inf"));
    assert_eq!(
        fails(Array2::zeros((0, 7)).view(), NmfOptions::default()),
        "the matrix has no entries: 0 positions × 7 neurons"
    );
    let one = array![[1.0]];
    let options = NmfOptions {
        n_components: 0,
        ..Default::default()
    };
    assert_eq!(
        fails(one.view(), options),
        "n_components is 0: ask for at least 1 component"
    );
    let options = NmfOptions {
        max_iter: 0,
        ..Default::default()
    };
    assert_eq!(
        fails(one.view(), options),
        "max_iter is 0: at least 1 sweep is needed"
    );
    let options = NmfOptions {
        tol: f64::NAN,
        ..Default::default()
    };
    assert_eq!(
        fails(one.view(), options),
        "tol is NaN: it must be 0 or a positive number"
    );
}

fn run(x: ArrayView2<f32>, n_components: usize) -> Nmf {
    let options = NmfOptions {
        n_components,
        ..Default::default()
    };
    factorize(x, &options, &mut unwatched).unwrap()
}

/// A positive matrix of the given rank that looks like nothing in particular.
fn low_rank(positions: usize, neurons: usize, rank: usize) -> Array2<f32> {
    let noise = |i: usize, j: usize| ((i * 7919 + j * 104_729 + i * j * 31) % 1009) as f32 / 1009.0;
    let w = Array2::from_shape_fn((positions, rank), |(i, t)| noise(i + 3, t + 1));
    let h = Array2::from_shape_fn((rank, neurons), |(t, j)| noise(t + 11, j + 5));
    w.dot(&h)
}

fn product(nmf: &Nmf) -> Array2<f32> {
    nmf.components.t().dot(&nmf.neurons)
}

fn norm(x: ArrayView2<f32>) -> f64 {
    x.iter()
        .map(|&value| f64::from(value).powi(2))
        .sum::<f64>()
        .sqrt()
}

/// Equal up to `tolerance` of the largest entry.
fn assert_close(actual: ArrayView2<f32>, expected: ArrayView2<f32>, tolerance: f32, what: &str) {
    assert_eq!(actual.dim(), expected.dim(), "{what}");
    let largest = expected.iter().copied().fold(0.0, f32::max);
    for ((place, actual), expected) in actual.indexed_iter().zip(expected) {
        let difference = (actual - expected).abs();
        assert!(
            difference <= tolerance * largest,
            "{what} {place:?}: {actual} is not {expected}"
        );
    }
}

/// What `tests/reference/make_fixtures.py` stored.
struct Fixtures {
    tensors: Vec<u8>,
    facts: serde_json::Map<String, serde_json::Value>,
}

impl Fixtures {
    fn read() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
        let tensors = std::fs::read(folder.join("nmf.safetensors")).unwrap();
        let facts = std::fs::read(folder.join("nmf.json")).unwrap();
        Self {
            tensors,
            facts: serde_json::from_slice(&facts).unwrap(),
        }
    }

    fn cases(&self) -> impl Iterator<Item = (&String, &serde_json::Value)> {
        let names: HashSet<_> = self.facts.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            HashSet::from(["low_rank", "activations", "one_row", "zero_columns", "wide"])
        );
        self.facts.iter()
    }

    fn matrix(&self, name: &str) -> Array2<f32> {
        let tensors = SafeTensors::deserialize(&self.tensors).unwrap();
        let tensor = tensors.tensor(name).unwrap();
        let bytes = tensor.data().as_chunks::<4>().0;
        let values = bytes.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Array2::from_shape_vec((tensor.shape()[0], tensor.shape()[1]), values).unwrap()
    }
}
