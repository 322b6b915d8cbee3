//! Models with LoRA adapters against PEFT, which computes them beside the weights as is done here.

use std::path::PathBuf;

use ecco_explain::direct::{LogitQuery, direct};
use ecco_explain::{AttributionOptions, Method, Target, attribute};
use ecco_interpreter::unwatched;
use ecco_models::model::Body;
use ecco_models::run::Input;
use ecco_models::tap::{NoTap, to_array};
use ecco_models::{Error, LoadOptions, Model, load};
use ecco_tests::{assert_close, fixtures, integers, largest_difference};
use ndarray::{ArrayD, Axis, Slice};
use serde_json::Value;

use crate::direct::assert_sums;

pub(crate) fn cases() -> Vec<(String, Value)> {
    let path = fixtures().join("adapters/adapters.json");
    let said: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let Value::Object(said) = said else {
        panic!("an object")
    };
    assert_eq!(said.len(), 12);
    said.into_iter().collect()
}

fn folder(name: &str) -> PathBuf {
    fixtures().join("adapters").join(name)
}

fn options(adapter: Option<PathBuf>) -> LoadOptions {
    LoadOptions {
        device: Some("cpu".into()),
        dtype: Some("float32".into()),
        adapter: adapter.map(|folder| folder.display().to_string()),
        ..LoadOptions::default()
    }
}

/// An adapter with the model that it names.
fn tuned(name: &str) -> Model {
    let name = folder(name).display().to_string();
    load(&name, &options(None), &mut unwatched).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn numbers(list: &Value) -> ArrayD<f32> {
    let list = list.as_array().unwrap();
    let numbers = list.iter().map(|x| x.as_f64().unwrap() as f32).collect();
    ArrayD::from_shape_vec(vec![list.len()], numbers).unwrap()
}

/// The logits behind the last token, the first of the vocabulary.
fn last_logits(model: &Model, ids: &[u32]) -> ArrayD<f32> {
    let logits = match model.body() {
        Body::EncoderDecoder(both) => {
            let memories = both.read(&both.encoder.embed(ids), None, &mut NoTap).unwrap();
            let written = both.decoder.embed(&[0, 9, 301]);
            let states = both
                .decoder
                .forward_with(&written, None, Some(&memories), &mut NoTap)
                .unwrap();
            to_array(&both.decoder.logits(&states).get(0)).unwrap()
        }
        _ => model.logits(ids).unwrap(),
    };
    let last = logits.index_axis(Axis(0), logits.shape()[0] - 1);
    last.slice_axis(Axis(0), Slice::from(..64)).into_owned()
}

#[test]
fn logits_at_every_share_of_the_way() {
    for (name, said) in cases() {
        let (model, ids) = (tuned(&name), integers(&said["ids"]));
        let as_trained = last_logits(&model, &ids);
        for (share, expected) in said["scales"].as_object().unwrap() {
            let view = model.adapted(share.parse().unwrap()).unwrap();
            let found = last_logits(&view, &ids);
            assert_close(&format!("{name} at {share}"), &found, &numbers(expected), 1e-5);
            if share == "1" {
                assert_eq!(found, as_trained, "{name}");
            }
        }
    }
}

/// Of a tuned model's logits to PEFT's, at the shares that are stored.
pub(crate) fn difference(name: &str, said: &Value) -> f64 {
    let (model, ids) = (tuned(name), integers(&said["ids"]));
    let shares = said["scales"].as_object().unwrap().iter();
    let each = shares.map(|(share, expected)| {
        let view = model.adapted(share.parse().unwrap()).unwrap();
        largest_difference(&last_logits(&view, &ids), &numbers(expected))
    });
    each.fold(0.0, f64::max)
}

#[test]
fn without_its_adapter_a_model_is_its_own() {
    for (name, said) in cases() {
        if name == "llama-tokens" {
            continue; // has more tokens
        }
        let (model, ids) = (tuned(&name), integers(&said["ids"]));
        let base = folder(&name)
            .join("../../families")
            .join(said["base"].as_str().unwrap());
        let base = Model::open(&base, &options(None), &mut unwatched).unwrap();
        let off = model.adapted(0.0).unwrap();
        assert_eq!(last_logits(&off, &ids), last_logits(&base, &ids), "{name}");
        assert_ne!(last_logits(&model, &ids), last_logits(&base, &ids), "{name}");
        assert!(!base.has_adapter() && off.has_adapter());
        assert!(model.n_parameters() > base.n_parameters(), "{name}");
        // Named beside its model it is the same.
        let beside = Model::open(
            &folder(&name)
                .join("../../families")
                .join(said["base"].as_str().unwrap()),
            &options(Some(folder(&name))),
            &mut unwatched,
        );
        assert_eq!(
            last_logits(&beside.unwrap(), &ids),
            last_logits(&model, &ids),
            "{name}"
        );
    }
}

#[test]
fn saliency_of_a_tuned_model_is_that_of_a_merged_one() {
    let mut compared = 0;
    for (name, said) in cases() {
        let (Some(expected), Some(target)) = (said.get("gradient"), said["target"].as_u64()) else {
            continue;
        };
        let (model, mut ids) = (tuned(&name), integers(&said["ids"]));
        let n_input = ids.len();
        ids.push(target as u32);
        let input = Input::of(&model, ids, vec![]).unwrap();
        let targets = Target::written(&input, n_input);
        let options = AttributionOptions::with(Method::GradXInput);
        let found = attribute(&model, &input, &targets, &options, &mut unwatched).unwrap();
        let found = &found.signed[0];
        let expected = numbers(expected);
        let largest = expected.iter().fold(0f32, |most, x| most.max(x.abs()));
        assert_eq!(found.len(), expected.len(), "{name}");
        for (found, expected) in found.iter().zip(&expected) {
            let difference = (*found as f32 - expected).abs();
            assert!(
                difference <= 1e-4 * largest,
                "{name}: {found}, expected {expected}"
            );
        }
        compared += 1;
    }
    assert_eq!(compared, 10);
}

#[test]
fn parts_of_a_tuned_model_sum_to_its_logits() {
    for name in [
        "llama",
        "llama-dora",
        "gpt2",
        "gpt2-dora",
        "gpt2-embeddings",
        "gpt_neox",
    ] {
        let folder = folder(name).display().to_string();
        let options = LoadOptions {
            dtype: Some("float64".into()),
            ..options(None)
        };
        let tuned = load(&folder, &options, &mut unwatched).unwrap();
        for share in [1.0, 0.5] {
            let model = tuned.adapted(share).unwrap();
            let input = Input::new(&model, "She said that it was there.", None).unwrap();
            let wanted = LogitQuery {
                row: input.spoken().len() - 1,
                token: 70,
                contrast: None,
            };
            let found = direct(&model, &input, wanted, &mut unwatched).unwrap();
            assert_sums(&format!("{name} at {share}"), &found, 1e-9);
        }
    }
}

#[test]
fn a_model_without_an_adapter_has_none() {
    let base = Model::open(&fixtures().join("families/llama"), &options(None), &mut unwatched).unwrap();
    let error = base.adapted(0.5).err().unwrap();
    assert!(matches!(error, Error::NoAdapter { .. }));
    let error = tuned("llama").adapted(f64::NAN).err().unwrap();
    assert_eq!(error.to_string(), "scale is NaN: expected a number");
}
