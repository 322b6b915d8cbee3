//! GGUF files of every architecture against transformers: tokens, chats, logits.

use ecco_interpreter::unwatched;
use ecco_models::{ChatOptions, LoadOptions, Model};
use ecco_tests::{assert_close, fixtures, integers, stored_tensor};
use serde_json::{Map, Value, json};

use crate::families::for_each;

fn cases() -> Map<String, Value> {
    let text = std::fs::read(fixtures().join("gguf/models.json")).expect("the fixture is there");
    let cases: Map<String, Value> = serde_json::from_slice(&text).expect("JSON");
    assert!(cases.len() >= 25, "only {} cases", cases.len());
    cases
}

fn open(name: &str, dtype: Option<&str>) -> Model {
    let options = LoadOptions {
        dtype: dtype.map(str::to_owned),
        device: Some("cpu".into()),
        revision: None,
    };
    let path = fixtures().join(format!("gguf/{name}.gguf"));
    Model::open(&path, &options, &mut unwatched).expect("the fixture loads")
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
        assert_close(name, &model.logits(&ids).expect("a pass"), &expected, 1e-4);
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
