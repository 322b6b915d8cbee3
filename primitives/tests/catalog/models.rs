//! Folders of models that are made for a test: the small GPT-2 of the fixtures, changed, or a larger one of its kind.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, View};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A fixture of models/, by its name.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures")
        .join(name)
}

/// Float32, with a shape.
#[derive(Clone)]
pub(crate) struct Numbers {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

impl View for &Numbers {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }
    fn data_len(&self) -> usize {
        self.values.len() * size_of::<f32>()
    }
}

/// The fixture with weights changed by name.
pub(crate) fn changed(name: &str, change: impl Fn(&str, &mut Numbers)) -> TempDir {
    let from = fixture(name);
    let config = std::fs::read_to_string(from.join("config.json")).expect("a fixture");
    let bytes = std::fs::read(from.join("model.safetensors")).expect("a fixture");
    let stored = SafeTensors::deserialize(&bytes).expect("a fixture");
    let mut weights = HashMap::new();
    for (name, view) in stored.tensors() {
        assert_eq!(view.dtype(), Dtype::F32, "{name}");
        let values = view.data().chunks_exact(4);
        let values = values.map(|four| f32::from_le_bytes(four.try_into().expect("four bytes")));
        let mut numbers = Numbers {
            shape: view.shape().to_vec(),
            values: values.collect(),
        };
        change(&name, &mut numbers);
        weights.insert(name, numbers);
    }
    written(&from, &config, &weights)
}

/// A GPT-2 with the fixture's tokenizer, wide and long enough for work that takes seconds: 4 layers, 256 wide, 1,024
/// neurons each, 1,024 tokens.
pub(crate) fn large() -> TempDir {
    const LAYERS: usize = 4;
    const WIDTH: usize = 256;
    const POSITIONS: usize = 1024;
    let from = fixture("gpt2-tiny");
    let config = std::fs::read_to_string(from.join("config.json")).expect("a fixture");
    let mut config: Value = serde_json::from_str(&config).expect("JSON");
    let vocabulary = config["vocab_size"].as_u64().expect("a number") as usize;
    config["n_layer"] = json!(LAYERS);
    config["n_embd"] = json!(WIDTH);
    config["n_head"] = json!(8);
    config["n_positions"] = json!(POSITIONS);
    let mut state = 1_u64;
    let mut random = |shape: &[usize], scale: f32, centre: f32| Numbers {
        shape: shape.to_vec(),
        values: (0..shape.iter().product::<usize>())
            .map(|_| {
                // Knuth's generator: any numbers will do.
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                centre + scale * ((state >> 40) as f32 / (1 << 23) as f32 - 1.0)
            })
            .collect(),
    };
    let mut weights = HashMap::new();
    let mut add =
        |name: String, numbers: Numbers| drop(weights.insert(format!("transformer.{name}"), numbers));
    add("wte.weight".into(), random(&[vocabulary, WIDTH], 0.3, 0.0));
    add("wpe.weight".into(), random(&[POSITIONS, WIDTH], 0.1, 0.0));
    for layer in 0..LAYERS {
        for (name, inputs, outputs) in [
            ("attn.c_attn", WIDTH, 3 * WIDTH),
            ("attn.c_proj", WIDTH, WIDTH),
            ("mlp.c_fc", WIDTH, 4 * WIDTH),
            ("mlp.c_proj", 4 * WIDTH, WIDTH),
        ] {
            add(
                format!("h.{layer}.{name}.weight"),
                random(&[inputs, outputs], 0.1, 0.0),
            );
            add(format!("h.{layer}.{name}.bias"), random(&[outputs], 0.1, 0.0));
        }
        for name in ["ln_1", "ln_2"] {
            add(format!("h.{layer}.{name}.weight"), random(&[WIDTH], 0.1, 1.0));
            add(format!("h.{layer}.{name}.bias"), random(&[WIDTH], 0.1, 0.0));
        }
    }
    add("ln_f.weight".into(), random(&[WIDTH], 0.1, 1.0));
    add("ln_f.bias".into(), random(&[WIDTH], 0.1, 0.0));
    written(&from, &config.to_string(), &weights)
}

fn written(from: &Path, config: &str, weights: &HashMap<String, Numbers>) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("config.json"), config).expect("room");
    let tokenizer = from.join("tokenizer.json");
    std::fs::copy(tokenizer, folder.path().join("tokenizer.json")).expect("room");
    safetensors::serialize_to_file(weights, None, &folder.path().join("model.safetensors")).expect("room");
    let config: Value = serde_json::from_str(config).expect("JSON");
    let width = config["n_embd"].as_u64().expect("a number") as usize;
    dictionary(&folder.path().join("dictionary"), width);
    folder
}

/// A sparse autoencoder of the first layer's output.
fn dictionary(folder: &Path, width: usize) {
    let n_features = 4 * width;
    let weights = |rows: usize, columns: usize| Numbers {
        shape: vec![rows, columns],
        values: (0..rows * columns)
            .map(|at| ((at * 7919) % 1009) as f32 / 1009.0 - 0.5)
            .collect(),
    };
    let weights = HashMap::from([
        ("W_enc".to_owned(), weights(width, n_features)),
        ("W_dec".to_owned(), weights(n_features, width)),
    ]);
    let settings = json!({
        "architecture": "standard",
        "apply_b_dec_to_input": true,
        "metadata": {"hook_name": "blocks.0.hook_resid_post"},
    });
    std::fs::create_dir(folder).expect("room");
    std::fs::write(folder.join("cfg.json"), settings.to_string()).expect("room");
    safetensors::serialize_to_file(&weights, None, &folder.join("sae_weights.safetensors")).expect("room");
}
