//! A value that is nothing but its representations: what `html(s)` gives, a view, a documentation page.

use ecco_interpreter::MimeBundle;

use crate::errors::ScriptError;
use crate::result::Show;

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
    fn bundle(&self) -> Result<MimeBundle, ScriptError> {
        Ok(self.bundle.clone())
    }

    fn line(&self) -> String {
        self.text()
    }
}
