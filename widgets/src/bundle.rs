//! One value in several representations, as Jupyter's messages carry it.

use serde_json::{Map, Value};

/// Representations of one value by media type, and metadata by the same keys.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MimeBundle {
    pub data: Map<String, Value>,
    pub metadata: Map<String, Value>,
}

impl MimeBundle {
    pub fn from_text(text: impl Into<String>) -> Self {
        Self::default().with("text/plain", text.into())
    }

    pub fn with(mut self, media_type: &str, value: impl Into<Value>) -> Self {
        self.data.insert(media_type.to_owned(), value.into());
        self
    }

    /// What a screen reader says of a picture, where the front end asks (VS Code does).
    pub fn with_alt_text(mut self, text: &str) -> Self {
        self.metadata.insert("vscode_altText".to_owned(), text.into());
        self
    }

    /// The plain text, if there is one.
    pub fn text(&self) -> Option<&str> {
        self.data.get("text/plain").and_then(Value::as_str)
    }
}

/// Anything that can be shown. Every representation comes from the same value.
pub trait Explorable {
    /// Reads well in a console.
    fn text(&self) -> String;
    /// A picture of the same thing, where one says something by itself.
    fn svg(&self) -> Option<String> {
        None
    }
    /// Static content first, a web component on top; needs no network.
    fn html(&self) -> Option<String> {
        None
    }
    /// The data.
    fn json(&self) -> Option<Value> {
        None
    }

    fn bundle(&self) -> MimeBundle {
        assemble(self)
    }
}

/// Every representation a view has.
pub(crate) fn assemble<E: Explorable + ?Sized>(view: &E) -> MimeBundle {
    let mut bundle = MimeBundle::from_text(view.text());
    for (media_type, value) in [("image/svg+xml", view.svg()), ("text/html", view.html())] {
        if let Some(value) = value {
            bundle = bundle.with(media_type, value);
        }
    }
    match view.json() {
        Some(json) => bundle.with("application/json", json),
        None => bundle,
    }
}
