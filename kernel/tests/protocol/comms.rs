//! Conversations beside cells.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::frontend::{Frontend, To};
use crate::message::{Draft, Message};

fn open(frontend: &mut Frontend, id: &str, target: &str) -> Vec<String> {
    let content = json!({"comm_id": id, "target_name": target, "data": {}});
    let message = frontend.send(To::Shell, "comm_open", content);
    frontend.transcript(&message)
}

fn info(frontend: &mut Frontend, request: Value) -> Value {
    frontend.ask(To::Shell, "comm_info_request", request)
}

/// The kernel's answer to a comm_msg.
fn say(frontend: &mut Frontend, draft: Draft) -> Message {
    let id = frontend.send_draft(To::Shell, "comm_msg", draft);
    loop {
        let message = frontend.iopub_message();
        if message.parent["msg_id"] == id.as_str() && message.msg_type == "comm_msg" {
            return message;
        }
    }
}

#[test]
fn a_comm_is_opened_talked_on_and_closed() {
    let mut frontend = Frontend::start();
    assert_eq!(open(&mut frontend, "c1", "ecco.echo"), ["busy", "idle"]);
    let comms = json!({"c1": {"target_name": "ecco.echo"}});
    assert_eq!(
        info(&mut frontend, json!({})),
        json!({"status": "ok", "comms": comms})
    );
    let message = json!({"comm_id": "c1", "data": {"a": [1]}});
    let id = frontend.send(To::Shell, "comm_msg", message);
    assert_eq!(
        frontend.transcript(&id),
        ["busy", r#"comm_msg {"comm_id":"c1","data":{"a":[1]}}"#, "idle"]
    );
    let id = frontend.send(To::Shell, "comm_close", json!({"comm_id": "c1"}));
    assert_eq!(frontend.transcript(&id), ["busy", "idle"]);
    assert_eq!(info(&mut frontend, json!({}))["comms"], json!({}));
    let id = frontend.send(To::Shell, "comm_msg", json!({"comm_id": "c1", "data": {}}));
    assert_eq!(frontend.transcript(&id), ["busy", "idle"]);
}

#[test]
fn buffers_and_metadata_go_both_ways() {
    let mut frontend = Frontend::start();
    open(&mut frontend, "c1", "ecco.echo");
    let mut draft = Draft::new(json!({"comm_id": "c1", "data": {"buffer_paths": [["x"]]}}));
    draft.metadata = json!({"version": "2.1.0"});
    draft.buffers = vec![
        Bytes::from_static(b"\x00\xff<IDS|MSG>"),
        Bytes::new(),
        Bytes::from(vec![7; 1 << 20]),
    ];
    let buffers = draft.buffers.clone();
    let answer = say(&mut frontend, draft);
    assert_eq!(answer.content["data"], json!({"buffer_paths": [["x"]]}));
    assert_eq!(answer.metadata, json!({"version": "2.1.0"}));
    assert!(answer.buffers == buffers);
}

#[test]
fn widget_managers_hear_that_there_are_no_widgets() {
    let mut frontend = Frontend::start();
    open(&mut frontend, "w", "jupyter.widget.control");
    let request = json!({"comm_id": "w", "data": {"method": "request_states"}});
    let answer = say(&mut frontend, Draft::new(request));
    let data = json!({"method": "update_states", "states": {}, "buffer_paths": []});
    assert_eq!(answer.content, json!({"comm_id": "w", "data": data}));
    assert!(answer.buffers.is_empty());
    for data in [json!({"method": "else"}), json!(null), json!([1])] {
        let id = frontend.send(To::Shell, "comm_msg", json!({"comm_id": "w", "data": data}));
        assert_eq!(frontend.transcript(&id), ["busy", "idle"]);
    }
}

#[test]
fn comm_info_can_be_asked_for_one_target() {
    let mut frontend = Frontend::start();
    open(&mut frontend, "c1", "ecco.echo");
    open(&mut frontend, "w1", "jupyter.widget.control");
    let all = info(&mut frontend, json!({"target_name": null}));
    assert_eq!(all["comms"].as_object().unwrap().len(), 2);
    let one = info(&mut frontend, json!({"target_name": "ecco.echo"}));
    assert_eq!(one["comms"], json!({"c1": {"target_name": "ecco.echo"}}));
    assert_eq!(
        info(&mut frontend, json!({"target_name": "nobody"}))["comms"],
        json!({})
    );
}

#[test]
fn comms_are_answered_while_a_cell_runs() {
    let mut frontend = Frontend::start();
    let cell = frontend.execute("spin");
    frontend.wait_for(&cell, r#"In [1] "spin""#);
    open(&mut frontend, "c1", "ecco.echo");
    let answer = say(
        &mut frontend,
        Draft::new(json!({"comm_id": "c1", "data": "hello"})),
    );
    assert_eq!(answer.content["data"], "hello");
    assert!(frontend.is_silent(To::Shell));
    frontend.ask(To::Control, "interrupt_request", json!({}));
    frontend.reply(To::Shell, &cell);
}

#[test]
fn an_unknown_target_is_closed_and_messages_to_nobody_are_harmless() {
    let mut frontend = Frontend::start();
    let closed = r#"comm_close {"comm_id":"c1","data":{}}"#;
    assert_eq!(open(&mut frontend, "c1", "nobody"), ["busy", closed, "idle"]);
    assert_eq!(info(&mut frontend, json!({}))["comms"], json!({}));
    let wrong = [
        ("comm_msg", json!({"comm_id": "c1"})),
        ("comm_close", json!({"comm_id": "c1"})),
        ("comm_open", json!({"comm_id": "c1"})),
        ("comm_open", json!({"comm_id": 3, "target_name": "ecco.echo"})),
        ("comm_msg", json!({})),
        ("comm_close", json!(null)),
    ];
    for (msg_type, content) in wrong {
        let id = frontend.send(To::Shell, msg_type, content);
        assert_eq!(frontend.transcript(&id), ["busy", "idle"]);
    }
    assert!(frontend.is_silent(To::Shell));
}
