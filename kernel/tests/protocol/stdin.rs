//! Questions to the user.

use serde_json::json;

use crate::frontend::{Frontend, To};
use crate::message::Draft;

#[test]
fn a_question_and_its_answer() {
    let mut frontend = Frontend::start();
    let cell = frontend.execute("print before\npassword your name? ");
    let question = frontend.reply(To::Stdin, &cell);
    assert_eq!(question.msg_type, "input_request");
    assert_eq!(
        question.content,
        json!({"prompt": "your name? ", "password": true})
    );
    frontend.send(To::Stdin, "input_reply", json!({"value": "Ada", "status": "ok"}));
    let transcript = frontend.transcript(&cell);
    assert_eq!(
        transcript[2..4],
        [r#"stdout "before\n""#, r#"stdout "got \"Ada\"\n""#]
    );
    assert_eq!(frontend.reply(To::Shell, &cell).content["status"], "ok");
}

#[test]
fn no_question_where_the_client_takes_none() {
    let mut frontend = Frontend::start();
    let request = json!({"code": "input x", "allow_stdin": false});
    let reply = frontend.ask(To::Shell, "execute_request", request);
    assert_eq!(reply["ename"], "InputError");
    assert!(
        reply["evalue"].as_str().unwrap().contains("allow_stdin"),
        "{reply}"
    );
    assert!(frontend.is_silent(To::Stdin));
}

#[test]
fn waiting_for_an_answer_can_be_interrupted_and_a_late_answer_is_none_to_the_next_question() {
    let mut frontend = Frontend::start();
    let cell = frontend.execute("input first");
    frontend.reply(To::Stdin, &cell);
    frontend.ask(To::Control, "interrupt_request", json!({}));
    assert_eq!(frontend.reply(To::Shell, &cell).content["evalue"], "interrupted");
    frontend.send(To::Stdin, "input_reply", json!({"value": "late"}));
    // Until the kernel has read it: the channels are not ordered among each other.
    frontend.pause(std::time::Duration::from_millis(100));
    let cell = frontend.execute("input second");
    frontend.reply(To::Stdin, &cell);
    frontend.send(To::Stdin, "input_reply", json!({"value": "in time"}));
    assert_eq!(frontend.transcript(&cell)[2], r#"stdout "got \"in time\"\n""#);
    frontend.reply(To::Shell, &cell);
}

#[test]
fn an_answer_without_a_value_is_an_error_in_the_cell() {
    let mut frontend = Frontend::start();
    for content in [json!({"status": "error"}), json!({"value": 3})] {
        let cell = frontend.execute("input x");
        frontend.reply(To::Stdin, &cell);
        frontend.send(To::Stdin, "input_reply", content);
        assert_eq!(frontend.reply(To::Shell, &cell).content["ename"], "InputError");
    }
}

#[test]
fn an_answer_that_names_another_question_is_none() {
    let mut frontend = Frontend::start();
    let cell = frontend.execute("input first\ninput second\ninput third");
    let first = frontend.reply(To::Stdin, &cell);
    let answer = |frontend: &mut Frontend, to: &str, value: &str| {
        let mut draft = Draft::new(json!({"value": value}));
        draft.parent = json!({"msg_id": to, "msg_type": "input_request"});
        frontend.send_draft(To::Stdin, "input_reply", draft);
    };
    answer(&mut frontend, "somebody-else", "wrong");
    answer(&mut frontend, &first.id, "one");
    let second = frontend.reply(To::Stdin, &cell);
    // Sent twice, as after a double click.
    answer(&mut frontend, &first.id, "one again");
    answer(&mut frontend, &second.id, "two");
    frontend.reply(To::Stdin, &cell);
    // Some clients name the cell.
    answer(&mut frontend, &cell, "three");
    let transcript = frontend.transcript(&cell).join("\n");
    assert!(
        transcript.contains(r#"got \"one\""#) && transcript.contains(r#"got \"two\""#),
        "{transcript}"
    );
    assert!(transcript.contains(r#"got \"three\""#), "{transcript}");
    assert!(
        !transcript.contains("wrong") && !transcript.contains("again"),
        "{transcript}"
    );
    frontend.reply(To::Shell, &cell);
}

#[test]
fn the_client_that_asked_for_the_cell_is_asked_and_no_other_may_answer() {
    let mut frontend = Frontend::start();
    let mut another = frontend.another();
    let cell = frontend.execute("input who?");
    frontend.reply(To::Stdin, &cell);
    assert!(another.is_silent(To::Stdin));
    another.send(To::Stdin, "input_reply", json!({"value": "Mallory"}));
    frontend.pause(std::time::Duration::from_millis(100));
    frontend.send(To::Stdin, "input_reply", json!({"value": "Alice"}));
    assert!(
        frontend
            .transcript(&cell)
            .contains(&r#"stdout "got \"Alice\"\n""#.to_owned())
    );
    frontend.reply(To::Shell, &cell);
    let cell = another.execute("input and you?");
    assert_eq!(another.reply(To::Stdin, &cell).content["prompt"], "and you?");
    assert!(frontend.is_silent(To::Stdin));
    another.send(To::Stdin, "input_reply", json!({"value": "Bob"}));
    assert!(
        another
            .transcript(&cell)
            .contains(&r#"stdout "got \"Bob\"\n""#.to_owned())
    );
    another.reply(To::Shell, &cell);
}
