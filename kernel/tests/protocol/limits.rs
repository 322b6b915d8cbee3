//! What a cell may say, and what becomes of more.

use serde_json::json;

use crate::frontend::{Frontend, To};

/// 16 MB of text, and what a cell's notes about it take.
const TEXT_LIMIT: usize = 16 << 20;

/// Everything that a running cell says on its streams until it is idle: stdout, stderr, and in how many
/// messages.
fn streams(frontend: &mut Frontend, cell: &str) -> (String, String, usize) {
    let (mut stdout, mut stderr, mut messages) = (String::new(), String::new(), 0);
    loop {
        let message = frontend.iopub_message();
        let of_cell = message.parent["msg_id"] == cell;
        match message.msg_type.as_str() {
            "stream" if of_cell => {
                messages += 1;
                let text = message.content["text"].as_str().unwrap();
                match message.content["name"].as_str().unwrap() {
                    "stdout" => stdout.push_str(text),
                    _ => stderr.push_str(text),
                }
            }
            "status" if of_cell && message.content["execution_state"] == "idle" => {
                return (stdout, stderr, messages);
            }
            _ => {}
        }
    }
}

#[test]
fn ten_million_lines_are_cut_with_a_note_and_cost_no_reader_time() {
    let mut frontend = Frontend::start();
    let cell = frontend.execute("flood 10000000");
    let (stdout, stderr, messages) = streams(&mut frontend, &cell);
    assert_eq!(stdout.len(), TEXT_LIMIT);
    assert!(messages < 400, "{messages} messages");
    // 10 million lines have 138,888,890 bytes.
    let notes: Vec<_> = stderr.trim().lines().collect();
    let beginning = "[a cell shows 16 MB of text; what this one prints from here on is left out]";
    assert_eq!(
        notes,
        [beginning, "[106 MB of text were left out: a cell shows 16 MB]"]
    );
    assert_eq!(frontend.reply(To::Shell, &cell).content["status"], "ok");
    // The next cell begins anew, and so does one that clears what it has shown.
    assert_eq!(frontend.run("print x").0[2], r#"stdout "x\n""#);
    let cell = frontend.execute("flood 1500000\nclear\nprint after");
    let (stdout, stderr, _) = streams(&mut frontend, &cell);
    assert!(stdout.ends_with("after\n") && !stderr.contains("were left out"));
    frontend.reply(To::Shell, &cell);
}

#[test]
fn a_line_of_100_mb_is_cut_between_characters() {
    let mut frontend = Frontend::start();
    // An odd number of bytes before, so that the limit falls into the middle of a character.
    let cell = frontend.execute("print ab\nlong 50000000");
    let (stdout, stderr, _) = streams(&mut frontend, &cell);
    assert_eq!(stdout.len(), TEXT_LIMIT - 1);
    assert!(stdout[3..].chars().all(|character| character == 'é'));
    assert!(
        stderr.contains("[79 MB of text were left out: a cell shows 16 MB]"),
        "{stderr}"
    );
    frontend.reply(To::Shell, &cell);
}

#[test]
fn what_is_left_out_can_be_interrupted() {
    let mut frontend = Frontend::start();
    let cell = frontend.execute("flood 1000000000000");
    while frontend.iopub_message().content["name"] != "stderr" {}
    frontend.ask(To::Control, "interrupt_request", json!({}));
    let (stdout, stderr, _) = streams(&mut frontend, &cell);
    assert!(
        stdout.is_empty() && stderr.contains("were left out"),
        "{stdout:?} {stderr:?}"
    );
    assert_eq!(
        frontend.reply(To::Shell, &cell).content["ename"],
        "KeyboardInterrupt"
    );
}

#[test]
fn a_display_of_50_mb_comes_whole_and_one_above_the_limit_as_a_note() {
    let mut frontend = Frontend::start();
    let cell = frontend.execute("picture 50000000");
    let picture = loop {
        let message = frontend.iopub_message();
        if message.msg_type == "display_data" {
            break message;
        }
    };
    assert_eq!(
        picture.content["data"]["text/plain"].as_str().unwrap().len(),
        50_000_000
    );
    frontend.transcript(&cell);
    frontend.reply(To::Shell, &cell);
    let note = "[a display of 133 MB is not shown: 128 MB is the most]";
    let (transcript, _) = frontend.run("picture 140000000\nresult 140000000");
    assert_eq!(
        transcript[2..4],
        [format!("display_data {note:?} {{}}"), format!("Out[2] {note:?}")]
    );
}

#[test]
fn an_error_as_long_as_a_book_is_shortened() {
    let mut frontend = Frontend::start();
    let (transcript, reply) = frontend.run("raise 10000000");
    assert!(transcript[2].len() < 70_000);
    let value = reply["evalue"].as_str().unwrap();
    assert!(value.len() < 66_000 && value.ends_with("x… [9934464 bytes more]"));
}

#[test]
fn lines_by_turns_to_stdout_and_stderr_keep_their_order_in_few_messages() {
    let mut frontend = Frontend::start();
    const LINES: usize = 20_000;
    let cell = frontend.execute(&format!("both {LINES}"));
    let (stdout, stderr, messages) = streams(&mut frontend, &cell);
    let lines = |first: usize| {
        (first..LINES)
            .step_by(2)
            .map(|i| format!("line {i}\n"))
            .collect::<String>()
    };
    assert!(stdout == lines(0) && stderr == lines(1));
    assert!(messages < 1000, "{messages} messages");
    frontend.reply(To::Shell, &cell);
}
