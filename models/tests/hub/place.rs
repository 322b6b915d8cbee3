//! A cache folder for one test, and what must hold in it.

use std::path::{Path, PathBuf};

use std::time::{Duration, Instant};

use ecco_interpreter::unwatched;
use ecco_models::hub::{HubError, HubOptions, HubSettings, cached_models_in, fetch_with};

use crate::server::{COMMIT, Hub, Mischief, git_sha1, sha256};

pub(crate) const MODEL: &str = "tiny/gpt2";
pub(crate) const SIZE: usize = 300_000;

/// A cache folder inside a folder of its own, so that whatever escapes from it shows.
pub(crate) struct Place(pub PathBuf);

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(path.join("a/cache")).unwrap();
        Self(path)
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.0.join("a/cache")
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.cache().join("models--tiny--gpt2")
    }

    pub(crate) fn settings(&self, hub: &Hub) -> HubSettings {
        let mut settings = HubSettings::from_vars(|_| None);
        settings.endpoint = hub.url.clone();
        settings.cache = self.cache();
        settings.stall_timeout = Duration::from_millis(400);
        settings.connect_timeout = Duration::from_secs(2);
        settings.retries = 1;
        settings.retry_pause = Duration::from_millis(10);
        settings.token = None;
        settings
    }

    /// Nothing outside the cache; every blob holds what its name says; every link leads to a blob.
    pub(crate) fn assert_sound(&self) {
        for (folder, entries) in [(&self.0, vec!["a"]), (&self.0.join("a"), vec!["cache"])] {
            assert_eq!(names(folder), entries, "something escaped from the cache");
        }
        for name in names(&self.folder().join("blobs")) {
            let bytes = std::fs::read(self.folder().join("blobs").join(&name)).unwrap();
            if !name.ends_with(".incomplete") {
                let actual = if name.len() == 64 {
                    sha256(&bytes)
                } else {
                    git_sha1(&bytes)
                };
                assert_eq!(actual, name, "a bad blob");
            }
        }
        let snapshot = self.folder().join("snapshots").join(COMMIT);
        for name in names(&snapshot) {
            if snapshot.join(&name).is_dir() {
                continue;
            }
            let link = std::fs::read_link(snapshot.join(&name)).unwrap();
            assert!(link.starts_with("../../blobs"), "{link:?}");
            assert!(snapshot.join(&name).is_file(), "{name} leads nowhere");
        }
    }

    pub(crate) fn partials(&self) -> Vec<String> {
        let blobs = names(&self.folder().join("blobs"));
        blobs
            .into_iter()
            .filter(|name| name.ends_with(".incomplete"))
            .collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub(crate) fn weights() -> Vec<u8> {
    (0..SIZE as u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

pub(crate) fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("README.md", b"not for us".to_vec()),
        ("config.json", br#"{"model_type": "gpt2"}"#.to_vec()),
        ("generation_config.json", b"{}".to_vec()),
        ("tokenizer.json", br#"{"version": "1.0"}"#.to_vec()),
        ("vocab.json", b"{}".to_vec()),
        ("pytorch_model.bin", b"a pickle".to_vec()),
        ("model.safetensors", weights()),
    ]
}

pub(crate) const WANTED: [&str; 4] = [
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
];

pub(crate) fn fetch(settings: &HubSettings) -> Result<PathBuf, HubError> {
    fetch_with(settings, MODEL, &HubOptions::default(), &mut unwatched).map(|snapshot| snapshot.folder)
}

/// Fetches with one mishap for a file, which must fail; then without, which must not.
pub(crate) fn fails_once(name: &str, file: &str, mischief: Mischief) -> HubError {
    let (place, hub) = (Place::new(name), Hub::with(&files()));
    let settings = place.settings(&hub);
    hub.misbehave(file, &vec![mischief; 10]);
    let start = Instant::now();
    let error = fetch(&settings).expect_err("it misbehaved");
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "took {:?}",
        start.elapsed()
    );
    place.assert_sound();
    assert!(cached_models_in(&place.cache()).is_empty());
    hub.behave();
    assert_fetches(&place, &settings);
    error
}

pub(crate) fn assert_fetches(place: &Place, settings: &HubSettings) {
    let folder = fetch(settings).unwrap();
    assert_eq!(names(&folder), WANTED);
    assert_eq!(
        std::fs::read(folder.join("model.safetensors")).unwrap(),
        weights()
    );
    assert_eq!(place.partials(), Vec::<String>::new());
    place.assert_sound();
}
