//! What was run, and how it is found again.

use serde_json::{Value, json};

use crate::frontend::{Frontend, To};

fn ask(frontend: &mut Frontend, request: Value) -> Value {
    let reply = frontend.ask(To::Shell, "history_request", request);
    assert_eq!(reply["status"], "ok", "{reply}");
    reply["history"].clone()
}

#[test]
fn history_remembers_code_and_results() {
    let mut frontend = Frontend::start();
    frontend.run("value 1");
    frontend.run("print 2");
    frontend.run("fail 3");
    let request = json!({"hist_access_type": "search", "pattern": "*", "output": true, "raw": true});
    assert_eq!(
        ask(&mut frontend, request),
        json!([
            [1, 1, ["value 1", "1"]],
            [1, 2, ["print 2", null]],
            [1, 3, ["fail 3", null]]
        ])
    );
    let unique = json!({"hist_access_type": "search", "pattern": "*[12]", "unique": true, "n": 1});
    assert_eq!(ask(&mut frontend, unique), json!([[1, 2, "print 2"]]));
}

#[test]
fn history_outlives_kernels() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.sqlite");
    let mut first = Frontend::start_remembering(&file);
    first.run("value 1");
    first.run("value 2");
    first.shutdown();
    let mut second = Frontend::start_remembering(&file);
    second.run("value 3");
    // What jupyter console asks for when it starts.
    let tail = json!({"hist_access_type": "tail", "n": 1000, "raw": true, "output": false});
    assert_eq!(
        ask(&mut second, tail),
        json!([[1, 1, "value 1"], [1, 2, "value 2"], [2, 1, "value 3"]])
    );
    let mut range = |session: i64| {
        ask(
            &mut second,
            json!({"hist_access_type": "range", "session": session}),
        )
    };
    assert_eq!(range(0), json!([[2, 1, "value 3"]]));
    assert_eq!(range(-1), range(1));
    assert_eq!(range(-1).as_array().unwrap().len(), 2);
}

#[test]
fn cells_that_are_silent_or_not_to_be_stored_or_called_off_are_not_remembered() {
    let mut frontend = Frontend::start();
    for hidden in [json!({"silent": true}), json!({"store_history": false})] {
        let mut request = json!({"code": "value hidden"});
        request
            .as_object_mut()
            .unwrap()
            .extend(hidden.as_object().unwrap().clone());
        frontend.ask(To::Shell, "execute_request", request);
    }
    let failing = frontend.execute("sleep 50\nfail x");
    let behind = frontend.execute("value never");
    frontend.reply(To::Shell, &failing);
    frontend.reply(To::Shell, &behind);
    let tail = json!({"hist_access_type": "tail", "n": 9});
    assert_eq!(ask(&mut frontend, tail), json!([[1, 1, "sleep 50\nfail x"]]));
}

#[test]
fn a_history_that_cannot_be_written_stops_no_cell() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.sqlite");
    std::fs::write(&file, "not a database".repeat(1000)).unwrap();
    let mut frontend = Frontend::start_remembering(&file);
    frontend.run("value 1");
    let tail = json!({"hist_access_type": "tail"});
    assert_eq!(ask(&mut frontend, tail), json!([[1, 1, "value 1"]]));
    frontend.shutdown();
    assert!(
        std::fs::read_to_string(&file)
            .unwrap()
            .starts_with("not a database")
    );
}

#[test]
fn nothing_is_written_where_nothing_was_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deep/history.sqlite");
    let mut frontend = Frontend::start_remembering(&file);
    frontend.ask(To::Shell, "kernel_info_request", json!({}));
    frontend.ask(
        To::Shell,
        "execute_request",
        json!({"code": "print x", "silent": true}),
    );
    frontend.shutdown();
    assert!(!file.parent().unwrap().exists());
}
