//! The widget protocol, version 2.1, as far as one model needs it that a kernel other than Python's opens:
//! <https://ipywidgets.readthedocs.io/en/stable/examples/Widget%20Low%20Level.html>. What the model is in a page, the package
//! anywidget makes of the module in its state.

use serde_json::{Map, Value, json};

use super::{CommMessage, Envelope, Heard};

const PROTOCOL: &str = "2.1.0";

/// A model of the widget protocol; its comm has its id.
#[derive(Debug, PartialEq)]
pub(crate) struct Model {
    id: String,
    state: Value,
}

impl Model {
    /// `module` is run by anywidget of any version; `state` has what it reads besides.
    pub(crate) fn new(id: String, module: &str, state: Value) -> Self {
        let mut all = json!({
            "_model_module": "anywidget", "_model_name": "AnyModel", "_model_module_version": "*",
            "_view_module": "anywidget", "_view_name": "AnyView", "_view_module_version": "*",
            "_view_count": null, "_dom_classes": [],
            "_anywidget_id": id, "_esm": module, "_css": "",
        });
        if let (Value::Object(all), Value::Object(state)) = (&mut all, state) {
            all.extend(state);
        }
        Self { id, state: all }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The content of the `comm_open` that makes it in a page, and the message's metadata.
    pub(crate) fn opening(&self) -> (Value, Map<String, Value>) {
        let data = json!({"state": self.state, "buffer_paths": []});
        let content = json!({"comm_id": self.id, "target_name": super::MODEL.name, "data": data});
        let metadata = Map::from_iter([("version".to_owned(), PROTOCOL.into())]);
        (content, metadata)
    }

    /// What a page changes in its state is its own affair.
    pub(super) fn hear(&self, mut message: CommMessage) -> Option<Heard> {
        match message.data["method"].as_str()? {
            "custom" => {
                message.data = message.data["content"].take();
                Some(Heard::Question(message, Envelope::Custom))
            }
            "request_state" => Some(Heard::Answer(CommMessage {
                data: json!({"method": "update", "state": self.state, "buffer_paths": []}),
                ..CommMessage::default()
            })),
            _ => None,
        }
    }

    fn whole(&self) -> Value {
        let name = |key: &str| self.state[key].clone();
        json!({
            "model_name": name("_model_name"), "model_module": name("_model_module"),
            "model_module_version": name("_model_module_version"), "state": self.state,
        })
    }
}

/// The states of all models, for a page that has just been connected.
pub(super) fn states(message: CommMessage, model: Option<&Model>) -> Option<CommMessage> {
    let states: Map<String, Value> = model
        .iter()
        .map(|model| (model.id.clone(), model.whole()))
        .collect();
    (message.data["method"] == "request_states").then(|| CommMessage {
        data: json!({"method": "update_states", "states": states, "buffer_paths": []}),
        ..CommMessage::default()
    })
}
