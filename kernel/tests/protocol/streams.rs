//! Many prints: few messages, in order, all of them.

use serde_json::json;

use crate::frontend::{Frontend, To};

#[test]
fn a_flood_of_prints_comes_in_few_messages_and_whole() {
    let mut frontend = Frontend::start();
    const LINES: usize = 200_000;
    let cell = frontend.execute(&format!("flood {LINES}"));
    let mut messages = 0;
    let mut text = String::new();
    loop {
        let message = frontend.iopub_message();
        match message.msg_type.as_str() {
            "stream" => {
                messages += 1;
                text.push_str(message.content["text"].as_str().unwrap());
            }
            "status" if message.content["execution_state"] == "idle" => break,
            _ => {}
        }
    }
    assert_eq!(text.lines().count(), LINES);
    assert!(
        text.lines()
            .enumerate()
            .all(|(i, line)| line == format!("line {i}"))
    );
    assert!(messages < 200, "{messages} messages");
    assert_eq!(frontend.reply(To::Shell, &cell).content["status"], "ok");
}

#[test]
fn streams_keep_their_order_between_each_other_and_displays() {
    let mut frontend = Frontend::start();
    let (transcript, _) = frontend.run("print a\nprint b\nwarn c\nprint d\nshow e\nprint f");
    assert_eq!(
        transcript[2..7],
        [
            r#"stdout "a\nb\n""#,
            r#"stderr "c\n""#,
            r#"stdout "d\n""#,
            r#"display_data "e" {}"#,
            r#"stdout "f\n""#
        ]
    );
}

#[test]
fn a_flood_can_be_interrupted() {
    let mut frontend = Frontend::start();
    let cell = frontend.execute("flood 1000000000");
    frontend.wait_for(&cell, r#"In [1] "flood 1000000000""#);
    frontend.ask(To::Control, "interrupt_request", json!({}));
    let last = loop {
        let message = frontend.iopub_message();
        if message.msg_type == "error" {
            break message;
        }
    };
    assert_eq!(last.content["ename"], "KeyboardInterrupt");
    assert_eq!(frontend.reply(To::Shell, &cell).content["status"], "error");
}

#[test]
fn a_print_shows_while_its_cell_still_runs() {
    let mut frontend = Frontend::start();
    let cell = frontend.execute("print now\nspin");
    frontend.wait_for(&cell, r#"stdout "now\n""#);
    frontend.ask(To::Control, "interrupt_request", json!({}));
    frontend.reply(To::Shell, &cell);
}

#[test]
fn a_subscriber_that_stops_reading_does_not_stop_the_kernel() {
    let mut frontend = Frontend::start();
    let _hanging = frontend.subscribe_and_never_read();
    let (_, reply) = frontend.run("flood 400000");
    assert_eq!(reply["status"], "ok");
    // By now it was cut off, and nobody waits for it any more.
    let start = std::time::Instant::now();
    assert_eq!(frontend.run("flood 100000\nvalue done").1["status"], "ok");
    assert!(
        start.elapsed() < std::time::Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_display_that_is_replaced_many_times_is_sent_a_few_and_the_last_time() {
    let mut frontend = Frontend::start();
    const TIMES: u64 = 100_000;
    let cell = frontend.execute(&format!("show even -\nshow odd -\npaint {TIMES}"));
    let (mut updates, mut last, mut printed) = (0, [String::new(), String::new()], String::new());
    loop {
        let message = frontend.iopub_message();
        match message.msg_type.as_str() {
            "update_display_data" => {
                updates += 1;
                let is_odd = message.content["transient"]["display_id"] == "odd";
                let text = message.content["data"]["text/plain"].as_str().unwrap();
                // Never back to what it was before.
                let at = &mut last[usize::from(is_odd)];
                assert!(at.is_empty() || at.parse::<u64>().unwrap() < text.parse().unwrap());
                *at = text.to_owned();
            }
            "stream" => printed.push_str(message.content["text"].as_str().unwrap()),
            "status" if message.content["execution_state"] == "idle" => break,
            _ => {}
        }
    }
    assert_eq!(last, ["99998", "99999"]);
    assert_eq!(printed.lines().count(), 100);
    assert!(updates < 2_000, "{updates} messages");
    assert_eq!(frontend.reply(To::Shell, &cell).content["status"], "ok");
}

#[test]
fn a_display_is_not_replaced_before_what_was_said_in_between() {
    let mut frontend = Frontend::start();
    let (transcript, _) = frontend.run("update a 1\nclear\nupdate a 2\nupdate a 3\nshow b\nupdate a 4");
    let shown: Vec<&String> = transcript[2..].iter().collect();
    assert_eq!(
        shown[..5],
        [
            r#"update_display_data "1" {"display_id":"a"}"#,
            r#"clear_output {"wait":true}"#,
            r#"update_display_data "3" {"display_id":"a"}"#,
            r#"display_data "b" {}"#,
            r#"update_display_data "4" {"display_id":"a"}"#,
        ]
    );
}
