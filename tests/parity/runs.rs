//! Passes over texts side by side: each text as alone, and what heads say as transformers says it.

use std::ops::ControlFlow;
use std::panic::{RefUnwindSafe, catch_unwind};

use ecco_explain::lens::{Question, lens};
use ecco_interpreter::Progress;
use ecco_interpreter::unwatched;
use ecco_models::edit::{Change, Edit, Part};
use ecco_models::model::Body;
use ecco_models::run::{Input, Place, Prediction, Run, record, run, sites};
use ecco_models::{Error, Model, Site};
use ecco_tests::{Reference, assert_close, fixtures, integers, last_as_stored, model, of_all_layers};
use ndarray::Axis;
use serde_json::Value;

const TEXTS: [&str; 4] = [
    "She said that it was there.",
    "Où",
    "Où ? l'été\n🎉 日",
    "She said that it was there. She said that it was.",
];

fn cases() -> Vec<String> {
    let folder = std::fs::read_dir(fixtures().join("families")).expect("the fixtures are there");
    let folders = folder
        .map(|entry| entry.expect("readable"))
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok());
    let names: Vec<String> = folders.map(|name| format!("families/{name}")).collect();
    assert!(names.len() >= 55, "only {} cases", names.len());
    names
}

fn for_each_case(check: impl Fn(&str) + RefUnwindSafe) {
    let fails = |name: &String| catch_unwind(|| check(name)).is_err();
    let failed: Vec<String> = cases().into_iter().filter(fails).collect();
    assert!(failed.is_empty(), "failed: {failed:?}");
}

fn inputs(model: &Model) -> Vec<Input> {
    let has_target = matches!(model.body(), Body::EncoderDecoder(_));
    let targets = [
        Some("Une forêt\n"),
        Some("So it was said, there."),
        None,
        Some("A"),
    ];
    let each = TEXTS.iter().zip(targets);
    each.map(|(text, target)| Input::new(model, *text, target.filter(|_| has_target)).expect(text))
        .collect()
}

/// The run that a text is part of, and where in it.
fn find(runs: &[Run], text: usize) -> (&Run, usize) {
    let place = |run: &Run| run.order().iter().position(|&at| at == text);
    let found = runs.iter().find_map(|run| Some((run, place(run)?)));
    found.unwrap_or_else(|| panic!("no text {text}"))
}

#[test]
fn a_text_in_a_batch_is_as_alone() {
    for_each_case(|name| {
        let model = model(name, "float32");
        let inputs = inputs(&model);
        let together = run(&model, inputs.clone(), 3, &mut unwatched).unwrap();
        let places: Vec<Place> = sites(&model)
            .unwrap()
            .into_iter()
            .map(|(place, _)| place)
            .collect();
        // A layer of one branch has fewer.
        assert!(places.len() >= 9, "{name}: {places:?}");
        for (text, input) in inputs.into_iter().enumerate() {
            let alone = run(&model, vec![input], 3, &mut unwatched).unwrap().remove(0);
            let (batch, index) = find(&together, text);
            for place in &places {
                let what = format!("{name} {:?} {}", TEXTS[text], place.name());
                let Some(expected) = of_all_layers(alone.records(), *place, 0) else {
                    continue;
                };
                let found = of_all_layers(batch.records(), *place, index).unwrap();
                assert_eq!(found.ndim(), place.axes().len(), "{what}");
                assert!(expected.iter().all(|value| value.is_finite()), "{what}");
                assert_close(&what, &found, &expected, 1e-5);
            }
            if let Ok(expected) = alone.logits(&model, 0) {
                let found = batch.logits(&model, index).unwrap();
                assert_close(
                    &format!("{name} {:?} logits", TEXTS[text]),
                    &found,
                    &expected,
                    1e-5,
                );
            }
            assert_eq!(
                alone.predictions(0).len(),
                batch.predictions(index).len(),
                "{name}"
            );
        }
    });
}

#[test]
fn most_models_take_their_texts_side_by_side() {
    let mut alone = Vec::new();
    for name in cases() {
        let model = model(&name, "float32");
        let runs = run(&model, inputs(&model), 1, &mut unwatched).unwrap();
        if runs.len() > 1 {
            alone.push(name);
        }
    }
    alone.sort();
    let expected = ["llama-dynamic", "phi3-longrope", "phimoe"].map(|name| format!("families/{name}"));
    assert_eq!(alone, expected);
}

/// Against transformers, for models of two stacks: those of one are compared elsewhere by the same code.
#[test]
fn logits_and_attention_of_encoder_decoders() {
    for name in [
        "t5", "flan-t5", "mt5", "bart", "mbart", "pegasus", "marian", "m2m_100",
    ] {
        let (model, reference) = (
            model(&format!("families/{name}"), "float32"),
            Reference::open(&format!("families/{name}")),
        );
        let texts = ["ascii", "unicode"].map(|text| &reference.runs[text]);
        let inputs = texts.map(|text| {
            let text = text["text"].as_str().unwrap();
            Input::new(&model, text, Some("Une forêt\n")).unwrap()
        });
        let runs = run(&model, inputs.to_vec(), 1, &mut unwatched).unwrap();
        for (text, name_of_text) in ["ascii", "unicode"].into_iter().enumerate() {
            assert_eq!(
                runs[0].inputs()[text].target,
                integers(&reference.runs[name_of_text]["target"])
            );
            let check = |what: &str, found| {
                let expected = reference.tensor(&format!("{name_of_text}.{what}")).unwrap();
                let axis = if what == "cross_attention" { 2 } else { 0 };
                let found = last_as_stored(found, axis, &expected);
                assert_close(&format!("{name} {name_of_text} {what}"), &found, &expected, 1e-4);
            };
            let array = |name| {
                let place = Place::parse(name).unwrap();
                runs[0].records().array(place, None, text).unwrap()
            };
            check("logits", runs[0].logits(&model, text).unwrap());
            check("cross_attention", array("cross_pattern"));
            check("encoder_states", array("encoder_final_norm"));
        }
    }
}

#[test]
fn a_second_pass_over_one_layer_is_the_first() {
    let model = model("families/bert", "float32");
    let first = run(&model, inputs(&model), 1, &mut unwatched).unwrap().remove(0);
    let place = Place::of(Site::AttentionPattern);
    let second = record(&model, first.inputs(), &[place], Some(&[1]), &mut unwatched).unwrap();
    let layer = first.records().array(place, Some(1), 2).unwrap();
    assert_close("layer 1", &second.array(place, Some(1), 2).unwrap(), &layer, 1e-6);
    let all = first.records().array(place, None, 2).unwrap();
    assert_eq!(all.index_axis(ndarray::Axis(0), 1), layer);
    assert!(matches!(
        second.array(place, Some(0), 2),
        Err(Error::NoSite { .. })
    ));
}

#[test]
fn a_run_can_be_interrupted() {
    for name in ["families/llama", "families/modernbert", "families/bart"] {
        let model = model(name, "float32");
        let mut calls = 0;
        let mut watch = |progress: &Progress| {
            calls += 1;
            assert!(progress.done < progress.total.unwrap(), "{name}: {progress:?}");
            if calls == 2 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let stopped = run(&model, inputs(&model), 1, &mut watch);
        assert!(matches!(stopped, Err(Error::Interrupted)), "{name}");
        assert_eq!(calls, 2, "{name}");
    }
}

fn expected(name: &str) -> Vec<Value> {
    let text = std::fs::read(fixtures().join(format!("runs/{name}.json"))).expect("the fixture is there");
    serde_json::from_slice(&text).expect("valid JSON")
}

/// What a stored model says of the stored texts, side by side.
fn said(name: &str) -> Vec<(Value, Vec<Prediction>)> {
    let model = model(&format!("runs/{name}"), "float32");
    let expected = expected(name);
    let inputs: Vec<Input> = expected
        .iter()
        .map(|text| Input::new(&model, text["text"].as_str().unwrap(), None).unwrap())
        .collect();
    for (input, text) in inputs.iter().zip(&expected) {
        assert_eq!(input.ids, integers(&text["ids"]));
    }
    let mut runs = run(&model, inputs, 3, &mut unwatched).unwrap();
    let run = runs.remove(0);
    let predictions = (0..expected.len()).map(|text| run.predictions(text).to_vec());
    expected.into_iter().zip(predictions).collect()
}

fn close(found: f32, expected: &Value) -> bool {
    (f64::from(found) - expected.as_f64().unwrap()).abs() < 1e-5
}

#[test]
fn tokens_behind_masks() {
    for (text, predictions) in said("masked") {
        let expected = text["said"].as_array().unwrap();
        assert_eq!(predictions.len(), expected.len());
        for (prediction, expected) in predictions.iter().zip(expected) {
            let Prediction::Token { position, candidates } = prediction else {
                panic!("{prediction:?}")
            };
            assert_eq!(*position as u64, expected["position"].as_u64().unwrap());
            let ids: Vec<u32> = candidates.iter().map(|candidate| candidate.token.id).collect();
            assert_eq!(ids, integers(&expected["ids"]));
            for (candidate, expected) in candidates
                .iter()
                .zip(expected["probabilities"].as_array().unwrap())
            {
                assert!(close(candidate.probability, expected), "{candidate:?} {expected}");
            }
        }
    }
}

#[test]
fn labels_of_one_kind_or_many() {
    for (case, are_independent) in [("one-label", false), ("many-labels", true)] {
        for (text, predictions) in said(case) {
            let names = ["negative", "neutral", "positive"];
            let mut last = f32::INFINITY;
            for prediction in &predictions {
                let Prediction::Label {
                    name,
                    probability,
                    independent,
                } = prediction
                else {
                    panic!("{prediction:?}")
                };
                let index = names.iter().position(|known| known == name).unwrap();
                assert!(close(*probability, &text["said"][index]), "{prediction:?} {text}");
                assert!(*probability <= last, "the most probable is first");
                assert_eq!(*independent, are_independent);
                last = *probability;
            }
            assert_eq!(predictions.len(), 3);
        }
    }
}

/// Where positions are turned, relative or by ALiBi, texts longer than the context that a file names are read as
/// transformers reads them. See tests/reference/make_long.py.
#[test]
fn texts_longer_than_the_context_are_read() {
    let stored = std::fs::read(fixtures().join("long.json")).unwrap();
    let stored: serde_json::Value = serde_json::from_slice(&stored).unwrap();
    for (name, case) in stored.as_object().unwrap() {
        let model = model(&format!("families/{name}"), "float32");
        let ids = integers(&case["ids"]);
        let target = match model.body() {
            Body::EncoderDecoder(_) => vec![model.generation_config().start_id.unwrap()],
            _ => vec![],
        };
        let (n_read, n_written) = (ids.len(), target.len());
        assert!(
            model.outgrown(n_read, n_written).is_some(),
            "{name} is not longer"
        );
        let input = Input::of(&model, ids, target).unwrap();
        let found = run(&model, vec![input], 1, &mut unwatched).unwrap().remove(0);
        let logits = found.logits(&model, 0).unwrap();
        let last = logits.index_axis(Axis(0), logits.shape()[0] - 1);
        let expected = case["logits"].as_array().unwrap().iter();
        for (id, (found, expected)) in last.iter().zip(expected).enumerate() {
            let expected = expected.as_f64().unwrap() as f32;
            assert!(
                (found - expected).abs() < 1e-4 * (1.0 + expected.abs()),
                "{name} {id}: {found}, {expected}"
            );
        }
    }
    // Vectors for each position are a limit.
    let learned = model("families/bert", "float32");
    assert!(Input::of(&learned, vec![5; 90], vec![]).is_err());
}

/// Candidates are in the order of their logits also where their probabilities round to 0.
#[test]
fn what_rounds_to_nothing_has_an_order() {
    let plain = model("gpt2-tiny", "float32");
    let n_layers = plain.config().n_layers;
    let louder = Edit {
        place: Place::of(Site::FinalNorm),
        layer: n_layers - 1,
        part: Part::Whole,
        positions: None,
        change: Change::Scale(10_000.0),
    };
    let model = plain.edited(&plain.edits(vec![louder]).unwrap());
    let input = Input::new(&model, "She said", None).unwrap();
    let found = run(&model, vec![input.clone()], 12, &mut unwatched)
        .unwrap()
        .remove(0);
    let logits = found.logits(&model, 0).unwrap();
    let last = logits.shape()[0] - 1;
    let row = logits.index_axis(Axis(0), last);
    let mut order: Vec<u32> = (0..row.len() as u32).collect();
    order.sort_by(|&a, &b| row[b as usize].total_cmp(&row[a as usize]));
    let Prediction::Token { candidates, .. } = &found.predictions(0)[0] else {
        panic!("a decoder names tokens")
    };
    assert_eq!(
        (candidates[2].probability, candidates[11].probability),
        (0.0, 0.0)
    );
    let ids: Vec<u32> = candidates.iter().map(|candidate| candidate.token.id).collect();
    assert_eq!(ids, order[..12]);
    let question = Question {
        rows: vec![last],
        depths: vec![n_layers],
        top_k: 12,
        watch: vec![vec![]],
        raw: false,
    };
    let read = lens(&model, &input, &question, &mut unwatched).unwrap();
    let ids: Vec<u32> = read.readings[0][0].top.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, order[..12]);
}
