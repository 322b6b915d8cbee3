//! Dictionaries from a hub: a folder or a file of a repository that has many.

use ecco_interpreter::unwatched;
use ecco_models::hub::{HubError, HubOptions, HubSettings, fetch_dictionaries, fetch_dictionary};

use crate::place::{MODEL, Place};
use crate::server::Hub;

#[test]
fn a_folder_or_a_file_is_fetched_and_nothing_beside_it() {
    let files: Vec<(&str, Vec<u8>)> = [
        "layer_3/width_16k/params.npz",
        "layer_3/width_65k/params.npz",
        "blocks.1/cfg.json",
        "blocks.1/sae_weights.safetensors",
        "blocks.1/sparsity.safetensors",
        "config.yaml",
        "layer_0.safetensors",
        "layer_1.safetensors",
    ]
    .map(|name| (name, name.as_bytes().to_vec()))
    .to_vec();
    let (place, hub) = (Place::new("dictionaries"), Hub::with(&files));
    let settings = place.settings(&hub);
    let fetch = |settings: &HubSettings, parts: &[&str]| {
        fetch_dictionary(settings, MODEL, parts, &HubOptions::default(), &mut unwatched)
    };
    let has = |folder: &std::path::Path, name: &str| folder.join(name).is_file();
    let folder = fetch(&settings, &["layer_3", "width_16k"]).unwrap();
    assert!(has(&folder, "layer_3/width_16k/params.npz") && !has(&folder, "layer_3/width_65k/params.npz"));
    fetch(&settings, &["blocks.1"]).unwrap();
    assert!(has(&folder, "blocks.1/cfg.json") && has(&folder, "blocks.1/sae_weights.safetensors"));
    assert!(!has(&folder, "blocks.1/sparsity.safetensors") && !has(&folder, "config.yaml"));
    fetch(&settings, &["layer_1.safetensors"]).unwrap();
    assert!(has(&folder, "config.yaml") && has(&folder, "layer_1.safetensors"));
    assert!(!has(&folder, "layer_0.safetensors"));
    place.assert_sound();

    // Without the hub what is here serves; what is not is named, and no way leads out of the cache.
    let offline = HubSettings {
        offline: true,
        ..settings.clone()
    };
    assert_eq!(fetch(&offline, &["blocks.1"]).unwrap(), folder);
    assert!(matches!(
        fetch(&offline, &["layer_0.safetensors"]),
        Err(HubError::NotCached { .. })
    ));
    assert!(matches!(
        fetch(&settings, &["layer_9"]),
        Err(HubError::FileNotFound { .. })
    ));
    assert!(matches!(
        fetch(&settings, &["..", "blocks.1"]),
        Err(HubError::UnsafeName { .. })
    ));
}

#[test]
fn a_folder_with_files_for_each_layer_is_fetched_whole_and_alone() {
    let files: Vec<(&str, Vec<u8>)> = [
        "README.md",
        "clt/W_dec_0.safetensors",
        "clt/W_dec_1.safetensors",
        "clt/W_enc_0.safetensors",
        "clt/W_enc_1.safetensors",
        "clt/W_enc_last.safetensors",
        "clt/config.yaml",
        "clt/deep/W_enc_0.safetensors",
        "config.yaml",
        "layer_0.safetensors",
        "layer_1.safetensors",
    ]
    .map(|name| (name, name.as_bytes().to_vec()))
    .to_vec();
    let (place, hub) = (Place::new("dictionary-sets"), Hub::with(&files));
    let settings = place.settings(&hub);
    let fetch = |settings: &HubSettings, parts: &[&str]| {
        fetch_dictionaries(settings, MODEL, parts, &HubOptions::default(), &mut unwatched)
    };
    let folder = fetch(&settings, &["clt"]).unwrap();
    let has = |name: &str| folder.join(name).is_file();
    for name in ["W_dec_0", "W_dec_1", "W_enc_0", "W_enc_1"] {
        assert!(has(&format!("clt/{name}.safetensors")), "{name}");
    }
    assert!(has("clt/config.yaml"));
    for name in [
        "README.md",
        "config.yaml",
        "layer_0.safetensors",
        "clt/deep",
        "clt/W_enc_last.safetensors",
    ] {
        assert!(!folder.join(name).exists(), "{name}");
    }
    assert_eq!(fetch(&settings, &[]).unwrap(), folder);
    assert!(has("config.yaml") && has("layer_0.safetensors") && has("layer_1.safetensors"));
    place.assert_sound();
    let offline = HubSettings {
        offline: true,
        ..settings.clone()
    };
    assert_eq!(fetch(&offline, &["clt"]).unwrap(), folder);
    assert!(matches!(
        fetch(&settings, &["clt", "deep", "deeper"]),
        Err(HubError::FileNotFound { .. })
    ));
    assert!(matches!(
        fetch(&settings, &[".."]),
        Err(HubError::UnsafeName { .. })
    ));
}
