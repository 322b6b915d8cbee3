//! What is not fetched, and what the reader is told.

use ecco_interpreter::{Diagnostic, unwatched};
use ecco_models::hub::{HubError, HubOptions, HubSettings, fetch_files, fetch_with};

use crate::place::{MODEL, Place, assert_fetches, fails_once, fetch, files, names};
use crate::server::{Hub, Mischief};

#[test]
fn names_that_lead_out_of_the_cache_are_refused() {
    for name in [
        "../evil.safetensors",
        "a/../../evil",
        "/etc/evil",
        "..\\evil",
        "\\\\server\\evil",
    ] {
        let (place, hub) = (Place::new("names"), Hub::with(&files()));
        let settings = place.settings(&hub);
        hub.list(name);
        let error = fetch(&settings).unwrap_err();
        assert!(
            matches!(&error, HubError::UnsafeName { name: got, .. } if got == name),
            "{error:?}"
        );
        place.assert_sound();
        hub.behave();
        assert_fetches(&place, &settings);
    }
}

#[test]
fn shards_are_fetched_and_their_names_checked() {
    let sharded = |shard: &str| {
        let index = serde_json::json!({"weight_map": {"a": "model-1.safetensors", "b": shard, "c": shard}});
        vec![
            ("config.json", b"{}".to_vec()),
            ("model.safetensors.index.json", index.to_string().into_bytes()),
            ("model-1.safetensors", b"one".to_vec()),
            ("model-2.safetensors", b"two".to_vec()),
        ]
    };
    let (place, hub) = (Place::new("shards"), Hub::with(&sharded("model-2.safetensors")));
    let settings = place.settings(&hub);
    let folder = fetch(&settings).unwrap();
    let names: Vec<_> = sharded("").into_iter().map(|(name, _)| name).collect();
    assert!(names.iter().all(|name| folder.join(name).is_file()));
    place.assert_sound();
    let offline = HubSettings {
        offline: true,
        ..settings.clone()
    };
    assert_eq!(fetch(&offline).unwrap(), folder);
    std::fs::remove_file(folder.join("model-2.safetensors")).unwrap();
    assert!(matches!(fetch(&offline), Err(HubError::NotCached { .. })));

    for evil in [
        "../../../evil.safetensors",
        "/evil.safetensors",
        "sub/evil.safetensors",
        "evil.bin",
    ] {
        let (place, hub) = (Place::new("evil-shards"), Hub::with(&sharded(evil)));
        let error = fetch(&place.settings(&hub)).unwrap_err();
        assert!(
            matches!(&error, HubError::UnsafeName { name, .. } if name == evil),
            "{error:?}"
        );
        place.assert_sound();
    }
}

#[test]
fn who_may_not_is_told_why() {
    let refused = |status, key, value| fails_once("refused", "api", Mischief::Status(status, key, value));
    let error = refused(404, "x-error-code", "RepoNotFound");
    assert!(
        matches!(&error, HubError::NotFound { repo_id, .. } if repo_id == MODEL),
        "{error:?}"
    );
    assert!(error.hint().unwrap().contains("HF_TOKEN"));
    assert!(matches!(
        refused(401, "x-error-code", "RepoNotFound"),
        HubError::NotFound { .. }
    ));
    assert!(matches!(
        refused(404, "x-error-code", "RevisionNotFound"),
        HubError::RevisionNotFound { .. }
    ));
    for (status, code) in [(401, "GatedRepo"), (403, "GatedRepo"), (401, "")] {
        let error = refused(status, "x-error-code", code);
        assert!(
            matches!(&error, HubError::AccessDenied { status: got, .. } if *got == status),
            "{error:?}"
        );
        assert!(error.hint().unwrap().contains("HF_TOKEN"));
    }
}

#[test]
fn the_token_goes_to_the_hub_and_nowhere_else() {
    let (place, hub) = (Place::new("token"), Hub::with(&files()));
    let settings = HubSettings {
        token: Some("hf_secret".to_owned()),
        ..place.settings(&hub)
    };
    fetch(&settings).unwrap();
    let seen = hub.seen();
    assert!(seen.iter().any(|seen| seen.storage) && hub.storage_url() != hub.url);
    for seen in seen {
        let expected = (!seen.storage).then(|| "Bearer hf_secret".to_owned());
        assert_eq!(seen.token, expected, "{} {}", seen.method, seen.path);
    }
    assert!(!format!("{settings:?}").contains("secret"));
    let broken = HubSettings {
        token: Some("hf\r\nX-Evil: 1".to_owned()),
        ..settings
    };
    assert!(matches!(fetch(&broken), Err(HubError::InvalidToken)));
}

#[test]
fn pytorchs_files_are_fetched_where_there_are_no_others() {
    let only = |file: &'static str| vec![("config.json", b"{}".to_vec()), (file, b"weights".to_vec())];
    let (place, hub) = (Place::new("pytorch"), Hub::with(&only("pytorch_model.bin")));
    let settings = place.settings(&hub);
    let folder = fetch(&settings).unwrap();
    assert_eq!(names(&folder), ["config.json", "pytorch_model.bin"]);
    place.assert_sound();
    let offline = HubSettings {
        offline: true,
        ..settings
    };
    assert_eq!(fetch(&offline).unwrap(), folder);

    let index = serde_json::json!({"weight_map": {"a": "pytorch_model-1.bin", "b": "pytorch_model-2.bin"}});
    let sharded = [
        ("config.json", b"{}".to_vec()),
        ("pytorch_model.bin.index.json", index.to_string().into_bytes()),
        ("pytorch_model-1.bin", b"one".to_vec()),
        ("pytorch_model-2.bin", b"two".to_vec()),
        ("training_args.bin", b"not for us".to_vec()),
    ];
    let (place, hub) = (Place::new("pytorch-shards"), Hub::with(&sharded));
    let folder = fetch(&place.settings(&hub)).unwrap();
    let wanted = ["config.json", "pytorch_model-1.bin", "pytorch_model-2.bin"];
    assert!(wanted.iter().all(|name| folder.join(name).is_file()));
    assert!(!folder.join("training_args.bin").exists());

    let (place, hub) = (Place::new("no-weights"), Hub::with(&only("tf_model.h5")));
    assert!(matches!(
        fetch(&place.settings(&hub)),
        Err(HubError::NoWeights { .. })
    ));
}

#[test]
fn ids_and_revisions_are_checked_before_any_request() {
    let (place, hub) = (Place::new("ids"), Hub::with(&files()));
    let settings = place.settings(&hub);
    let long = "x".repeat(97);
    for id in [
        "", "a/b/c", "a b", "..", "../x", "a/..", "/a", "a/", "a--b", "-a", "a.", "a.git", "ä", "a?b",
        "a%2fb", &long,
    ] {
        let error = fetch_with(&settings, id, &HubOptions::default(), &mut unwatched).unwrap_err();
        assert!(
            matches!(error, HubError::InvalidRepoId { .. }),
            "{id:?}: {error:?}"
        );
        assert!(error.hint().is_some());
    }
    for revision in [
        "", "..", "a/../b", "/main", "a b", "main?x", "#", "a//b", ".hidden",
    ] {
        let options = HubOptions {
            revision: Some(revision.to_owned()),
        };
        let error = fetch_with(&settings, MODEL, &options, &mut unwatched).unwrap_err();
        assert!(
            matches!(error, HubError::InvalidRevision { .. }),
            "{revision:?}: {error:?}"
        );
    }
    for endpoint in [
        "",
        "huggingface.co",
        "ftp://a",
        "file:///etc",
        "http://",
        "https://a?b",
    ] {
        let settings = HubSettings {
            endpoint: endpoint.to_owned(),
            ..settings.clone()
        };
        assert!(
            matches!(fetch(&settings), Err(HubError::InvalidEndpoint { .. })),
            "{endpoint:?}"
        );
    }
    assert!(hub.seen().is_empty());
    assert_eq!(names(&place.cache()), Vec::<String>::new());
}

#[test]
fn certificates_that_cannot_be_read_are_no_reason_to_trust_others() {
    let (place, hub) = (Place::new("certificates"), Hub::with(&files()));
    let file = place.cache().join("ca.pem");
    let settings = HubSettings {
        ca_file: Some(file.clone()),
        ..place.settings(&hub)
    };
    assert!(matches!(fetch(&settings), Err(HubError::Certificates { file: named, .. }) if named == file));
    std::fs::write(&file, "not a certificate").unwrap();
    assert!(matches!(fetch(&settings), Err(HubError::NoCertificates { .. })));
    assert!(hub.seen().is_empty());
}

#[test]
fn a_gguf_file_is_fetched_by_its_name() {
    let files = vec![
        ("a-Q4.gguf", b"one".to_vec()),
        ("b-Q8.gguf", b"two".to_vec()),
        ("README.md", b"".to_vec()),
    ];
    let (place, hub) = (Place::new("gguf"), Hub::with(&files));
    let settings = place.settings(&hub);
    let fetch_file = |settings: &HubSettings, file: &str| {
        fetch_files(
            settings,
            MODEL,
            &[file.to_owned()],
            &HubOptions::default(),
            &mut unwatched,
        )
    };
    let folder = fetch_file(&settings, "b-Q8.gguf").unwrap();
    assert_eq!(names(&folder), ["b-Q8.gguf"]);
    place.assert_sound();
    let offline = HubSettings {
        offline: true,
        ..settings.clone()
    };
    assert_eq!(fetch_file(&offline, "b-Q8.gguf").unwrap(), folder);
    let error = fetch_file(&offline, "a-Q4.gguf").unwrap_err();
    assert!(matches!(error, HubError::NotCached { .. }), "{error:?}");
    let error = fetch_file(&settings, "c.gguf").unwrap_err();
    assert!(
        matches!(&error, HubError::FileNotFound { file, .. } if file == "c.gguf"),
        "{error:?}"
    );
    let error = fetch_file(&settings, "../c.gguf").unwrap_err();
    assert!(matches!(error, HubError::UnsafeName { .. }), "{error:?}");
    // Without a name there are several.
    let error = fetch(&settings).unwrap_err();
    let hint = error.hint().unwrap();
    assert!(
        error.to_string().ends_with("but GGUF: a-Q4.gguf, b-Q8.gguf"),
        "{error}"
    );
    assert_eq!(hint, format!("name one behind the model: \"{MODEL}/a-Q4.gguf\""));
}
