//! Where a running cell writes, and whom it asks.
//!
//! What a cell may say is bounded, so that a loop that never ends fills neither a notebook nor a browser:
//! [`TEXT_LIMIT`] for its streams, [`DISPLAY_LIMIT`] for each of its displays. Text beyond that is counted
//! and dropped at once, so the script is not slowed to the pace of its readers for what nobody will see.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use ecco_interpreter::MimeBundle;
use ecco_interpreter::{Interrupt, Output};
use jupyter_protocol::{ClearOutput, InputRequest};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::comms::{Comms, Model};
use crate::outbox::{Outbox, STREAM_FULL, StreamName};
use crate::requests::ExecuteRequest;
use crate::wire::{Extras, Parent};

/// Bytes of text, stdout and stderr together, that a cell shows. `clear_output` begins anew.
const TEXT_LIMIT: usize = 16 << 20;
/// Bytes of one display, result or page, all its representations together.
const DISPLAY_LIMIT: usize = 128 << 20;
/// How often a cell that waits for the user looks whether it was interrupted.
const ANSWER_POLL: Duration = Duration::from_millis(10);

/// What came back on the stdin channel.
pub(crate) struct Answer {
    /// The id of the question, if the client names it: `jupyter_client` does not.
    pub question: Option<String>,
    /// The client that it came from; none if the kernel itself answers.
    pub from: Option<Arc<Parent>>,
    /// A line, or why there is none.
    pub line: Result<String, String>,
}

/// The output of one cell.
pub(crate) struct CellOutput {
    outbox: Arc<Outbox>,
    comms: Arc<Comms>,
    parent: Arc<Parent>,
    interrupt: Interrupt,
    answers: Rc<Receiver<Answer>>,
    allow_stdin: bool,
    silent: bool,
    /// The cell has ended, and something still holds on to this.
    ended: Cell<bool>,
    /// The text that the cell may still show, in bytes, and what was left out since there was none.
    room: Cell<usize>,
    left_out: Cell<usize>,
    payload: RefCell<Vec<Value>>,
}

impl CellOutput {
    pub(crate) fn new(
        outbox: Arc<Outbox>,
        comms: Arc<Comms>,
        parent: Arc<Parent>,
        interrupt: Interrupt,
        answers: Rc<Receiver<Answer>>,
        request: &ExecuteRequest,
    ) -> Self {
        Self {
            outbox,
            comms,
            parent,
            interrupt,
            answers,
            allow_stdin: request.allow_stdin,
            silent: request.silent,
            ended: Cell::new(false),
            room: Cell::new(TEXT_LIMIT),
            left_out: Cell::new(0),
            payload: RefCell::default(),
        }
    }

    /// The cell has ended: what it says from now on goes nowhere. Returns the `payload` of its reply.
    pub(crate) fn end(&self) -> Vec<Value> {
        self.say_what_was_left_out();
        self.ended.set(true);
        self.payload.take()
    }

    fn is_mute(&self) -> bool {
        self.silent || self.ended.get()
    }

    fn publish(&self, msg_type: &str, content: &impl Serialize) {
        if !self.is_mute() {
            self.outbox.publish(&self.parent, msg_type, content);
            self.outbox.hold_back(&self.interrupt);
        }
    }

    fn stream(&self, name: StreamName, text: &str) {
        if self.is_mute() || text.is_empty() {
            return;
        }
        let room = self.room.get();
        let (mut shown, rest) = text.split_at(text.floor_char_boundary(room));
        self.room
            .set(if rest.is_empty() { room - shown.len() } else { 0 });
        while !shown.is_empty() {
            let (piece, others) = shown.split_at(shown.floor_char_boundary(STREAM_FULL));
            self.outbox.stream(&self.parent, name, piece);
            self.outbox.hold_back(&self.interrupt);
            shown = others;
        }
        if !rest.is_empty() {
            self.leave_out(rest.len());
        }
    }

    fn leave_out(&self, size: usize) {
        if self.left_out.get() == 0 {
            let limit = megabytes(TEXT_LIMIT);
            self.note(&format!(
                "\n[a cell shows {limit} of text; what this one prints from here on is left out]\n"
            ));
        }
        self.left_out.set(self.left_out.get().saturating_add(size));
    }

    /// Whole in itself: servers drop messages in a flood, perhaps the note at its beginning.
    fn say_what_was_left_out(&self) {
        let size = self.left_out.take();
        if size > 0 && !self.is_mute() {
            let (size, limit) = (megabytes(size), megabytes(TEXT_LIMIT));
            self.note(&format!("[{size} of text were left out: a cell shows {limit}]\n"));
        }
    }

    /// A line of the kernel's own.
    fn note(&self, text: &str) {
        self.outbox.stream(&self.parent, StreamName::Stderr, text);
    }

    /// Whether `answer` is one to the question `id`, from the client that was asked. One that names the
    /// cell in the question's place is taken too: to wait on would help nobody.
    fn fits(&self, answer: &Answer, id: &str) -> bool {
        let from_asked = answer
            .from
            .as_ref()
            .is_none_or(|from| from.same_client(&self.parent));
        let named = answer.question.as_deref();
        from_asked && named.is_none_or(|named| named == id || named == self.parent.id)
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
        self.publish("display_data", &Display::new(bundle, transient));
    }

    fn update(&self, bundle: MimeBundle, id: &str) {
        let content = Display::new(bundle, json!({"display_id": id}));
        if !self.is_mute() {
            self.outbox.update(&self.parent, id, &content);
            self.outbox.hold_back(&self.interrupt);
        }
    }

    fn page(&self, bundle: MimeBundle) {
        let page = json!({"source": "page", "data": bounded(bundle).data, "start": 0});
        self.payload.borrow_mut().push(page);
    }

    fn clear(&self, wait: bool) {
        self.publish("clear_output", &ClearOutput { wait });
        self.room.set(TEXT_LIMIT);
        self.left_out.set(0);
    }

    fn open_widget(&self, module: &str, state: Value) -> Option<String> {
        if self.is_mute() {
            return None;
        }
        let id = || uuid::Uuid::new_v4().simple().to_string();
        let (model, is_new) = self.comms.open_own(|| Model::new(id(), module, state));
        if is_new {
            let (content, metadata) = model.opening();
            let extras = Extras {
                metadata,
                ..Extras::default()
            };
            self.outbox
                .publish_comm(&self.parent, "comm_open", &content, extras);
        }
        Some(model.id().to_owned())
    }

    fn input(&self, prompt: &str, password: bool) -> Result<String, String> {
        if !self.allow_stdin {
            return Err("this client does not take questions (allow_stdin is false)".to_owned());
        }
        if self.ended.get() {
            return Err("the cell that asks has ended".to_owned());
        }
        // An answer that came too late for the question before is none to this one.
        while self.answers.try_recv().is_ok() {}
        let question = InputRequest {
            prompt: prompt.to_owned(),
            password,
        };
        let id = self.outbox.ask(&self.parent, &question);
        loop {
            match self.answers.recv_timeout(ANSWER_POLL) {
                Ok(answer) if self.fits(&answer, &id) => return answer.line,
                Err(RecvTimeoutError::Disconnected) => return Err("the kernel is shutting down".to_owned()),
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            }
            if self.interrupt.is_requested() {
                return Err("interrupted".to_owned());
            }
        }
    }
}

/// As a struct, since a `Value` would be a second copy of what may be large.
#[derive(Serialize)]
struct Display {
    data: Map<String, Value>,
    metadata: Map<String, Value>,
    transient: Value,
}

impl Display {
    fn new(bundle: MimeBundle, transient: Value) -> Self {
        let MimeBundle { data, metadata } = bounded(bundle);
        Self {
            data,
            metadata,
            transient,
        }
    }
}

/// `bundle`, or a note in its place if it is larger than a display may be.
pub(crate) fn bounded(bundle: MimeBundle) -> MimeBundle {
    let size: usize = bundle
        .data
        .values()
        .chain(bundle.metadata.values())
        .map(weight)
        .sum();
    if size <= DISPLAY_LIMIT {
        return bundle;
    }
    let (size, limit) = (megabytes(size), megabytes(DISPLAY_LIMIT));
    MimeBundle::from_text(format!("[a display of {size} is not shown: {limit} is the most]"))
}

/// About the size of `value` as JSON, in bytes.
pub(crate) fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| weight(item) + 1).sum(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| key.len() + weight(value) + 4)
            .sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
    }
}

fn megabytes(bytes: usize) -> String {
    match bytes >> 20 {
        0 => format!("{bytes} bytes"),
        whole => format!("{whole} MB"),
    }
}
