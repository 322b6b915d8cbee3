//! `ecco-kernel models`: the hub's cache, listed and cleaned.

use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ecco-kernel");
const COMMITS: [char; 2] = ['a', 'b'];

fn models(home: &Path, arguments: &[&str], answer: &str) -> Output {
    let mut process = Command::new(PROGRAM)
        .arg("models")
        .args(arguments)
        .env("HF_HOME", home)
        .env_remove("HF_HUB_CACHE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that does not ask may have ended.
    let _ = process.stdin.take().unwrap().write_all(answer.as_bytes());
    process.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A model of two commits with their own configurations and weights that both share.
fn cache(home: &Path) -> PathBuf {
    let folder = home.join("hub/models--tiny--gpt2");
    for below in ["blobs", "refs"] {
        std::fs::create_dir_all(folder.join(below)).unwrap();
    }
    std::fs::write(folder.join("blobs").join("f".repeat(64)), [0; 5_000]).unwrap();
    for commit in COMMITS {
        let (commit, snapshot) = (commit.to_string().repeat(40), commit.to_string().repeat(40));
        let snapshot = folder.join("snapshots").join(snapshot);
        std::fs::create_dir_all(&snapshot).unwrap();
        std::fs::write(folder.join("blobs").join(&commit), "{}").unwrap();
        symlink(format!("../../blobs/{commit}"), snapshot.join("config.json")).unwrap();
        symlink(
            format!("../../blobs/{}", "f".repeat(64)),
            snapshot.join("model.safetensors"),
        )
        .unwrap();
    }
    std::fs::write(folder.join("refs/main"), "a".repeat(40)).unwrap();
    folder
}

#[test]
fn models_are_listed_with_their_revisions() {
    let home = tempfile::tempdir().unwrap();
    let hub = home.path().join("hub");
    let none = models(home.path(), &[], "");
    assert_eq!(text(&none.stdout), format!("No model is in {}\n", hub.display()));
    cache(home.path());
    let list = text(&models(home.path(), &[], "").stdout);
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines[0], "model      size  last use  revision");
    assert_eq!(lines[1], "tiny/gpt2  5 kB  just now  aaaaaaaaaaaa model (main)");
    assert_eq!(lines[2], "                           bbbbbbbbbbbb model");
    assert_eq!(lines[4], format!("5 kB in {}", hub.display()));
    let data: Value = serde_json::from_slice(&models(home.path(), &["--json"], "").stdout).unwrap();
    let model = &data["models"][0];
    assert_eq!(
        (&model["id"], &model["bytes"]),
        (&"tiny/gpt2".into(), &5_044.into())
    );
    assert_eq!(model["revisions"][0]["names"][0], "main");
    assert_eq!(model["revisions"][1]["bytes"], 5_002);
}

#[test]
fn nothing_is_deleted_without_a_yes() {
    let home = tempfile::tempdir().unwrap();
    let folder = cache(home.path());
    for answer in ["", "n\n", "perhaps\n"] {
        let kept = models(home.path(), &["--delete", "tiny/gpt2"], answer);
        assert_eq!(
            (kept.status.code(), folder.exists()),
            (Some(1), true),
            "{answer:?}"
        );
        assert!(text(&kept.stderr).starts_with("Delete tiny/gpt2 (5 kB) from "));
    }
    let gone = models(home.path(), &["--delete", "tiny/gpt2"], "y\n");
    assert_eq!((gone.status.code(), folder.exists()), (Some(0), false));
    assert_eq!(text(&gone.stdout), "5 kB are free again\n");
    assert!(home.path().join("hub").is_dir());
}

#[test]
fn a_revision_leaves_what_the_other_has() {
    let home = tempfile::tempdir().unwrap();
    let folder = cache(home.path());
    let gone = models(
        home.path(),
        &["--delete", "tiny/gpt2", "--revision", "main", "--yes"],
        "",
    );
    assert_eq!(
        text(&gone.stdout),
        "42 B are free again\n",
        "{}",
        text(&gone.stderr)
    );
    let left: Vec<_> = std::fs::read_dir(folder.join("blobs"))
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert!(
        left.len() == 2 && !folder.join("blobs").join("a".repeat(40)).exists(),
        "{left:?}"
    );
    assert!(
        folder
            .join("snapshots")
            .join("b".repeat(40))
            .join("model.safetensors")
            .is_file()
    );
}

#[test]
fn what_is_not_there_is_an_error_that_says_what_is() {
    let home = tempfile::tempdir().unwrap();
    let folder = cache(home.path());
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("thesis"), "mine").unwrap();
    symlink(outside.path(), home.path().join("hub/models--evil")).unwrap();
    for name in ["gpt3", "evil", "../..", "/"] {
        let refused = models(home.path(), &["--delete", name, "--yes"], "");
        let message = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{message}");
        assert!(
            message.contains("is not in the cache") && message.contains("tiny/gpt2"),
            "{message}"
        );
    }
    let refused = models(
        home.path(),
        &["--delete", "tiny/gpt2", "--revision", "v9", "--yes"],
        "",
    );
    let message = text(&refused.stderr);
    assert!(
        message.contains("at revision \"v9\"") && message.contains(&"b".repeat(40)),
        "{message}"
    );
    assert!(folder.exists() && outside.path().join("thesis").exists());
}
