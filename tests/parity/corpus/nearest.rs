//! Which neurons are alike: in their values at the tokens that were drawn, and in what they write.

use std::collections::BTreeSet;

use ecco_explain::corpus::{CorpusOptions, Sign, Units, writing_cosines};
use ecco_interpreter::unwatched;
use ecco_models::Site;
use ecco_tests::model;
use ndarray::{Array1, Array2, Ix2};

use super::{alone, options, read, texts, told};

#[test]
fn all_tokens_are_drawn_where_there_are_no_more() {
    let told = told();
    let texts = texts(&told);
    let model = model("gpt2-tiny", "float32");
    let settings = CorpusOptions {
        n_tokens: 10_000,
        ..options(Site::MlpInner, Sign::Positive)
    };
    let found = read(&model, &texts, &settings, 64);
    let places: BTreeSet<(usize, usize)> = found.sample.tokens.iter().copied().collect();
    assert_eq!(
        (places.len(), found.sample.tokens.len()),
        (found.n_tokens, found.n_tokens)
    );
    for layer in &found.layers {
        let each = found.pieces.all.iter();
        let all: Vec<Array2<f32>> = each
            .map(|piece| alone(&model, &piece.input, settings.place, layer.layer))
            .collect();
        let values = |neuron: usize| -> Vec<f64> {
            let place = |&(piece, position): &(usize, usize)| f64::from(all[piece][[position, neuron]]);
            found.sample.tokens.iter().map(place).collect()
        };
        for neuron in (0..layer.n_neurons()).step_by(11) {
            let mut sorted = values(neuron);
            sorted.sort_by(f64::total_cmp);
            // Between two values that are as many places apart as there are quarters, the quartiles are among them.
            let n = sorted.len() - 1;
            let quartiles = layer.quantiles(neuron, &[0.25, 0.5, 1.0]);
            for (found, place) in quartiles.iter().zip([n as f64 * 0.25, n as f64 * 0.5, n as f64]) {
                let ends = [sorted[place.floor() as usize], sorted[place.ceil() as usize]];
                assert!(
                    ends[0] - 1e-4 <= *found && *found <= ends[1] + 1e-4,
                    "{found} in {ends:?}"
                );
            }
            let (one, other) = (values(neuron), values(neuron + 1));
            let centred = |of: &[f64]| {
                let mean = of.iter().sum::<f64>() / of.len() as f64;
                of.iter().map(|x| x - mean).collect::<Array1<f64>>()
            };
            let (one, other) = (centred(&one), centred(&other));
            let expected = one.dot(&other) / (one.dot(&one) * other.dot(&other)).sqrt();
            let correlation = layer.correlation(neuron, (layer, neuron + 1));
            assert!(
                (correlation - expected).abs() < 1e-3,
                "{correlation}, expected {expected}"
            );
            assert!((layer.correlation(neuron, (layer, neuron)) - 1.0).abs() < 1e-9);
        }
    }
}

#[test]
fn what_is_written_alike_is_told_by_the_files_weights() {
    let told = told();
    let texts = texts(&told);
    let model = model("gpt2-tiny", "float32");
    let found = read(&model, &texts, &options(Site::MlpInner, Sign::Positive), 64);
    let cosines = writing_cosines(&model, &found, (Some(1), 7), &mut unwatched)
        .unwrap()
        .unwrap();
    let written = |layer: usize| {
        let weight = model
            .weight(&format!("transformer.h.{layer}.mlp.c_proj.weight"))
            .unwrap();
        weight.mapv(f64::from).into_dimensionality::<Ix2>().unwrap() // [neuron, hidden]
    };
    let own = written(1).row(7).to_owned();
    assert_eq!(cosines.len(), found.layers.len());
    for (of, cosines) in found.layers.iter().zip(&cosines) {
        let rows = written(of.layer.unwrap());
        assert_eq!(cosines.len(), rows.nrows());
        for (row, found) in rows.outer_iter().zip(cosines) {
            let expected = row.dot(&own) / (row.dot(&row) * own.dot(&own)).sqrt();
            assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
        }
    }
    assert!((cosines[1][7] - 1.0).abs() < 1e-9);
    let heads = CorpusOptions {
        units: Units::Heads,
        ..options(Site::HeadOutputs, Sign::Positive)
    };
    let heads = read(&model, &texts, &heads, 64);
    assert_eq!(
        writing_cosines(&model, &heads, (Some(1), 0), &mut unwatched).unwrap(),
        None
    );
}
