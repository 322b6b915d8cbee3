//! The logit lens against transformers, and at the last layer against the model itself.

use ecco_explain::lens::{Question, Reading, lens};
use ecco_interpreter::unwatched;
use ecco_models::Model;
use ecco_models::config::Task;
use ecco_models::guard::guard;
use ecco_models::model::Body;
use ecco_models::run::{Input, forward};
use ecco_models::tap::NoTap;
use ecco_tests::{cases, fixtures, integers, model};
use serde_json::Value;
use tch::{Kind, Tensor};

fn read(model: &Model, input: &Input, rows: &[usize], watch: &[u32], raw: bool) -> Vec<Vec<Reading>> {
    let question = Question {
        rows: rows.to_vec(),
        depths: (0..=model.config().n_layers).collect(),
        top_k: 5,
        watch: vec![watch.to_vec(); rows.len()],
        raw,
    };
    lens(model, input, &question, &mut unwatched).unwrap().readings
}

fn floats(value: &Value) -> Vec<f64> {
    let values = value.as_array().expect("a list").iter();
    values.map(|value| value.as_f64().expect("a number")).collect()
}

#[test]
fn probabilities_ranks_and_entropies_are_transformers() {
    let file = std::fs::read(fixtures().join("lens.json")).unwrap();
    let stored: Value = serde_json::from_slice(&file).unwrap();
    let stored = stored.as_object().unwrap();
    assert!(stored.len() >= 8);
    for (name, expected) in stored {
        let model = model(name, "float32");
        let input = Input {
            ids: integers(&expected["ids"]),
            target: integers(&expected["target"]),
            ..Input::default()
        };
        let watch = integers(&expected["watch"]);
        let rows = [1, 4];
        let found = read(&model, &input, &rows, &watch, false);
        let raw = read(&model, &input, &rows, &watch, true);
        let all = expected["readings"].as_array().unwrap();
        assert_eq!(all.len(), found.len() * rows.len(), "{name}");
        for expected in all {
            let at = |key: &str| expected[key].as_u64().unwrap() as usize;
            let row = rows.iter().position(|row| *row == at("row")).unwrap();
            let (reading, raw) = (&found[at("depth")][row], &raw[at("depth")][row]);
            let what = format!("{name}, depth {}, row {}", at("depth"), at("row"));
            let ids: Vec<u32> = reading.top.iter().map(|(id, _)| *id).collect();
            assert_eq!(ids, integers(&expected["top"]), "{what}");
            let near =
                |found: f32, expected: f64| (f64::from(found) - expected).abs() <= 1e-4 * (1.0 + expected);
            for ((_, found), expected) in reading.top.iter().zip(floats(&expected["probabilities"])) {
                assert!(near(*found, expected), "{what}: {found}, expected {expected}");
            }
            let ranks: Vec<u32> = reading.watched.iter().map(|watched| watched.rank).collect();
            assert_eq!(ranks, integers(&expected["ranks"]), "{what}");
            for (found, expected) in reading.watched.iter().zip(floats(&expected["watched"])) {
                assert!(
                    near(found.probability, expected),
                    "{what}: {found:?}, expected {expected}"
                );
            }
            let raw: Vec<u32> = raw.watched.iter().map(|watched| watched.rank).collect();
            assert_eq!(raw, integers(&expected["raw_ranks"]), "{what}, raw");
            for (found, key) in [(reading.entropy, "entropy"), (reading.divergence, "divergence")] {
                let expected = expected[key].as_f64().unwrap();
                assert!(
                    near(found, expected),
                    "{what}: {key} {found}, expected {expected}"
                );
            }
        }
    }
}

/// What the model itself says at some rows, with nothing of the lens: `[row, vocabulary]`.
fn output(model: &Model, input: &Input, start: usize, length: usize) -> Tensor {
    guard(|| {
        let states = forward(model, input, &mut NoTap)?.narrow(1, start as i64, length as i64);
        Ok(match model.body() {
            Body::Decoder(decoder) => decoder.logits(&states).get(0),
            Body::EncoderDecoder(both) => both.decoder.logits(&states).get(0),
            Body::Encoder(encoder) => encoder.logits(&states, None).unwrap().get(0),
        })
    })
    .unwrap()
}

fn assert_said(what: &str, reading: &Reading, logits: &Tensor) {
    assert_eq!(reading.divergence, 0.0, "{what}");
    let wide = if logits.kind() == Kind::Double {
        Kind::Double
    } else {
        Kind::Float
    };
    let p = logits.softmax(-1, wide);
    let above = logits.gt_tensor(&logits.get(7)).sum(Kind::Int64).int64_value(&[]);
    assert_eq!(i64::from(reading.watched[0].rank), above + 1, "{what}");
    assert_eq!(
        reading.watched[0].probability,
        p.double_value(&[7]) as f32,
        "{what}"
    );
    let (best, ids) = p.topk(5, -1, true, true);
    for (rank, (id, probability)) in reading.top.iter().enumerate() {
        let at = [rank as i64];
        assert_eq!(i64::from(*id), ids.int64_value(&at), "{what}");
        assert_eq!(*probability, best.double_value(&at) as f32, "{what}");
    }
}

#[test]
fn the_last_layer_is_the_output_bit_for_bit() {
    let mut n_read = 0;
    for name in cases() {
        for dtype in ["float32", "float64"] {
            let model = model(&name, dtype);
            let is_read = matches!(model.config().task, Task::NextToken | Task::MaskedToken(_));
            let input = Input::new(&model, "She said that it was there.", None).unwrap();
            let n = input.spoken().len();
            if !is_read {
                let question = Question {
                    rows: vec![0],
                    depths: vec![0],
                    top_k: 1,
                    watch: vec![vec![]],
                    raw: false,
                };
                assert!(lens(&model, &input, &question, &mut unwatched).is_err(), "{name}");
                continue;
            }
            n_read += 1;
            let logits = output(&model, &input, 0, n);
            let all: Vec<usize> = (0..n).collect();
            for raw in [false, true] {
                let last = read(&model, &input, &all, &[7], raw).pop().unwrap();
                for (row, reading) in last.iter().enumerate() {
                    assert_said(
                        &format!("{name} {dtype}, row {row}"),
                        reading,
                        &logits.get(row as i64),
                    );
                }
            }
            let last = read(&model, &input, &[n - 1], &[7], false)
                .pop()
                .unwrap()
                .remove(0);
            assert_said(
                &format!("{name} {dtype}, the last"),
                &last,
                &output(&model, &input, n - 1, 1).get(0),
            );
        }
    }
    assert!(n_read >= 80, "only {n_read} models were read");
}

#[test]
fn what_is_not_there_is_said() {
    let model = model("gpt2-tiny", "float32");
    let input = Input::new(&model, "one two", None).unwrap();
    let n = input.ids.len();
    let question = Question {
        rows: vec![n - 1],
        depths: vec![3],
        top_k: 1000,
        watch: vec![vec![383]],
        raw: false,
    };
    let all = lens(&model, &input, &question, &mut unwatched).unwrap();
    assert_eq!(
        all.readings[0][0].top.len(),
        384,
        "all of the vocabulary and no more"
    );
    let sum: f32 = all.readings[0][0].top.iter().map(|(_, p)| p).sum();
    assert!((sum - 1.0).abs() < 1e-5);
    let refused = |question: Question| {
        lens(&model, &input, &question, &mut unwatched)
            .unwrap_err()
            .to_string()
    };
    let message = refused(Question {
        rows: vec![n],
        ..question.clone()
    });
    assert_eq!(
        message,
        format!("position is {n}: the model has read {n} tokens, 0 to {}", n - 1)
    );
    let message = refused(Question {
        depths: vec![4],
        ..question.clone()
    });
    assert_eq!(message, "layer is 4: the model has 3 layers");
    let message = refused(Question {
        watch: vec![vec![384]],
        ..question.clone()
    });
    assert_eq!(message, "token id is 384: the vocabulary has 384 tokens");
    let mut calls = 0;
    let stopped = lens(&model, &input, &question, &mut |_| {
        calls += 1;
        if calls > 2 {
            std::ops::ControlFlow::Break(())
        } else {
            std::ops::ControlFlow::Continue(())
        }
    });
    assert_eq!(stopped.unwrap_err().to_string(), "interrupted");
}
