//! The same settings and the same cache as Python's huggingface_hub.

use std::io::Write;

use std::path::{Path, PathBuf};
use std::process::Command;

use ecco_models::hub::HubSettings;

use crate::place::{Place, WANTED, assert_fetches, fetch, files};
use crate::server::Hub;

#[test]
fn settings_come_from_the_variables_of_the_python_library() {
    let from = |variables: &[(&str, &str)]| {
        let variables: Vec<_> = variables
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        HubSettings::from_vars(|name| variables.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()))
    };
    let settings = from(&[("HOME", "/h")]);
    assert_eq!(settings.cache, Path::new("/h/.cache/huggingface/hub"));
    assert_eq!(settings.endpoint, "https://huggingface.co");
    assert!(!settings.offline && settings.token.is_none());
    assert_eq!(
        from(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]).cache,
        Path::new("/x/huggingface/hub")
    );
    assert_eq!(
        from(&[("HOME", "/h"), ("HF_HOME", "~/hf")]).cache,
        Path::new("/h/hf/hub")
    );
    assert_eq!(
        from(&[("HF_HOME", "/hf"), ("HF_HUB_CACHE", "/c")]).cache,
        Path::new("/c")
    );
    assert_eq!(
        from(&[("HF_ENDPOINT", "http://mirror:8080/")]).endpoint,
        "http://mirror:8080"
    );
    assert_eq!(from(&[("HF_TOKEN", " t\n")]).token.as_deref(), Some("t"));
    for (value, offline) in [
        ("1", true),
        ("true", true),
        ("YES", true),
        ("0", false),
        ("", false),
    ] {
        assert_eq!(from(&[("HF_HUB_OFFLINE", value)]).offline, offline, "{value:?}");
    }

    assert_eq!(
        from(&[("SSL_CERT_FILE", "/c.pem")]).ca_file.as_deref(),
        Some(Path::new("/c.pem"))
    );
    assert_eq!(
        from(&[("REQUESTS_CA_BUNDLE", "/d.pem")]).ca_file.as_deref(),
        Some(Path::new("/d.pem"))
    );
    // A wait that is no number of seconds to add to a time is a day.
    for name in ["HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"] {
        let settings = from(&[(name, "18446744073709551615")]);
        let longest = settings.connect_timeout.max(settings.stall_timeout);
        assert_eq!(longest.as_secs(), 24 * 60 * 60);
    }

    let place = Place::new("settings");
    std::fs::write(place.0.join("token"), "from-file\n").unwrap();
    let home = place.0.to_str().unwrap();
    assert_eq!(from(&[("HF_HOME", home)]).token.as_deref(), Some("from-file"));
    assert_eq!(
        from(&[("HF_HOME", home), ("HF_TOKEN", "t")]).token.as_deref(),
        Some("t")
    );
}

/// The Python that has huggingface_hub: of the active environment, or of the project's.
fn python() -> Option<PathBuf> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv");
    let active = std::env::var_os("VIRTUAL_ENV").map(PathBuf::from);
    let candidates = active
        .into_iter()
        .chain([project])
        .map(|folder| folder.join("bin/python"));
    let has_library = |python: &PathBuf| {
        Command::new(python)
            .args(["-c", "import huggingface_hub"])
            .status()
            .is_ok_and(|s| s.success())
    };
    let found = candidates.into_iter().find(has_library);
    if found.is_none() {
        // Past the capture of the test harness: nobody should believe that this was checked.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: no Python with huggingface_hub in VIRTUAL_ENV or .venv"
        );
    }
    found
}

fn run_python(python: &Path, place: &Place, hub: &Hub, script: &str) -> String {
    let output = Command::new(python)
        .args(["-c", script])
        .env("HF_HOME", place.0.join("a/home"))
        .env("HF_HUB_CACHE", place.cache())
        .env("HF_ENDPOINT", &hub.url)
        .env("HF_HUB_DISABLE_XET", "1")
        .env("HF_HUB_DISABLE_TELEMETRY", "1")
        .env_remove("HF_TOKEN")
        .env_remove("HF_HUB_OFFLINE")
        .output()
        .unwrap();
    let _ = std::fs::remove_dir_all(place.0.join("a/home"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn python_finds_what_was_fetched_here() {
    let Some(python) = python() else { return };
    let (place, hub) = (Place::new("to-python"), Hub::with(&files()));
    let folder = fetch(&place.settings(&hub)).unwrap();
    hub.seen();
    let script = "from huggingface_hub import snapshot_download, hf_hub_download
print(snapshot_download('tiny/gpt2', local_files_only=True))
for name in ('config.json', 'tokenizer.json', 'model.safetensors'):
    print(hf_hub_download('tiny/gpt2', name))";
    let found = run_python(&python, &place, &hub, script);
    let found: Vec<_> = found.lines().map(PathBuf::from).collect();
    assert_eq!(found[0], folder);
    assert_eq!(found[3], folder.join("model.safetensors"));
    let seen = hub.seen();
    assert!(
        !seen.is_empty() && seen.iter().all(|seen| seen.method == "HEAD"),
        "{seen:?}"
    );
}

#[test]
fn what_python_fetched_is_not_fetched_again() {
    let Some(python) = python() else { return };
    let (place, hub) = (Place::new("from-python"), Hub::with(&files()));
    let script = format!(
        "from huggingface_hub import hf_hub_download
for name in {WANTED:?}:
    print(hf_hub_download('tiny/gpt2', name))"
    );
    let stored = run_python(&python, &place, &hub, &script);
    assert_eq!(stored.lines().count(), WANTED.len());
    assert!(hub.seen().iter().any(|seen| seen.storage && seen.method == "GET"));
    let settings = place.settings(&hub);
    let offline = fetch(&HubSettings {
        offline: true,
        ..settings.clone()
    })
    .unwrap();
    assert_fetches(&place, &settings);
    assert_eq!(fetch(&settings).unwrap(), offline);
    assert!(
        hub.seen()
            .iter()
            .all(|seen| seen.path.starts_with("/api/models/"))
    );
}
