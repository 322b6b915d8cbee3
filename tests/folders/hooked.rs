//! TransformerLens' own files: their settings, one by one, and what is not read of them.

use std::ops::ControlFlow;

use ecco_interpreter::unwatched;
use ecco_models::{GenerateOptions, generate, load};
use ecco_tests::{Reference, assert_close, fixtures, integers, last};
use serde_json::{Value, json};

use crate::damages::set;
use crate::folder::Folder;
use crate::names::{assert_same, loaded, said};
use crate::{one_at_a_time, open};

const WHOLE: &str = "transformer_lens";

/// The folder with other settings, and without the weights whose names have a part.
fn with(settings: &Value, less: &[&str]) -> Folder {
    let folder = Folder::copy(WHOLE);
    for (key, value) in settings.as_object().expect("settings") {
        set(&folder, key, value.clone());
    }
    folder.edit(|tensors| tensors.retain(|name, _| less.iter().all(|part| !name.contains(part))));
    folder
}

/// As make_transformer_lens.py has them.
#[test]
fn each_setting_says_what_transformer_lens_says() {
    let _alone = one_at_a_time();
    let reference = Reference::open(&format!("families/{WHOLE}"));
    let long = integers(&reference.runs["long"]["ids"]);
    let (biases, norms) = (["ln1.b", "ln2.b", "ln_final.b"], ["ln1.", "ln2.", "ln_final."]);
    let inner = "mlp.ln.";
    let variants: [(&str, Value, Vec<&str>); 9] = [
        ("gelu", json!({"act_fn": "gelu"}), vec![inner]),
        (
            "rms",
            json!({"act_fn": "gelu_new", "normalization": "RMS"}),
            [&biases[..], &[inner]].concat(),
        ),
        (
            "solu",
            json!({"act_fn": "solu", "normalization": "LNPre"}),
            [&norms[..], &[inner]].concat(),
        ),
        (
            "without_norms",
            json!({"normalization": null}),
            [&norms[..], &[inner]].concat(),
        ),
        (
            "scaled",
            json!({"attn_scale": 1.7, "scale_attn_by_inverse_layer_idx": true}),
            vec![],
        ),
        (
            "unscaled",
            json!({"use_attn_scale": false, "normalization": "LNPre"}),
            [&norms[..], &[inner]].concat(),
        ),
        ("shortformer", json!({"shortformer_pos": true}), vec![]),
        (
            "rotary",
            json!({"positional_embedding_type": "rotary", "rotary_dim": 4, "rotary_base": 50}),
            vec!["pos_embed"],
        ),
        (
            "rotary_neighbours",
            json!({"positional_embedding_type": "rotary", "rotary_dim": 2, "rotary_adjacent_pairs": true}),
            vec!["pos_embed"],
        ),
    ];
    let usual = reference.tensor("long.last_logits").expect("stored");
    for (name, settings, less) in variants {
        let expected = reference.tensor(&format!("{name}.last_logits")).expect("stored");
        assert_ne!(expected, usual, "{name}");
        let model = loaded(&with(&settings, &less));
        let found = model.logits(&long).expect("it runs");
        assert_close(name, &last(&found, 0, 1), &expected, 1e-4);
        let [usual, by_steps] = [false, true].map(|cuda_graph| {
            let options = GenerateOptions {
                generate: Some(6),
                cuda_graph: Some(cuda_graph),
                ..GenerateOptions::default()
            };
            let written = generate(&model, "She said", &options, &mut |_| ControlFlow::Continue(()));
            written.expect("it writes").ids()
        });
        assert_eq!(usual, by_steps, "{name}");
    }
}

/// Checkpoints of other times lack a bias of zeros, or have the newer of two names of a setting.
#[test]
fn a_bias_may_be_left_out_and_a_setting_go_by_its_newer_name() {
    let _alone = one_at_a_time();
    let zeros = Folder::copy(WHOLE);
    zeros.edit(|tensors| tensors.get_mut("unembed.b_U").expect("a bias").bytes.fill(0));
    let mut config = zeros.config();
    let normalization = config["normalization"].take();
    let object = config.as_object_mut().expect("an object");
    object.remove("normalization");
    object.insert("normalization_type".into(), normalization);
    zeros.write_config(&config);
    let without = with(&json!({}), &["unembed.b_U"]);
    assert_same(&said(&loaded(&without)), &said(&loaded(&zeros)), "without a bias");
}

/// As `torch.save` wrote it, with the masks that stand beside the weights: by its path, and from its folder under the name that
/// files there have; under another the error names it.
#[test]
fn a_file_of_torch_save_is_the_same_model() {
    let _alone = one_at_a_time();
    let folder = Folder::copy("transformer_lens-attention");
    let expected = said(&loaded(&folder));
    folder.remove("model.safetensors");
    let bytes = std::fs::read(fixtures().join("pytorch/hooked.pth")).expect("the fixture");
    folder.write("pytorch_model.bin", &bytes);
    assert_same(&said(&loaded(&folder)), &expected, "from its folder");
    folder.remove("pytorch_model.bin");
    folder.write("model_final.pth", bytes);
    let error = open(&folder).err().expect("refused").to_string();
    assert!(error.contains("but model_final.pth"), "{error}");
    let path = folder.path().join("model_final.pth").display().to_string();
    let by_path = load(&path, &Default::default(), &mut unwatched).expect("it loads");
    assert_same(&said(&by_path), &expected, "by its path");
}

#[test]
fn what_is_not_read_is_refused_by_its_key() {
    let _alone = one_at_a_time();
    let refused = [
        ("final_rms", json!(true), "those without it are read"),
        ("gated_mlp", json!(true), "those without it are read"),
        ("use_local_attn", json!(true), "those without it are read"),
        ("n_key_value_heads", json!(1), "those without it are read"),
        ("attn_scores_soft_cap", json!(50.0), "those without it are read"),
        (
            "positional_embedding_type",
            json!("alibi"),
            "those with \"standard\", \"shortformer\" or \"rotary\" are read",
        ),
        (
            "attention_dir",
            json!("bidirectional"),
            "those with \"causal\" are read",
        ),
        (
            "normalization",
            json!("RMSPre"),
            "expected \"LN\", \"LNPre\", \"RMS\" or null",
        ),
        (
            "d_vocab_out",
            json!(7),
            "a model that says other tokens than it reads",
        ),
    ];
    for (key, value, reason) in refused {
        let error = open(&with(&json!({key: value}), &[]))
            .err()
            .unwrap_or_else(|| panic!("{key}"));
        let error = error.to_string();
        assert!(
            error.starts_with(&format!("config.json: {key} is {value}: ")) && error.contains(reason),
            "{error}"
        );
    }
    // Of another width of heads, with the shapes as they stand in the file.
    let error = open(&with(&json!({"d_head": 4}), &[]))
        .err()
        .expect("refused")
        .to_string();
    assert!(
        error.contains("attn.W_K") && error.contains("[2, 12, 5]") && error.contains("[2, 12, 4]"),
        "{error}"
    );
}
