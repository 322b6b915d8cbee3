//! The program itself, with the language that it is for: what comes from outside of the protocol.

#[allow(dead_code)]
#[path = "../../kernel/tests/protocol/frontend.rs"]
mod frontend;
#[allow(dead_code)]
#[path = "../../kernel/tests/protocol/message.rs"]
mod message;
#[allow(dead_code)]
#[path = "../../kernel/tests/protocol/toy.rs"]
mod toy;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::frontend::{Frontend, To, ipc};

/// What clients wait for between a shutdown request, SIGTERM and SIGKILL.
const PATIENCE: Duration = Duration::from_millis(2500);

struct Process {
    kernel: Child,
    frontend: Frontend,
    folder: tempfile::TempDir,
}

impl Process {
    fn start() -> Self {
        Self::start_by(r#"exec "$0" "$@""#)
    }

    /// Started by a shell script that gets the command line as its arguments.
    fn start_by(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let connection = ipc(folder.path());
        let file = folder.path().join("connection.json");
        std::fs::write(&file, connection.to_string()).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        let kernel = Command::new("sh")
            .args(["-c", script, env!("CARGO_BIN_EXE_ecco-kernel"), "run", "-f"])
            .arg(file)
            .env("ECCO_DATA_DIR", folder.path().join("data"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let frontend = Frontend::connect(&connection, "a-frontend");
        Self {
            kernel,
            frontend,
            folder,
        }
    }

    /// Runs code that does not end by itself.
    fn begin(&mut self, code: &str) -> String {
        let cell = self.frontend.execute(code);
        self.frontend.wait_for(&cell, &format!("In [1] {}", json!(code)));
        // Until it is in the loop: before that an interrupt would come as well, but prove less.
        self.frontend.pause(Duration::from_millis(100));
        cell
    }

    fn signal(&self, name: &str) {
        let pid = self.kernel.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    fn ends_within(mut self, time: Duration) -> tempfile::TempDir {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.kernel.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < time, "still there after {:?}", start.elapsed());
            std::thread::sleep(Duration::from_millis(5));
        };
        assert!(status.success(), "{status}");
        self.folder
    }
}

#[test]
fn sigint_interrupts_a_cell_and_what_it_had_lives_on() {
    let mut process = Process::start();
    let cell = process.begin("let x = 7; loop {}");
    process.signal("INT");
    let reply = process.frontend.reply(To::Shell, &cell).content;
    assert_eq!(
        (&reply["status"], &reply["ename"]),
        (&json!("error"), &json!("KeyboardInterrupt"))
    );
    assert_eq!(process.frontend.run("x").1["status"], "ok");
    // The same while it waits for its user.
    let cell = process.frontend.execute("input(`name? `)");
    process.frontend.reply(To::Stdin, &cell);
    process.signal("INT");
    assert_eq!(
        process.frontend.reply(To::Shell, &cell).content["ename"],
        "KeyboardInterrupt"
    );
    process
        .frontend
        .ask(To::Control, "shutdown_request", json!({"restart": false}));
    process.ends_within(PATIENCE);
}

#[test]
fn sigterm_ends_a_kernel_whatever_it_does_and_what_was_run_is_on_disk() {
    for code in ["loop {}", "input(`name? `)", "loop { print(`x`) }"] {
        let mut process = Process::start();
        process.begin(code);
        process.signal("TERM");
        let folder = process.ends_within(PATIENCE);
        assert!(remembers(folder.path(), code), "{code}");
    }
}

#[test]
fn a_kernel_whose_client_is_killed_ends_in_the_middle_of_a_loop() {
    let mut process = Process::start_by(r#"JPY_PARENT_PID=$$ "$0" "$@" & wait"#);
    process.begin("loop {}");
    process.kernel.kill().unwrap();
    process.kernel.wait().unwrap();
    let start = Instant::now();
    // It removes its sockets as the last thing it does.
    while process.folder.path().join("kernel-1").exists() {
        assert!(start.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(remembers(process.folder.path(), "loop {}"));
}

#[test]
fn a_shutdown_in_the_middle_of_a_loop_answers_the_cell_first() {
    let mut process = Process::start();
    let cell = process.begin("loop {}");
    let shutdown = process
        .frontend
        .send(To::Control, "shutdown_request", json!({"restart": true}));
    assert_eq!(
        process.frontend.reply(To::Control, &shutdown).content["restart"],
        true
    );
    assert_eq!(
        process.frontend.reply(To::Shell, &cell).content["ename"],
        "KeyboardInterrupt"
    );
    let transcript = process.frontend.transcript(&cell);
    assert!(
        transcript.iter().any(|line| line.starts_with("error ")),
        "{transcript:?}"
    );
    process.ends_within(PATIENCE);
}

fn remembers(folder: &Path, code: &str) -> bool {
    let history = rusqlite::Connection::open(folder.join("data/history.sqlite")).unwrap();
    let found = history.query_row("SELECT line FROM history WHERE source = ?1", [code], |row| {
        row.get::<_, i64>(0)
    });
    found == Ok(1)
}
