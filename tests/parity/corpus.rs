//! Neurons over many texts: against transformers, and against passes over each text alone, for every kind of model.

mod nearest;
mod resumed;
mod units;

use ecco_explain::corpus::{
    BINS, Corpus, CorpusOptions, NeuronPlace, Piece, Sign, Units, corpus, neuron_values, pieces,
};
use ecco_interpreter::unwatched;
use ecco_models::run::{Input, Place, record};
use ecco_models::{Model, Site};
use ecco_tests::{cases, fixtures, model};
use ndarray::{Array2, Ix2};
use serde_json::Value;

fn told() -> Value {
    let file = std::fs::read(fixtures().join("probes.json")).unwrap();
    serde_json::from_slice(&file).unwrap()
}

fn options(site: Site, sign: Sign) -> CorpusOptions {
    CorpusOptions {
        place: Place::of(site),
        units: Units::Numbers,
        layers: None,
        top: 5,
        sign,
        n_sample: 6,
        n_tokens: 40,
        seed: 1,
        memory: None,
    }
}

fn read(model: &Model, texts: &[&str], options: &CorpusOptions, max_tokens: usize) -> Corpus {
    let ids: Vec<Vec<u32>> = texts.iter().map(|text| model.ids(*text).unwrap()).collect();
    let pieces = pieces(model, &ids, max_tokens).unwrap();
    corpus(model, pieces, options, &mut unwatched).unwrap()
}

fn texts(told: &Value) -> Vec<&str> {
    told["texts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap())
        .collect()
}

#[test]
fn strongest_places_and_statistics_are_transformers() {
    let told = told();
    let model = model("gpt2-tiny", "float32");
    let texts = texts(&told);
    let found = read(&model, &texts, &options(Site::MlpInner, Sign::Positive), 64);
    assert_eq!(
        (found.n_read, found.pieces.n_same, found.is_whole),
        (texts.len(), 0, true)
    );
    let neurons = told["neurons"].as_array().unwrap();
    assert_eq!(neurons.len(), 36);
    for expected in neurons {
        let at = |key: &str| expected[key].as_u64().unwrap() as usize;
        let number = |key: &str| expected[key].as_f64().unwrap();
        let (layer, neuron) = (found.layer(at("layer")).unwrap(), at("neuron"));
        let near = |found: f64, expected: f64| (found - expected).abs() < 2e-5 * (1.0 + expected.abs());
        for (key, found) in [
            ("mean", layer.mean[neuron]),
            ("deviation", layer.deviation[neuron]),
            ("active", layer.active[neuron]),
        ] {
            assert!(
                near(found, number(key)),
                "{key}: {found}, expected {}",
                number(key)
            );
        }
        let places = layer.strongest(neuron);
        assert_eq!(places.len(), 5);
        for (place, expected) in places.iter().zip(expected["top"].as_array().unwrap()) {
            let count = |at: usize| expected[at].as_u64().unwrap() as usize;
            // Of texts that begin alike either may come first.
            let read = |text: usize| &found.ids(text)[..=count(1)];
            assert_eq!((read(place.piece), place.position), (read(count(0)), count(1)));
            assert!(near(place.value.into(), expected[2].as_f64().unwrap()));
        }
        histogram_is(&found, at("layer"), neuron, expected);
    }
}

/// Other bins than the reference's: as many tokens in all, between the same ends.
fn histogram_is(found: &Corpus, layer: usize, neuron: usize, expected: &Value) {
    let layer = found.layer(layer).unwrap();
    let (start, end, counts) = layer.histogram(neuron);
    let edges: Vec<f64> = expected["edges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|edge| edge.as_f64().unwrap())
        .collect();
    let width = (end - start) / counts.len() as f64;
    assert!(
        start <= edges[0] && edges[0] < start + width,
        "{start}, {edges:?}"
    );
    assert!(end - width <= edges[1] && edges[1] <= end, "{end}, {edges:?}");
    assert!(
        counts.len() >= BINS / 4,
        "a power of two above the largest: {}",
        counts.len()
    );
    assert_eq!(counts.iter().sum::<u64>(), found.n_tokens as u64);
}

/// A layer's values over one text alone, (position, neuron).
fn alone(model: &Model, input: &Input, place: Place, layer: Option<usize>) -> Array2<f32> {
    let records = record(model, std::slice::from_ref(input), &[place], None, &mut unwatched).unwrap();
    let values = records.array(place, layer, 0).unwrap();
    match (place.site, values.ndim()) {
        (Site::MlpInner, _) => values.reversed_axes().into_dimensionality::<Ix2>().unwrap(),
        (_, 3) => {
            let (heads, n, width) = (values.shape()[0], values.shape()[1], values.shape()[2]);
            Array2::from_shape_fn((n, heads * width), |(at, of)| {
                values[[of / width, at, of % width]]
            })
        }
        _ => values.into_dimensionality::<Ix2>().unwrap(),
    }
}

/// By text alone: the strongest place and its key.
fn peak(values: &Array2<f32>, counted: &[bool], neuron: usize, sign: Sign) -> Option<f32> {
    let key = |value: f32| match sign {
        Sign::Positive => value,
        Sign::Negative => -value,
        Sign::Both => value.abs(),
    };
    let rows = values.column(neuron).into_iter().zip(counted);
    rows.filter(|(_, counts)| **counts)
        .map(|(value, _)| key(*value))
        .max_by(f32::total_cmp)
}

#[test]
fn every_model_has_what_its_texts_have_alone() {
    let texts = [
        "She said that it was there.",
        "it",
        "that it was",
        "She said",
        "was there that it said she was",
        "it was said that she said that it was there and there it was",
        "it",
    ];
    let mut n_compared = 0;
    for (at, name) in cases().iter().enumerate() {
        let model = model(name, "float32");
        let site = [Site::MlpInner, Site::ResidualAfter, Site::HeadOutputs][at % 3];
        let sign = Sign::ALL[at % 3];
        let settings = options(site, sign);
        let ids: Vec<Vec<u32>> = texts.iter().map(|text| model.ids(*text).unwrap()).collect();
        let Ok(found) = corpus(
            &model,
            pieces(&model, &ids, 10).unwrap(),
            &settings,
            &mut unwatched,
        ) else {
            continue;
        };
        assert_eq!(found.pieces.n_same, 1, "{name}");
        for layer in &found.layers {
            let all: Vec<Array2<f32>> = found
                .pieces
                .all
                .iter()
                .map(|piece| alone(&model, &piece.input, settings.place, layer.layer))
                .collect();
            let counted = |piece: &Piece, values: &Array2<f32>| match piece.input.target.is_empty() {
                true => piece.counted.clone(),
                false => vec![true; values.nrows()],
            };
            for neuron in (0..layer.n_neurons()).step_by(7) {
                let each = found.pieces.all.iter().zip(&all);
                let mut keys: Vec<f32> = each
                    .clone()
                    .filter_map(|(piece, values)| peak(values, &counted(piece, values), neuron, sign))
                    .collect();
                keys.sort_by(|a, b| b.total_cmp(a));
                let places = layer.strongest(neuron);
                assert_eq!(places.len(), keys.len().min(5), "{name}");
                let close =
                    |found: f32, expected: f32| (found - expected).abs() < 3e-4 * (1.0 + expected.abs());
                for (place, key) in places.iter().zip(&keys) {
                    let value = all[place.piece][[place.position, neuron]];
                    assert!(close(place.value, value), "{name}: {place:?}, alone {value}");
                    let size = match sign {
                        Sign::Positive => place.value,
                        Sign::Negative => -place.value,
                        Sign::Both => place.value.abs(),
                    };
                    assert!(close(size, *key), "{name}, {sign:?}: {place:?}, expected {key}");
                    n_compared += 1;
                }
                let values: Vec<f64> = each
                    .flat_map(|(piece, values)| {
                        let rows = values
                            .column(neuron)
                            .to_vec()
                            .into_iter()
                            .zip(counted(piece, values));
                        rows.filter(|(_, counts)| *counts)
                            .map(|(value, _)| f64::from(value))
                            .collect::<Vec<_>>()
                    })
                    .collect();
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                assert_eq!(layer.n_tokens, values.len(), "{name}");
                assert!(
                    (layer.mean[neuron] - mean).abs() < 3e-4 * (1.0 + mean.abs()),
                    "{name}: {}, {mean}",
                    layer.mean[neuron]
                );
                assert_eq!(layer.counts.row(neuron).sum(), values.len() as u64, "{name}");
                // On each side of 0, up to what rounding moves across.
                let below = layer.counts.row(neuron).iter().take(BINS / 2).sum::<u64>() as usize;
                let beyond = |end: f64| values.iter().filter(|value| **value < end).count();
                assert!((beyond(-1e-4)..=beyond(1e-4)).contains(&below), "{name}: {below}");
            }
            same_again(&model, &found, layer.layer, &all);
        }
    }
    assert!(n_compared > 3_500, "{n_compared}");
}

/// One neuron at every token is what the texts have alone, and texts of the sample come in their order.
fn same_again(model: &Model, found: &Corpus, layer: Option<usize>, all: &[Array2<f32>]) {
    let inputs: Vec<Input> = found.pieces.all.iter().map(|piece| piece.input.clone()).collect();
    let values = neuron_values(
        model,
        &inputs,
        (found.place, &found.units),
        (layer, 1),
        &mut unwatched,
    )
    .unwrap();
    for (found, expected) in values.iter().zip(all) {
        assert_eq!(found.len(), expected.nrows());
        for (found, expected) in found.iter().zip(expected.column(1)) {
            assert!(
                (found - expected).abs() < 3e-4 * (1.0 + expected.abs()),
                "{found}, alone {expected}"
            );
        }
    }
    let of = found.layers.iter().find(|of| of.layer == layer).unwrap();
    assert!(!found.sample.tokens.is_empty() && of.drawn.ncols() == found.sample.tokens.len());
    for (&(piece, position), drawn) in found.sample.tokens.iter().zip(of.drawn.row(1)) {
        let value = all[piece][[position, 1]];
        assert!(
            (drawn - value).abs() < 3e-4 * (1.0 + value.abs()),
            "{drawn}, alone {value}"
        );
    }
    let places = of.at_quantiles(1, &found.sample.pieces, &[1.0, 0.5, 0.0], Sign::Positive);
    let falls = |pair: &[NeuronPlace]| pair[0].value >= pair[1].value;
    assert!(places.len() == 3 && (found.sign != Sign::Positive || places.windows(2).all(falls)));
    for place in places {
        assert!(found.sample.pieces.contains(&place.piece));
        let value = all[place.piece][[place.position, 1]];
        assert!((place.value - value).abs() < 3e-4 * (1.0 + value.abs()));
    }
}

#[test]
fn a_histogram_widens_without_losing_a_token() {
    let model = model("gpt2-tiny", "float32");
    // The longest text has the others before it: what is large comes late.
    let all: Vec<String> = (1..40)
        .map(|n| "a b ".repeat(n % 7 + 1) + &"z".repeat(n))
        .collect();
    let texts: Vec<&str> = all.iter().map(String::as_str).collect();
    let found = read(&model, &texts, &options(Site::ResidualAfter, Sign::Positive), 64);
    for layer in &found.layers {
        for neuron in 0..layer.n_neurons() {
            let (start, end, counts) = layer.histogram(neuron);
            assert_eq!(counts.iter().sum::<u64>(), found.n_tokens as u64);
            let width = (end - start) / counts.len() as f64;
            let middles = counts
                .iter()
                .enumerate()
                .map(|(bin, n)| (start + width * (bin as f64 + 0.5)) * *n as f64);
            let mean = middles.sum::<f64>() / found.n_tokens as f64;
            assert!(
                (mean - layer.mean[neuron]).abs() <= width / 2.0,
                "{mean}, {}",
                layer.mean[neuron]
            );
            assert!(
                (layer.range[neuron].log2() % 1.0).abs() < 1e-9,
                "{}",
                layer.range[neuron]
            );
        }
    }
}

#[test]
fn what_cannot_be_read_is_said() {
    let model = model("gpt2-tiny", "float32");
    let ids = vec![model.ids("She said").unwrap()];
    let error = |max_tokens| pieces(&model, &ids, max_tokens).unwrap_err().to_string();
    assert!(
        error(65).starts_with("max_tokens is 65: expected 1 to 64"),
        "{}",
        error(65)
    );
    assert!(error(0).starts_with("max_tokens is 0"));
    let none = pieces(&model, &[], 8).unwrap();
    let settings = options(Site::MlpInner, Sign::Positive);
    assert!(
        corpus(&model, none, &settings, &mut unwatched)
            .unwrap_err()
            .to_string()
            .starts_with("texts is []")
    );
    let small = CorpusOptions {
        memory: Some(1000),
        ..options(Site::MlpInner, Sign::Positive)
    };
    let some = pieces(&model, &ids, 8).unwrap();
    let error = corpus(&model, some, &small, &mut unwatched)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("memory is 1 kB: what is kept of") && error.contains("`top`"),
        "{error}"
    );
    let patterns = options(Site::AttentionPattern, Sign::Positive);
    let some = pieces(&model, &ids, 8).unwrap();
    assert!(
        corpus(&model, some, &patterns, &mut unwatched)
            .unwrap_err()
            .to_string()
            .contains("between two positions")
    );
}
