//! What editors and consoles ask beside running cells.

use serde_json::json;

use crate::frontend::{Frontend, To};

#[test]
fn completions_carry_types_and_count_code_points() {
    let mut frontend = Frontend::start();
    let reply = frontend.ask(
        To::Shell,
        "complete_request",
        json!({"code": "print 👩\npas x", "cursor_pos": 11}),
    );
    assert_eq!(
        reply,
        json!({
            "status": "ok", "matches": ["password"], "cursor_start": 8, "cursor_end": 11,
            "metadata": {"_jupyter_types_experimental": [
                {"start": 8, "end": 11, "text": "password", "type": "keyword", "signature": "password x"},
            ]},
        })
    );
}

#[test]
fn a_panic_in_completion_is_an_error_reply() {
    let mut frontend = Frontend::start();
    let reply = frontend.ask(To::Shell, "complete_request", json!({"code": "crash"}));
    assert_eq!(reply["evalue"], "panic: completion panics on request");
    assert_eq!(frontend.run("value 1").1["status"], "ok");
}

#[test]
fn inspection_finds_or_says_that_it_does_not() {
    let mut frontend = Frontend::start();
    let request = json!({"code": "print", "cursor_pos": 2, "detail_level": 1});
    let found = frontend.ask(To::Shell, "inspect_request", request);
    let data = json!({"text/plain": "print x: writes x (detail 1)"});
    assert_eq!(
        found,
        json!({"status": "ok", "found": true, "data": data, "metadata": {}})
    );
    let nothing = frontend.ask(To::Shell, "inspect_request", json!({"code": "???"}));
    assert_eq!(
        nothing,
        json!({"status": "ok", "found": false, "data": {}, "metadata": {}})
    );
}

#[test]
fn unfinished_is_told_from_wrong() {
    let mut frontend = Frontend::start();
    let mut ask = |code: &str| frontend.ask(To::Shell, "is_complete_request", json!({"code": code}));
    assert_eq!(ask("print x"), json!({"status": "complete"}));
    assert_eq!(ask("print \\"), json!({"status": "incomplete", "indent": "  "}));
    assert_eq!(ask("?"), json!({"status": "invalid"}));
}

#[test]
fn connect_is_answered() {
    let mut frontend = Frontend::start();
    let reply = frontend.ask(To::Shell, "connect_request", json!({}));
    assert_eq!((&reply["shell_port"], &reply["hb_port"]), (&json!(1), &json!(5)));
}
