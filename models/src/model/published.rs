//! Published configurations: each is read as it is, and a model of it with other sizes, and all other keys that it has, says
//! what transformers says. See tests/reference/make_published.py, which writes the table.

#![allow(clippy::disallowed_methods)] // Tests read tensors as is shortest.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use serde_json::{Map, Value};

use super::loading::body;
use super::{Body, LoadOptions, Model};
use crate::config::{ConfigFile, Task};
use crate::families;
use crate::guard::guard;
use crate::tap::{NoTap, to_array};
use crate::weights::Weights;
use ecco_interpreter::unwatched;

const TABLE: &str = include_str!("../../../tests/fixtures/published.jsonl");
/// What make_published.py puts in.
const IDS: [u32; 12] = [5, 17, 9, 30, 22, 41, 8, 13, 36, 11, 27, 19];
const TARGET: [u32; 5] = [2, 33, 6, 21, 14];

/// A checkpoint's name and configuration, what stands in the place of its sizes, and some numbers that come out.
struct Row {
    name: String,
    published: Map<String, Value>,
    sizes: Map<String, Value>,
    logits: Vec<f64>,
}

/// What stands in the place of a size in all of them, by its key, and the rows.
fn table() -> (Map<String, Value>, Vec<Row>) {
    let object = |value: &Value| value.as_object().expect("an object").clone();
    let row = |line| {
        let row: Value = serde_json::from_str(line).expect("JSON");
        let logits = row["logits"].as_array().expect("a list");
        Row {
            name: row["name"].as_str().expect("a name").to_owned(),
            published: object(&row["config"]),
            sizes: object(&row["sizes"]),
            logits: logits
                .iter()
                .map(|logit| logit.as_f64().expect("a number"))
                .collect(),
        }
    };
    let (first, rest) = TABLE.split_once('\n').expect("lines");
    let first: Value = serde_json::from_str(first).expect("JSON");
    (object(&first["sizes"]), rest.lines().map(row).collect())
}

/// A configuration with other sizes, key by key: its own, or the usual ones where there is a size.
fn overlaid(
    config: &Map<String, Value>,
    own: &Map<String, Value>,
    usual: &Map<String, Value>,
) -> Map<String, Value> {
    let mut small = config.clone();
    small.extend(own.clone());
    for (key, published) in config {
        let new = match (published, own.get(key), usual.get(key)) {
            (Value::Object(inner), Some(Value::Object(own)), _) => Value::Object(overlaid(inner, own, usual)),
            (Value::Object(inner), None, _) => Value::Object(overlaid(inner, &Map::new(), usual)),
            (Value::Number(_), None, Some(size)) => size.clone(),
            _ => continue,
        };
        small.insert(key.clone(), new);
    }
    small
}

/// The names and shapes of all weights that a model of this configuration takes.
fn shapes(config: &[u8]) -> Vec<(String, Vec<usize>)> {
    let file = ConfigFile::parse(config).unwrap();
    let family = families::find(&file).unwrap();
    let config = (family.config)(&file).unwrap();
    Weights::asked_for(family, |weights| guard(|| body(config, weights)).map(drop)).unwrap()
}

/// Numbers that look like noise: a hash of the name and the index (FNV-1a, MurmurHash3's last step). Vectors called weights
/// are about 1, as norms are.
fn weight(name: &str, shape: &[usize]) -> Vec<f32> {
    let seed = name.bytes().fold(0x811c_9dc5_u32, |seed, byte| {
        (seed ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let noise = |index: usize| {
        let mut x = seed.wrapping_add((index as u32).wrapping_mul(0x9e37_79b9));
        x = (x ^ x >> 16).wrapping_mul(0x85eb_ca6b);
        x = (x ^ x >> 13).wrapping_mul(0xc2b2_ae35);
        f64::from(x ^ x >> 16) / 2f64.powi(31) - 1.0
    };
    let number = |index| match shape {
        [.., width] if shape.len() > 1 => noise(index) * 2.0 / (*width as f64).sqrt(),
        _ if name.ends_with("weight") => noise(index) / 4.0 + 1.0,
        _ => noise(index) / 4.0,
    };
    (0..shape.iter().product())
        .map(|index| number(index) as f32)
        .collect()
}

/// A folder as a checkpoint has it.
fn write(folder: &Path, config: &[u8]) {
    let shapes = shapes(config);
    let names: BTreeSet<&str> = shapes.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), shapes.len(), "{shapes:?}");
    let bytes = |(name, shape): &(String, Vec<usize>)| -> Vec<u8> {
        weight(name, shape)
            .into_iter()
            .flat_map(f32::to_le_bytes)
            .collect()
    };
    let stored: Vec<Vec<u8>> = shapes.iter().map(bytes).collect();
    let views = shapes.iter().zip(&stored).map(|((name, shape), bytes)| {
        (
            name,
            TensorView::new(Dtype::F32, shape.clone(), bytes).expect("a tensor"),
        )
    });
    serialize_to_file(views, None, &folder.join("model.safetensors")).expect("written");
    std::fs::write(folder.join("config.json"), config).expect("written");
    let tokenizer = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/families/tokenizer.json");
    std::fs::copy(tokenizer, folder.join("tokenizer.json")).expect("copied");
}

/// What a model says of the last position, or of the text; its states there, where it has no head.
fn said(model: &Model) -> Vec<f32> {
    let logits = match model.body() {
        Body::EncoderDecoder(both) => guard(|| {
            let memories = both.read(&both.encoder.embed(&IDS), None, &mut NoTap)?;
            let target = both.decoder.embed(&TARGET);
            let states = both
                .decoder
                .forward_with(&target, None, Some(&memories), &mut NoTap)?;
            to_array(&both.decoder.logits(&states).get(0))
        }),
        Body::Encoder(_) if model.config().task == Task::States => {
            guard(|| to_array(&model.forward(&IDS, &mut NoTap)?.get(0)))
        }
        _ => model.logits(&IDS),
    };
    let logits = logits.unwrap();
    let last = match model.config().task.is_of_text() {
        true => logits,
        false => logits
            .index_axis(ndarray::Axis(0), logits.shape()[0] - 1)
            .to_owned(),
    };
    last.into_iter().collect()
}

fn check(row: &Row, usual: &Map<String, Value>, folder: &Path) {
    let whole = ConfigFile::parse(&serde_json::to_vec(&row.published).expect("JSON")).unwrap();
    let whole = families::find(&whole)
        .and_then(|family| (family.config)(&whole))
        .unwrap();
    let config = overlaid(&row.published, &row.sizes, usual);
    write(folder, &serde_json::to_vec(&config).expect("JSON"));
    let options = LoadOptions {
        dtype: Some("float32".into()),
        device: Some("cpu".into()),
        ..LoadOptions::default()
    };
    let model = Model::open(folder, &options, &mut unwatched).unwrap();
    assert_eq!(model.config().model_type, whole.model_type);
    assert_eq!(model.config().task, whole.task);
    assert!(model.config().hidden_size < whole.hidden_size);
    let said = said(&model);
    for (found, expected) in said.iter().zip(&row.logits) {
        let gap = (f64::from(*found) - expected).abs();
        assert!(
            gap <= 1e-4 * (1.0 + expected.abs()),
            "{said:?}, expected {:?}",
            row.logits
        );
    }
    assert!(said.len() >= row.logits.len());
}

#[test]
fn published_configurations_say_what_transformers_says() {
    let folder: PathBuf = std::env::temp_dir().join(format!("ecco-published-{}", std::process::id()));
    let (usual, rows) = table();
    assert!(rows.len() >= 60, "{} rows", rows.len());
    let mut failed = Vec::new();
    for row in &rows {
        std::fs::create_dir_all(&folder).expect("a folder");
        if catch_unwind(AssertUnwindSafe(|| check(row, &usual, &folder))).is_err() {
            failed.push(&row.name);
        }
        std::fs::remove_dir_all(&folder).expect("removed");
    }
    assert!(failed.is_empty(), "{failed:?}");
}

/// As gte-Qwen2-7B-instruct and EmbeddingGemma were published: read from left to right they would say other numbers.
#[test]
fn decoders_that_read_both_ways_are_refused() {
    let (_, rows) = table();
    let both_ways = [
        ("Qwen/Qwen2-7B-Instruct", "is_causal", false),
        ("google/gemma-3-1b-it", "use_bidirectional_attention", true),
    ];
    for (name, key, value) in both_ways {
        let row = rows.iter().find(|row| row.name == name).expect("the row");
        let read = |value: bool| {
            let mut config = row.published.clone();
            config.insert(key.to_owned(), value.into());
            let file = ConfigFile::parse(&serde_json::to_vec(&config).expect("JSON"))?;
            families::find(&file).and_then(|family| (family.config)(&file))
        };
        assert!(read(!value).is_ok(), "{name}");
        let error = read(value).expect_err("refused").to_string();
        assert!(error.contains(key), "{error}");
    }
}
