//! A value that is nothing but its representations: what `html(s)` gives, a view, a documentation page.

use ecco_interpreter::MimeBundle;
use ecco_widgets::Explorable;

use crate::errors::ScriptError;
use crate::result::Show;

/// What is nothing but a text.
pub struct Plain(pub String);

impl Explorable for Plain {
    fn text(&self) -> String {
        self.0.clone()
    }
}

#[derive(Debug, Clone)]
pub struct Rich {
    pub bundle: MimeBundle,
}

impl Rich {
    pub fn new(bundle: MimeBundle) -> Self {
        Self { bundle }
    }

    /// `source` under `media_type`, with a plain text for consoles.
    pub fn of(media_type: &str, source: &str, text: &str) -> Self {
        Self::new(MimeBundle::from_text(text).with(media_type, source))
    }

    pub fn text(&self) -> String {
        self.bundle.text().unwrap_or_default().to_owned()
    }
}

impl Show for Rich {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(Box::new(Plain(self.text())))
    }

    fn bundle(&self) -> Result<MimeBundle, ScriptError> {
        Ok(self.bundle.clone())
    }

    fn line(&self) -> String {
        self.text()
    }
}
