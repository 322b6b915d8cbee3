//! Cells: what is said in which order, and what is not said.

use serde_json::json;

use crate::frontend::{Frontend, To};

#[test]
fn a_cell_from_busy_to_idle() {
    let mut frontend = Frontend::start();
    let (transcript, reply) = frontend.run("print hello\nwarn careful\nvalue 42");
    assert_eq!(
        transcript,
        [
            "busy",
            r#"In [1] "print hello\nwarn careful\nvalue 42""#,
            r#"stdout "hello\n""#,
            r#"stderr "careful\n""#,
            r#"Out[1] "42""#,
            "idle"
        ]
    );
    assert_eq!(
        reply,
        json!({"status": "ok", "execution_count": 1, "user_expressions": {}, "payload": []})
    );
}

#[test]
fn over_tcp_too() {
    let mut frontend = Frontend::start_tcp();
    assert_eq!(frontend.run("print hello").0[2], r#"stdout "hello\n""#);
    assert_eq!(frontend.heartbeat(b"\x00ping"), [&b""[..], b"\x00ping"]);
}

#[test]
fn the_session_lives_from_cell_to_cell_and_errors_do_not_end_it() {
    let mut frontend = Frontend::start();
    frontend.run("set 7");
    let (transcript, reply) = frontend.run("fail no such model");
    assert_eq!(
        transcript,
        [
            "busy",
            r#"In [2] "fail no such model""#,
            r#"error ["ToyError: no such model"]"#,
            "idle"
        ]
    );
    assert_eq!(
        reply,
        json!({
            "status": "error", "ename": "ToyError", "evalue": "no such model",
            "traceback": ["ToyError: no such model"],
            "execution_count": 2, "user_expressions": {}, "payload": [],
        })
    );
    assert_eq!(frontend.run("get").0[2], r#"Out[3] "7""#);
}

#[test]
fn a_panic_is_an_error_reply_and_the_session_lives_on() {
    let mut frontend = Frontend::start();
    frontend.run("set 7");
    let (transcript, reply) = frontend.run("print before\npanic oh no");
    assert_eq!(transcript[2], r#"stdout "before\n""#);
    assert!(
        transcript[3].starts_with(r#"error ["panic: oh no""#),
        "{transcript:?}"
    );
    assert_eq!(
        (&reply["status"], &reply["ename"]),
        (&json!("error"), &json!("InternalError"))
    );
    assert_eq!(frontend.run("get").0[2], r#"Out[3] "7""#);
}

#[test]
fn an_interpreter_that_cannot_be_made_still_gives_a_kernel_that_answers() {
    let mut frontend = Frontend::start_with(|_| panic!("libtorch is missing"));
    let info = frontend.ask(To::Shell, "kernel_info_request", json!({}));
    assert_eq!(info["status"], "ok");
    let (_, reply) = frontend.run("print hello");
    assert_eq!(reply["evalue"], "panic: libtorch is missing");
}

#[test]
fn a_silent_cell_says_nothing_and_is_not_counted() {
    let mut frontend = Frontend::start();
    let request = json!({"code": "print x\nshow y\nset 1\nvalue 2", "silent": true});
    let id = frontend.send(To::Shell, "execute_request", request);
    assert_eq!(frontend.transcript(&id), ["busy", "idle"]);
    assert_eq!(frontend.reply(To::Shell, &id).content["status"], "ok");
    let failing = frontend.send(
        To::Shell,
        "execute_request",
        json!({"code": "fail x", "silent": true}),
    );
    assert_eq!(frontend.transcript(&failing), ["busy", "idle"]);
    assert_eq!(frontend.reply(To::Shell, &failing).content["ename"], "ToyError");
    assert_eq!(frontend.run("get").0[1..3], [r#"In [1] "get""#, r#"Out[1] "1""#]);
}

#[test]
fn without_store_history_a_cell_has_the_next_number_but_does_not_take_it() {
    let mut frontend = Frontend::start();
    let request = json!({"code": "value 1", "store_history": false});
    let id = frontend.send(To::Shell, "execute_request", request);
    assert_eq!(frontend.transcript(&id)[2], r#"Out[1] "1""#);
    frontend.reply(To::Shell, &id);
    assert_eq!(frontend.run("value 2").0[2], r#"Out[1] "2""#);
    let tail = json!({"hist_access_type": "tail", "n": 9});
    let history = frontend.ask(To::Shell, "history_request", tail);
    assert_eq!(history, json!({"status": "ok", "history": [[1, 1, "value 2"]]}));
}

#[test]
fn user_expressions_are_evaluated_after_the_cell_each_for_itself() {
    let mut frontend = Frontend::start();
    let expressions = json!({"good": "get", "bad": "nonsense", "worse": 3});
    let request = json!({"code": "set 7", "user_expressions": expressions});
    let reply = frontend.ask(To::Shell, "execute_request", request);
    let results = &reply["user_expressions"];
    assert_eq!(
        results["good"],
        json!({"status": "ok", "data": {"text/plain": "7"}, "metadata": {}})
    );
    assert_eq!(
        (&results["bad"]["status"], &results["bad"]["ename"]),
        (&json!("error"), &json!("SyntaxError"))
    );
    assert_eq!(results["worse"]["ename"], "InvalidRequest");
}

#[test]
fn displays_can_be_replaced_and_cleared() {
    let mut frontend = Frontend::start();
    let (transcript, _) = frontend.run("show one\nshow id1 two\nupdate id1 three\nclear");
    assert_eq!(
        transcript[2..6],
        [
            r#"display_data "one" {}"#,
            r#"display_data "two" {"display_id":"id1"}"#,
            r#"update_display_data "three" {"display_id":"id1"}"#,
            r#"clear_output {"wait":true}"#,
        ]
    );
}

#[test]
fn an_output_that_outlives_its_cell_goes_nowhere() {
    let mut frontend = Frontend::start();
    frontend.run("later boo");
    let (transcript, reply) = frontend.run("print now");
    assert_eq!(
        transcript,
        ["busy", r#"In [2] "print now""#, r#"stdout "now\n""#, "idle"]
    );
    assert_eq!(reply["payload"], json!([]));
    // Nor was it said about the first cell.
    let id = frontend.execute("value 1");
    let stale = std::iter::from_fn(|| Some(frontend.iopub_message())).find(|message| {
        message.parent["msg_id"] == id.as_str() || message.content.to_string().contains("boo")
    });
    assert_eq!(stale.unwrap().parent["msg_id"], id.as_str());
    frontend.transcript(&id);
    frontend.reply(To::Shell, &id);
}

#[test]
fn ten_thousand_cells_that_wait_are_answered_in_order() {
    let mut frontend = Frontend::start();
    const CELLS: u32 = 10_000;
    let cells: Vec<_> = (1..=CELLS).map(|_| frontend.execute("number")).collect();
    for (count, cell) in (1..).zip(&cells) {
        assert_eq!(frontend.transcript(cell)[2], format!("Out[{count}] \"{count}\""));
        let content = frontend.reply(To::Shell, cell).content;
        assert_eq!(content["execution_count"], count);
    }
}

#[test]
fn between_cells_the_language_rests_and_work_does_not_wait_for_it() {
    let mut frontend = Frontend::start();
    frontend.run("nap 150");
    assert_eq!(frontend.run("get").0[2], r#"Out[2] """#);
    // Until then nobody asks for anything.
    std::thread::sleep(std::time::Duration::from_millis(600));
    assert_eq!(frontend.run("get").0[2], r#"Out[3] "rested""#);
    frontend.run("nap 60000");
    assert_eq!(frontend.run("set 7\nget").0[2], r#"Out[5] "7""#);
}
