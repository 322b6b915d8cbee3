//! Comms: conversations beside cells, between parts of a front end and the kernel.
//!
//! What a comm can be opened to is a row of [`TARGETS`]: a name, and who answers to a message. Most are answered
//! where the sockets are, so also while a cell runs; questions to the language wait for the script thread. To a target
//! that is not there the client hears that its comm is closed; messages to comms that are not open go nowhere.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jupyter_protocol::CommInfoRequest;
use serde_json::{Map, Value, json};

use crate::wire::Extras;

/// No client has so many open, or ids so long: what is beyond is closed as soon as it is opened.
const OPEN_LIMIT: usize = 10_000;
/// In bytes.
const ID_LIMIT: usize = 1024;

/// What a target is told, and what it says.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct CommMessage {
    pub data: Value,
    pub metadata: Map<String, Value>,
    pub buffers: Vec<Bytes>,
}

struct Target {
    name: &'static str,
    hear: Hear,
}

/// Who answers to a `comm_msg`.
enum Hear {
    /// This, if it has something to say.
    AtOnce(fn(CommMessage) -> Option<CommMessage>),
    /// The language, between cells: `questions`.
    Language,
}

/// What is to be done about a `comm_msg`.
#[derive(Debug, PartialEq)]
pub(crate) enum Heard {
    Answer(CommMessage),
    Question(CommMessage),
}

static TARGETS: [Target; 3] = [
    // JupyterLab's widget manager asks this one at every connection, and shows nothing for 4 seconds
    // where nobody answers.
    Target {
        name: "jupyter.widget.control",
        hear: Hear::AtOnce(widget_states),
    },
    // A page can tell by it whether a live kernel is behind it, and how far away.
    Target {
        name: "ecco.echo",
        hear: Hear::AtOnce(Some),
    },
    // Views ask the language by it: docs/live.md.
    Target {
        name: "ecco.live",
        hear: Hear::Language,
    },
];

/// The comms that are open, by their ids.
#[derive(Default)]
pub(crate) struct Comms(Mutex<BTreeMap<String, &'static Target>>);

impl Comms {
    /// Whether the comm is open now.
    pub(crate) fn open(&self, id: &str, target_name: &str) -> bool {
        let mut open = self.lock();
        let known = TARGETS.iter().find(|target| target.name == target_name);
        let fits = id.len() <= ID_LIMIT && (open.len() < OPEN_LIMIT || open.contains_key(id));
        let Some(target) = known.filter(|_| fits) else {
            return false;
        };
        open.insert(id.to_owned(), target);
        true
    }

    /// What is to be done about a message, if the comm is open and has something to say.
    pub(crate) fn hear(&self, id: &str, message: CommMessage) -> Option<Heard> {
        let target = *self.lock().get(id)?;
        match target.hear {
            Hear::AtOnce(hear) => hear(message).map(Heard::Answer),
            Hear::Language => Some(Heard::Question(message)),
        }
    }

    pub(crate) fn is_open(&self, id: &str) -> bool {
        self.lock().contains_key(id)
    }

    pub(crate) fn close(&self, id: &str) {
        self.lock().remove(id);
    }

    /// The content of a `comm_info_reply`: the open comms, or those to one target.
    pub(crate) fn info(&self, request: &CommInfoRequest) -> Value {
        let open = self.lock();
        let target_name = request.target_name.as_deref();
        let asked = |target: &Target| target_name.is_none_or(|name| name == target.name);
        let comms: Map<String, Value> = open
            .iter()
            .filter(|(_, target)| asked(target))
            .map(|(id, target)| (id.clone(), json!({"target_name": target.name})))
            .collect();
        json!({"status": "ok", "comms": comms})
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, &'static Target>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CommMessage {
    pub(crate) fn into_extras(self) -> (Value, Extras) {
        let Self {
            data,
            metadata,
            buffers,
        } = self;
        (data, Extras { metadata, buffers })
    }
}

/// The kernel keeps no widgets of its own: what it shows needs no kernel once it is shown.
fn widget_states(message: CommMessage) -> Option<CommMessage> {
    (message.data["method"] == "request_states").then(|| CommMessage {
        data: json!({"method": "update_states", "states": {}, "buffer_paths": []}),
        ..CommMessage::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_comms_than_anybody_needs_are_refused_and_open_ones_live_on() {
        let comms = Comms::default();
        assert!((0..OPEN_LIMIT).all(|id| comms.open(&id.to_string(), "ecco.echo")));
        assert!(!comms.open("one more", "ecco.echo"));
        assert!(comms.open("0", "jupyter.widget.control"));
        comms.close("0");
        assert!(!comms.open(&"x".repeat(ID_LIMIT + 1), "ecco.echo"));
        assert!(comms.open("one more", "ecco.echo"));
    }
}
