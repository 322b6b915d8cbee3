//! How a kernel ends.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::frontend::{Frontend, To};

#[test]
fn shutdown_is_answered_on_shell_as_on_control_with_its_restart_flag() {
    for to in [To::Shell, To::Control] {
        let mut frontend = Frontend::start();
        let reply = frontend.ask(to, "shutdown_request", json!({"restart": true}));
        assert_eq!(reply, json!({"status": "ok", "restart": true}));
        frontend.wait_for_end();
    }
}

#[test]
fn nothing_that_was_said_is_lost_at_shutdown() {
    let mut frontend = Frontend::start();
    let cell = frontend.execute("flood 60000\nspin");
    let waiting = frontend.execute("print never");
    frontend.wait_for(&cell, r#"In [1] "flood 60000\nspin""#);
    frontend.pause(Duration::from_millis(50));
    let shutdown = frontend.send(To::Control, "shutdown_request", json!({"restart": false}));
    frontend.reply(To::Control, &shutdown);
    let lines: Vec<_> = std::iter::from_fn(|| Some(frontend.iopub_message()))
        .take_while(|message| message.msg_type != "error")
        .filter(|message| message.msg_type == "stream")
        .flat_map(|message| {
            message.content["text"]
                .as_str()
                .unwrap()
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(
        frontend.reply(To::Shell, &cell).content["ename"],
        "KeyboardInterrupt"
    );
    assert_eq!(frontend.reply(To::Shell, &waiting).content["status"], "aborted");
    assert_eq!(frontend.transcript(&waiting), ["busy", "idle"]);
    // The interrupt cut it short somewhere, but everything before that has come, in order.
    assert!(lines.len() > 1000, "{}", lines.len());
    assert!(
        lines
            .iter()
            .enumerate()
            .all(|(i, line)| *line == format!("line {i}"))
    );
    frontend.wait_for_end();
}

#[test]
fn a_cell_that_does_not_listen_cannot_keep_the_kernel_alive() {
    let mut frontend = Frontend::start();
    let cell = frontend.execute("sleep 30000");
    frontend.wait_for(&cell, r#"In [1] "sleep 30000""#);
    let start = Instant::now();
    frontend.shutdown();
    assert!(
        start.elapsed() < Duration::from_millis(2400),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_kernel_that_waits_for_its_user_ends_at_once() {
    let mut frontend = Frontend::start();
    let cell = frontend.execute("input your name?");
    frontend.reply(To::Stdin, &cell);
    let start = Instant::now();
    let shutdown = frontend.send(To::Control, "shutdown_request", json!({"restart": true}));
    frontend.reply(To::Control, &shutdown);
    assert_eq!(frontend.reply(To::Shell, &cell).content["evalue"], "interrupted");
    frontend.wait_for_end();
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn a_kernel_that_is_held_back_by_a_slow_reader_ends() {
    let mut frontend = Frontend::start();
    let _hanging = frontend.subscribe_and_never_read();
    let cell = frontend.execute("flood 1000000");
    frontend.wait_for(&cell, r#"In [1] "flood 1000000""#);
    frontend.pause(Duration::from_millis(300));
    let start = Instant::now();
    let shutdown = frontend.send(To::Control, "shutdown_request", json!({"restart": false}));
    frontend.reply(To::Control, &shutdown);
    frontend.wait_for_end();
    // Within what a client waits before it kills.
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[test]
fn a_second_shutdown_request_does_no_harm() {
    let mut frontend = Frontend::start();
    let cell = frontend.execute("sleep 300");
    frontend.wait_for(&cell, r#"In [1] "sleep 300""#);
    for to in [To::Control, To::Shell] {
        let reply = frontend.ask(to, "shutdown_request", json!({}));
        assert_eq!(reply, json!({"status": "ok", "restart": false}));
    }
    assert_eq!(frontend.reply(To::Shell, &cell).content["status"], "ok");
    frontend.wait_for_end();
}
