//! Saliency against captum, the written-out backward pass against autograd, and completeness.

use ecco_explain::{Attribution, AttributionOptions, Method, Outcome, Target, attribute};
use ecco_interpreter::unwatched;
use ecco_models::backward::{pull_back, record};
use ecco_models::config::Task;
use ecco_models::run::Input;
use ecco_models::tap::NoTap;
use ecco_models::{Model, Rule, Site};
use ecco_tests::{Reference, assert_close, integers, model};
use ndarray::{ArrayD, IxDyn};
use std::ops::ControlFlow;
use tch::{Kind, Tensor};

const METHODS: &[(&str, Method)] = &[
    ("grad_x_input", Method::GradXInput),
    ("gradient", Method::Gradient),
    ("integrated_gradients", Method::IntegratedGradients),
];

/// Of the tokens from `n_input` on.
fn attribution(model: &Model, ids: &[u32], n_input: usize, method: Method) -> Attribution {
    let input = Input::of(model, ids.to_vec(), vec![]).unwrap();
    let targets = Target::written(&input, n_input);
    attribute(
        model,
        &input,
        &targets,
        &AttributionOptions::with(method),
        &mut unwatched,
    )
    .unwrap()
}

/// Rows padded with zeros to the shape the reference is stored in.
fn padded(rows: &[Vec<f32>], width: usize) -> ArrayD<f32> {
    let values = rows
        .iter()
        .flat_map(|row| row.iter().copied().chain(std::iter::repeat(0.0)).take(width));
    ArrayD::from_shape_vec(IxDyn(&[rows.len(), width]), values.collect()).unwrap()
}

/// Equal to captum to 1e-4 relative. Values far below a row's largest are rounding on both sides.
fn assert_relative(what: &str, found: &ArrayD<f32>, expected: &ArrayD<f32>) {
    assert_eq!(found.shape(), expected.shape(), "{what}: shapes differ");
    for (found, expected) in found.outer_iter().zip(expected.outer_iter()) {
        let largest = expected.iter().copied().fold(0.0, f32::max);
        for (found, expected) in found.iter().zip(expected) {
            let allowed = 1e-4 * expected.abs().max(1e-2 * largest);
            assert!(
                (found - expected).abs() <= allowed,
                "{what}: {found}, expected {expected}"
            );
        }
    }
}

#[test]
fn saliency_is_captums() {
    let mut compared = 0;
    for name in ["gpt2-tiny", "gpt2-untied", "gpt2-tiny-bf16"] {
        let (model, reference) = (model(name, "float32"), Reference::open(name));
        for (text, run) in reference.runs.as_object().unwrap() {
            let (input, generated) = (integers(&run["ids"]), integers(&run["generated"]));
            for (stored, method) in METHODS {
                let Some(expected) = reference.tensor(&format!("{text}.{stored}")) else {
                    continue;
                };
                let ids = [input.clone(), generated.clone()].concat();
                let found = attribution(&model, &ids, input.len(), *method);
                let found = padded(&found.scores, expected.shape()[1]);
                assert_relative(&format!("{name} {text} {stored}"), &found, &expected);
                compared += 1;
            }
        }
    }
    assert!(compared >= 12, "only {compared} were compared");
}

#[test]
fn saliency_of_encoders_is_captums() {
    let mut compared = 0;
    for name in [
        "bert",
        "bert-labels",
        "roberta-labels",
        "modernbert-labels",
        "deberta-v3",
        "electra-discriminator",
    ] {
        let name = format!("families/{name}");
        let (model, reference) = (model(&name, "float32"), Reference::open(&name));
        let run = &reference.runs["ascii"];
        let ids = integers(&run["ids"]);
        let explained = integers(&run["explained"]);
        let said = match &model.config().task {
            task if task.is_of_text() => Outcome::Label(explained[0] as usize),
            Task::MaskedToken(_) => Outcome::Token {
                position: explained[0] as usize,
                id: explained[1],
            },
            _ => Outcome::TokenLabel {
                position: explained[0] as usize,
                label: 0,
            },
        };
        for (stored, method) in METHODS {
            let options = AttributionOptions::with(*method);
            let input = Input::of(&model, ids.clone(), vec![]).unwrap();
            let targets = [said.into(), said.into()];
            let found = attribute(&model, &input, &targets, &options, &mut unwatched).unwrap();
            assert_eq!(found.scores[0], found.scores[1]);
            let expected = reference.tensor(&format!("ascii.{stored}")).unwrap();
            assert_relative(
                &format!("{name} {stored}"),
                &padded(&found.scores[..1], ids.len()),
                &expected,
            );
            compared += 1;
        }
    }
    assert_eq!(compared, 18);
}

#[test]
fn saliency_of_encoder_decoders_is_captums() {
    for name in [
        "families/t5",
        "families/flan-t5",
        "families/bart",
        "families/mbart",
        "families/pegasus",
        "families/marian",
        "families/m2m_100",
    ] {
        let (model, reference) = (model(name, "float32"), Reference::open(name));
        let run = &reference.runs["ascii"];
        let (source, written) = (integers(&run["ids"]), integers(&run["target"]));
        for (stored, method) in METHODS {
            let options = AttributionOptions::with(*method);
            let input = Input::of(&model, source.clone(), written.clone()).unwrap();
            let targets = Target::written(&input, 1);
            let found = attribute(&model, &input, &targets, &options, &mut unwatched).unwrap();
            assert_eq!(found.scores.len(), written.len() - 1);
            let expected = reference.tensor(&format!("ascii.{stored}")).unwrap();
            let found = padded(&found.scores, expected.shape()[1]);
            assert_relative(&format!("{name} {stored}"), &found, &expected);
        }
    }
}

#[test]
fn what_an_encoder_does_not_say_is_refused() {
    let refused = |name: &str, said| {
        let model = model(&format!("families/{name}"), "float32");
        let options = AttributionOptions::default();
        let input = Input::of(&model, vec![5, 6, 7], vec![]).unwrap();
        attribute(&model, &input, &[Target::from(said)], &options, &mut unwatched)
            .unwrap_err()
            .to_string()
    };
    let token = |position, id| Outcome::Token { position, id };
    assert_eq!(
        refused("bert-labels", Outcome::Label(3)),
        "label is 3: the model has 3 labels"
    );
    assert_eq!(
        refused("bert-labels", token(0, 5)),
        "target is a token: this model says a label of the whole text"
    );
    assert_eq!(
        refused("bert", token(3, 5)),
        "position is 3: the text has 3 tokens, numbered from 0"
    );
    assert_eq!(
        refused("bert", token(0, 384)),
        "target is 384: the vocabulary has 384 tokens"
    );
    assert_eq!(
        refused("bert", Outcome::Label(0)),
        "target is a label: this model says tokens"
    );
    assert_eq!(
        refused("bert-states", Outcome::Label(0)),
        "target is a token: this model has no head"
    );
    assert!(refused("llama", Outcome::Label(0)).contains("left to right"));
}

#[test]
fn integrated_gradients_are_complete() {
    let model = model("gpt2-tiny", "float64");
    let ids = model.tokenizer().encode("One, two, three, four").unwrap();
    let n_input = ids.len() - 3;
    let found = attribution(&model, &ids, n_input, Method::IntegratedGradients);
    let probabilities = |embeddings: &Tensor| {
        let decoder = model.decoder("a test").unwrap();
        let states = decoder.forward(embeddings, None, &mut NoTap).unwrap();
        decoder.logits(&states).softmax(-1, Kind::Double).get(0)
    };
    let embeddings = model.decoder("a test").unwrap().embed(&ids);
    let (full, baseline) = (
        probabilities(&embeddings),
        probabilities(&embeddings.zeros_like()),
    );
    for (k, row) in found.signed.iter().enumerate() {
        let index = [(n_input + k - 1) as i64, i64::from(ids[n_input + k])];
        let difference = full.double_value(&index) - baseline.double_value(&index);
        let sum: f64 = row.iter().sum();
        let error = (sum - difference).abs();
        assert!(error <= 1e-6 * difference.abs(), "{sum}, expected {difference}");
        let check = found.completeness[k].unwrap();
        assert!((check.error - error).abs() < 1e-12 && (check.promised - difference).abs() < 1e-12);
        assert!((found.values[k] - full.double_value(&index)).abs() < 1e-12);
    }
}

/// The gradient of logit `token` at each row, by autograd, at all positions.
fn autograd(model: &Model, ids: &[u32], rows: &[usize], token: i64) -> Vec<Tensor> {
    let embeddings = model
        .decoder("a test")
        .unwrap()
        .embed(ids)
        .detach()
        .set_requires_grad(true);
    let states = model
        .decoder("a test")
        .unwrap()
        .forward(&embeddings, None, &mut NoTap)
        .unwrap();
    let logits = model.decoder("a test").unwrap().logits(&states);
    rows.iter()
        .map(|&row| {
            let target = logits.get(0).get(row as i64).get(token);
            Tensor::run_backward(&[target], &[&embeddings], true, false)
                .remove(0)
                .get(0)
        })
        .collect()
}

#[test]
fn the_written_backward_pass_is_autograds() {
    for name in ["gpt2-tiny", "gpt2-untied"] {
        let model = model(name, "float64");
        let decoder = model.decoder("a test").unwrap();
        let ids = model.tokenizer().encode("The cat — 猫 👩 — sat.\nThen?").unwrap();
        let rows = [3, ids.len() - 1, 7];
        let token = 5;
        let cotangent = decoder.head.column(token).unsqueeze(0);
        let cotangents = cotangent.expand([rows.len() as i64, -1], false);
        let embeddings = decoder.embed(&ids);
        let expected = autograd(&model, &ids, &rows, token);
        // With the patterns of the pass, as on a processor, and with patterns that are made anew, as on a GPU.
        let last = decoder.config().n_layers - 1;
        for n_anew in [0, last] {
            let saved = record(decoder, ids.len(), Rule::Gradient);
            let mut saved = saved.without(Site::AttentionPattern, 0..n_anew);
            let _ = model.forward(&ids, &mut saved).unwrap();
            let mut proceed = || ControlFlow::Continue(());
            let found = pull_back(
                decoder,
                &embeddings,
                &saved,
                &rows,
                &cotangents,
                Rule::Gradient,
                &mut proceed,
            )
            .unwrap();
            for (target, expected) in expected.iter().enumerate() {
                let difference = (found.get(target as i64) - expected)
                    .abs()
                    .max()
                    .double_value(&[]);
                assert!(
                    difference < 1e-12,
                    "{name}, target {target}, {n_anew} patterns made anew: off by {difference}"
                );
                let future =
                    expected.narrow(0, rows[target] as i64 + 1, (ids.len() - 1 - rows[target]) as i64);
                assert_eq!(
                    future.abs().sum(Kind::Double).double_value(&[]),
                    0.0,
                    "the future has a gradient"
                );
            }
        }
    }
}

#[test]
fn rows_sum_to_one_and_see_only_the_past() {
    let model = model("gpt2-tiny", "float32");
    let ids = model
        .tokenizer()
        .encode("One, two, three, four, five, six, seven, eight")
        .unwrap();
    for (_, method) in METHODS {
        let found = attribution(&model, &ids, 3, *method);
        assert_eq!(found.scores.len(), ids.len() - 3);
        for (k, row) in found.scores.iter().enumerate() {
            assert_eq!(row.len(), 3 + k);
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }
    }
}

#[test]
fn chunks_do_not_matter() {
    // 25 targets are pulled back in three chunks; one target alone in one.
    let model = model("gpt2-tiny", "float32");
    let ids: Vec<u32> = (0..40).map(|i| (i * 37) % 380).collect();
    let together = attribution(&model, &ids, 15, Method::GradXInput);
    for k in [0, 4, 5, 14, 15, 24] {
        let alone = attribution(&model, &ids[..15 + k + 1], 15 + k, Method::GradXInput);
        let row = |attribution: &Attribution, k: usize| padded(&attribution.scores[k..=k], 40);
        assert_close(&format!("row {k}"), &row(&together, k), &row(&alone, 0), 1e-5);
    }
}
