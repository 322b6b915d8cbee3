//! What is recorded while a text is written, against a pass over the whole of it afterwards.

use std::ops::ControlFlow;

use ecco_interpreter::unwatched;
use ecco_models::config::Task;
use ecco_models::generation::generate_recorded;
use ecco_models::run::{Input, Records, record};
use ecco_models::{GenerateOptions, Generation, Model, Place, Site};
use ecco_tests::{cases, model};
use ndarray::ArrayD;

fn places() -> Vec<Place> {
    [Site::MlpInner, Site::ResidualBefore, Site::FinalNorm]
        .map(Place::of)
        .to_vec()
}

fn written(
    model: &Model,
    options: &GenerateOptions,
    places: &[Place],
    layers: Option<&[usize]>,
) -> (Generation, Option<Records>) {
    generate_recorded(model, "She said that it", options, places, layers, &mut |_| {
        ControlFlow::Continue(())
    })
    .expect("it generates")
}

fn greedy(generate: usize) -> GenerateOptions {
    GenerateOptions {
        generate: Some(generate),
        ..GenerateOptions::default()
    }
}

/// A pass over all tokens but the last.
fn after(model: &Model, text: &Generation, places: &[Place], layers: Option<&[usize]>) -> Records {
    let mut ids = text.ids();
    ids.pop();
    let input = Input {
        ids,
        ..Input::default()
    };
    record(model, &[input], places, layers, &mut unwatched).expect("it records")
}

fn apart(a: &ArrayD<f32>, b: &ArrayD<f32>) -> f32 {
    assert_eq!(a.shape(), b.shape());
    let largest = b.iter().fold(1.0_f32, |most, x| most.max(x.abs()));
    (a - b).iter().fold(0.0_f32, |most, x| most.max(x.abs())) / largest
}

/// Every decoder, over the borders of windows.
#[test]
fn what_is_recorded_while_a_text_is_written_is_what_a_pass_over_it_has() {
    let mut n = 0;
    for name in cases() {
        let model = model(&name, "float32");
        let config = model.config();
        if config.task != Task::NextToken || config.encoder.is_some() {
            continue;
        }
        let (text, records) = written(&model, &greedy(20), &places(), None);
        let Some(records) = records else {
            assert!(
                !config.positions.are_steady(text.tokens.len()),
                "{name}: nothing was recorded"
            );
            continue;
        };
        let whole = after(&model, &text, &places(), None);
        for place in places() {
            assert_eq!(records.layers(place), whole.layers(place), "{name}, {place:?}");
            for layer in whole.layers(place) {
                let [a, b] = [&records, &whole].map(|records| records.array(place, Some(layer), 0).unwrap());
                let off = apart(&a, &b);
                assert!(off < 1e-5, "{name}, {place:?} of layer {layer}: {off:e}");
            }
        }
        n += 1;
    }
    assert!(n >= 40, "{n} models");
}

#[test]
fn some_layers_are_recorded_alone() {
    let model = model("families/olmo", "float32");
    let inner = [Place::of(Site::MlpInner)];
    let (text, records) = written(&model, &greedy(4), &inner, Some(&[1]));
    let records = records.expect("it was recorded");
    assert_eq!(records.layers(inner[0]), [1]);
    let whole = after(&model, &text, &inner, Some(&[1]));
    let [a, b] = [&records, &whole].map(|records| records.array(inner[0], None, 0).unwrap());
    assert!(apart(&a, &b) < 1e-5);
}

/// A pass afterwards has to tell where this would cost more, or not be the same.
#[test]
fn a_pass_afterwards_tells_of_patterns_beams_and_texts_that_are_not_written() {
    let model = model("families/olmo", "float32");
    let is_recorded =
        |options: &GenerateOptions, places: &[Place]| written(&model, options, places, None).1.is_some();
    let beams = GenerateOptions {
        beam_size: Some(2),
        ..greedy(4)
    };
    let by_steps = GenerateOptions {
        cuda_graph: Some(true),
        ..greedy(4)
    };
    assert!(is_recorded(&greedy(4), &places()));
    assert!(!is_recorded(&greedy(4), &[Place::of(Site::AttentionPattern)]));
    assert!(!is_recorded(&beams, &places()));
    assert!(!is_recorded(&by_steps, &places()));
    assert!(!is_recorded(&greedy(0), &places()));
    assert!(!is_recorded(&greedy(4), &[]));
}
