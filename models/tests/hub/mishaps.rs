//! What servers and lines do wrong. After each mishap the cache is sound, and a second try against the same hub, now
//! well-behaved, succeeds.

use std::ops::ControlFlow;

use std::time::{Duration, Instant};

use ecco_interpreter::{Diagnostic, Progress};
use ecco_models::hub::{HubError, HubOptions, HubSettings, fetch_with};

use crate::place::{MODEL, Place, assert_fetches, fails_once, fetch, files, weights};
use crate::server::{Hub, Mischief, git_sha1, sha256};

#[test]
fn a_body_cut_off_is_not_kept_as_a_blob() {
    let error = fails_once("cut", "model.safetensors", Mischief::CutAt(0));
    assert!(
        matches!(
            error,
            HubError::CutOff {
                got: 0,
                expected: Some(300_000),
                ..
            }
        ),
        "{error:?}"
    );
    let error = fails_once("cut-small", "tokenizer.json", Mischief::CutAt(0));
    assert!(
        matches!(&error, HubError::CutOff { file, .. } if file == "tokenizer.json"),
        "{error:?}"
    );
}

#[test]
fn a_body_cut_off_is_continued_where_it_stopped() {
    let (place, hub) = (Place::new("resume"), Hub::with(&files()));
    let settings = HubSettings {
        retries: 0,
        ..place.settings(&hub)
    };
    hub.misbehave("model.safetensors", &[Mischief::CutAt(100_000)]);
    let error = fetch(&settings).unwrap_err();
    assert_eq!(
        error.to_string(),
        "model.safetensors broke off after 100000 bytes of 300000"
    );
    assert_eq!(place.partials().len(), 1);
    place.assert_sound();

    hub.seen();
    assert_fetches(&place, &settings);
    let ranges: Vec<_> = hub
        .seen()
        .into_iter()
        .filter(|seen| seen.storage)
        .map(|seen| seen.range)
        .collect();
    assert_eq!(ranges, [Some("bytes=100000-".to_owned())]);
}

#[test]
fn a_body_cut_off_again_and_again_arrives_while_it_goes_on() {
    let mut files = files();
    let large: Vec<u8> = weights().into_iter().cycle().take(6 << 20).collect();
    files.last_mut().unwrap().1 = large.clone();
    let (place, hub) = (Place::new("pieces"), Hub::with(&files));
    // More often than one failure may be retried; but each time a good part came.
    hub.misbehave("model.safetensors", &[const { Mischief::CutAt(3 << 19) }; 3]);
    let folder = fetch(&place.settings(&hub)).unwrap();
    assert_eq!(std::fs::read(folder.join("model.safetensors")).unwrap(), large);
    place.assert_sound();
    let ranges = hub
        .seen()
        .into_iter()
        .filter(|seen| seen.storage)
        .filter_map(|seen| seen.range);
    assert_eq!(
        ranges.collect::<Vec<_>>(),
        ["bytes=1572864-", "bytes=3145728-", "bytes=4718592-"]
    );
}

#[test]
fn a_server_without_ranges_sends_all_again() {
    let (place, hub) = (Place::new("rangeless"), Hub::with(&files()));
    hub.misbehave(
        "model.safetensors",
        &[Mischief::CutAt(90_000), Mischief::NoRanges],
    );
    assert_fetches(&place, &place.settings(&hub));
}

#[test]
fn a_leftover_that_does_not_fit_is_thrown_away() {
    let (place, hub) = (Place::new("leftover"), Hub::with(&files()));
    let settings = HubSettings {
        retries: 0,
        ..place.settings(&hub)
    };
    // A page without a length is written as if it were the body's beginning, until it ends too early.
    hub.misbehave("model.safetensors", &[Mischief::Page { with_length: false }]);
    fetch(&settings).unwrap_err();
    assert_eq!(place.partials().len(), 1);
    assert_fetches(&place, &settings);
}

#[test]
fn a_stalled_body_is_given_up_in_time() {
    let error = fails_once("stall", "model.safetensors", Mischief::StallAt(0));
    assert!(
        matches!(&error, HubError::TimedOut { what, .. } if what == "model.safetensors"),
        "{error:?}"
    );
    let error = fails_once("silence", "model.safetensors", Mischief::Silence);
    assert!(
        matches!(&error, HubError::TimedOut { what, .. } if what == "model.safetensors"),
        "{error:?}"
    );
    let error = fails_once("silent-hub", "api", Mischief::Silence);
    assert!(matches!(&error, HubError::TimedOut { .. }), "{error:?}");
    let error = fails_once("stalled-hub", "api", Mischief::StallAt(10));
    assert!(matches!(&error, HubError::TimedOut { .. }), "{error:?}");
}

#[test]
fn wrong_content_of_the_right_length_is_refused() {
    let error = fails_once("wrong", "model.safetensors", Mischief::WrongContent);
    let flipped: Vec<u8> = weights().iter().map(|byte| byte ^ 1).collect();
    let HubError::Corrupted {
        file,
        expected,
        actual,
    } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!(
        (file.as_str(), expected),
        ("model.safetensors", &sha256(&weights()))
    );
    assert_eq!(actual, &sha256(&flipped));

    let error = fails_once("wrong-small", "config.json", Mischief::WrongContent);
    assert!(
        matches!(&error, HubError::Corrupted { expected, .. } if expected.len() == 40),
        "{error:?}"
    );
}

#[test]
fn an_error_page_is_not_stored_as_the_weights() {
    let error = fails_once("page", "model.safetensors", Mischief::Page { with_length: true });
    assert!(matches!(error, HubError::NotAHub { .. }), "{error:?}");
    fails_once(
        "page-open",
        "model.safetensors",
        Mischief::Page { with_length: false },
    );
    let error = fails_once("page-config", "config.json", Mischief::Page { with_length: true });
    assert!(matches!(error, HubError::NotAHub { .. }), "{error:?}");
    let error = fails_once("page-api", "api", Mischief::Page { with_length: true });
    assert!(matches!(error, HubError::NotAHub { .. }), "{error:?}");
}

#[test]
fn a_server_error_after_a_good_head_is_not_stored() {
    for file in ["config.json", "model.safetensors"] {
        for status in [500, 503, 404] {
            let error = fails_once("get-status", file, Mischief::BodyStatus(status));
            let fits = match &error {
                HubError::Status {
                    status: got, what, ..
                } => *got == status && what == file,
                HubError::FileNotFound { file: got, .. } => status == 404 && got == file,
                _ => false,
            };
            assert!(fits, "{error:?}");
        }
    }
}

#[test]
fn a_busy_server_is_asked_again() {
    let (place, hub) = (Place::new("busy"), Hub::with(&files()));
    let busy = [Mischief::Status(429, "retry-after", "0")];
    for file in ["api", "config.json", "model.safetensors"] {
        hub.misbehave(file, &busy);
    }
    assert_fetches(&place, &place.settings(&hub));
    let error = fails_once("busy-always", "api", Mischief::Status(429, "retry-after", "0"));
    assert!(error.hint().unwrap().contains("wait"), "{error:?}");
}

#[test]
fn without_a_server_the_error_names_it_and_the_cache_stands_in() {
    let (place, hub) = (Place::new("nobody"), Hub::with(&files()));
    let settings = place.settings(&hub);
    // Nobody listens at port 1.
    let nobody = HubSettings {
        endpoint: "http://127.0.0.1:1".to_owned(),
        ..settings.clone()
    };
    let error = fetch(&nobody).unwrap_err();
    assert!(
        error.to_string().starts_with("cannot reach http://127.0.0.1:1"),
        "{error}"
    );
    assert!(error.hint().is_some());
    place.assert_sound();
    assert_fetches(&place, &settings);
    assert_eq!(fetch(&nobody).unwrap(), fetch(&settings).unwrap());
}

#[test]
fn an_interrupt_takes_effect_within_a_second_and_loses_nothing() {
    for (name, file, mischief) in [
        ("stop-silent", "api", Mischief::Silence),
        ("stop-head", "model.safetensors", Mischief::Silence),
        ("stop-body", "model.safetensors", Mischief::StallAt(100_000)),
    ] {
        let (place, hub) = (Place::new(name), Hub::with(&files()));
        let settings = HubSettings {
            stall_timeout: Duration::from_secs(30),
            ..place.settings(&hub)
        };
        hub.misbehave(file, std::slice::from_ref(&mischief));
        let start = Instant::now();
        let mut watch = |_: &Progress| match start.elapsed() {
            elapsed if elapsed < Duration::from_millis(700) => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        };
        let error = fetch_with(&settings, MODEL, &HubOptions::default(), &mut watch).unwrap_err();
        assert!(matches!(error, HubError::Interrupted), "{error:?}");
        assert!(
            start.elapsed() < Duration::from_millis(1700),
            "took {:?}",
            start.elapsed()
        );
        // The connection does not stay behind on a thread of its own until the timeout.
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(hub.hung_up(), 1);
        place.assert_sound();
        hub.seen();
        assert_fetches(&place, &settings);
        if let Mischief::StallAt(_) = mischief {
            assert!(
                hub.seen()
                    .iter()
                    .any(|seen| seen.range.as_deref() == Some("bytes=100000-"))
            );
        }
    }
}

#[test]
fn a_bad_blob_of_another_program_is_replaced() {
    let (place, hub) = (Place::new("bad-blob"), Hub::with(&files()));
    let blobs = place.folder().join("blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(blobs.join(sha256(&weights())), "an error page").unwrap();
    std::fs::write(blobs.join(git_sha1(b"{}")), "{}").unwrap();
    hub.misbehave("generation_config.json", &[Mischief::WrongContent]);
    // The good one of the two is taken as it is.
    assert_fetches(&place, &place.settings(&hub));
    assert!(
        !hub.seen()
            .iter()
            .any(|seen| seen.method == "GET" && seen.path.ends_with("generation_config.json"))
    );
}
