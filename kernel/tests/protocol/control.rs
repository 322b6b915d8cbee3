//! What is answered while a cell runs, and how a kernel ends.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::frontend::{Frontend, To};

#[test]
fn kernel_info_says_what_this_is() {
    let mut frontend = Frontend::start();
    let info = frontend.ask(To::Shell, "kernel_info_request", json!({}));
    assert_eq!(info["protocol_version"], "5.5");
    assert_eq!(info["language_info"]["name"], "rhai");
    assert_eq!(info["language_info"]["file_extension"], ".rhai");
    assert_eq!(info["supported_features"], json!([]));
    assert_eq!(frontend.ask(To::Control, "kernel_info_request", json!({})), info);
}

#[test]
fn requests_are_answered_while_a_cell_runs_and_the_kernel_is_still_called_busy() {
    let mut frontend = Frontend::start();
    let cell = frontend.execute("spin");
    frontend.wait_for(&cell, r#"In [1] "spin""#);
    for to in [To::Shell, To::Control] {
        let info = frontend.send(to, "kernel_info_request", json!({}));
        assert_eq!(frontend.reply(to, &info).content["status"], "ok");
        assert_eq!(frontend.transcript(&info), ["busy", "idle"]);
        frontend.wait_for(&cell, "busy");
    }
    let comms = frontend.ask(To::Shell, "comm_info_request", json!({}));
    assert_eq!(comms, json!({"status": "ok", "comms": {}}));
    frontend.ask(To::Control, "interrupt_request", json!({}));
    assert_eq!(
        frontend.reply(To::Shell, &cell).content["ename"],
        "KeyboardInterrupt"
    );
}

#[test]
fn kernel_info_is_answered_before_the_interpreter_is_made() {
    let (release, hold) = std::sync::mpsc::channel::<()>();
    let mut frontend = Frontend::start_with(move |interrupt| {
        hold.recv().unwrap();
        Box::new(crate::toy::Toy::new(interrupt))
    });
    let info = frontend.ask(To::Shell, "kernel_info_request", json!({}));
    assert_eq!(info["status"], "ok");
    let cell = frontend.execute("value 1");
    release.send(()).unwrap();
    assert_eq!(frontend.transcript(&cell)[2], r#"Out[1] "1""#);
    frontend.reply(To::Shell, &cell);
}

#[test]
fn an_interrupt_ends_the_cell_at_once_and_the_session_lives_on() {
    let mut frontend = Frontend::start();
    frontend.run("set 7");
    let cell = frontend.execute("print started\nspin");
    frontend.wait_for(&cell, r#"stdout "started\n""#);
    let start = Instant::now();
    assert_eq!(
        frontend.ask(To::Control, "interrupt_request", json!({})),
        json!({"status": "ok"})
    );
    let reply = frontend.reply(To::Shell, &cell).content;
    assert!(
        start.elapsed() < Duration::from_millis(500),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(
        (&reply["status"], &reply["ename"]),
        (&json!("error"), &json!("KeyboardInterrupt"))
    );
    assert_eq!(frontend.run("get").0[2], r#"Out[3] "7""#);
}

#[test]
fn an_interrupt_of_an_idle_kernel_does_not_hit_the_next_cell() {
    let mut frontend = Frontend::start();
    frontend.run("print done");
    frontend.ask(To::Control, "interrupt_request", json!({}));
    assert_eq!(frontend.run("flood 1").1["status"], "ok");
}

#[test]
fn an_unknown_comm_is_closed() {
    let mut frontend = Frontend::start();
    let open = json!({"comm_id": "c1", "target_name": "nobody", "data": {}});
    let id = frontend.send(To::Shell, "comm_open", open);
    assert_eq!(
        frontend.transcript(&id),
        ["busy", r#"comm_close {"comm_id":"c1","data":{}}"#, "idle"]
    );
    let id = frontend.send(To::Shell, "comm_msg", json!({"comm_id": "c1"}));
    assert_eq!(frontend.transcript(&id), ["busy", "idle"]);
}

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
    assert_eq!(frontend.reply(To::Shell, &waiting).content["ename"], "Aborted");
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
