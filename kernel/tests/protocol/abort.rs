//! What happens to the cells behind one that fails.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::frontend::{Frontend, To};

#[test]
fn a_failing_cell_calls_off_the_cells_behind_it_but_nothing_else() {
    let mut frontend = Frontend::start();
    let failing = frontend.execute("sleep 50\nfail first");
    let behind = frontend.execute("print never");
    let completion = frontend.send(
        To::Shell,
        "complete_request",
        json!({"code": "pri", "cursor_pos": 3}),
    );
    assert_eq!(frontend.reply(To::Shell, &failing).content["ename"], "ToyError");
    let aborted = frontend.reply(To::Shell, &behind).content;
    // No execution_count: front ends would put it on a cell that has not run.
    assert_eq!(
        aborted,
        json!({
            "status": "aborted", "ename": "Aborted", "evalue": "not run: a cell before it failed",
            "traceback": [],
        })
    );
    assert_eq!(
        frontend.reply(To::Shell, &completion).content["matches"],
        json!(["print"])
    );
    assert_eq!(frontend.transcript(&behind), ["busy", "idle"]);
    // What comes after the reply runs, and has the next number.
    assert_eq!(
        frontend.run("print again").0[1..3],
        [r#"In [2] "print again""#, r#"stdout "again\n""#]
    );
}

#[test]
fn cells_that_are_sent_in_one_go_are_called_off_however_soon_the_first_fails() {
    let mut frontend = Frontend::start();
    let cells: Vec<_> = (0..20).map(|_| frontend.execute("fail now")).collect();
    let first = frontend.reply(To::Shell, &cells[0]).content;
    assert_eq!(first["ename"], "ToyError");
    for cell in &cells[1..] {
        assert_eq!(frontend.reply(To::Shell, cell).content["status"], "aborted");
    }
}

#[test]
fn behind_a_cell_that_is_silent_or_has_stop_on_error_off_the_others_run() {
    let mut frontend = Frontend::start();
    for option in ["stop_on_error", "silent"] {
        let request = json!({"code": "sleep 50\nfail first", option: option == "silent"});
        let failing = frontend.send(To::Shell, "execute_request", request);
        let behind = frontend.execute("print still");
        frontend.reply(To::Shell, &failing);
        assert_eq!(frontend.reply(To::Shell, &behind).content["status"], "ok");
        assert_eq!(frontend.transcript(&behind)[2], r#"stdout "still\n""#);
    }
}

#[test]
fn an_interrupt_calls_off_what_waits_and_control_is_answered_before() {
    let mut frontend = Frontend::start();
    let running = frontend.execute("sleep 300\nspin");
    let waiting: Vec<_> = (0..5).map(|_| frontend.execute("print never")).collect();
    frontend.wait_for(&running, r#"In [1] "sleep 300\nspin""#);
    let start = Instant::now();
    frontend.ask(To::Control, "interrupt_request", json!({}));
    let info = frontend.ask(To::Control, "kernel_info_request", json!({}));
    assert_eq!(info["status"], "ok");
    assert!(
        start.elapsed() < Duration::from_millis(200),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(
        frontend.reply(To::Shell, &running).content["ename"],
        "KeyboardInterrupt"
    );
    for cell in waiting {
        assert_eq!(frontend.reply(To::Shell, &cell).content["status"], "aborted");
    }
    // The interrupt is spent.
    assert_eq!(frontend.run("flood 1").1["status"], "ok");
}
