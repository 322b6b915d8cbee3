//! A cache that others write to as well: what they leave there is taken for what it is.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use ecco_models::hub::{HubError, HubSettings};

use crate::place::{Place, assert_fetches, fetch, files, names, weights};
use crate::server::{Hub, Mischief, sha256};

fn pipe(path: &Path) {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: a C string.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
}

#[test]
fn a_leftover_that_leads_elsewhere_is_not_written_to() {
    let (place, hub) = (Place::new("planted"), Hub::with(&files()));
    let settings = place.settings(&hub);
    let outside = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("thesis-{}", std::process::id()));
    std::fs::write(&outside, "mine").unwrap();
    let blobs = place.folder().join("blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    let leftover = blobs.join(format!("{}.ecco.incomplete", sha256(&weights())));
    type Plant = fn(&Path, &Path);
    let plants: [Plant; 4] = [
        |outside, leftover| symlink(outside, leftover).unwrap(),
        |outside, leftover| std::fs::hard_link(outside, leftover).unwrap(),
        |_, leftover| pipe(leftover),
        |_, leftover| std::fs::create_dir(leftover).unwrap(),
    ];
    for plant in plants {
        plant(&outside, &leftover);
        assert_fetches(&place, &settings);
        assert_eq!(std::fs::read(&outside).unwrap(), b"mine");
        std::fs::remove_dir_all(place.folder().join("snapshots")).unwrap();
        std::fs::remove_file(blobs.join(sha256(&weights()))).unwrap();
    }
    std::fs::remove_file(outside).unwrap();
}

#[test]
fn a_leftover_of_ones_own_is_gone_on_with() {
    let (place, hub) = (Place::new("own"), Hub::with(&files()));
    let settings = HubSettings {
        retries: 0,
        ..place.settings(&hub)
    };
    hub.misbehave("model.safetensors", &[Mischief::CutAt(100_000)]);
    fetch(&settings).unwrap_err();
    hub.seen();
    assert_fetches(&place, &settings);
    assert!(hub.seen().iter().any(|seen| seen.range.is_some()));
}

#[test]
fn what_never_answers_is_not_asked() {
    let (place, hub) = (Place::new("pipes"), Hub::with(&files()));
    let settings = place.settings(&hub);
    fetch(&settings).unwrap();
    let offline = HubSettings {
        offline: true,
        ..settings.clone()
    };
    let start = Instant::now();
    let reference = place.folder().join("refs/main");
    std::fs::remove_file(&reference).unwrap();
    pipe(&reference);
    // The only commit that is there.
    fetch(&offline).unwrap();
    std::fs::remove_dir_all(place.folder().join("refs")).unwrap();
    symlink("/dev/zero", place.0.join("a/cache/token")).unwrap();
    let home = place.0.join("a/cache");
    let from_home = HubSettings::from_vars(|name| (name == "HF_HOME").then(|| home.display().to_string()));
    assert_eq!(from_home.token, None);
    let certificates = place.0.join("a/cache/ca.pem");
    pipe(&certificates);
    let with_pipe = HubSettings {
        ca_file: Some(certificates),
        ..settings.clone()
    };
    assert!(matches!(fetch(&with_pipe), Err(HubError::Certificates { .. })));
    // In the place of locks.
    std::fs::remove_dir_all(place.folder()).unwrap();
    let locks = place.cache().join(".locks/models--tiny--gpt2");
    for name in names(&locks) {
        std::fs::remove_file(locks.join(&name)).unwrap();
        pipe(&locks.join(name));
    }
    fetch(&settings).unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
