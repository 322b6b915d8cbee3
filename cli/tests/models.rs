//! Models where something is missing: a folder, memory, files, a home.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ecco-kernel");

/// Runs a script by a shell that does something first; what it wrote, and its status, which is none after a signal.
fn run_after(first: &str, script: &str) -> (String, String, Option<i32>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("script.rhai");
    std::fs::write(&file, script).unwrap();
    let output = Command::new("sh")
        .args([
            "-c",
            &format!("{first}; exec '{PROGRAM}' exec '{}'", file.display()),
        ])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

/// A load that takes long on a busy machine would say that it is done.
const LOAD: &str = "let lm = ecco::from_pretrained(\"demo\", #{verbose: false});\n\
                    print(lm.run(\"She said\").logits.shape.len());\n";

#[test]
fn a_model_is_loaded_where_much_is_missing() {
    let missing = [
        ("a folder that was deleted", "mkdir gone; cd gone; rmdir ../gone"),
        (
            "a home, and a folder for temporary files",
            "export HOME=/nowhere TMPDIR=/nowhere/tmp HF_HOME=",
        ),
        ("a home that is a file", "export HOME=/dev/null"),
        ("descriptors", "ulimit -n 64"),
        ("address space", "ulimit -v 4000000"),
        ("most address space", "ulimit -v 1500000"),
        (
            "an environment",
            "for name in $(env | grep -o '^[A-Z_]*' | grep -v LD_LIB); do unset $name; done",
        ),
    ];
    for (what, first) in missing {
        let (stdout, stderr, status) = run_after(first, LOAD);
        assert_eq!((stdout.as_str(), status), ("2\n", Some(0)), "{what}: {stderr}");
    }
}

#[test]
fn what_cannot_be_is_an_error_of_the_cell() {
    let (_, stderr, status) = run_after("ulimit -f 0", LOAD);
    assert_eq!(status, Some(1), "{stderr}");
    assert!(
        stderr.contains("ImportError") && stderr.contains("ulimit -f"),
        "{stderr}"
    );
    for limit in [
        60_000, 120_000, 200_000, 300_000, 400_000, 440_000, 460_000, 700_000,
    ] {
        let (_, stderr, status) = run_after(&format!("ulimit -v {limit}"), LOAD);
        assert_eq!(status, Some(1), "{limit}: {stderr}");
        assert!(stderr.contains("ulimit -v"), "{limit}: {stderr}");
    }
}

/// Runs that are kept hold memory that scripts are not counted for.
#[test]
fn runs_that_are_kept_end_as_an_error_before_there_is_no_memory() {
    // The same text many times; of each run every site is kept.
    let script = "let lm = ecco::from_pretrained(\"demo\");\nlet all = [];\n\
                  let text = \"She said that it was there. \";\ntext += text;\ntext += text;\ntext += text;\ntext += text;\n\
                  loop { all.push(lm.run([text, text, text, text])); }\n";
    let (_, stderr, status) = run_after("ulimit -v 2200000", script);
    assert_eq!(status, Some(1), "{stderr}");
    assert!(stderr.contains("MemoryError"), "{stderr}");
}

/// A long text is read in a process of its own, which goes when the script is interrupted.
#[test]
fn a_long_text_is_interrupted_within_a_second() {
    let script = "let s = \"\"; s.pad(20000000, \"ab c1\");\nlet lm = ecco::from_pretrained(\"demo\");\n\
                  print(\"now\");\nlm.chat([#{role: \"user\", content: s}]);\nlm.run(s)";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("script.rhai");
    std::fs::write(&file, script).unwrap();
    let output = |file: &Path| {
        let mut command = Command::new(PROGRAM);
        command.arg("exec").arg(file).stdin(Stdio::null());
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let process = output(&file);
    std::thread::sleep(Duration::from_secs(2));
    let (pid, start) = (process.id().to_string(), Instant::now());
    let _ = Command::new("kill").args(["-INT", &pid]).status();
    let ended = process.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(start.elapsed() < Duration::from_secs(2), "{stderr}");
    // Refused before, or interrupted.
    assert!(matches!(ended.status.code(), Some(1 | 130)), "{stderr}");
}
