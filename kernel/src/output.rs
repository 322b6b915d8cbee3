//! Where a running cell writes, and whom it asks.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use ecco_scripting::interpreter::{Interrupt, Output};
use ecco_widgets::MimeBundle;
use serde_json::{Value, json};

use crate::outbox::{Outbox, StreamName};
use crate::wire::Parent;

/// How often a cell that waits for the user looks whether it was interrupted.
const ANSWER_POLL: Duration = Duration::from_millis(10);

/// What came back on the stdin channel: a line, or why there is none.
pub type Answer = Result<String, String>;

/// The output of one cell.
pub struct CellOutput {
    pub outbox: Arc<Outbox>,
    pub parent: Arc<Parent>,
    pub interrupt: Interrupt,
    pub answers: Rc<Receiver<Answer>>,
    pub silent: bool,
    pub allow_stdin: bool,
    /// The `payload` of the cell's reply.
    pub payload: RefCell<Vec<Value>>,
}

impl CellOutput {
    fn publish(&self, msg_type: &str, content: Value) {
        if !self.silent {
            self.outbox.publish(&self.parent, msg_type, &content);
            self.outbox.hold_back(&self.interrupt);
        }
    }

    fn stream(&self, name: StreamName, text: &str) {
        if !self.silent && !text.is_empty() {
            self.outbox.stream(&self.parent, name, text);
            self.outbox.hold_back(&self.interrupt);
        }
    }
}

impl Output for CellOutput {
    fn stdout(&self, text: &str) {
        self.stream(StreamName::Stdout, text);
    }

    fn stderr(&self, text: &str) {
        self.stream(StreamName::Stderr, text);
    }

    fn display(&self, bundle: MimeBundle, id: Option<&str>) {
        // Never null: nbclient takes `transient` for an object.
        let transient = id.map_or(json!({}), |id| json!({"display_id": id}));
        self.publish("display_data", display(bundle, transient));
    }

    fn update(&self, bundle: MimeBundle, id: &str) {
        self.publish("update_display_data", display(bundle, json!({"display_id": id})));
    }

    fn page(&self, bundle: MimeBundle) {
        let page = json!({"source": "page", "data": bundle.data, "start": 0});
        self.payload.borrow_mut().push(page);
    }

    fn clear(&self, wait: bool) {
        self.publish("clear_output", json!({"wait": wait}));
    }

    fn input(&self, prompt: &str, password: bool) -> Answer {
        if !self.allow_stdin {
            return Err("this client does not take questions (allow_stdin is false)".to_owned());
        }
        // An answer that came too late for the question before is none to this one.
        while self.answers.try_recv().is_ok() {}
        self.outbox
            .ask(&self.parent, &json!({"prompt": prompt, "password": password}));
        loop {
            match self.answers.recv_timeout(ANSWER_POLL) {
                Ok(answer) => return answer,
                Err(_) if self.interrupt.is_requested() => return Err("interrupted".to_owned()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err("the kernel is shutting down".to_owned()),
            }
        }
    }
}

fn display(bundle: MimeBundle, transient: Value) -> Value {
    json!({"data": bundle.data, "metadata": bundle.metadata, "transient": transient})
}
