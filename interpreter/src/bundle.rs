//! One value in several representations, as Jupyter's messages carry it.

use serde_json::{Map, Value};

/// The data's media type where a page goes with it. JupyterLab and VS Code prefer `application/json` to
/// `text/html` and would show a tree of keys in place of the view; a type of our own is left to programs.
pub const DATA: &str = "application/vnd.ecco.v1+json";

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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_bundle_has_a_text_and_may_have_words_for_its_picture() {
        let bundle = MimeBundle::from_text("text").with_alt_text("a picture");
        assert_eq!(
            (bundle.text(), &bundle.metadata["vscode_altText"]),
            (Some("text"), &json!("a picture"))
        );
    }
}
