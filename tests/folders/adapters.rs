//! Damaged adapters: each is an error that names the file and the value, and takes no memory.

use std::panic::AssertUnwindSafe;

use ecco_interpreter::unwatched;
use ecco_models::{Error, LoadOptions, Model};
use ecco_tests::fixtures;
use serde_json::{Value, json};

use crate::folder::{Folder, Walk, fault};
use crate::{MOST, absurd, keys, one_at_a_time, try_out};

const WEIGHTS: &str = "adapter_model.safetensors";
const LAYER: &str = "base_model.model.model.layers.0.self_attn.q_proj";

/// The model that all these are for, with an adapter.
fn open(adapter: &Folder) -> Result<Model, Error> {
    let options = LoadOptions {
        device: Some("cpu".into()),
        adapter: Some(adapter.path().display().to_string()),
        ..LoadOptions::default()
    };
    Model::open(&fixtures().join("families/llama"), &options, &mut unwatched)
}

fn copy(name: &str) -> Folder {
    Folder::of(&format!("adapters/{name}"))
}

fn settings(folder: &Folder) -> Value {
    serde_json::from_slice(&folder.read("adapter_config.json")).expect("JSON")
}

fn set(folder: &Folder, key: &str, value: Value) {
    let mut config = settings(folder);
    config[key] = value;
    folder.write("adapter_config.json", config.to_string());
}

/// Damages an adapter; gives what the error must contain.
type Damage = (&'static str, &'static str, fn(&Folder), &'static [&'static str]);

const DAMAGES: &[Damage] = &[
    (
        "llama",
        "one of two narrow matrices",
        |folder| remove(folder, "lora_B.weight"),
        &[WEIGHTS, "has no lora_B of model.layers.0.self_attn.q_proj"],
    ),
    (
        "llama",
        "the other of them",
        |folder| remove(folder, "lora_A.weight"),
        &[WEIGHTS, "has no lora_A of model.layers.0.self_attn.q_proj"],
    ),
    (
        "llama-dora",
        "no magnitudes",
        |folder| remove(folder, "lora_magnitude_vector"),
        &[
            WEIGHTS,
            "has no lora_magnitude_vector of model.layers.0.self_attn.q_proj",
        ],
    ),
    (
        "llama-dora",
        "nothing but magnitudes",
        |folder| {
            remove(folder, "lora_A.weight");
            remove(folder, "lora_B.weight");
        },
        &[
            WEIGHTS,
            "has magnitudes of model.layers.0.self_attn.q_proj, and nothing else",
        ],
    ),
    (
        "llama",
        "another rank",
        |folder| reshape(folder, "lora_A.weight", |shape| shape[0] = 3),
        &[
            WEIGHTS,
            "lora_B of model.layers.0.self_attn.q_proj with shape",
            "the model's asks for [16, 3]",
        ],
    ),
    (
        "llama",
        "another width",
        |folder| reshape(folder, "lora_A.weight", |shape| shape[1] = 15),
        &[
            WEIGHTS,
            "lora_A of model.layers.0.self_attn.q_proj with shape [4, 15]",
        ],
    ),
    (
        "llama",
        "three axes",
        |folder| reshape(folder, "lora_A.weight", |shape| shape.push(1)),
        &[
            WEIGHTS,
            "has lora_A of model.layers.0.self_attn.q_proj with shape [4, 16, 1]; expected a matrix",
        ],
    ),
    (
        "llama",
        "a rank of nothing",
        |folder| reshape(folder, "lora_A.weight", |shape| shape[0] = 0),
        &[
            WEIGHTS,
            "has lora_A of model.layers.0.self_attn.q_proj with shape [0, 16]",
        ],
    ),
    (
        "llama",
        "whole numbers",
        |folder| edit(folder, "lora_A.weight", |stored| stored.dtype = "I32".into()),
        &[
            WEIGHTS,
            "q_proj.lora_A.weight is stored as I32; expected F32, F16, BF16 or F64",
        ],
    ),
    (
        "llama",
        "NaN",
        |folder| {
            edit(folder, "lora_A.weight", |stored| {
                stored.bytes[8..12].copy_from_slice(&f32::NAN.to_le_bytes());
            });
        },
        &[WEIGHTS, "q_proj.lora_A.weight holds NaN at flat index 2"],
    ),
    (
        "llama",
        "a strange tensor",
        |folder| {
            folder.edit_file(WEIGHTS, |tensors| {
                let any = tensors.values().next().expect("a tensor").clone();
                tensors.insert("surprise".into(), any);
            });
        },
        &[WEIGHTS, "has surprise, which is no part of a LoRA adapter"],
    ),
    (
        "llama",
        "two thirds of its weights",
        |folder| cut(folder, 2),
        &[WEIGHTS, "not a whole safetensors file"],
    ),
    (
        "llama",
        "no weights",
        |folder| cut(folder, 0),
        &[WEIGHTS, "not a whole safetensors file"],
    ),
    (
        "llama",
        "settings that are no JSON",
        |folder| folder.write("adapter_config.json", "{"),
        &["adapter_config.json", "EOF"],
    ),
    (
        "llama",
        "rank 0",
        |folder| set(folder, "r", json!(0)),
        &["adapter_config.json: r is 0: expected a rank from 1"],
    ),
    (
        "llama",
        "an absurd rank",
        |folder| set(folder, "r", json!(1_u64 << 60)),
        &[
            "adapter_config.json: says rank 1152921504606846976 of model.layers.0",
            "whose weights have rank 4",
        ],
    ),
    (
        "llama",
        "no scale",
        |folder| set(folder, "lora_alpha", json!(null)),
        &["adapter_config.json: lora_alpha is null: expected a number"],
    ),
    (
        "llama",
        "an absurd scale",
        |folder| set(folder, "lora_alpha", json!(1e300)),
        &["adapter_config.json: lora_alpha is 1e+300: what it multiplies in model.layers.0"],
    ),
    (
        "llama",
        "patterns that are none",
        |folder| set(folder, "rank_pattern", json!({"(": 3})),
        &[
            "adapter_config.json",
            "rank_pattern has \"(\": 3, no name with a number",
        ],
    ),
    (
        "llama-rows",
        "a token that is not there",
        |folder| set(folder, "trainable_token_indices", json!([1, 99_999, 3])),
        &[WEIGHTS, "trains token 99999 of model.embed_tokens"],
    ),
];

fn edit(folder: &Folder, part: &str, change: impl FnOnce(&mut crate::folder::Stored)) {
    folder.edit_file(WEIGHTS, |tensors| {
        change(tensors.get_mut(&format!("{LAYER}.{part}")).expect("the part"));
    });
}

fn remove(folder: &Folder, part: &str) {
    folder.edit_file(WEIGHTS, |tensors| {
        tensors.remove(&format!("{LAYER}.{part}")).expect("the part");
    });
}

fn reshape(folder: &Folder, part: &str, change: impl FnOnce(&mut Vec<usize>)) {
    edit(folder, part, |stored| {
        change(&mut stored.shape);
        let n: usize = stored.shape.iter().product();
        stored.bytes.resize(4 * n, 0);
    });
}

fn cut(folder: &Folder, thirds: usize) {
    let bytes = folder.read(WEIGHTS);
    folder.write(WEIGHTS, &bytes[..bytes.len() * thirds / 3]);
}

#[test]
fn every_damage_is_told() {
    let _alone = one_at_a_time();
    let mut failed = Vec::new();
    for name in ["llama", "llama-dora", "llama-rows"] {
        open(&copy(name)).unwrap_or_else(|error| panic!("{name}, undamaged: {error}"));
    }
    for (name, what, damage, expected) in DAMAGES {
        let folder = copy(name);
        damage(&folder);
        let load = AssertUnwindSafe(|| open(&folder).map(drop));
        failed.extend(fault(expected, MOST, load).map(|fault| format!("{name}, {what}: {fault}")));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn absurd_settings_are_refused_or_work() {
    let _alone = one_at_a_time();
    let mut walk = Walk::default();
    for name in ["llama", "llama-dora", "llama-patterns"] {
        let folder = copy(name);
        let config = settings(&folder);
        open(&folder).expect("undamaged");
        for key in keys(&config) {
            for value in absurd() {
                let mut changed = config.clone();
                *changed.pointer_mut(&key).expect("the key") = value.clone();
                folder.write("adapter_config.json", changed.to_string());
                let what = || format!("{name}, {key}: {value}");
                let is_clear = |error: &Error| error.to_string().contains("adapter_");
                walk.step(what, MOST, is_clear, || {
                    open(&folder).and_then(|model| try_out(&model))
                });
            }
        }
    }
    walk.assert(500, 8);
}
