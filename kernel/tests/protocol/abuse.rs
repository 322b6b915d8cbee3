//! Messages that are wrong.

use serde_json::json;

use crate::frontend::{Frontend, To};

const HEADER: &str = r#"{"msg_id": "m1", "msg_type": "TYPE", "subshell_id": null}"#;

#[test]
fn a_wrong_signature_is_ignored_and_the_loop_lives() {
    let mut frontend = Frontend::start();
    let header = HEADER.replace("TYPE", "execute_request");
    for signature in ["", "00", "not hexadecimal", &"0".repeat(64)] {
        let frames = [
            "<IDS|MSG>",
            signature,
            &header,
            "{}",
            "{}",
            r#"{"code": "set stolen"}"#,
        ];
        for to in [To::Shell, To::Control, To::Stdin] {
            frontend.send_frames(to, frames.map(str::to_owned).to_vec());
        }
    }
    assert!(frontend.is_silent(To::Shell) && frontend.is_silent(To::Control));
    assert_eq!(frontend.run("get").0[2], r#"Out[1] """#);
}

#[test]
fn frames_that_are_no_message_are_ignored_and_the_loop_lives() {
    let mut frontend = Frontend::start();
    for frames in [
        vec!["garbage"],
        vec!["<IDS|MSG>"],
        vec!["", "", ""],
        vec!["<IDS|MSG>", "", "{}", "{}"],
    ] {
        for to in [To::Shell, To::Control, To::Stdin] {
            frontend.send_frames(to, frames.iter().map(|frame| (*frame).to_owned()).collect());
        }
    }
    for header in [
        "",
        "null",
        "[]",
        r#"{"msg_id": "1"}"#,
        r#"{"msg_type": 3, "msg_id": "1"}"#,
        "{",
    ] {
        frontend.send_signed(To::Shell, [header, "{}", "{}", "{}"]);
    }
    assert_eq!(frontend.run("value 1").0[2], r#"Out[1] "1""#);
}

#[test]
fn a_content_that_makes_no_sense_gets_an_error_reply() {
    let mut frontend = Frontend::start();
    let wrong = [
        ("execute_request", "{}"),
        ("execute_request", r#"{"code": 3}"#),
        ("execute_request", "not json"),
        ("complete_request", r#"{"code": "x", "cursor_pos": -1}"#),
        ("inspect_request", "[]"),
        ("is_complete_request", "null"),
        ("history_request", r#"{"hist_access_type": "everything"}"#),
        ("history_request", "{}"),
        ("history_request", r#"{"hist_access_type": "tail", "n": "ten"}"#),
        ("comm_info_request", r#"{"target_name": 3}"#),
        ("comm_info_request", "null"),
        ("shutdown_request", r#"{"restart": "maybe"}"#),
        ("shutdown_request", ""),
    ];
    for (msg_type, content) in wrong {
        let header = HEADER.replace("TYPE", msg_type);
        frontend.send_signed(To::Shell, [&header, "{}", "{}", content]);
        let reply = frontend.reply(To::Shell, "m1");
        assert_eq!(reply.msg_type, msg_type.replace("_request", "_reply"));
        let content = &reply.content;
        assert_eq!(
            (&content["status"], &content["ename"]),
            (&json!("error"), &json!("InvalidRequest"))
        );
        assert!(
            content["evalue"].as_str().unwrap().starts_with(msg_type),
            "{content}"
        );
        assert_eq!(frontend.transcript("m1"), ["busy", "idle"]);
    }
}

#[test]
fn an_unknown_request_gets_an_error_reply_on_its_channel() {
    let mut frontend = Frontend::start();
    for (to, msg_type) in [
        (To::Shell, "dance_request"),
        (To::Control, "execute_request"),
        (To::Control, "create_subshell_request"),
        (To::Control, "debug_request"),
    ] {
        let id = frontend.send(to, msg_type, json!({}));
        let reply = frontend.reply(to, &id);
        assert_eq!(reply.msg_type, msg_type.replace("_request", "_reply"));
        assert_eq!(reply.content["status"], "error");
    }
}

#[test]
fn an_unknown_message_that_is_no_request_gets_busy_and_idle() {
    let mut frontend = Frontend::start();
    for (to, msg_type) in [
        (To::Shell, "dance"),
        (To::Control, "execute_reply"),
        (To::Shell, ""),
    ] {
        let id = frontend.send(to, msg_type, json!({}));
        assert_eq!(frontend.transcript(&id), ["busy", "idle"]);
        assert!(frontend.is_silent(to));
    }
}

#[test]
fn a_flood_of_requests_is_answered_to_the_last() {
    let mut frontend = Frontend::start();
    let cell = frontend.execute("spin");
    frontend.wait_for(&cell, r#"In [1] "spin""#);
    for _ in 0..20 {
        let requests: Vec<_> = (0..200)
            .map(|_| frontend.send(To::Shell, "kernel_info_request", json!({})))
            .collect();
        for request in requests {
            assert_eq!(frontend.reply(To::Shell, &request).content["status"], "ok");
            assert_eq!(frontend.transcript(&request), ["busy", "idle"]);
        }
    }
    frontend.ask(To::Control, "interrupt_request", json!({}));
    frontend.reply(To::Shell, &cell);
}
