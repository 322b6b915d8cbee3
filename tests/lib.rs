//! Stored results of reference implementations, and how they are compared with.
//!
//! `reference/` makes them, `fixtures/` holds them; `parity/` are the tests, `e2e/` the ones in Python.

use std::path::{Path, PathBuf};

use ecco_interpreter::unwatched;
use ecco_models::run::{Place, Records};
use ecco_models::{Error, LoadOptions, Model};
use ndarray::{ArrayD, Axis};
use safetensors::SafeTensors;
use serde_json::Value;

pub fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// A fixture model, computing in the given type on the CPU.
pub fn model(name: &str, dtype: &str) -> Model {
    let options = LoadOptions {
        dtype: Some(dtype.into()),
        device: Some("cpu".into()),
        ..LoadOptions::default()
    };
    Model::open(&fixtures().join(name), &options, &mut unwatched).expect("the fixture loads")
}

/// The stored cases of families, by name: `families/llama`.
pub fn cases() -> Vec<String> {
    let folder = std::fs::read_dir(fixtures().join("families")).expect("the fixtures are there");
    let mut names: Vec<String> = folder
        .filter_map(|entry| entry.expect("readable").file_name().into_string().ok())
        .filter_map(|name| {
            name.strip_suffix(".safetensors")
                .map(|name| format!("families/{name}"))
        })
        .collect();
    names.sort();
    assert!(names.len() >= 35, "only {} cases", names.len());
    names
}

/// A place of one text in all layers that have it, side by side; `None` where they differ in width.
pub fn of_all_layers(records: &Records, place: Place, text: usize) -> Option<ArrayD<f32>> {
    match records.array(place, None, text) {
        Err(Error::Widths { .. }) => None,
        Err(Error::SomeLayers { layers, .. }) => {
            let of_layer = |&layer: &usize| records.array(place, Some(layer), text).expect("recorded");
            let layers: Vec<ArrayD<f32>> = layers.iter().map(of_layer).collect();
            let layers: Vec<_> = layers.iter().map(ArrayD::view).collect();
            ndarray::stack(Axis(0), &layers).ok()
        }
        found => Some(found.expect("recorded")),
    }
}

/// What the reference computed for one model.
pub struct Reference {
    /// By the text's name: `text`, `ids`, `generated` …
    pub runs: Value,
    bytes: Vec<u8>,
}

impl Reference {
    pub fn open(name: &str) -> Self {
        let path = |ending: &str| fixtures().join(format!("{name}.{ending}"));
        let read =
            |path: &Path| std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let bytes = read(&path("safetensors"));
        let runs = match inner_texts(&bytes) {
            Some(texts) => serde_json::from_str(&texts).expect("valid JSON"),
            None => {
                let mut file: Value = serde_json::from_slice(&read(&path("json"))).expect("valid JSON");
                file["texts"].take()
            }
        };
        Self { runs, bytes }
    }

    /// A stored tensor, if there is one of that name.
    pub fn tensor(&self, name: &str) -> Option<ArrayD<f32>> {
        tensor(&self.bytes, name)
    }
}

/// The texts that stand within the file of tensors, where they have no file of their own.
fn inner_texts(bytes: &[u8]) -> Option<String> {
    let (_, head) = SafeTensors::read_metadata(bytes).expect("valid safetensors");
    head.metadata().as_ref()?.get("texts").cloned()
}

/// A tensor of a safetensors file.
pub fn stored_tensor(path: &Path, name: &str) -> ArrayD<f32> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    tensor(&bytes, name).unwrap_or_else(|| panic!("{} has no {name}", path.display()))
}

fn tensor(bytes: &[u8], name: &str) -> Option<ArrayD<f32>> {
    let tensors = SafeTensors::deserialize(bytes).expect("valid safetensors");
    let view = tensors.tensor(name).ok()?;
    let values = view
        .data()
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
    Some(ArrayD::from_shape_vec(view.shape(), values.collect()).expect("shape and data agree"))
}

pub fn integers(value: &Value) -> Vec<u32> {
    value
        .as_array()
        .expect("a list")
        .iter()
        .map(|id| id.as_u64().expect("a number") as u32)
        .collect()
}

/// Fails unless every value is within `tolerance`, absolute plus relative.
pub fn assert_close(what: &str, found: &ArrayD<f32>, expected: &ArrayD<f32>, tolerance: f32) {
    assert_eq!(found.shape(), expected.shape(), "{what}: shapes differ");
    for ((index, found), expected) in found.indexed_iter().zip(expected) {
        let allowed = tolerance * (1.0 + expected.abs());
        assert!(
            (found - expected).abs() <= allowed,
            "{what}{index:?}: {found}, expected {expected}"
        );
    }
}

/// The last `n` along an axis.
pub fn last(all: &ArrayD<f32>, axis: usize, n: usize) -> ArrayD<f32> {
    all.slice_axis(Axis(axis), (-(n as isize)..).into()).into_owned()
}

/// Of what was found at all positions, those that are stored: the last, along an axis.
pub fn last_as_stored(found: ArrayD<f32>, axis: usize, stored: &ArrayD<f32>) -> ArrayD<f32> {
    match stored.ndim() > 1 {
        true => last(&found, axis, stored.shape()[axis]),
        false => found, // a label's logits are of no position
    }
}

/// The largest difference of what was found to what was expected, relative to 1 + the value. Of layers the first may be
/// all that one of them has.
pub fn largest_difference(found: &ArrayD<f32>, expected: &ArrayD<f32>) -> f64 {
    assert_eq!(found.shape()[1..], expected.shape()[1..]);
    let differences = found.iter().zip(expected);
    differences
        .map(|(found, expected)| f64::from((found - expected).abs() / (1.0 + expected.abs())))
        .fold(0.0, f64::max)
}

/// A table of a page of `docs/`, which begins with the line `head` and ends with an empty one: written anew with BLESS=1,
/// else compared. A row is what is known, as columns, and what was measured, which may be ten times off, as rounding
/// differs from machine to machine.
pub fn check_table(page: &str, head: &str, rows: &[(String, f64)]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    let text = std::fs::read_to_string(&path).expect("the page is there");
    let (before, rest) = text.split_once(head).expect("the table");
    let (table, after) = rest
        .split_once("\n\n")
        .map_or((rest, ""), |(table, _)| (table, &rest[table.len() + 1..]));
    if std::env::var_os("BLESS").is_some() {
        let columns = "---|".repeat(head.matches(" |").count() - 1);
        let lines = rows
            .iter()
            .map(|(facts, measured)| format!("{facts} | {measured:.0e} |\n"));
        let lines: String = lines.collect();
        let page = format!("{before}{head}\n|{columns}--:|\n{lines}{after}");
        std::fs::write(&path, page).expect("the page is written");
        return;
    }
    let stale = format!("docs/{page} is stale: run with BLESS=1");
    let stored: Vec<&str> = table.trim_end().lines().skip(2).collect();
    assert_eq!(stored.len(), rows.len(), "{stale}");
    for ((facts, measured), line) in rows.iter().zip(stored) {
        let (stored_facts, figure) = line.trim_end_matches(" |").rsplit_once(" | ").expect("columns");
        assert_eq!(facts, stored_facts, "{stale}");
        let figure: f64 = figure.parse().expect("a number");
        assert!(*measured <= 10.0 * figure.max(1e-6), "{line}: now {measured}");
    }
}
