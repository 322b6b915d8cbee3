//! What is said of a cache, and what is taken from it: also of one that strangers have written to.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ecco_models::hub::{Content, HubError, HubSettings, answers, delete, inventory};

use crate::place::{MODEL, Place, fetch, files, weights};
use crate::server::{COMMIT, Hub, sha256};

const OTHER: &str = "89abcdef0123456789abcdef0123456789abcdef";

/// A second commit that shares the weights of the first, with a configuration of its own.
fn second_revision(place: &Place) -> PathBuf {
    let own = "1".repeat(40);
    let snapshot = place.folder().join("snapshots").join(OTHER);
    std::fs::create_dir(&snapshot).unwrap();
    std::fs::write(place.folder().join("blobs").join(&own), "{}").unwrap();
    for (file, blob) in [("config.json", &own), ("model.safetensors", &sha256(&weights()))] {
        symlink(format!("../../blobs/{blob}"), snapshot.join(file)).unwrap();
    }
    std::fs::write(place.folder().join("refs/next"), OTHER).unwrap();
    place.folder().join("blobs").join(own)
}

#[test]
fn a_fetched_model_is_listed_with_what_it_takes() {
    let (place, hub) = (Place::new("inventory"), Hub::with(&files()));
    fetch(&place.settings(&hub)).unwrap();
    second_revision(&place);
    let models = inventory(&place.cache());
    let [model] = &models[..] else {
        panic!("{models:?}")
    };
    assert_eq!((model.id.as_str(), &model.folder), (MODEL, &place.folder()));
    let [first, second] = &model.revisions[..] else {
        panic!("{model:?}")
    };
    assert_eq!(
        (first.commit.as_str(), &first.names[..]),
        (COMMIT, &["main".to_owned()][..])
    );
    assert_eq!(
        (second.commit.as_str(), &second.names[..]),
        (OTHER, &["next".to_owned()][..])
    );
    assert_eq!((first.content, second.content), (Content::Model, Content::Model));
    assert_eq!(second.bytes, weights().len() as u64 + 2);
    // The shared weights once.
    let notes = 2 * COMMIT.len() as u64;
    assert_eq!(model.bytes, first.bytes + 2 + notes);
    assert!(model.last_use.unwrap().elapsed().unwrap() < Duration::from_secs(600));
}

#[test]
fn a_revision_goes_with_what_no_other_has() {
    let (place, hub) = (Place::new("one-revision"), Hub::with(&files()));
    let settings = place.settings(&hub);
    let folder = fetch(&settings).unwrap();
    let own = second_revision(&place);
    let refused = delete(&place.cache(), MODEL, Some("elsewhere")).unwrap_err();
    assert!(
        matches!(&refused, HubError::NotInCache { commits, .. } if commits.len() == 2),
        "{refused:?}"
    );
    assert_eq!(
        delete(&place.cache(), MODEL, Some("next")).unwrap(),
        2 + COMMIT.len() as u64
    );
    assert!(!own.exists() && !place.folder().join("refs/next").exists());
    assert_eq!(
        std::fs::read(folder.join("model.safetensors")).unwrap(),
        weights()
    );
    // The last one takes the folder with it.
    delete(&place.cache(), MODEL, Some(&COMMIT[..8])).unwrap();
    assert!(!place.folder().exists() && place.cache().is_dir());
    assert!(matches!(
        delete(&place.cache(), MODEL, None),
        Err(HubError::NotInCache { .. })
    ));
}

/// A folder beside the cache with files that are called like blobs and snapshots.
fn outside(place: &Place) -> PathBuf {
    let outside = place.0.join("outside");
    std::fs::create_dir_all(outside.join(COMMIT)).unwrap();
    for file in [
        sha256(&weights()),
        format!("{COMMIT}/config.json"),
        "main".to_owned(),
    ] {
        std::fs::write(outside.join(file), "mine").unwrap();
    }
    outside
}

fn assert_untouched(outside: &Path) {
    for file in [
        sha256(&weights()),
        format!("{COMMIT}/config.json"),
        "main".to_owned(),
    ] {
        assert_eq!(std::fs::read(outside.join(&file)).unwrap(), b"mine", "{file}");
    }
}

#[test]
fn nothing_outside_of_the_cache_is_counted_or_deleted() {
    let place = Place::new("leads-out");
    let outside = outside(&place);
    let folder = place.folder();
    type Plant = fn(&Path, &Path);
    let blob = sha256(&weights());
    std::fs::create_dir_all(place.cache()).unwrap();
    // A model that is a link is none.
    symlink(&outside, &folder).unwrap();
    assert!(inventory(&place.cache()).is_empty());
    assert!(matches!(
        delete(&place.cache(), MODEL, None),
        Err(HubError::NotInCache { .. })
    ));
    std::fs::remove_file(&folder).unwrap();
    let plants: [Plant; 4] = [
        |outside, folder| symlink(outside, folder.join("blobs")).unwrap(),
        |outside, folder| symlink(outside.join(COMMIT), folder.join("snapshots").join(OTHER)).unwrap(),
        |outside, folder| symlink(outside, folder.join("refs")).unwrap(),
        |outside, folder| {
            symlink(
                outside.join(COMMIT),
                folder.join("snapshots").join(COMMIT).join("deep"),
            )
            .unwrap()
        },
    ];
    for revision in [None, Some(COMMIT)] {
        for plant in plants {
            let snapshot = folder.join("snapshots").join(COMMIT);
            std::fs::create_dir_all(&snapshot).unwrap();
            symlink(format!("../../blobs/{blob}"), snapshot.join("model.safetensors")).unwrap();
            symlink(
                outside.join(COMMIT).join("config.json"),
                snapshot.join("config.json"),
            )
            .unwrap();
            plant(&outside, &folder);
            let models = inventory(&place.cache());
            assert_eq!((models[0].bytes, models[0].revisions.len()), (0, 1), "{models:?}");
            assert_eq!(models[0].revisions[0].bytes, 0);
            // With a second revision only that one's own would go.
            if revision.is_some() {
                std::fs::create_dir_all(folder.join("snapshots").join("2".repeat(40))).unwrap();
            }
            delete(&place.cache(), MODEL, revision).unwrap();
            assert_untouched(&outside);
            let _ = std::fs::remove_dir_all(&folder);
        }
    }
    for name in ["../outside", "..", "/etc", "tiny/../gpt2", ""] {
        assert!(
            matches!(
                delete(&place.cache(), name, None),
                Err(HubError::InvalidRepoId { .. })
            ),
            "{name}"
        );
    }
    assert_untouched(&outside);
}

#[test]
fn folders_that_are_no_models_are_not_listed() {
    let place = Place::new("no-models");
    for name in [
        "models--tiny--gpt2",
        "models--..--..",
        "models--",
        "datasets--a--b",
        "version.txt",
    ] {
        std::fs::create_dir_all(place.cache().join(name)).unwrap();
    }
    assert!(inventory(&place.cache()).is_empty());
    // What broke off takes room and is listed.
    let blobs = place.folder().join("blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(blobs.join("x.incomplete"), [0; 100]).unwrap();
    let models = inventory(&place.cache());
    assert_eq!((models[0].bytes, models[0].revisions.len()), (100, 0));
    assert_eq!(delete(&place.cache(), MODEL, None).unwrap(), 100);
}

#[test]
fn whether_a_hub_answers_is_known_in_time() {
    let (place, hub) = (Place::new("reach"), Hub::with(&files()));
    let settings = place.settings(&hub);
    let patience = Duration::from_millis(500);
    assert!(answers(&settings, patience).unwrap() < patience);
    let nobody = HubSettings {
        endpoint: "http://127.0.0.1:9".to_owned(),
        ..settings.clone()
    };
    assert!(matches!(
        answers(&nobody, patience),
        Err(HubError::Unreachable { .. })
    ));
    // Takes connections and says nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = HubSettings {
        endpoint: format!("http://{}", listener.local_addr().unwrap()),
        ..settings
    };
    let start = Instant::now();
    let error = answers(&silent, patience).unwrap_err();
    assert!(matches!(error, HubError::TimedOut { .. }), "{error:?}");
    assert!(start.elapsed() < 2 * patience, "{:?}", start.elapsed());
}
