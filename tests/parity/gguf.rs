//! GGUF files of every architecture against transformers: tokens, chats, logits.

use std::collections::BTreeMap;

use ecco_interpreter::unwatched;
use ecco_models::guard::guard;
use ecco_models::model::Body;
use ecco_models::tap::{NoTap, to_array};
use ecco_models::{ChatOptions, LoadOptions, Model};
use ecco_tests::{assert_close, check_table, fixtures, integers, largest_difference, last, stored_tensor};
use ndarray::ArrayD;
use serde_json::{Map, Value, json};

use crate::families::for_each;

pub(crate) fn cases() -> Map<String, Value> {
    let text = std::fs::read(fixtures().join("gguf/models.json")).expect("the fixture is there");
    let cases: Map<String, Value> = serde_json::from_slice(&text).expect("JSON");
    assert!(cases.len() >= 25, "only {} cases", cases.len());
    cases
}

pub(crate) fn open(name: &str, dtype: Option<&str>) -> Model {
    let options = LoadOptions {
        dtype: dtype.map(str::to_owned),
        device: Some("cpu".into()),
        revision: None,
        ..LoadOptions::default()
    };
    let path = fixtures().join(format!("gguf/{name}.gguf"));
    Model::open(&path, &options, &mut unwatched).expect("the fixture loads")
}

/// Of the last positions of a text; of an encoder–decoder, of the same written after it.
fn last_logits(model: &Model, ids: &[u32]) -> ArrayD<f32> {
    last(&logits(model, ids), 0, 2)
}

pub(crate) fn logits(model: &Model, ids: &[u32]) -> ArrayD<f32> {
    let Body::EncoderDecoder(both) = model.body() else {
        return model.logits(ids).expect("a pass");
    };
    let start = model.generation_config().start_id.expect("a start token");
    let written = [&[start], &ids[..ids.len() - 1]].concat();
    let logits = guard(|| {
        let memories = both.read(&both.encoder.embed(ids), None, &mut NoTap)?;
        let written = both.decoder.embed(&written);
        let states = both
            .decoder
            .forward_with(&written, None, Some(&memories), &mut NoTap)?;
        to_array(&both.decoder.logits(&states).get(0))
    });
    logits.expect("a pass")
}

#[test]
fn logits_of_every_architecture() {
    let cases = cases();
    let names: Vec<String> = cases.keys().cloned().collect();
    for_each(&names, |name| {
        let model = open(name, None);
        assert_eq!(model.dtype(), "float32", "{name}");
        let ids = integers(&cases[name]["texts"][0]["ids"]);
        let expected = stored_tensor(&fixtures().join(format!("gguf/{name}.safetensors")), "logits");
        assert_close(name, &last_logits(&model, &ids), &expected, 1e-4);
    });
}

#[test]
fn tokens_of_every_vocabulary() {
    let cases = cases();
    let names: Vec<String> = cases.keys().cloned().collect();
    for_each(&names, |name| {
        let model = open(name, None);
        for text in cases[name]["texts"].as_array().expect("texts") {
            let (text, expected) = (text["text"].as_str().expect("a text"), integers(&text["ids"]));
            let found = model.tokenizer().encode(text).expect("tokens");
            assert_eq!(found, expected, "{name}: {text:?}");
        }
    });
}

#[test]
fn chats_by_the_template_in_the_header() {
    let messages = json!([{"role": "user", "content": "hi"}]);
    let mut n_with_template = 0;
    for (name, case) in cases() {
        let found = open(&name, None).chat(&messages, &ChatOptions::default());
        match case["chat"].as_str() {
            Some(expected) => assert_eq!(found.expect("a template").text, expected, "{name}"),
            None => assert!(found.is_err(), "{name}"),
        }
        n_with_template += usize::from(case["chat"].is_string());
    }
    assert!(n_with_template > 10);
}

#[test]
fn the_table_of_architectures_is_fresh() {
    check_table(
        "formats.md",
        "| `general.architecture` | family | cases | largest difference |",
        &rows(),
    );
}

/// Of a case's logits, with its weights as a type, to those of transformers with the very numbers of its blocks.
pub(crate) fn difference(name: &str, case: &Value, dtype: &str) -> f64 {
    let model = open(name, Some(dtype));
    let ids = integers(&case["texts"][0]["ids"]);
    let expected = stored_tensor(&fixtures().join(format!("gguf/{name}.safetensors")), "logits");
    largest_difference(&last_logits(&model, &ids), &expected)
}

/// What is known of each architecture, and the largest difference of its cases.
fn rows() -> Vec<(String, f64)> {
    let mut rows: BTreeMap<(String, String), (Vec<String>, f64)> = BTreeMap::new();
    for (name, case) in cases() {
        let (model, largest) = (open(&name, None), difference(&name, &case, "float32"));
        let architecture = case["architecture"].as_str().expect("a name").to_owned();
        let row = rows
            .entry((architecture, model.config().model_type.clone()))
            .or_default();
        row.0.push(name);
        row.1 = row.1.max(largest);
    }
    rows.into_iter()
        .map(|((architecture, family), (cases, difference))| {
            (
                format!("| `{architecture}` | `{family}` | {}", cases.join(", ")),
                difference,
            )
        })
        .collect()
}
