//! Files and models that do not go together, and damaged files.

use super::*;

#[test]
fn what_is_no_dictionary_of_the_model_is_refused() {
    let model = model("gpt2-tiny", "float32");
    let folder = Folder::new("refused");
    let plain = DictionaryOptions::default();
    let error = |options: &DictionaryOptions| {
        let name = folder.0.display().to_string();
        open(&name, &model, options, &mut unwatched)
            .unwrap_err()
            .to_string()
    };
    assert!(
        error(&plain).ends_with("this one has nothing"),
        "{}",
        error(&plain)
    );
    folder.weights("sae_weights.safetensors", &PLAIN);
    assert!(
        error(&plain).contains("it is of no format that is read"),
        "{}",
        error(&plain)
    );
    for (settings, expected) in [
        (
            sae_lens("temporal", &json!({})),
            "cfg.json: architecture is \"temporal\": read are standard, topk, jumprelu (and batchtopk saved as such), gated, \
             and transcoders of them",
        ),
        (
            sae_lens("topk", &json!({})),
            "k is not given: the files do not say how many features are active at a position: name it",
        ),
        (
            sae_lens("topk", &json!({"k": 41})),
            "k is 41: the dictionary has 40 features",
        ),
        (
            sae_lens("jumprelu", &json!({})),
            "sae_weights.safetensors: it has no threshold",
        ),
        (
            sae_lens("standard", &json!({"metadata": {"hook_name": "blocks.1.hook_q"}})),
            "site is not given: cfg.json names the hook \"blocks.1.hook_q\", which is unknown: name the site and the layer",
        ),
        (
            sae_lens(
                "standard",
                &json!({"metadata": {"hook_name": "blocks.9.hook_resid_post"}}),
            ),
            "layer is 9: the model has layers 0 to 2",
        ),
        (
            sae_lens(
                "standard",
                &json!({"metadata": {"hook_name": "blocks.1.mlp.hook_post"}}),
            ),
            "site is mlp_inner: it has 192 numbers at a position, and the dictionary 48: it is of another model or site",
        ),
    ] {
        folder.settings("cfg.json", &settings);
        assert_eq!(error(&plain), expected);
    }
    let average = sae_lens(
        "standard",
        &json!({"normalize_activations": "expected_average_only_in"}),
    );
    folder.settings("cfg.json", &average);
    assert!(
        error(&plain).contains("fold it into the weights"),
        "{}",
        error(&plain)
    );
    folder.settings("cfg.json", &sae_lens("standard", &json!({})));
    folder.weights(
        "sae_weights.safetensors",
        &[PLAIN[0], PLAIN[1], ("W_dec", "W_dec", true), PLAIN[3]],
    );
    assert!(
        error(&plain).contains("its encoder has 40 features, and its decoder 48"),
        "{}",
        error(&plain)
    );
}

/// Whatever bytes of a file are cut off or changed: an error, or numbers.
#[test]
fn damaged_files_are_errors() {
    let model = model("gpt2-tiny", "float32");
    let options = DictionaryOptions {
        site: Place::parse("residual_after"),
        layer: Some(1),
        k: Some(3),
        ..DictionaryOptions::default()
    };
    let folder = Folder::new("damaged");
    let mut n_refused = 0;
    for (file, named) in [
        ("gemma_scope.npz", "params.npz"),
        ("openai_topk.pt", "topk.pt"),
        ("weights.safetensors", "params.safetensors"),
    ] {
        let bytes = std::fs::read(stored(file)).unwrap();
        for step in 0..60 {
            let at = bytes.len() * step / 60;
            let mut changed = bytes.clone();
            match step % 3 {
                0 => changed.truncate(at),
                1 => changed[at] ^= 0xFF,
                _ => changed[at..(at + 8).min(bytes.len())].fill(0x7F),
            }
            std::fs::write(folder.0.join(named), changed).unwrap();
            let name = folder.0.join(named).display().to_string();
            n_refused += usize::from(open(&name, &model, &options, &mut unwatched).is_err());
        }
    }
    assert!(n_refused > 60, "{n_refused}");
}
