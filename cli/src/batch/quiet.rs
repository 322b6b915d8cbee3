//! Where a batch's script writes: what it prints goes to standard error, what it displays nowhere.

use std::io::Write;

use ecco_interpreter::{MimeBundle, Output};

pub(super) struct Quiet;

impl Output for Quiet {
    fn stdout(&self, text: &str) {
        self.stderr(text);
    }

    /// A closed stderr is nobody's concern.
    fn stderr(&self, text: &str) {
        let _ = std::io::stderr().write_all(text.as_bytes());
    }

    fn display(&self, _: MimeBundle, _: Option<&str>) {}

    fn update(&self, _: MimeBundle, _: &str) {}

    fn page(&self, _: MimeBundle) {}

    fn clear(&self, _: bool) {}

    fn input(&self, _: &str, _: bool) -> Result<String, String> {
        Err("nobody can be asked in a batch".to_owned())
    }
}
