//! Comms: conversations beside cells, between parts of a front end and the kernel.
//!
//! What a comm can be opened to is a row of [`TARGETS`]: a name, and who answers to a message. Most are answered
//! where the sockets are, so also while a cell runs; questions to the language wait for the script thread. To a target
//! that is not there the client hears that its comm is closed; messages to comms that are not open go nowhere.
//!
//! One comm the kernel opens itself, when a cell wants it: a model of the widget protocol, by which views ask in hosts that have no
//! other way ([`widget`]).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

mod widget;

use bytes::Bytes;
use jupyter_protocol::CommInfoRequest;
use serde_json::{Map, Value, json};

use crate::wire::Extras;

pub(crate) use widget::Model;

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
    /// The model of that comm, and through it the language.
    Model,
    /// Who tells of all models.
    Models,
}

/// What is to be done about a `comm_msg`.
#[derive(Debug, PartialEq)]
pub(crate) enum Heard {
    Answer(CommMessage),
    /// With what its answer goes as.
    Question(CommMessage, Envelope),
}

/// What an answer goes as.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Envelope {
    /// A message's data.
    None,
    /// What the module of the kernel's model hears.
    Custom,
}

impl Envelope {
    pub(crate) fn around(self, content: Value) -> Value {
        match self {
            Self::None => content,
            Self::Custom => json!({"method": "custom", "content": content}),
        }
    }
}

static MODEL: Target = Target {
    name: "jupyter.widget",
    hear: Hear::Model,
};

/// What clients can open comms to.
static TARGETS: [Target; 3] = [
    // JupyterLab's widget manager asks this one at every connection, and shows nothing for 4 seconds
    // where nobody answers.
    Target {
        name: "jupyter.widget.control",
        hear: Hear::Models,
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

/// The comms that are open, by their ids, and the kernel's own model, once a cell has wanted it.
#[derive(Default)]
pub(crate) struct Comms {
    open: Mutex<BTreeMap<String, &'static Target>>,
    model: OnceLock<Model>,
}

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
            Hear::Language => Some(Heard::Question(message, Envelope::None)),
            Hear::Model => self.model.get()?.hear(message),
            Hear::Models => widget::states(message, self.open_model()).map(Heard::Answer),
        }
    }

    /// The kernel's own model, which is opened where it is not; whether it was.
    pub(crate) fn open_own(&self, make: impl FnOnce() -> Model) -> (&Model, bool) {
        let model = self.model.get_or_init(make);
        let is_new = self.lock().insert(model.id().to_owned(), &MODEL).is_none();
        (model, is_new)
    }

    fn open_model(&self) -> Option<&Model> {
        self.model.get().filter(|model| self.is_open(model.id()))
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
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
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
