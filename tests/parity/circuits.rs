//! What heads look at and what weights say in the vocabulary, against transformers and plain products of matrices.

use ecco_explain::heads::{HeadOptions, HeadScore, Repeated, attention_scores, head_scores, repeated};
use ecco_explain::vocabulary::weights::{HeadAt, eigenvalue_scores};
use ecco_explain::vocabulary::{Spoken, Written, looked_for, vocabulary};
use ecco_interpreter::unwatched;
use ecco_models::config::Mixer;
use ecco_tests::{cases, fixtures, integers, model, stored_tensor};
use ndarray::{ArrayD, ArrayView1, Ix2};
use serde_json::Value;

fn constants() -> Value {
    let file = std::fs::read(fixtures().join("circuits.json")).unwrap();
    serde_json::from_slice(&file).unwrap()
}

fn stored(model: &str, name: &str) -> ArrayD<f32> {
    stored_tensor(
        &fixtures().join("circuits.safetensors"),
        &format!("{model}.{name}"),
    )
}

fn names() -> Vec<String> {
    let constants = constants();
    let models = constants["models"].as_object().unwrap();
    assert!(models.len() >= 7);
    models.keys().cloned().collect()
}

/// Those whose weights are read, and whether their scores are products of queries and keys.
const WEIGHTS: &[(&str, bool)] = &[
    ("gpt2-tiny", true),
    ("families/llama", true),
    ("families/gemma2", false),
    ("families/qwen3", false),
];

fn near(found: f64, expected: f32) -> bool {
    (found - f64::from(expected)).abs() <= 2e-4 * (1.0 + f64::from(expected.abs()))
}

#[test]
fn what_heads_look_at_is_transformers() {
    for name in names() {
        let model = model(&name, "float32");
        let told = &constants()["models"][&name];
        let n = told["n"].as_u64().unwrap() as usize;
        let ids = integers(&told["ids"]);
        let text = Repeated { ids, start: 0, n };
        let found = attention_scores(&model, &[text.clone(), text], &mut unwatched).unwrap();
        assert_eq!(found.len(), 8);
        for (score, found) in found {
            let expected = stored(&name, &format!("scores.{}", score.name()));
            let expected = expected.into_dimensionality::<Ix2>().unwrap();
            assert_eq!(found.dim(), expected.dim(), "{name}");
            for (found, expected) in found.iter().zip(&expected) {
                assert!(
                    near(*found, *expected),
                    "{name}, {score:?}: {found}, expected {expected}"
                );
            }
        }
    }
}

#[test]
fn copying_and_matching_are_the_eigenvalues_of_the_whole_circuits() {
    for &(name, is_bilinear) in WEIGHTS {
        let model = model(name, "float64");
        let [copying, matching] = eigenvalue_scores(&model, &mut unwatched).unwrap();
        assert_eq!(matching.is_some(), is_bilinear, "{name}");
        for (what, found) in [("copying", copying), ("matching", matching)] {
            let Some(found) = found else { continue };
            for (found, expected) in found.iter().zip(&stored(name, what)) {
                assert!(
                    (found - f64::from(*expected)).abs() < 1e-6,
                    "{name}, {what}: {found}, expected {expected}"
                );
            }
        }
    }
}

/// The same tokens at both ends of a row of logits, with the same values.
fn assert_ends(found: &Spoken, expected: ArrayView1<f32>, what: &str) {
    let mut order: Vec<usize> = (0..expected.len()).collect();
    order.sort_by(|&a, &b| expected[b].total_cmp(&expected[a]));
    let high = order.iter().zip(&found.promotes);
    let low = order.iter().rev().zip(&found.suppresses);
    assert_eq!((found.promotes.len(), found.suppresses.len()), (5, 5), "{what}");
    for (&id, &(token, value)) in high.chain(low) {
        assert!(
            near(value, expected[id]),
            "{what}: {value}, expected {}",
            expected[id]
        );
        assert!(
            near(value, expected[token as usize]),
            "{what}: token {token} has {value}"
        );
    }
}

#[test]
fn circuits_in_the_vocabulary_are_products_of_the_weights() {
    let constants = constants();
    let tokens = integers(&constants["tokens"]);
    let neurons: Vec<usize> = integers(&constants["neurons"])
        .iter()
        .map(|&n| n as usize)
        .collect();
    for &(name, is_bilinear) in WEIGHTS {
        let model = model(name, "float32");
        let config = model.config();
        let (last, n_heads) = (config.n_layers - 1, config.n_heads);
        let written = Written::Neurons {
            layer: last,
            neurons: neurons.clone(),
        };
        let expected = stored(name, "neuron").into_dimensionality::<Ix2>().unwrap();
        let found = vocabulary(&model, &written, 5, &mut unwatched).unwrap();
        for ((found, _), expected) in found.iter().zip(expected.outer_iter()) {
            assert_ends(found, expected, &format!("{name}, a neuron"));
        }
        let ov = stored(name, "ov");
        for at in (0..=last).flat_map(|layer| (0..n_heads).map(move |head| HeadAt { layer, head })) {
            let row = |all: &ArrayD<f32>, token: usize| {
                let row = all
                    .index_axis(ndarray::Axis(0), at.layer)
                    .index_axis_move(ndarray::Axis(0), at.head);
                row.index_axis_move(ndarray::Axis(0), token)
                    .to_owned()
                    .into_dimensionality()
                    .unwrap()
            };
            let written = Written::Ov {
                at,
                tokens: tokens.clone(),
            };
            let found = vocabulary(&model, &written, 5, &mut unwatched).unwrap();
            for (token, (found, _)) in found.iter().enumerate() {
                let expected: ndarray::Array1<f32> = row(&ov, token);
                assert_ends(found, expected.view(), &format!("{name}, OV of {at:?}"));
            }
            let found = looked_for(&model, at, &tokens, 5, &mut unwatched);
            if !is_bilinear {
                let error = found.unwrap_err().to_string();
                assert!(error.contains("norms queries and keys or caps"), "{error}");
                continue;
            }
            let qk = stored(name, "qk");
            for (token, found) in found.unwrap().iter().enumerate() {
                let expected: ndarray::Array1<f32> = row(&qk, token);
                assert_ends(found, expected.view(), &format!("{name}, QK of {at:?}"));
            }
        }
    }
}

#[test]
fn a_sum_of_neurons_is_the_sum_of_what_they_write() {
    for name in ["gpt2-tiny", "families/gemma2", "families/mixtral"] {
        let model = model(name, "float32");
        let n = model.stack().blocks[0].mlp.n_neurons();
        let mut weights = vec![0.0; n];
        (weights[1], weights[n - 1]) = (2.0, -0.5);
        let read = |written: Written| vocabulary(&model, &written, 384, &mut unwatched).unwrap();
        let of = |spoken: &Spoken, id: u32| spoken.promotes.iter().find(|(token, _)| *token == id).unwrap().1;
        let each = read(Written::Neurons {
            layer: 0,
            neurons: vec![1, n - 1],
        });
        let sum = read(Written::Sums(vec![vec![(0, weights)]]));
        for id in [0, 7, 200] {
            let expected = 2.0 * of(&each[0].0, id) - 0.5 * of(&each[1].0, id);
            assert!((of(&sum[0].0, id) - expected).abs() < 1e-4, "{name}");
        }
    }
}

#[test]
fn every_family_has_scores_of_its_heads() {
    let options = HeadOptions {
        n: Some(5),
        n_texts: 2,
        seed: 3,
    };
    let mut with_weights = 0;
    for name in cases() {
        let model = model(&name, "float32");
        let found = head_scores(&model, &options, &mut unwatched);
        let config = model.config();
        if (0..config.n_layers).all(|layer| config.mixer(layer) != Mixer::Attention) {
            let error = found.expect_err("it has no heads").to_string();
            assert!(error.contains("needs attention"), "{name}: {error}");
            continue;
        }
        let found = found.unwrap_or_else(|error| panic!("{name}: {error}"));
        let of = |score: HeadScore| {
            found
                .scores
                .iter()
                .find(|(each, _)| *each == score)
                .map(|(_, table)| table)
        };
        for (score, table) in &found.scores {
            let is_share = !matches!(score, HeadScore::Entropy | HeadScore::Distance);
            for ((layer, _), value) in table.indexed_iter() {
                if model.config().mixer(layer) != Mixer::Attention {
                    assert!(value.is_nan(), "{name}, {score:?}: layer {layer} has no heads");
                    continue;
                }
                assert!(value.is_finite(), "{name}, {score:?}: {value}");
                assert!(
                    !is_share || value.abs() <= 1.0 + 1e-4,
                    "{name}, {score:?}: {value}"
                );
            }
        }
        assert!(of(HeadScore::Induction).is_some(), "{name}");
        with_weights += usize::from(of(HeadScore::Copying).is_some());
        let texts = repeated(&model, &options).unwrap();
        let Repeated { ids, start, n } = &texts[0];
        assert_eq!(ids[*start..start + n], ids[start + n..start + 2 * n], "{name}");
        assert_ne!(texts[0], texts[1], "{name}");
    }
    assert!(with_weights >= 20, "{with_weights}");
}
