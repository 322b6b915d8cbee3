//! Questions of views, between cells.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::frontend::{Frontend, To};

fn open(frontend: &mut Frontend, id: &str) {
    let content = json!({"comm_id": id, "target_name": "ecco.live", "data": {}});
    let message = frontend.send(To::Shell, "comm_open", content);
    assert_eq!(frontend.transcript(&message), ["busy", "idle"]);
}

fn say(frontend: &mut Frontend, id: &str, data: Value) -> String {
    frontend.send(To::Shell, "comm_msg", json!({"comm_id": id, "data": data}))
}

fn ask(frontend: &mut Frontend, view: &str, ask: u32, statement: &str) -> String {
    let question = json!({"do": statement});
    say(
        frontend,
        "c1",
        json!({"view": view, "ask": ask, "question": question}),
    )
}

/// What the next message on a comm says.
fn answer(frontend: &mut Frontend) -> Value {
    loop {
        let message = frontend.iopub_message();
        if message.msg_type == "comm_msg" {
            return message.content["data"].clone();
        }
    }
}

fn said(view: &str, ask: u32, value: &str) -> Value {
    json!({"view": view, "ask": ask, "answer": {"said": value}})
}

fn replaced(view: &str, ask: u32) -> Value {
    json!({"view": view, "ask": ask, "replaced": true})
}

/// A cell that takes a while, which has begun.
fn begin(frontend: &mut Frontend, statement: &str) -> String {
    let cell = frontend.execute(statement);
    let input = loop {
        let message = frontend.iopub_message();
        if message.parent["msg_id"] == cell.as_str() && message.msg_type == "execute_input" {
            break message;
        }
    };
    assert_eq!(input.content["code"], statement);
    cell
}

#[test]
fn a_question_is_answered_by_the_language_and_errors_are_told() {
    let mut frontend = Frontend::start();
    frontend.run("set blue");
    open(&mut frontend, "c1");
    ask(&mut frontend, "v", 1, "get");
    assert_eq!(answer(&mut frontend), said("v", 1, "blue"));
    ask(&mut frontend, "v", 2, "fail no such thing");
    assert_eq!(
        answer(&mut frontend),
        json!({"view": "v", "ask": 2, "error": "no such thing"})
    );
    ask(&mut frontend, "v", 3, "panic oh");
    assert_eq!(
        answer(&mut frontend),
        json!({"view": "v", "ask": 3, "error": "panic: oh"})
    );
    ask(&mut frontend, "v", 4, "result 20000000");
    assert_eq!(
        answer(&mut frontend),
        json!({"view": "v", "ask": 4, "error": "the answer is too large for a view"})
    );
    // Nothing of it is a cell: no number is used, and variables are there.
    assert_eq!(frontend.run("number").0[2], r#"Out[2] "2""#);
}

#[test]
fn an_answer_comes_between_busy_and_idle() {
    let mut frontend = Frontend::start();
    open(&mut frontend, "c1");
    let id = ask(&mut frontend, "v", 1, "value x");
    // It is heard at the desk and answered on the script thread: each says when it is done.
    let mut lines = frontend.transcript(&id);
    lines.extend(frontend.transcript(&id));
    let answer = format!("comm_msg {}", json!({"comm_id": "c1", "data": said("v", 1, "x")}));
    assert_eq!(
        lines.iter().filter(|line| **line == answer).count(),
        1,
        "{lines:?}"
    );
    assert_eq!((&*lines[0], &*lines[lines.len() - 1]), ("busy", "idle"));
}

#[test]
fn cells_come_before_questions_and_the_newest_of_a_view_counts() {
    let mut frontend = Frontend::start();
    open(&mut frontend, "c1");
    let first = begin(&mut frontend, "sleep 300");
    for number in 1..=3 {
        ask(&mut frontend, "v", number, &format!("value {number}"));
    }
    ask(&mut frontend, "w", 1, "get");
    let second = frontend.execute("set red");
    let answers: Vec<Value> = (0..4).map(|_| answer(&mut frontend)).collect();
    assert_eq!(
        answers,
        [
            replaced("v", 1),
            replaced("v", 2),
            said("v", 3, "3"),
            said("w", 1, "red")
        ]
    );
    frontend.reply(To::Shell, &first);
    frontend.reply(To::Shell, &second);
}

#[test]
fn a_newer_question_stops_the_one_under_way() {
    let mut frontend = Frontend::start();
    open(&mut frontend, "c1");
    ask(&mut frontend, "v", 1, "spin");
    frontend.pause(Duration::from_millis(100));
    ask(&mut frontend, "v", 2, "value 2");
    assert_eq!(answer(&mut frontend), replaced("v", 1));
    assert_eq!(answer(&mut frontend), said("v", 2, "2"));
}

#[test]
fn a_question_can_be_interrupted_and_delays_no_cell_for_long() {
    let mut frontend = Frontend::start();
    open(&mut frontend, "c1");
    let interrupted = |number: u32| json!({"view": "v", "ask": number, "error": "interrupted"});
    ask(&mut frontend, "v", 1, "spin");
    frontend.pause(Duration::from_millis(100));
    frontend.ask(To::Control, "interrupt_request", json!({}));
    assert_eq!(answer(&mut frontend), interrupted(1));
    ask(&mut frontend, "v", 2, "spin");
    frontend.pause(Duration::from_millis(100));
    let start = Instant::now();
    let cell = frontend.execute("sleep 300\nvalue done");
    assert_eq!(answer(&mut frontend), interrupted(2));
    let waited = start.elapsed();
    assert!(
        waited > Duration::from_millis(700) && waited < Duration::from_millis(1500),
        "{waited:?}"
    );
    // The interrupt was the question's.
    assert_eq!(frontend.reply(To::Shell, &cell).content["status"], "ok");
}

#[test]
fn absurd_messages_close_the_comm_and_nothing_else() {
    let mut frontend = Frontend::start();
    let long = "x".repeat(1 << 17);
    let absurd = [
        json!(null),
        json!([1, 2]),
        json!("hello"),
        json!({"view": 1, "ask": 1, "question": {}}),
        json!({"view": "v", "ask": -1, "question": {}}),
        json!({"view": "v", "ask": 1}),
        json!({"view": "v", "ask": 1, "question": [1]}),
        json!({"view": &long[..200], "ask": 1, "question": {}}),
        json!({"view": "v", "ask": 1, "question": {"do": long}}),
    ];
    let closed = r#"comm_close {"comm_id":"c1","data":{}}"#;
    for data in absurd {
        open(&mut frontend, "c1");
        let id = say(&mut frontend, "c1", data);
        assert_eq!(frontend.transcript(&id), ["busy", closed, "idle"]);
        // What comes after goes nowhere.
        let id = ask(&mut frontend, "v", 1, "value x");
        assert_eq!(frontend.transcript(&id), ["busy", "idle"]);
    }
    open(&mut frontend, "c1");
    ask(&mut frontend, "v", 1, "value x");
    assert_eq!(answer(&mut frontend), said("v", 1, "x"));
}

#[test]
fn what_a_closed_comm_asked_is_forgotten_and_views_that_wait_are_bounded() {
    let mut frontend = Frontend::start();
    open(&mut frontend, "c1");
    let cell = begin(&mut frontend, "sleep 500");
    ask(&mut frontend, "v", 1, "set asked");
    frontend.send(To::Shell, "comm_close", json!({"comm_id": "c1"}));
    open(&mut frontend, "c1");
    for view in 0..=64 {
        ask(&mut frontend, &view.to_string(), 1, "get");
    }
    assert_eq!(
        answer(&mut frontend),
        json!({"view": "64", "ask": 1, "error": "too many views wait for an answer"})
    );
    for view in 0..64 {
        assert_eq!(answer(&mut frontend), said(&view.to_string(), 1, ""));
    }
    frontend.reply(To::Shell, &cell);
}

/// The model that a cell has opened: its id, and the message that makes it in a page.
fn opened_model(frontend: &mut Frontend) -> (String, crate::message::Message) {
    let cell = frontend.execute("widget export default {}");
    let (mut opening, mut id) = (None, None);
    while opening.is_none() || id.is_none() {
        let message = frontend.iopub_message();
        if message.parent["msg_id"] != cell.as_str() {
            continue;
        }
        match &*message.msg_type {
            "comm_open" => opening = Some(message),
            "execute_result" => id = message.content["data"]["text/plain"].as_str().map(str::to_owned),
            _ => {}
        }
    }
    frontend.reply(To::Shell, &cell);
    (id.unwrap(), opening.unwrap())
}

#[test]
fn the_model_of_a_widget_is_opened_once_and_told_to_pages_that_come_later() {
    let mut frontend = Frontend::start();
    let (id, opening) = opened_model(&mut frontend);
    let state = opening.content["data"]["state"].clone();
    assert_eq!(opening.metadata["version"], "2.1.0");
    assert_eq!(
        opening.content,
        json!({"comm_id": id, "target_name": "jupyter.widget", "data": {"state": state, "buffer_paths": []}})
    );
    for (key, value) in [
        ("_model_module", "anywidget"),
        ("_model_name", "AnyModel"),
        ("_view_module", "anywidget"),
        ("_view_name", "AnyView"),
        ("_esm", "export default {}"),
        ("session", "s"),
    ] {
        assert_eq!(state[key], value, "{key}");
    }
    // The same model, of which no page is told twice.
    let (lines, _) = frontend.run("widget export default {}");
    assert!(
        lines.iter().any(|line| line.contains(&id)) && !lines.iter().any(|line| line.contains("comm_open")),
        "{lines:?}"
    );
    say(&mut frontend, &id, json!({"method": "request_state"}));
    assert_eq!(
        answer(&mut frontend),
        json!({"method": "update", "state": state, "buffer_paths": []})
    );
    let content = json!({"comm_id": "w", "target_name": "jupyter.widget.control", "data": {}});
    let message = frontend.send(To::Shell, "comm_open", content);
    frontend.transcript(&message);
    say(&mut frontend, "w", json!({"method": "request_states"}));
    let model = json!({
        "model_name": "AnyModel", "model_module": "anywidget", "model_module_version": "*", "state": state
    });
    assert_eq!(answer(&mut frontend)["states"], json!({id: model}));
}

#[test]
fn a_model_is_asked_by_custom_messages() {
    let mut frontend = Frontend::start();
    let (id, _) = opened_model(&mut frontend);
    let question = json!({"view": "v", "ask": 1, "question": {"do": "value x"}});
    say(
        &mut frontend,
        &id,
        json!({"method": "custom", "content": question}),
    );
    assert_eq!(
        answer(&mut frontend),
        json!({"method": "custom", "content": said("v", 1, "x")})
    );
    // What a page changes in its own state closes nothing; what is no question does.
    for data in [json!({"method": "update", "state": {"a": 1}}), json!(null)] {
        let message = say(&mut frontend, &id, data);
        assert_eq!(frontend.transcript(&message), ["busy", "idle"]);
    }
    let message = say(&mut frontend, &id, json!({"method": "custom", "content": [1]}));
    let closed = format!("comm_close {}", json!({"comm_id": id, "data": {}}));
    assert_eq!(frontend.transcript(&message), ["busy", &closed, "idle"]);
    let (again, _) = opened_model(&mut frontend);
    assert_eq!(again, id);
}
