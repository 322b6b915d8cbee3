//! Dictionaries in every published format against the rules of the libraries that write them, and what their features do
//! against hooks in transformers.

mod effects;
mod refused;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ecco_explain::dictionary::{attribute_features, encode, loss_recovered};
use ecco_explain::intervention::compile;
use ecco_explain::intervention::features::{FeatureAction, FeatureIntervention};
use ecco_explain::{Quantity, Target};
use ecco_interpreter::unwatched;
use ecco_models::dictionary::Dictionary;
use ecco_models::dictionary::reading::{DictionaryOptions, open};
use ecco_models::run::{self, Input};
use ecco_models::{GenerateOptions, Model, Place, generate};
use ecco_tests::{assert_close, fixtures, integers, model, stored_tensor};
use ndarray::{Array2, ArrayD, IxDyn};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize_to_file};
use serde_json::{Value, json};

pub(crate) fn stored(file: &str) -> PathBuf {
    fixtures().join("dictionaries").join(file)
}

fn facts() -> Value {
    serde_json::from_slice(&std::fs::read(stored("expected.json")).unwrap()).unwrap()
}

fn text(model: &Model) -> Input {
    Input::of(model, integers(&facts()["ids"]), vec![]).unwrap()
}

/// A folder of a test's own.
pub(crate) struct Folder(pub PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("ecco-dictionaries-{}", std::process::id()));
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub(crate) fn settings(&self, name: &str, settings: &Value) {
        std::fs::write(self.0.join(name), settings.to_string()).unwrap();
    }

    /// A safetensors file of the stored weights: its names, theirs, and whether it has them turned.
    pub(crate) fn weights(&self, name: &str, tensors: &[(&str, &str, bool)]) {
        let bytes = std::fs::read(stored("weights.safetensors")).unwrap();
        let weights = SafeTensors::deserialize(&bytes).unwrap();
        let read = |name: &str, turned: bool| {
            let view = weights.tensor(name).unwrap();
            assert_eq!(view.dtype(), Dtype::F16);
            let halves = view.data().chunks_exact(2);
            let values = halves.map(|two| half(u16::from_le_bytes(two.try_into().unwrap())));
            let array = ArrayD::from_shape_vec(IxDyn(view.shape()), values.collect()).unwrap();
            let array = if turned { array.reversed_axes() } else { array };
            let bytes: Vec<u8> = array.iter().flat_map(|x: &f32| x.to_le_bytes()).collect();
            (array.shape().to_vec(), bytes)
        };
        let read: Vec<_> = tensors
            .iter()
            .map(|(name, own, turned)| (*name, read(own, *turned)))
            .collect();
        let views = read.iter().map(|(name, (shape, bytes))| {
            (
                name.to_string(),
                TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap(),
            )
        });
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        serialize_to_file(views, None, &path).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A float16.
fn half(bits: u16) -> f32 {
    let (sign, exponent, fraction) = (bits >> 15, (bits >> 10) & 31, f32::from(bits & 1023));
    let value = match exponent {
        0 => fraction * 2_f32.powi(-24),
        _ => (1.0 + fraction / 1024.0) * 2_f32.powi(i32::from(exponent) - 15),
    };
    if sign == 1 { -value } else { value }
}

pub(crate) const PLAIN: [(&str, &str, bool); 4] = [
    ("W_enc", "W_enc", false),
    ("b_enc", "b_enc", false),
    ("W_dec", "W_dec", false),
    ("b_dec", "b_dec", false),
];

fn with(more: &[(&'static str, &'static str, bool)]) -> Vec<(&'static str, &'static str, bool)> {
    [&PLAIN, more].concat()
}

/// What SAELens writes from version 6 on, at the hook of a layer.
fn sae_lens(architecture: &str, more: &Value) -> Value {
    let mut settings = json!({
        "d_in": 48, "d_sae": 40, "dtype": "float32", "apply_b_dec_to_input": true, "normalize_activations": "none",
        "reshape_activations": "none", "architecture": architecture,
        "metadata": {"hook_name": "blocks.1.hook_resid_post", "model_name": "gpt2"},
    });
    for (key, value) in more.as_object().unwrap() {
        settings[key] = value.clone();
    }
    settings
}

pub(crate) fn opened(path: &Path, model: &Model, options: &DictionaryOptions) -> Dictionary {
    let name = path.display().to_string();
    open(&name, model, options, &mut unwatched).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What a dictionary makes of the text, held against the stored numbers.
fn assert_reads(model: &Model, dictionary: &Dictionary, expected: &str, what: &str) {
    let found = encode(model, &text(model), dictionary, 0, &mut unwatched).unwrap();
    let of = |part: &str| stored_tensor(&stored("expected.safetensors"), &format!("{expected}.{part}"));
    let mut activations = Array2::<f32>::zeros((found.active.len(), dictionary.n_features()));
    for (position, row) in found.active.iter().enumerate() {
        assert!(
            row.windows(2).all(|pair| pair[0].1 >= pair[1].1),
            "{what}: the strongest first"
        );
        for (feature, activation) in row {
            activations[(position, *feature as usize)] = *activation;
        }
    }
    assert!(activations.iter().any(|activation| *activation > 0.1), "{what}");
    assert_close(what, &activations.into_dyn(), &of("activations"), 1e-5);
    assert_close(
        what,
        &found.reconstruction.into_dyn(),
        &of("reconstruction"),
        1e-5,
    );
}

#[test]
fn sae_lens_is_read() {
    let model = model("gpt2-tiny", "float64");
    let none = json!({});
    let transcoder = json!({"apply_b_dec_to_input": false, "metadata": {
        "hook_name": "blocks.1.ln2.hook_normalized", "hook_name_out": "blocks.1.hook_mlp_out"}});
    let skip = json!({"apply_b_dec_to_input": false, "metadata": {
        "hook_name": "blocks.1.hook_mlp_in", "hook_name_out": "blocks.1.hook_mlp_out"}});
    let old = json!({"hook_point": "blocks.1.hook_resid_post", "activation_fn_str": "relu", "dtype": "torch.float32"});
    let old_top_k = json!({"hook_name": "blocks.1.hook_resid_post", "activation_fn_str": "topk",
        "activation_fn_kwargs": {"k": 7}, "architecture": "standard"});
    let gates = [
        ("b_gate", "b_gate", false),
        ("b_mag", "b_mag", false),
        ("r_mag", "r_mag", false),
    ];
    let gated = [&PLAIN[..1], &PLAIN[2..], &gates].concat();
    for (settings, tensors, expected) in [
        (sae_lens("standard", &none), with(&[]), "standard"),
        (old, with(&[]), "standard"),
        (sae_lens("topk", &json!({"k": 7})), with(&[]), "topk"),
        (old_top_k, with(&[]), "topk"),
        (
            sae_lens("topk", &json!({"k": 7, "rescale_acts_by_decoder_norm": true})),
            with(&[]),
            "topk_rescaled",
        ),
        (
            sae_lens("jumprelu", &json!({"apply_b_dec_to_input": false})),
            with(&[("threshold", "threshold", false)]),
            "jumprelu",
        ),
        (sae_lens("gated", &none), gated, "gated"),
        (
            sae_lens("standard", &json!({"normalize_activations": "layer_norm"})),
            with(&[]),
            "layer_norm",
        ),
        (
            sae_lens(
                "standard",
                &json!({"normalize_activations": "constant_norm_rescale", "apply_b_dec_to_input": false}),
            ),
            with(&[]),
            "constant_norm",
        ),
        (
            sae_lens(
                "standard",
                &json!({"metadata": {"hook_name": "blocks.1.attn.hook_z"}}),
            ),
            with(&[]),
            "head_outputs",
        ),
        (sae_lens("transcoder", &transcoder), with(&[]), "input_relu"),
        (
            sae_lens("skip_transcoder", &skip),
            with(&[("W_skip", "W_skip", false)]),
            "mid_relu_skip",
        ),
    ] {
        let folder = Folder::new(&format!("saelens-{expected}"));
        folder.settings("cfg.json", &settings);
        folder.weights("sae_weights.safetensors", &tensors);
        let dictionary = opened(&folder.0, &model, &DictionaryOptions::default());
        assert_eq!(dictionary.format, "SAELens");
        assert_reads(&model, &dictionary, expected, &format!("SAELens, {settings}"));
    }
}

#[test]
fn files_that_python_writes_are_read() {
    let model = model("gpt2-tiny", "float64");
    let residual = DictionaryOptions {
        site: Place::parse("residual_after"),
        layer: Some(1),
        ..DictionaryOptions::default()
    };
    let seven = DictionaryOptions {
        k: Some(7),
        ..DictionaryOptions::default()
    };
    let transcoder = DictionaryOptions {
        site: Place::parse("mlp_input"),
        ..residual.clone()
    };
    let trainer = json!({"trainer": {"dict_class": "AutoEncoder", "layer": 1,
        "submodule_name": "resid_post_layer_1"}});
    for (file, named, settings, options, expected, format) in [
        (
            "openai_relu.pt",
            "autoencoder.pt",
            None,
            &residual,
            "standard",
            "OpenAI",
        ),
        (
            "openai_topk.pt",
            "autoencoder.pt",
            None,
            &residual,
            "layer_norm_topk",
            "OpenAI",
        ),
        (
            "qwen_scope.pt",
            "layer1.sae.pt",
            None,
            &seven,
            "plain_topk",
            "Qwen Scope",
        ),
        (
            "gemma_scope.npz",
            "params.npz",
            None,
            &residual,
            "jumprelu",
            "Gemma Scope",
        ),
        (
            "gemma_scope.npz",
            "params.npz",
            None,
            &transcoder,
            "unit_jumprelu",
            "Gemma Scope",
        ),
        (
            "dictionary_learning.pt",
            "ae.pt",
            Some(trainer),
            &DictionaryOptions::default(),
            "standard",
            "dictionary_learning",
        ),
    ] {
        let folder = Folder::new(&format!("python-{expected}-{file}"));
        std::fs::copy(stored(file), folder.0.join(named)).unwrap();
        if let Some(settings) = settings {
            folder.settings("config.json", &settings);
        }
        let dictionary = opened(&folder.0.join(named), &model, options);
        assert_eq!(dictionary.format, format);
        assert_reads(&model, &dictionary, expected, file);
    }
}

#[test]
fn other_formats_are_read() {
    let model = model("gpt2-tiny", "float64");
    let (facts, plain) = (facts(), DictionaryOptions::default());

    let folder = Folder::new("gemma-scope-2");
    folder.settings(
        "config.json",
        &json!({"hf_hook_point_in": "model.layers.1.output"}),
    );
    let lower = [
        ("w_enc", "W_enc", false),
        ("b_enc", "b_enc", false),
        ("w_dec", "W_dec", false),
        ("b_dec", "b_dec", false),
        ("threshold", "threshold", false),
    ];
    folder.weights("params.safetensors", &lower);
    assert_reads(
        &model,
        &opened(&folder.0, &model, &plain),
        "jumprelu",
        "Gemma Scope 2",
    );
    let hooks = json!({"hf_hook_point_in": "model.layers.1.pre_feedforward_layernorm.output",
        "hf_hook_point_out": "model.layers.1.post_feedforward_layernorm.output"});
    folder.settings("config.json", &hooks);
    folder.weights(
        "params.safetensors",
        &[&lower[..], &[("affine_skip_connection", "W_skip", false)]].concat(),
    );
    let transcoder = opened(&folder.0, &model, &plain);
    assert_reads(
        &model,
        &transcoder,
        "unit_jumprelu_skip_in_out",
        "Gemma Scope 2's transcoder",
    );
    assert_eq!(
        (transcoder.reads.place.name(), transcoder.writes.place.name()),
        ("residual_mid".into(), "mlp_output".into())
    );

    let linear = [
        ("encoder.weight", "W_enc", true),
        ("encoder.bias", "b_enc", false),
        ("decoder.weight", "W_dec", true),
        ("decoder.bias", "b_dec", false),
    ];
    let folder = Folder::new("llama-scope");
    folder.weights("checkpoints/final.safetensors", &linear);
    let factor = &facts["factor"];
    let settings = json!({"d_model": 48, "d_sae": 40, "jump_relu_threshold": 0.5, "act_fn": "jumprelu",
        "dataset_average_activation_norm": {"in": factor, "out": factor}, "hook_point_in": "blocks.1.hook_resid_post"});
    folder.settings("hyperparams.json", &settings);
    for path in [folder.0.clone(), folder.0.join("checkpoints/final.safetensors")] {
        assert_reads(
            &model,
            &opened(&path, &model, &plain),
            "llama_scope",
            "Llama Scope",
        );
    }

    let latent = [linear[0], linear[1], PLAIN[2], PLAIN[3]];
    for (name, transcode, skip, expected) in [
        ("layers.1", false, false, "topk"),
        ("layers.1.mlp", true, true, "input_topk_skip"),
    ] {
        let folder = Folder::new(&format!("sparsify/{name}"));
        let skips: &[_] = if skip { &[("W_skip", "W_skip", false)] } else { &[] };
        folder.weights("sae.safetensors", &[&latent, skips].concat());
        let settings = json!({"activation": "topk", "k": 7, "transcode": transcode, "skip_connection": skip, "d_in": 48});
        folder.settings("cfg.json", &settings);
        assert_reads(&model, &opened(&folder.0, &model, &plain), expected, "sparsify");
    }

    let folder = Folder::new("circuit-tracer");
    let yaml = "model_name: gpt2\nmodel_kind: transcoder_set\nfeature_input_hook: hook_resid_mid\n\
                feature_output_hook: \"hook_mlp_out\"\ntranscoders:\n  - layer: 1\n    filepath: layer_1.safetensors\n";
    std::fs::write(folder.0.join("config.yaml"), yaml).unwrap();
    for turned in [false, true] {
        let decoder = ("W_dec", "W_dec", turned);
        let tensors = [
            ("W_enc", "W_enc", true),
            PLAIN[1],
            decoder,
            PLAIN[3],
            ("W_skip", "W_skip", false),
        ];
        folder.weights("layer_1.safetensors", &tensors);
        let layer = DictionaryOptions {
            layer: Some(1),
            ..DictionaryOptions::default()
        };
        assert_reads(
            &model,
            &opened(&folder.0, &model, &layer),
            "mid_relu_skip",
            "circuit-tracer",
        );
    }
    let refused = open(&folder.0.display().to_string(), &model, &plain, &mut unwatched).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "layer is not given: it has a dictionary a layer (layer_1.safetensors …): say which"
    );
}
