//! Models whose weights are of few bits, against transformers with the numbers that each format's own library reads.

use ecco_interpreter::unwatched;
use ecco_models::{LoadOptions, Model};
use ecco_tests::{assert_close, fixtures, integers};
use ndarray::{ArrayD, Axis, Slice};
use serde_json::{Map, Value};

/// A quantized model beside a tokenizer.
fn open(name: &str) -> Model {
    let folder = std::env::temp_dir().join(format!("ecco-quantized-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for file in ["config.json", "model.safetensors"] {
        let from = fixtures().join("quantized").join(name).join(file);
        std::fs::copy(from, folder.join(file)).unwrap();
    }
    let tokenizer = fixtures().join("gpt2-tiny/tokenizer.json");
    std::fs::copy(tokenizer, folder.join("tokenizer.json")).unwrap();
    let options = LoadOptions {
        device: Some("cpu".into()),
        ..LoadOptions::default()
    };
    let model = Model::open(&folder, &options, &mut unwatched);
    std::fs::remove_dir_all(&folder).unwrap();
    model.unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The models with what transformers says of each.
pub(crate) fn cases() -> Map<String, Value> {
    let path = fixtures().join("quantized/models.json");
    let models: Map<String, Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(models.len(), 8);
    models
}

/// The last logits of a model, and those that are expected.
pub(crate) fn logits(name: &str, said: &Value) -> [ArrayD<f32>; 2] {
    let model = open(name);
    assert_eq!(
        model.dtype(),
        "float32",
        "{name} is float16, which the CPU widens"
    );
    let ids = integers(&said["ids"]);
    let logits = model.logits(&ids).unwrap();
    let last = logits.index_axis(Axis(0), ids.len() - 1);
    let last = last.slice_axis(Axis(0), Slice::from(..64)).into_owned();
    let expected: Vec<f32> = said["last_logits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|x| x.as_f64().unwrap() as f32)
        .collect();
    assert!(expected.iter().any(|x| x.abs() > 0.1), "{name}");
    [
        last,
        ArrayD::from_shape_vec(vec![expected.len()], expected).unwrap(),
    ]
}

#[test]
fn logits_of_quantized_models() {
    for (name, said) in cases() {
        let [found, expected] = logits(&name, &said);
        assert_close(&name, &found, &expected, 1e-4);
    }
}
