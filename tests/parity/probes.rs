//! Linear probes against scikit-learn, and the states they are of against transformers.

use ecco_explain::algebra::random;
use ecco_explain::intervention::steering::{SteeringOptions, TextPosition};
use ecco_explain::probe::{Probe, ProbeKind, ProbeOptions, probes};
use ecco_explain::states::{LayerStates, Positions, states};
use ecco_interpreter::unwatched;
use ecco_models::Site;
use ecco_models::run::{Input, Place, record};
use ecco_tests::{cases, fixtures, model, stored_tensor};
use ndarray::{Array2, Array3, Axis};
use serde_json::Value;

fn told() -> Value {
    let file = std::fs::read(fixtures().join("probes.json")).unwrap();
    serde_json::from_slice(&file).unwrap()
}

fn stored(name: &str) -> Vec<f32> {
    let all = stored_tensor(&fixtures().join("probes.safetensors"), name);
    all.iter().copied().collect()
}

/// Of `false` and `true`, or of numbers.
fn labels(value: &Value) -> Vec<usize> {
    let number = |label: &Value| match label.as_bool() {
        Some(truth) => usize::from(truth),
        None => label.as_u64().unwrap() as usize,
    };
    value.as_array().unwrap().iter().map(number).collect()
}

fn options(told: &Value, kind: ProbeKind, l2: impl Into<Option<f64>>) -> ProbeOptions {
    let count = |key: &str| told[key].as_u64().unwrap();
    ProbeOptions {
        kind,
        folds: count("folds") as usize,
        l2: l2.into(),
        seed: count("seed"),
        n_shuffles: count("shuffles") as usize,
        groups: None,
    }
}

/// `RandomState(seed).randn(n, width)`, features of different offsets and scales.
fn values(case: &Value) -> LayerStates {
    let count = |key: &str| case[key].as_u64().unwrap() as usize;
    let mut next = random(count("seed") as u32, true);
    let numbers = Array2::from_shape_simple_fn((count("n"), count("width")), &mut next);
    let value = |(text, _, feature)| {
        let x: f64 = numbers[[text, feature]];
        (x * (0.5 + feature as f64) + feature as f64 - 3.0) as f32
    };
    LayerStates {
        layer: None,
        values: Array3::from_shape_fn((count("n"), 1, count("width")), value),
    }
}

/// Coefficients and the intercept are those that are stored, up to 1e-4 of the largest.
fn assert_plane(probe: &Probe, class: usize, expected: &[f32], what: &str) {
    let (coefficients, intercept) = probe.classifier.plane(class);
    let largest = expected.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    assert_eq!(coefficients.len() + 1, expected.len(), "{what}");
    for (found, expected) in coefficients.iter().chain([&intercept]).zip(expected) {
        let apart = (found - f64::from(*expected)).abs();
        assert!(
            apart < 1e-4 * f64::from(largest.max(1e-3)),
            "{what}: {found}, expected {expected}"
        );
    }
}

/// What it says of texts left out is what is stored.
fn assert_figures(probe: &Probe, figures: &Value, what: &str) {
    let expected = |key: &str| figures[key].as_f64();
    for (key, found) in [
        ("accuracy", Some(probe.accuracy)),
        ("spread", Some(probe.spread)),
        ("auc", Some(probe.auc)),
        ("control", Some(probe.control)),
        ("calibration_error", probe.calibration_error),
    ] {
        let near = |expected: f64| found.is_some_and(|found| (found - expected).abs() < 1e-4);
        let is_right = expected(key).map_or(found.is_none(), near);
        assert!(is_right, "{what}, {key}: {found:?}, expected {:?}", expected(key));
    }
}

#[test]
fn planes_and_what_they_say_of_texts_left_out_are_scikit_learns() {
    let told = told();
    let cases = told["planes"].as_object().unwrap();
    assert_eq!(cases.len(), 2);
    for (name, case) in cases {
        let labels = labels(&case["labels"]);
        for &kind in ProbeKind::ALL {
            let settings = options(&told, kind, told["l2"].as_f64().unwrap());
            let found = probes(&[values(case)], &labels, &settings, &mut unwatched).unwrap();
            let (probe, what) = (&found[0][0], format!("{name}, {}", kind.name()));
            assert_plane(probe, 1, &stored(&format!("{name}.{}", kind.name())), &what);
            assert_figures(probe, &case["folded"][kind.name()], &what);
        }
    }
}

#[test]
fn planes_of_three_labels_are_scikit_learns() {
    let told = told();
    let cases = told["classes"].as_object().unwrap();
    assert_eq!(cases.len(), 2);
    for (name, case) in cases {
        let labels = labels(&case["labels"]);
        for &kind in ProbeKind::ALL.iter().filter(|kind| **kind != ProbeKind::Pca) {
            let settings = options(&told, kind, told["l2"].as_f64().unwrap());
            let found = probes(&[values(case)], &labels, &settings, &mut unwatched).unwrap();
            let (probe, what) = (&found[0][0], format!("{name}, {}", kind.name()));
            let expected = stored(&format!("classes.{name}.{}", kind.name()));
            let rows = expected.chunks_exact(expected.len() / 3).enumerate();
            rows.for_each(|(class, plane)| assert_plane(probe, class, plane, &what));
            assert_figures(probe, &case["folded"][kind.name()], &what);
        }
    }
}

#[test]
fn penalties_are_those_that_a_grid_search_finds() {
    let told = told();
    let mut seen = std::collections::HashSet::new();
    for (name, case) in told["planes"].as_object().unwrap() {
        let labels = labels(&case["labels"]);
        for kind in [ProbeKind::Logistic, ProbeKind::Ridge] {
            let found = probes(
                &[values(case)],
                &labels,
                &options(&told, kind, None),
                &mut unwatched,
            )
            .unwrap();
            let (probe, expected) = (&found[0][0], &case["chosen"][kind.name()]);
            let what = format!("{name}, {}", kind.name());
            assert_eq!(probe.l2, expected["l2"].as_f64(), "{what}");
            for (key, found) in [
                ("accuracy", probe.accuracy),
                ("auc", probe.auc),
                ("control", probe.control),
            ] {
                let expected = expected["folded"][key].as_f64().unwrap();
                assert!(
                    (found - expected).abs() < 1e-4,
                    "{what}, {key}: {found}, expected {expected}"
                );
            }
            seen.insert(probe.l2.map(f64::to_bits));
        }
    }
    assert!(seen.len() > 1, "not the same everywhere");
}

#[test]
fn probes_of_a_model_are_scikit_learns() {
    let told = told();
    let model = model("gpt2-tiny", "float64");
    let texts = told["texts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap());
    let inputs: Vec<Input> = texts
        .map(|text| Input::new(&model, text, None).unwrap())
        .collect();
    let labels = labels(&told["labels"]);
    for (at, positions) in [("last", Positions::Each(vec![-1])), ("mean", Positions::Mean)] {
        let place = Place::of(Site::ResidualAfter);
        let states = states(&model, &inputs, place, None, &positions, &mut unwatched).unwrap();
        assert_eq!(
            states.iter().map(|states| states.layer).collect::<Vec<_>>(),
            [Some(0), Some(1), Some(2)]
        );
        for &kind in ProbeKind::ALL {
            let found = probes(&states, &labels, &options(&told, kind, 1.0), &mut unwatched).unwrap();
            let expected = stored(&format!("{}.{at}", kind.name()));
            for (layer, expected) in expected.chunks_exact(expected.len() / 3).enumerate() {
                let probe = &found[layer][0];
                assert_plane(
                    probe,
                    1,
                    expected,
                    &format!("{}, {at}, layer {layer}", kind.name()),
                );
                steers(probe, &states[layer], &labels, place, layer);
            }
        }
    }
}

/// Along the direction the labels' means are as far apart as the vector is long, and lie at 1 and -1.
fn steers(probe: &Probe, states: &LayerStates, labels: &[usize], place: Place, layer: usize) {
    let (at, unit) = (TextPosition::Last, false);
    let settings = SteeringOptions {
        place,
        layer,
        at,
        unit,
    };
    let steering = probe.steering(settings, labels, 1);
    let length = steering
        .vector
        .iter()
        .map(|&x| f64::from(x).powi(2))
        .sum::<f64>()
        .sqrt();
    assert!((length / steering.norm - 1.0).abs() < 1e-5);
    let direction = probe.classifier.direction(1);
    let reach = |label: usize| {
        let rows = states
            .values
            .outer_iter()
            .zip(labels)
            .filter(|(_, of)| **of == label);
        let all: Vec<f64> = rows
            .map(|(row, _)| row.row(0).mapv(f64::from).dot(&direction))
            .collect();
        all.iter().sum::<f64>() / all.len() as f64
    };
    assert!(((reach(1) - reach(0)) / steering.norm - 1.0).abs() < 1e-5);
    for (group, end) in steering.projections.iter().zip([1.0, -1.0]) {
        let mean = group.iter().sum::<f64>() / group.len() as f64;
        assert!((mean - end).abs() < 1e-6, "{mean}");
    }
}

/// Of every kind of model, read side by side, what is recorded of each text alone.
#[test]
fn states_of_many_texts_are_those_of_each_alone() {
    let texts = [
        "She said that it was there.",
        "it",
        "that it was",
        "She said",
        "was there that it said she was",
    ];
    let mut n_compared = 0;
    for name in cases() {
        let model = model(&name, "float32");
        let inputs: Vec<Input> = texts
            .iter()
            .map(|text| Input::new(&model, *text, None).unwrap())
            .collect();
        for place in [Site::ResidualAfter, Site::MlpInner, Site::HeadOutputs].map(Place::of) {
            let last = Positions::Each(vec![-1, 0]);
            let Ok(found) = states(&model, &inputs, place, None, &last, &mut unwatched) else {
                continue;
            };
            let means = states(&model, &inputs, place, None, &Positions::Mean, &mut unwatched).unwrap();
            for (text, input) in inputs.iter().enumerate() {
                let alone = record(
                    &model,
                    std::slice::from_ref(input),
                    &[place],
                    None,
                    &mut unwatched,
                )
                .unwrap();
                for (found, means) in found.iter().zip(&means) {
                    let alone = alone.array(place, found.layer, 0).unwrap();
                    // (position, feature), heads one after the other.
                    let alone = match (place.site, alone.ndim()) {
                        (Site::MlpInner, _) => alone.reversed_axes(),
                        (_, 3) => {
                            let (heads, n, width) = (alone.shape()[0], alone.shape()[1], alone.shape()[2]);
                            let turned = alone.permuted_axes(vec![1, 0, 2]);
                            turned
                                .as_standard_layout()
                                .to_owned()
                                .into_shape_with_order(vec![n, heads * width])
                                .unwrap()
                        }
                        _ => alone,
                    };
                    let n = alone.shape()[0];
                    let rows = [
                        alone.index_axis(Axis(0), n - 1).to_owned(),
                        alone.index_axis(Axis(0), 0).to_owned(),
                    ];
                    let mean = alone.mean_axis(Axis(0)).unwrap();
                    let pairs = (0..2).map(|at| (found.values.slice(ndarray::s![text, at, ..]), &rows[at]));
                    for (found, expected) in
                        pairs.chain([(means.values.slice(ndarray::s![text, 0, ..]), &mean)])
                    {
                        for (found, expected) in found.iter().zip(expected) {
                            assert!(
                                (found - expected).abs() < 2e-4 * (1.0 + expected.abs()),
                                "{name}, {}, text {text}: {found}, alone {expected}",
                                place.name()
                            );
                            n_compared += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(n_compared > 100_000, "{n_compared}");
}

#[test]
fn what_is_not_there_is_said() {
    let model = model("gpt2-tiny", "float32");
    let inputs = [
        Input::new(&model, "She said that", None).unwrap(),
        Input::new(&model, "it", None).unwrap(),
    ];
    let error = |site, layers: Option<&[usize]>, positions: Positions| {
        states(
            &model,
            &inputs,
            Place::of(site),
            layers,
            &positions,
            &mut unwatched,
        )
        .unwrap_err()
        .to_string()
    };
    let at = |position| Positions::Each(vec![position]);
    let n = inputs[1].ids.len();
    assert_eq!(
        error(Site::ResidualAfter, None, at(40)),
        format!("at is 40: text 0 has {} tokens", inputs[0].ids.len())
    );
    assert_eq!(
        error(Site::ResidualAfter, None, at(-1 - n as i64)),
        format!("at is {}: text 1 has {n} tokens", -1 - n as i64)
    );
    assert_eq!(
        error(Site::ResidualAfter, Some(&[1, 3]), at(0)),
        "layers is 3: residual_after is at layers 0 to 2"
    );
    assert!(
        error(Site::AttentionPattern, None, at(0))
            .starts_with("site is attention_pattern: it is between two positions")
    );
    assert!(error(Site::MlpUp, None, at(0)).contains("mlp_up"));
}
