//! What is made of a site's numbers: heads, directions, features.

use std::rc::Rc;

use ecco_explain::corpus::{CorpusOptions, Piece, Sign, Units, corpus, pieces};
use ecco_interpreter::unwatched;
use ecco_models::Site;
use ecco_models::dictionary::{Dictionary, Spot};
use ecco_models::run::Place;
use ecco_tests::model;
use ndarray::{Array2, s};
use tch::{Device, Kind, Tensor};

use super::{alone, options, read, same_again, texts, told};

/// (position, unit) of what a layer's value over a text is, by hand.
fn made(units: &Units, layer: usize, rows: &Array2<f32>, n_heads: usize) -> Array2<f32> {
    match units {
        Units::Numbers => rows.clone(),
        Units::Heads => {
            let width = rows.ncols() / n_heads;
            Array2::from_shape_fn((rows.nrows(), n_heads), |(at, head)| {
                let of_head = rows.slice(s![at, head * width..(head + 1) * width]);
                of_head.iter().map(|x| x * x).sum::<f32>().sqrt()
            })
        }
        Units::Directions(directions) => rows.dot(&directions.t()),
        Units::Features(_) => {
            let size = [rows.nrows() as i64, rows.ncols() as i64];
            let numbers: Vec<f32> = rows.iter().copied().collect();
            let code = units
                .dictionary(layer)
                .expect("of this layer")
                .encode(&Tensor::from_slice(&numbers).reshape(size));
            let found: Vec<f32> = Vec::try_from(code.activations.flatten(0, -1)).unwrap();
            Array2::from_shape_vec((rows.nrows(), found.len() / rows.nrows()), found).unwrap()
        }
    }
}

#[test]
fn heads_directions_and_features_are_what_is_made_of_the_site() {
    let noise = |size: &[i64], seed| {
        tch::manual_seed(seed);
        Tensor::randn(size, (Kind::Float, Device::Cpu))
    };
    let told = told();
    let texts = texts(&told);
    let model = model("gpt2-tiny", "float32");
    let (width, n_heads) = (model.config().hidden_size, model.config().n_heads);
    let directions = Array2::from_shape_fn((3, width), |(row, at)| ((row + 2) * (at + 1)) as f32 % 7.0 - 3.0);
    let of_layer = |layer: usize| {
        let (wide, n) = (width as i64, 24);
        let spot = Spot {
            place: Place::of(Site::ResidualAfter),
            layer,
        };
        let parts = [vec![wide, n], vec![n], vec![n, wide], vec![wide]];
        let parts = parts.map(|size| noise(&size, 7 + layer as i64));
        Rc::new(Dictionary::top_k(spot, 3, parts))
    };
    let all = [
        (Site::HeadOutputs, None, Units::Heads),
        (Site::ResidualAfter, None, Units::Directions(directions)),
        (
            Site::ResidualAfter,
            Some(vec![0, 2]),
            Units::Features(vec![of_layer(2), of_layer(0)]),
        ),
    ];
    for (site, layers, units) in all {
        let settings = CorpusOptions {
            units: units.clone(),
            layers,
            ..options(site, Sign::Positive)
        };
        let found = read(&model, &texts, &settings, 64);
        assert!(found.layers.len() > 1);
        for layer in &found.layers {
            let number = layer.layer.unwrap();
            let of = |piece: &Piece| {
                let rows = alone(&model, &piece.input, settings.place, layer.layer);
                made(&units, number, &rows, n_heads)
            };
            let each: Vec<Array2<f32>> = found.pieces.all.iter().map(of).collect();
            assert_eq!(layer.n_neurons(), each[0].ncols());
            for unit in 0..layer.n_neurons() {
                let values = each.iter().zip(&found.pieces.all).flat_map(|(values, piece)| {
                    let rows = values
                        .column(unit)
                        .to_vec()
                        .into_iter()
                        .zip(piece.counted.clone());
                    rows.filter(|(_, counts)| *counts)
                        .map(|(value, _)| f64::from(value))
                });
                let values: Vec<f64> = values.collect();
                let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                let active = values.iter().filter(|value| **value > 0.0).count() as f64 / values.len() as f64;
                let what = format!("{} {unit} of layer {number}", units.name());
                let close = |a: f64, b: f64| (a - b).abs() < 1e-4 * (1.0 + b.abs());
                assert!(
                    close(layer.peak(unit), largest),
                    "{what}: {}, {largest}",
                    layer.peak(unit)
                );
                assert!(
                    close(layer.mean[unit], mean),
                    "{what}: {}, {mean}",
                    layer.mean[unit]
                );
                assert!(
                    close(layer.active[unit], active),
                    "{what}: {}, {active}",
                    layer.active[unit]
                );
            }
            same_again(&model, &found, layer.layer, &each);
        }
    }

    let refused = |site, layers: Option<Vec<usize>>, units| {
        let settings = CorpusOptions {
            units,
            layers,
            ..options(site, Sign::Positive)
        };
        let ids = vec![model.ids("She said").unwrap()];
        let pieces = pieces(&model, &ids, 8).unwrap();
        corpus(&model, pieces, &settings, &mut unwatched)
            .unwrap_err()
            .to_string()
    };
    assert!(refused(Site::ResidualAfter, None, Units::Heads).contains("not divided by heads"));
    let short = Units::Directions(Array2::ones((2, width - 1)));
    assert!(refused(Site::ResidualAfter, None, short).contains(&format!("has {width} numbers")));
    let none = Units::Directions(Array2::ones((0, width)));
    assert!(refused(Site::ResidualAfter, None, none).contains("name at least one"));
    let elsewhere = Units::Features(vec![of_layer(0)]);
    assert!(refused(Site::ResidualAfter, Some(vec![1]), elsewhere).contains("residual_after of layer 0"));
}
