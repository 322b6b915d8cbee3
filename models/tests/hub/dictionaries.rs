//! Dictionaries from a hub: a folder or a file of a repository that has many.

use ecco_interpreter::unwatched;
use ecco_models::hub::{HubError, HubOptions, HubSettings, fetch_dictionary};

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
