//! Where a batch's script writes: what it prints goes to standard error, what it displays nowhere.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io::Write;

use ecco_interpreter::{MimeBundle, Output};

/// So many different notices are remembered.
const MOST: usize = 1_000;

#[derive(Default)]
pub(super) struct Quiet {
    /// Notices that were given: a million rows have the same.
    said: RefCell<HashSet<String>>,
}

/// A closed stderr is nobody's concern.
fn write(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

impl Output for Quiet {
    fn stdout(&self, text: &str) {
        write(text);
    }

    fn stderr(&self, text: &str) {
        let mut said = self.said.borrow_mut();
        if said.len() < MOST && said.insert(text.to_owned()) {
            write(text);
        }
    }

    fn display(&self, _: MimeBundle, _: Option<&str>) {}

    fn update(&self, _: MimeBundle, _: &str) {}

    fn page(&self, _: MimeBundle) {}

    fn clear(&self, _: bool) {}

    fn input(&self, _: &str, _: bool) -> Result<String, String> {
        Err("nobody can be asked in a batch".to_owned())
    }
}
