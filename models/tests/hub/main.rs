//! Fetching models from a hub on this machine that speaks the protocol (`server`) into a cache that is checked
//! (`place`).

mod adapters;
mod dictionaries;
mod inventory;
mod mishaps;
mod neighbours;
mod place;
mod python;
mod refusals;
mod secure;
mod server;

use std::ops::ControlFlow;
use std::path::Path;

use std::time::Duration;

use ecco_interpreter::{Diagnostic, Progress, unwatched};
use ecco_models::hub::{HubError, HubOptions, HubSettings, cached_models_in, fetch_with};

use crate::place::{MODEL, Place, SIZE, WANTED, assert_fetches, fetch, files, names, weights};
use crate::server::{COMMIT, Hub, git_sha1, sha256};

#[test]
fn hashes_are_those_of_git() {
    assert_eq!(git_sha1(b"hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a");
}

#[test]
fn a_model_is_stored_as_python_stores_it_and_fetched_once() {
    let (place, hub) = (Place::new("layout"), Hub::with(&files()));
    let settings = place.settings(&hub);
    let mut reports: Vec<Progress> = Vec::new();
    let mut watch = |progress: &Progress| {
        reports.push(progress.clone());
        ControlFlow::Continue(())
    };
    let folder = fetch_with(&settings, MODEL, &HubOptions::default(), &mut watch)
        .unwrap()
        .folder;

    assert_eq!(folder, place.folder().join("snapshots").join(COMMIT));
    assert_eq!(names(&folder), WANTED);
    assert_eq!(
        std::fs::read_to_string(place.folder().join("refs/main")).unwrap(),
        COMMIT
    );
    let blob = std::fs::read_link(folder.join("model.safetensors")).unwrap();
    assert_eq!(blob, Path::new("../../blobs").join(sha256(&weights())));
    place.assert_sound();

    let weights: Vec<_> = reports
        .iter()
        .filter(|p| p.label == "downloading model.safetensors")
        .collect();
    assert!(
        weights
            .iter()
            .all(|p| p.unit == "bytes" && p.total == Some(SIZE as u64))
    );
    assert!(weights.windows(2).all(|pair| pair[0].done <= pair[1].done));
    assert_eq!(weights.last().unwrap().done, SIZE as u64);

    hub.seen();
    fetch(&settings).unwrap();
    let asked: Vec<_> = hub.seen().into_iter().map(|seen| seen.path).collect();
    assert_eq!(asked, ["/api/models/tiny/gpt2/revision/main"]);
    assert_eq!(cached_models_in(&place.cache()), [MODEL]);
}

#[test]
fn chat_templates_for_a_purpose_come_along() {
    let more = [
        ("additional_chat_templates/tool_use.jinja", b"tools".to_vec()),
        (
            "additional_chat_templates/deep/rag.jinja",
            b"not looked for".to_vec(),
        ),
        ("additional_chat_templates/notes.txt", b"no template".to_vec()),
    ];
    let files: Vec<_> = files().into_iter().chain(more).collect();
    let (place, hub) = (Place::new("templates"), Hub::with(&files));
    let folder = fetch(&place.settings(&hub)).unwrap();
    let templates = folder.join("additional_chat_templates");
    assert_eq!(names(&templates), ["tool_use.jinja"]);
    assert_eq!(std::fs::read(templates.join("tool_use.jinja")).unwrap(), b"tools");
    let link = std::fs::read_link(templates.join("tool_use.jinja")).unwrap();
    assert!(link.starts_with("../../../blobs"), "{link:?}");
}

#[test]
fn an_id_without_an_owner_follows_the_hubs_redirect() {
    let (place, hub) = (Place::new("ownerless"), Hub::with(&files()));
    let settings = place.settings(&hub);
    let folder = fetch_with(&settings, "gpt2", &HubOptions::default(), &mut unwatched)
        .unwrap()
        .folder;
    assert_eq!(folder, place.cache().join("models--gpt2/snapshots").join(COMMIT));
    assert_eq!(cached_models_in(&place.cache()), ["gpt2"]);
}

#[test]
fn offline_uses_the_cache_only() {
    let (place, hub) = (Place::new("offline"), Hub::with(&files()));
    let settings = place.settings(&hub);
    let offline = HubSettings {
        offline: true,
        ..settings.clone()
    };
    assert!(matches!(fetch(&offline), Err(HubError::NotCached { .. })));
    assert!(hub.seen().is_empty());
    let folder = fetch(&settings).unwrap();
    hub.seen();
    assert_eq!(fetch(&offline).unwrap(), folder);
    assert!(hub.seen().is_empty());
}

#[test]
fn a_cache_without_references_serves_its_only_commit() {
    let (place, hub) = (Place::new("no-refs"), Hub::with(&files()));
    let settings = place.settings(&hub);
    let folder = fetch(&settings).unwrap();
    std::fs::remove_dir_all(place.folder().join("refs")).unwrap();
    let offline = HubSettings {
        offline: true,
        ..settings
    };
    let of = |revision: Option<&str>| {
        let revision = revision.map(str::to_owned);
        fetch_with(&offline, MODEL, &HubOptions { revision }, &mut unwatched)
    };
    let only = of(None).unwrap();
    assert_eq!(only.folder, folder);
    let notice = only.notice.expect("it may be another commit than is meant");
    assert!(notice.ends_with(&format!("the only one that it has was taken, {COMMIT}")));
    // A commit by itself, and shortened.
    for revision in [COMMIT, &COMMIT[..7]] {
        let snapshot = of(Some(revision)).unwrap();
        assert_eq!((&snapshot.folder, snapshot.notice), (&folder, None));
    }
    // Another branch is not that commit, and of two none is the only one.
    let other = "0".repeat(40);
    let error = of(Some("v2")).unwrap_err();
    assert_eq!(
        error.hint().unwrap(),
        format!("ask for what is there by its commit: revision {COMMIT}")
    );
    std::fs::create_dir(folder.with_file_name(&other)).unwrap();
    for name in names(&folder) {
        std::fs::copy(folder.join(&name), folder.with_file_name(&other).join(&name)).unwrap();
    }
    let error = of(None).unwrap_err();
    assert!(
        error.hint().unwrap().contains(&format!("{other}, or {COMMIT}")),
        "{error:?}"
    );
    assert_eq!(of(Some("0000")).unwrap().folder, folder.with_file_name(&other));
}

#[test]
fn revisions_have_their_own_references() {
    let (place, hub) = (Place::new("revision"), Hub::with(&files()));
    let settings = place.settings(&hub);
    for revision in ["refs/pr/1", COMMIT] {
        let options = HubOptions {
            revision: Some(revision.to_owned()),
        };
        fetch_with(&settings, MODEL, &options, &mut unwatched).unwrap();
    }
    assert_eq!(hub.seen()[0].path, "/api/models/tiny/gpt2/revision/refs%2Fpr%2F1");
    assert_eq!(
        std::fs::read_to_string(place.folder().join("refs/refs/pr/1")).unwrap(),
        COMMIT
    );
    assert_eq!(names(&place.folder().join("refs")), ["refs"]);
}

#[test]
fn two_at_once_download_once() {
    let (place, hub) = (Place::new("two"), Hub::with(&files()));
    hub.slow_down(Duration::from_millis(20));
    let settings = HubSettings {
        stall_timeout: Duration::from_secs(10),
        ..place.settings(&hub)
    };
    std::thread::scope(|scope| {
        let both = [(); 2].map(|()| scope.spawn(|| fetch(&settings).unwrap()));
        let folders = both.map(|thread| thread.join().unwrap());
        assert_eq!(folders[0], folders[1]);
    });
    let bodies = hub
        .seen()
        .iter()
        .filter(|seen| seen.storage && seen.method == "GET")
        .count();
    assert_eq!(bodies, 1);
    assert_fetches(&place, &settings);
}
