//! Heads that people train on encoders, against transformers: labels of tokens, answers, choices, values, and pairs of texts.

use std::collections::BTreeMap;
use std::path::Path;

use ecco_explain::intervention::patching::{PatchOptions, patch_map};
use ecco_explain::sites::SiteAxis;
use ecco_explain::{AttributionOptions, Method, Outcome, Quantity, Target, attribute};
use ecco_interpreter::unwatched;
use ecco_models::run::{Input, Place, Prediction, run};
use ecco_models::{LoadOptions, Model, Site};
use ecco_tests::{assert_close, fixtures, integers, model, stored_tensor};
use ndarray::{Array1, ArrayD, Axis};
use safetensors::SafeTensors;
use serde_json::Value;

/// Labels of texts are with the families; these are the others.
const HEADS: [&str; 3] = ["tokens", "answers", "choices"];

fn told() -> Value {
    let bytes = std::fs::read(fixtures().join("heads/heads.json")).expect("the fixture is there");
    serde_json::from_slice(&bytes).expect("valid JSON")
}

fn stored(case: &str, name: &str) -> ArrayD<f32> {
    stored_tensor(
        &fixtures().join("heads/heads.safetensors"),
        &format!("{case}/{name}"),
    )
}

/// A family's body with another head: what its file of labels has, and what the head needs besides.
fn with_head(family: &str, head: &str, class: &str, dtype: &str) -> Model {
    let source = fixtures().join(format!("families/{family}-labels"));
    let folder = tempfile::tempdir().expect("a folder");
    let config = std::fs::read(source.join("config.json")).expect("a config");
    let mut config: Value = serde_json::from_slice(&config).expect("valid JSON");
    config["architectures"] = serde_json::json!([class]);
    std::fs::write(folder.path().join("config.json"), config.to_string()).expect("written");
    std::fs::copy(
        source.join("tokenizer.json"),
        folder.path().join("tokenizer.json"),
    )
    .expect("copied");
    let read = |path: &Path| std::fs::read(path).expect("readable");
    let (body, heads) = (
        read(&source.join("model.safetensors")),
        read(&fixtures().join("heads/heads.safetensors")),
    );
    let (body, heads) = (
        SafeTensors::deserialize(&body).expect("valid"),
        SafeTensors::deserialize(&heads).expect("valid"),
    );
    let prefix = format!("{family}.{head}/");
    let of_head = heads.tensors().into_iter().filter_map(|(name, tensor)| {
        let own = name.strip_prefix(&prefix)?;
        let is_weight = !own.starts_with(|first: char| first.is_ascii_digit());
        is_weight.then(|| (own.to_owned(), tensor))
    });
    let mut all: BTreeMap<String, _> = of_head.collect();
    // Nothing of the body's own head beside another of that name.
    let is_replaced = all.keys().any(|name| name.starts_with("classifier."));
    let of_body = body.tensors().into_iter();
    all.extend(of_body.filter(|(name, _)| !(is_replaced && name.starts_with("classifier."))));
    let path = folder.path().join("model.safetensors");
    safetensors::serialize_to_file(all, None, &path).expect("written");
    let options = LoadOptions {
        dtype: Some(dtype.into()),
        device: Some("cpu".into()),
        ..LoadOptions::default()
    };
    Model::open(folder.path(), &options, &mut unwatched).unwrap_or_else(|error| panic!("{class}: {error}"))
}

/// Each family's model with each head, in turn.
fn each(dtype: &str, mut check: impl FnMut(&str, &str, &Model, &[Input])) {
    let (told, mut n) = (told(), 0);
    for (family, row) in told["families"].as_object().expect("families") {
        for head in HEADS {
            let class = row["heads"][head].as_str().expect("a class");
            let model = with_head(family, head, class, dtype);
            let mut inputs: Vec<Input> = told["ids"]
                .as_array()
                .expect("texts")
                .iter()
                .map(integers)
                .map(|ids| Input::of(&model, ids, vec![]).expect("a text"))
                .collect();
            if row["segments"].is_array() {
                inputs[2].segments = integers(&row["segments"]);
            }
            check(&format!("{family}.{head}"), head, &model, &inputs);
            n += 1;
        }
    }
    assert_eq!(n, 21);
}

#[test]
fn logits_and_states_of_every_family_alone_and_side_by_side() {
    let mut largest = 0.0_f32;
    each("float32", |case, head, model, inputs| {
        let together = run(model, inputs.to_vec(), 3, &mut unwatched).unwrap();
        assert_eq!(together.len(), 1, "{case}: they are padded");
        for (text, input) in inputs.iter().enumerate() {
            let alone = run(model, vec![input.clone()], 3, &mut unwatched)
                .unwrap()
                .remove(0);
            let expected = stored(case, &format!("{text}.logits"));
            let what = format!("{case} text {text}");
            for (found, of) in [(&alone, 0), (&together[0], text)] {
                let found = found.logits(model, of).unwrap();
                assert_close(&what, &found, &expected, 1e-5);
                let differences = found
                    .iter()
                    .zip(&expected)
                    .map(|(one, other)| (one - other).abs());
                largest = differences.fold(largest, f32::max);
            }
            if head == "tokens" && text == 2 {
                let states = alone
                    .records()
                    .array(Place::of(Site::ResidualBefore), None, 0)
                    .unwrap();
                let last = states.index_axis(Axis(0), states.shape()[0] - 1).to_owned();
                assert_close(&what, &last, &stored(case, "2.states"), 1e-5);
            }
        }
    });
    println!("largest difference {largest:e}");
}

#[test]
fn token_types_are_read() {
    each("float32", |case, _, model, inputs| {
        if inputs[2].segments.is_empty() {
            return;
        }
        let of = |input: Input| {
            let run = run(model, vec![input], 1, &mut unwatched).unwrap().remove(0);
            run.logits(model, 0).unwrap()
        };
        let without = Input {
            segments: vec![],
            ..inputs[2].clone()
        };
        let differs = &of(inputs[2].clone()) - &of(without);
        assert!(
            differs.iter().any(|difference| difference.abs() > 1e-4),
            "{case}: {differs}"
        );
        for wrong in [vec![0, 1], vec![9; inputs[2].ids.len()]] {
            let input = Input {
                segments: wrong,
                ..inputs[2].clone()
            };
            assert!(input.check(model).is_err(), "{case}");
        }
    });
}

/// What the reference explains: of tokens a label at 3, of answers that one starts at 2, of choices the value.
fn target(head: &str) -> Target {
    match head {
        "tokens" => Outcome::TokenLabel {
            position: 3,
            label: 1,
        }
        .into(),
        "answers" => Outcome::TokenLabel {
            position: 2,
            label: 0,
        }
        .into(),
        _ => Target::label(0),
    }
}

#[test]
fn attributions_are_those_of_autograd_through_transformers() {
    each("float64", |case, head, model, inputs| {
        for (name, method) in [
            ("grad_x_input", Method::GradXInput),
            ("integrated_gradients", Method::IntegratedGradients),
        ] {
            let options = AttributionOptions::with(method);
            let found = attribute(model, &inputs[2], &[target(head)], &options, &mut unwatched).unwrap();
            let scores = Array1::from_iter(found.scores[0].iter().copied()).into_dyn();
            assert_close(
                &format!("{case} {name}"),
                &scores,
                &stored(case, &format!("2.{name}")),
                1e-4,
            );
        }
    });
}

#[test]
fn every_method_explains_labels_of_tokens_and_places() {
    for (family, head) in [
        ("bert", "tokens"),
        ("bert", "answers"),
        ("modernbert", "tokens"),
        ("electra", "answers"),
    ] {
        let told = told();
        let class = told["families"][family]["heads"][head].as_str().unwrap();
        let model = with_head(family, head, class, "float64");
        let mut input = Input::of(&model, integers(&told["ids"][2]), vec![]).unwrap();
        if model.reader().config.embedding.n_segments > 1 {
            input.segments = integers(&told["families"][family]["segments"]);
        }
        let first = target(head);
        let targets = [
            first.of(Quantity::Logit),
            first.of(Quantity::LogProbability),
            first.of(Quantity::Entropy),
            first.of(Quantity::Logit).against(0),
        ];
        for method in Method::ALL.iter().copied() {
            let options = AttributionOptions::with(method);
            let found = attribute(&model, &input, &targets, &options, &mut unwatched);
            let found = found.unwrap_or_else(|error| panic!("{class} {method:?}: {error}"));
            assert!(
                found.scores.iter().flatten().all(|score| score.is_finite()),
                "{class} {method:?}"
            );
            let sums = found
                .scores
                .iter()
                .map(|row| row.iter().map(|score| f64::from(*score)).sum::<f64>());
            assert!(
                sums.into_iter().all(|sum| (sum - 1.0).abs() < 1e-3 || sum == 0.0),
                "{class} {method:?}"
            );
        }
    }
}

#[test]
fn what_is_patched_where_a_label_is_read_is_all_of_it() {
    for head in ["tokens", "answers"] {
        let told = told();
        let class = told["families"]["bert"]["heads"][head].as_str().unwrap();
        let model = with_head("bert", head, class, "float32");
        let clean = Input::of(&model, integers(&told["ids"][2]), vec![]).unwrap();
        let mut ids = clean.ids.clone();
        ids[5] = 44;
        let corrupted = Input::of(&model, ids, vec![]).unwrap();
        let options = PatchOptions {
            place: Place::of(Site::ResidualAfter),
            by: SiteAxis::Position,
            answer: (target(head).of(Quantity::Logit)).into(),
        };
        let map = patch_map(&model, &clean, &corrupted, &options, &mut unwatched).unwrap();
        let last = map.restored();
        let place = if head == "tokens" { 3 } else { 2 };
        for (position, restored) in last.row(map.layers.len() - 1).iter().enumerate() {
            let expected = f64::from(u8::from(position == place));
            assert!(
                (restored - expected).abs() < 1e-3,
                "{head} {position}: {restored}"
            );
        }
    }
}

#[test]
fn two_texts_are_read_as_the_tokenizer_of_transformers_reads_them() {
    let told = told();
    let pairs = told["pairs"].as_object().unwrap();
    assert!(pairs.len() >= 9, "{}", pairs.len());
    for (folder, rows) in pairs {
        let files = ecco_models::files::TokenizerFiles::open(&fixtures().join(folder)).unwrap();
        let tokenizer = ecco_models::Tokenizer::read(&files, "").unwrap();
        for row in rows.as_array().unwrap() {
            let text = |at: usize| row["texts"][at].as_str().unwrap();
            let found = tokenizer.encode_pair(text(0), text(1)).unwrap();
            assert_eq!(found.ids, integers(&row["ids"]), "{folder}");
            let types = integers(&row["types"]);
            let expected = if types.iter().all(|&kind| kind == 0) {
                vec![]
            } else {
                types
            };
            assert_eq!(found.segments, expected, "{folder}");
            let ends = integers(&row["second"]);
            assert_eq!(found.second, Some(ends[0] as usize..ends[1] as usize), "{folder}");
        }
    }
}

/// The runs of a whole model over the reference's texts, and what it says of them.
fn said(name: &str) -> Vec<(Model, ecco_models::run::Run, Value)> {
    let told = told();
    let rows = told["said"][name].as_array().unwrap().clone();
    let read = |row: Value| {
        let model = model(&format!("heads/{name}"), "float32");
        let input = match &row["text"] {
            Value::String(text) => Input::new(&model, text, None).unwrap(),
            texts => {
                let pair = model
                    .pair(texts[0].as_str().unwrap(), texts[1].as_str().unwrap())
                    .unwrap();
                Input::new(&model, &pair, None).unwrap()
            }
        };
        assert_eq!(input.ids, integers(&row["ids"]));
        let run = run(&model, vec![input], 4, &mut unwatched).unwrap().remove(0);
        (model, run, row["said"].clone())
    };
    rows.into_iter().map(read).collect()
}

fn number(value: &Value) -> f32 {
    value.as_f64().unwrap() as f32
}

#[test]
fn labels_of_tokens_in_words() {
    for (model, run, expected) in said("tokens") {
        let names = model.config().task.names();
        let said = run.predictions(0);
        let last = run.inputs()[0].ids.len() - 1;
        let inside = (1..last).filter(|&at| !model.tokenizer().is_special(run.inputs()[0].ids[at]));
        let inside: Vec<usize> = inside.collect();
        assert_eq!(said.len(), inside.len());
        for (said, at) in said.iter().zip(inside) {
            let Prediction::TokenLabel { position, labels } = said else {
                panic!("{said:?}")
            };
            assert_eq!((*position, labels.len()), (at, 4));
            for (name, probability) in labels {
                let label = names.iter().position(|known| known == name).unwrap();
                assert!((probability - number(&expected[at][label])).abs() < 1e-5);
            }
            assert!(labels.is_sorted_by(|one, other| one.1 >= other.1));
        }
    }
}

#[test]
fn answers_are_those_of_the_pipeline() {
    let mut n = 0;
    for (model, run, expected) in said("answers") {
        let Some(expected) = expected.as_array() else {
            assert!(!run.predictions(0).is_empty(), "a text alone has answers, too");
            continue;
        };
        n += 1;
        assert_eq!(run.predictions(0).len(), expected.len());
        for (said, expected) in run.predictions(0).iter().zip(expected) {
            let Prediction::Span {
                start,
                end,
                score,
                text,
            } = said
            else {
                panic!("{said:?}")
            };
            let place = [
                expected["start"].as_u64().unwrap(),
                expected["end"].as_u64().unwrap(),
            ];
            assert_eq!([*start as u64, *end as u64], place);
            assert!(
                (score - number(&expected["score"])).abs() < 1e-6,
                "{score} {expected}"
            );
            assert_eq!(
                *text,
                model
                    .tokenizer()
                    .decode(&run.inputs()[0].ids[*start..=*end])
                    .trim()
            );
        }
    }
    assert_eq!(n, 2);
}

#[test]
fn values_are_no_probabilities() {
    for name in ["value", "values"] {
        for (model, run, expected) in said(name) {
            let names = model.config().task.names();
            assert_eq!(run.predictions(0).len(), names.len());
            for (at, said) in run.predictions(0).iter().enumerate() {
                let Prediction::Value { name, value } = said else {
                    panic!("{said:?}")
                };
                assert_eq!(*name, names[at]);
                assert!((value - number(&expected[at])).abs() < 1e-5);
            }
        }
    }
}
