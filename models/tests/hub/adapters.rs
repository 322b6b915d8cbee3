//! Adapters from a hub: what is fetched of them, and how they are loaded by id.

use std::path::Path;
use std::process::Command;

use ecco_interpreter::{Diagnostic, unwatched};
use ecco_models::hub::{HubError, HubOptions, HubSettings, fetch_adapter, fetch_with};
use ecco_models::{LoadOptions, load};

use crate::place::{MODEL, Place, names};
use crate::server::{COMMIT, Hub, Mischief};

fn fixtures() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

/// An adapter with what else people put beside it, for a model that it names.
fn adapter(base: &str) -> Vec<(&'static str, Vec<u8>)> {
    let read = |file: &str| std::fs::read(fixtures().join("adapters/llama").join(file)).unwrap();
    let settings = String::from_utf8(read("adapter_config.json")).unwrap();
    let settings = settings.replace("../../families/llama", base);
    vec![
        ("README.md", b"not for us".to_vec()),
        ("adapter_config.json", settings.into_bytes()),
        ("adapter_model.safetensors", read("adapter_model.safetensors")),
        ("tokenizer_config.json", b"{}".to_vec()),
        ("training_args.bin", b"not for us either".to_vec()),
    ]
}

fn fetch(settings: &HubSettings, revision: Option<&str>) -> Result<std::path::PathBuf, HubError> {
    let revision = revision.map(str::to_owned);
    fetch_adapter(settings, MODEL, &HubOptions { revision }, &mut unwatched)
}

#[test]
fn an_adapter_is_fetched_once_and_without_what_is_beside_it() {
    let (place, hub) = (Place::new("adapter"), Hub::with(&adapter("base")));
    let settings = place.settings(&hub);
    let folder = fetch(&settings, None).unwrap();
    // Half a tokenizer is none.
    assert_eq!(
        names(&folder),
        ["adapter_config.json", "adapter_model.safetensors"]
    );
    place.assert_sound();
    hub.seen();
    assert_eq!(fetch(&settings, None).unwrap(), folder);
    let asked: Vec<_> = hub.seen().into_iter().map(|seen| seen.path).collect();
    assert_eq!(asked, ["/api/models/tiny/gpt2/revision/main"]);
    // Another revision has its own reference; offline and in an outage the cache serves.
    fetch(&settings, Some("v2")).unwrap();
    assert!(hub.seen()[0].path.ends_with("/revision/v2"));
    assert_eq!(names(&place.folder().join("refs")), ["main", "v2"]);
    let offline = HubSettings {
        offline: true,
        ..settings.clone()
    };
    for revision in [None, Some("v2"), Some(COMMIT)] {
        assert_eq!(fetch(&offline, revision).unwrap(), folder);
    }
    assert!(matches!(
        fetch(&offline, Some("v3")),
        Err(HubError::NotCached { .. })
    ));
    hub.misbehave(
        "api",
        &[Mischief::Status(503, "a", "b"), Mischief::Status(503, "a", "b")],
    );
    assert_eq!(fetch(&settings, None).unwrap(), folder);
}

#[test]
fn with_a_whole_tokenizer_that_comes_along() {
    let more = [("tokenizer.json", b"{}".to_vec())];
    let files: Vec<_> = adapter("base").into_iter().chain(more).collect();
    let (place, hub) = (Place::new("adapter-tokens"), Hub::with(&files));
    let folder = fetch(&place.settings(&hub), None).unwrap();
    assert_eq!(
        names(&folder),
        [
            "adapter_config.json",
            "adapter_model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json"
        ]
    );
}

#[test]
fn what_is_no_adapter_and_what_is_only_one() {
    let (place, hub) = (Place::new("no-adapter"), Hub::with(&crate::place::files()));
    let error = fetch(&place.settings(&hub), None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the model \"tiny/gpt2\" has no adapter_config.json"
    );
    let mut files = adapter("base");
    files.retain(|(name, _)| *name != "adapter_model.safetensors");
    let (place, hub) = (Place::new("half-adapter"), Hub::with(&files));
    let error = fetch(&place.settings(&hub), None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the model \"tiny/gpt2\" has no adapter_model.safetensors"
    );
    let (place, hub) = (Place::new("only-adapter"), Hub::with(&adapter("base")));
    let settings = place.settings(&hub);
    let as_model = |settings: &HubSettings| {
        let error = fetch_with(settings, MODEL, &HubOptions::default(), &mut unwatched);
        error.map(|snapshot| snapshot.folder).unwrap_err()
    };
    let only = "\"tiny/gpt2\" is an adapter and no model";
    assert_eq!(as_model(&settings).to_string(), only);
    assert!(as_model(&settings).hint().unwrap().contains("as its adapter"));
    // The same where the cache has to say so.
    fetch(&settings, None).unwrap();
    let offline = HubSettings {
        offline: true,
        ..settings
    };
    assert_eq!(as_model(&offline).to_string(), only);
}

/// The environment is a process's: this is run in one of its own by the test below.
#[test]
#[ignore = "run in a process of its own by the other test"]
fn in_a_process_of_its_own() {
    let base = fixtures().join("families/llama").display().to_string();
    let options = |adapter: &str| LoadOptions {
        device: Some("cpu".into()),
        adapter: Some(adapter.to_owned()).filter(|adapter| !adapter.is_empty()),
        ..LoadOptions::default()
    };
    let open = |name: &str, adapter: &str| load(name, &options(adapter), &mut unwatched);
    let ids = [5, 70, 81, 9];
    let here = fixtures().join("adapters/llama").display().to_string();
    let expected = open(&base, &here).unwrap();
    let logits = expected.logits(&ids).unwrap();
    for (name, adapter) in [
        (base.as_str(), "tiny/lora"),
        (&base, "tiny/lora@v2"),
        ("tiny/lora", ""),
    ] {
        let model = open(name, adapter).unwrap();
        assert!(model.has_adapter());
        assert_eq!(model.logits(&ids).unwrap(), logits, "{name} {adapter}");
        assert_ne!(model.adapted(0.0).unwrap().logits(&ids).unwrap(), logits);
    }
    let error = |adapter: &str| open(&base, adapter).err().unwrap().to_string();
    assert_eq!(error("tiny/lora@..//"), "\"..//\" is not a revision");
    assert_eq!(
        error("./tiny/lora"),
        "adapter is \"./tiny/lora\": expected a folder with adapter_config.json, or a hub id"
    );
    assert!(error("tiny--lora").starts_with("\"tiny--lora\" is not a model id"));
}

#[test]
fn adapters_are_loaded_by_id() {
    let base = fixtures().join("families/llama").canonicalize().unwrap();
    let place = Place::new("adapter-load");
    let hub = Hub::with(&adapter(&base.display().to_string()));
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "adapters::in_a_process_of_its_own", "--ignored"])
        .env("HF_ENDPOINT", &hub.url)
        .env("HF_HUB_CACHE", place.cache())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    let revisions: Vec<String> = hub
        .seen()
        .into_iter()
        .filter_map(|seen| {
            Some(
                seen.path
                    .strip_prefix("/api/models/tiny/lora/revision/")?
                    .to_owned(),
            )
        })
        .collect();
    // By name it is first asked for as a model.
    assert_eq!(revisions, ["main", "v2", "main", "main"]);
}
