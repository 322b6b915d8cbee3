//! Readings that end early: what they leave, and that they go on as if nothing had been.

use std::ops::ControlFlow;

use ecco_explain::corpus::{
    Corpus, CorpusOptions, LayerNeurons, Pieces, Reading, Sign, Stored, Units, corpus, pieces,
};
use ecco_explain::error::Error;
use ecco_interpreter::{Progress, unwatched};
use ecco_models::{Model, Site};
use ecco_tests::model;
use ndarray::Array2;

use super::{options, texts, told};

/// Long enough for several passes.
fn many(model: &Model) -> Pieces {
    let told = told();
    let texts = texts(&told);
    let long = (0..200).map(|at| texts[at % texts.len()].repeat(3) + &at.to_string());
    let ids: Vec<Vec<u32>> = long.map(|text| model.ids(text.as_str()).unwrap()).collect();
    pieces(model, &ids, 32).unwrap()
}

#[test]
fn an_interrupt_keeps_what_was_read() {
    let model = model("gpt2-tiny", "float32");
    let pieces = many(&model);
    let n = pieces.all.len();
    let mut looks = 0;
    let mut watch = |_: &Progress| {
        looks += 1;
        match looks > 4 {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let settings = options(Site::MlpInner, Sign::Positive);
    let found = corpus(&model, pieces.clone(), &settings, &mut watch).unwrap();
    assert!(
        !found.is_whole && found.n_read > 0 && found.n_read < n,
        "{} of {n}",
        found.n_read
    );
    // The last layer has seen no more than whole batches.
    let last = found.layers.last().unwrap();
    assert_eq!(last.n_tokens, found.n_tokens);
    let whole = corpus(&model, pieces, &settings, &mut unwatched).unwrap();
    assert!(whole.is_whole && whole.n_read == n && whole.n_tokens > found.n_tokens);
}

/// What is interrupted after so many looks, each before a layer.
fn ends_after(looks: usize) -> impl FnMut(&Progress) -> ControlFlow<()> {
    let mut left = looks;
    move |_| {
        left = left.saturating_sub(1);
        match left {
            0 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Read in parts, each of which ends at an interrupt and is the next one's beginning.
fn in_parts(model: &Model, pieces: &Pieces, options: &CorpusOptions, looks: usize) -> (Corpus, usize) {
    let mut kept: Option<Stored> = None;
    for n_parts in 1.. {
        let mut reading = Reading::new(model, pieces.clone(), options).unwrap();
        if let Some(stored) = &kept {
            reading.restore(stored).unwrap();
            assert_eq!(reading.stored().unwrap().layers, stored.layers);
        }
        reading
            .read(model, &mut ends_after(looks), &mut |_| Ok::<(), Error>(()))
            .unwrap();
        if reading.is_whole() {
            return (reading.finish().unwrap(), n_parts);
        }
        kept = Some(reading.stored().unwrap());
    }
    unreachable!("it comes to an end")
}

/// To the last bit, where NaN is NaN.
fn same(one: &Corpus, other: &Corpus) {
    assert_eq!(
        (one.n_read, one.n_tokens, &one.sample),
        (other.n_read, other.n_tokens, &other.sample)
    );
    assert_eq!(one.layers.len(), other.layers.len());
    for (one, other) in one.layers.iter().zip(&other.layers) {
        let doubles = |of: &LayerNeurons| -> Vec<u64> {
            let all = [&of.mean, &of.deviation, &of.active, &of.range]
                .into_iter()
                .flatten();
            all.map(|value| value.to_bits()).collect()
        };
        let singles = |of: &LayerNeurons| -> Vec<u32> {
            let all = of.values.iter().chain(&of.sampled).chain(&of.drawn);
            all.map(|value| value.to_bits()).collect()
        };
        assert_eq!((one.layer, one.n_tokens), (other.layer, other.n_tokens));
        assert!(doubles(one) == doubles(other) && singles(one) == singles(other));
        assert!(one.pieces == other.pieces && one.positions == other.positions);
        assert!(one.drawn.iter().any(|value| value.is_finite()));
        assert!(one.counts == other.counts && one.sampled_positions == other.sampled_positions);
    }
}

#[test]
fn a_reading_that_goes_on_is_one_that_was_never_interrupted() {
    let model = model("gpt2-tiny", "float32");
    let pieces = many(&model);
    let width = model.config().hidden_size;
    let directions = Array2::from_shape_fn((3, width), |(row, at)| ((row + 2) * (at + 1)) as f32 % 7.0 - 3.0);
    for (site, sign, units) in [
        (Site::MlpInner, Sign::Positive, Units::Numbers),
        (Site::ResidualAfter, Sign::Both, Units::Directions(directions)),
        (Site::HeadOutputs, Sign::Negative, Units::Heads),
    ] {
        let options = CorpusOptions {
            units,
            ..options(site, sign)
        };
        let whole = corpus(&model, pieces.clone(), &options, &mut unwatched).unwrap();
        assert!(whole.is_whole);
        // Ends between layers: the first have taken in a pass that the others have not.
        for looks in [4, 6, 23] {
            let (found, n_parts) = in_parts(&model, &pieces, &options, looks);
            assert!(n_parts > 1, "{n_parts} parts");
            same(&found, &whole);
        }
    }
}

#[test]
fn what_does_not_fit_is_not_gone_on_from() {
    let model = model("gpt2-tiny", "float32");
    let (pieces, options) = (many(&model), options(Site::MlpInner, Sign::Positive));
    let mut reading = Reading::new(&model, pieces.clone(), &options).unwrap();
    reading
        .read(&model, &mut ends_after(9), &mut |_| Ok::<(), Error>(()))
        .unwrap();
    let stored = reading.stored().unwrap();
    let refused = |change: &dyn Fn(&mut Stored), options: &CorpusOptions| {
        let mut other = stored.clone();
        change(&mut other);
        let mut reading = Reading::new(&model, pieces.clone(), options).unwrap();
        reading.restore(&other).unwrap_err().to_string()
    };
    let said = |change: &dyn Fn(&mut Stored)| refused(change, &options);
    assert_eq!(
        said(&|of| of.batches[0].clear()),
        "its passes are not over its texts"
    );
    assert_eq!(
        said(&|of| of.batches[0][0] = 1 << 40),
        "its passes are not over its texts"
    );
    assert_eq!(
        said(&|of| of.layers[0].n_neurons += 1),
        "its layers are other ones"
    );
    assert_eq!(
        said(&|of| of.layers[0].n_passes = 1 << 40),
        "it has taken in more passes than there are"
    );
    assert_eq!(said(&|of| of.numbers.truncate(3)), "it has no keys");
    assert_eq!(
        said(&|of| {
            of.layers.pop();
        }),
        "it has numbers of more neurons than its layers"
    );
    let places = said(&|of| {
        let at = of.numbers.iter().position(|(name, _)| *name == "pieces").unwrap();
        if let ecco_explain::corpus::Numbers::Double(all) = &mut of.numbers[at].1 {
            all.fill(1e9);
        }
    });
    assert_eq!(places, "it has places that are not in its texts");
    let more = CorpusOptions {
        top: 7,
        ..options.clone()
    };
    assert_eq!(refused(&|_| {}, &more), "its keys have another shape");
}

#[test]
fn memory_is_bounded_by_smaller_passes() {
    let model = model("gpt2-tiny", "float32");
    let pieces = many(&model);
    let options = options(Site::MlpInner, Sign::Positive);
    let n_passes = |memory: Option<u64>| {
        let bounded = CorpusOptions {
            memory,
            ..options.clone()
        };
        let mut reading = Reading::new(&model, pieces.clone(), &bounded).unwrap();
        reading.stored().unwrap().batches.len()
    };
    assert!(
        n_passes(Some(1_200_000)) > n_passes(None),
        "{} {}",
        n_passes(Some(1_200_000)),
        n_passes(None)
    );
    // What is found does not depend on how texts are cut into passes, up to rounding.
    let bounded = CorpusOptions {
        memory: Some(1_200_000),
        ..options.clone()
    };
    let [one, other] =
        [&options, &bounded].map(|options| corpus(&model, pieces.clone(), options, &mut unwatched).unwrap());
    for (one, other) in one.layers.iter().zip(&other.layers) {
        for neuron in 0..one.n_neurons() {
            assert!((one.peak(neuron) - other.peak(neuron)).abs() < 1e-5);
            assert!((one.mean[neuron] - other.mean[neuron]).abs() < 1e-6);
        }
    }
}
