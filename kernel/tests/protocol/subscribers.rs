//! Many subscribers, and some that do not read.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use zeromq::SubSocket;

use crate::frontend::{Frontend, Message, To};

/// Well below the five seconds and more that a wait for somebody who never reads used to take.
const UNDELAYED: Duration = Duration::from_secs(3);

/// The numbered lines of a flood, from busy to idle.
fn lines_of_flood(mut next: impl FnMut() -> Message) -> usize {
    let mut text = String::new();
    loop {
        let message = next();
        match message.msg_type.as_str() {
            "stream" => text.push_str(message.content["text"].as_str().unwrap()),
            "status" if message.content["execution_state"] == "idle" => break,
            _ => {}
        }
    }
    assert!(
        text.lines()
            .enumerate()
            .all(|(i, line)| line == format!("line {i}"))
    );
    text.lines().count()
}

fn flood(frontend: &mut Frontend, lines: usize) -> Duration {
    let start = Instant::now();
    let cell = frontend.execute(&format!("flood {lines}"));
    assert_eq!(lines_of_flood(|| frontend.iopub_message()), lines);
    assert_eq!(frontend.reply(To::Shell, &cell).content["status"], "ok");
    start.elapsed()
}

#[test]
fn a_hundred_subscribers_all_get_everything() {
    let mut frontend = Frontend::start();
    let mut subscribers: Vec<SubSocket> = (0..100).map(|_| frontend.subscribe_and_never_read()).collect();
    const LINES: usize = 2000;
    flood(&mut frontend, LINES);
    for subscriber in &mut subscribers {
        // Each has seen the greetings of those that came after it, too.
        assert_eq!(lines_of_flood(|| frontend.message_of(subscriber)), LINES);
    }
}

#[test]
fn one_that_stops_reading_costs_the_others_nothing_and_hardly_any_time() {
    let mut frontend = Frontend::start();
    const LINES: usize = 1_000_000;
    let alone = flood(&mut frontend, LINES);
    let _hanging = frontend.subscribe_and_never_read();
    let together = flood(&mut frontend, LINES);
    assert!(
        together < 2 * alone + UNDELAYED,
        "{alone:?} alone, {together:?} together"
    );
    assert!(flood(&mut frontend, LINES) < 2 * alone + UNDELAYED);
}

#[test]
fn fifty_that_stop_reading_are_no_worse_than_one() {
    let mut frontend = Frontend::start();
    const LINES: usize = 1_000_000;
    let alone = flood(&mut frontend, LINES);
    let _hanging: Vec<SubSocket> = (0..50).map(|_| frontend.subscribe_and_never_read()).collect();
    let together = flood(&mut frontend, LINES);
    assert!(
        together < 4 * alone + UNDELAYED,
        "{alone:?} alone, {together:?} together"
    );
}

#[test]
fn what_was_said_before_the_end_arrives() {
    let mut frontend = Frontend::start();
    const LINES: usize = 5000;
    let cell = frontend.execute(&format!("flood {LINES}"));
    assert_eq!(frontend.reply(To::Shell, &cell).content["status"], "ok");
    let asked = frontend.send(To::Shell, "kernel_info_request", json!({}));
    frontend.shutdown();
    // Only now is anything of it read.
    assert_eq!(lines_of_flood(|| frontend.iopub_message()), LINES);
    frontend.reply(To::Shell, &asked);
    let mut last = Value::Null;
    while last != "shutdown_reply" {
        last = frontend.iopub_message().msg_type.into();
    }
    let idle = frontend.iopub_message();
    assert_eq!(idle.content, json!({"execution_state": "idle"}));
}
