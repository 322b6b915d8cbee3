//! What is answered while a cell runs.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::frontend::{Frontend, To};
use crate::message::Draft;

#[test]
fn kernel_info_says_what_this_is() {
    let mut frontend = Frontend::start();
    let info = frontend.ask(To::Shell, "kernel_info_request", json!({}));
    assert_eq!(info["protocol_version"], "5.5");
    assert_eq!(info["language_info"]["name"], "rhai");
    assert_eq!(info["language_info"]["file_extension"], ".rhai");
    assert_eq!(
        (&info["supported_features"], &info["debugger"]),
        (&json!([]), &json!(false))
    );
    assert!(info["banner"].as_str().unwrap().starts_with("Ecco "));
    let links = info["help_links"].as_array().unwrap();
    assert!(
        links
            .iter()
            .all(|link| link["text"].is_string() && link["url"].is_string())
    );
    assert!(!links.is_empty());
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
fn usage_is_told_while_a_cell_runs() {
    let mut frontend = Frontend::start();
    let cell = frontend.execute("spin");
    frontend.wait_for(&cell, r#"In [1] "spin""#);
    frontend.ask(To::Control, "usage_request", json!({}));
    let usage = frontend.ask(To::Control, "usage_request", json!({}));
    assert_eq!(usage["pid"], std::process::id());
    assert!(!usage["hostname"].as_str().unwrap().is_empty());
    assert!(usage["kernel_memory"].as_u64().unwrap() > 1 << 20, "{usage}");
    assert!(usage["kernel_cpu"].as_f64().unwrap() >= 0.0 && usage["cpu_count"].as_u64().unwrap() >= 1);
    let memory = &usage["host_virtual_memory"];
    assert!(
        memory["total"].as_u64() >= memory["available"].as_u64(),
        "{memory}"
    );
    frontend.ask(To::Control, "interrupt_request", json!({}));
    frontend.reply(To::Shell, &cell);
}

#[test]
fn there_are_neither_subshells_nor_a_debugger_and_the_replies_say_so() {
    let mut frontend = Frontend::start();
    for kind in ["create", "list", "delete"] {
        let reply = frontend.ask(
            To::Control,
            &format!("{kind}_subshell_request"),
            json!({"subshell_id": "s"}),
        );
        assert_eq!(
            (&reply["status"], &reply["ename"]),
            (&json!("error"), &json!("SubshellError"))
        );
        assert!(
            reply["evalue"].as_str().unwrap().contains("one thread"),
            "{reply}"
        );
    }
    let request = json!({"type": "request", "seq": 1, "command": "initialize", "arguments": {}});
    let reply = frontend.ask(To::Control, "debug_request", request);
    assert_eq!(
        (&reply["status"], &reply["ename"]),
        (&json!("error"), &json!("DebugError"))
    );
}

#[test]
fn a_request_for_a_subshell_that_is_not_there_is_an_error_and_not_run() {
    let mut frontend = Frontend::start();
    let mut draft = Draft::new(json!({"code": "set stolen"}));
    draft.subshell = json!("shell-1");
    let id = frontend.send_draft(To::Shell, "execute_request", draft);
    let reply = frontend.reply(To::Shell, &id).content;
    assert_eq!(
        (&reply["status"], &reply["ename"]),
        (&json!("error"), &json!("SubshellError"))
    );
    assert_eq!(frontend.transcript(&id), ["busy", "idle"]);
    assert_eq!(frontend.run("get").0[1..3], [r#"In [1] "get""#, r#"Out[1] """#]);
}
