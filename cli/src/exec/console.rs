//! Where a script's cells write: text on stdout, warnings and what is under way on stderr.

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, IsTerminal, Write, stderr, stdout};
use std::ops::ControlFlow;

use ecco_interpreter::{Interrupt, MimeBundle, Output};

use super::terminal;

/// Columns of a terminal that does not tell.
const COLUMNS: usize = 80;

/// The output of a script.
///
/// A display that is replaced while something goes on (progress, tokens as they are made) is printed once, as it is
/// at the end of its cell or when something is printed after it. Meanwhile a terminal has its last line on stderr.
pub(super) struct Console {
    interrupt: Interrupt,
    /// Stderr is a terminal.
    is_live: bool,
    /// Something stands in the terminal's last line that is to be taken away again.
    has_live_line: Cell<bool>,
    /// Displays that may still be replaced: id and text, in order.
    pending: RefCell<Vec<(String, String)>>,
    failed: RefCell<Option<std::io::Error>>,
}

impl Console {
    pub(super) fn new(interrupt: Interrupt) -> Self {
        Self {
            interrupt,
            is_live: stderr().is_terminal(),
            has_live_line: Cell::new(false),
            pending: RefCell::default(),
            failed: RefCell::default(),
        }
    }

    /// A cell's value.
    pub(super) fn result(&self, value: Option<MimeBundle>) {
        if let Some(value) = value {
            self.print(&lines(&value));
        }
    }

    /// Everything the cell has shown is now out.
    pub(super) fn end_of_cell(&self) {
        self.print("");
        if let Err(error) = stdout().flush() {
            self.fail(error);
        }
    }

    /// Whether anybody still reads: `Break` where the reader has left, as `head` does when it has enough.
    ///
    /// # Errors
    /// When the output could not be written for another reason.
    pub(super) fn check(&self) -> anyhow::Result<ControlFlow<()>> {
        match self.failed.take() {
            None => Ok(ControlFlow::Continue(())),
            Some(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
            Some(error) => Err(anyhow::Error::new(error).context("could not write the output")),
        }
    }

    /// Prints what was shown before, and then `text`.
    fn print(&self, text: &str) {
        self.erase_live_line();
        let shown = self.pending.take().into_iter().map(|(_, text)| text);
        let whole = shown.collect::<String>() + text;
        if let Err(error) = stdout().write_all(whole.as_bytes()) {
            self.fail(error);
        }
    }

    /// What the script does from here on nobody sees.
    fn fail(&self, error: std::io::Error) {
        self.failed.borrow_mut().get_or_insert(error);
        self.interrupt.request();
    }

    fn show_live(&self, text: &str) {
        if self.is_live {
            let last = text.lines().rev().find(|line| !line.trim().is_empty());
            let line = fitting(
                last.unwrap_or_default(),
                terminal::columns().unwrap_or(COLUMNS) - 1,
            );
            write_stderr(&format!("\r\u{1b}[K{line}"));
            self.has_live_line.set(true);
        }
    }

    fn erase_live_line(&self) {
        if self.has_live_line.take() {
            write_stderr("\r\u{1b}[K");
        }
    }
}

impl Output for Console {
    fn stdout(&self, text: &str) {
        self.print(text);
    }

    fn stderr(&self, text: &str) {
        self.erase_live_line();
        // What was printed before stands before it where both go to the same place.
        if let Err(error) = stdout().flush() {
            self.fail(error);
        }
        write_stderr(text);
    }

    fn display(&self, bundle: MimeBundle, id: Option<&str>) {
        match id {
            None => self.print(&lines(&bundle)),
            Some(id) => self.update(bundle, id),
        }
    }

    fn update(&self, bundle: MimeBundle, id: &str) {
        let text = lines(&bundle);
        self.show_live(&text);
        let mut pending = self.pending.borrow_mut();
        match pending.iter_mut().find(|(known, _)| known == id) {
            Some((_, shown)) => *shown = text,
            None => pending.push((id.to_owned(), text)),
        }
    }

    fn page(&self, bundle: MimeBundle) {
        self.print(&lines(&bundle));
    }

    /// What was printed stays.
    fn clear(&self, _wait: bool) {
        self.pending.take();
    }

    fn input(&self, prompt: &str, password: bool) -> Result<String, String> {
        self.print("");
        if let Err(error) = stdout().flush() {
            self.fail(error);
        }
        terminal::ask(prompt, password, &self.interrupt)
    }
}

/// Writes lines to stderr.
pub(super) fn complain(text: &str) {
    write_stderr(&format!("{text}\n"));
}

/// A closed stderr is nobody's concern: there is nowhere to say so.
fn write_stderr(text: &str) {
    let _ = stderr().write_all(text.as_bytes());
}

/// A bundle's text as lines that end; one without a text is named by what it is.
fn lines(bundle: &MimeBundle) -> String {
    let text = bundle.text().map(str::to_owned).unwrap_or_else(|| {
        let types: Vec<&str> = bundle.data.keys().map(String::as_str).collect();
        format!("[{}]", types.join(", "))
    });
    match text.is_empty() || text.ends_with('\n') {
        true => text,
        false => text + "\n",
    }
}

/// The end of a line, as much as fits into so many columns. Wide characters count as two, control characters not at all.
fn fitting(line: &str, columns: usize) -> String {
    let (mut width, mut kept) = (0, Vec::new());
    for c in line.chars().rev().filter(|c| !c.is_control()) {
        width += if c < '\u{1100}' || ('\u{2000}'..'\u{2e80}').contains(&c) {
            1
        } else {
            2
        };
        if width > columns {
            break;
        }
        kept.push(c);
    }
    kept.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_line_the_end_fits() {
        assert_eq!(fitting("abcdef", 4), "cdef");
        assert_eq!(fitting("ab\u{1b}[Kc", 10), "ab[Kc");
        assert_eq!(fitting("a日本", 4), "日本");
        assert_eq!(fitting("█░", 2), "█░");
    }

    #[test]
    fn every_text_ends_its_line_and_none_is_empty() {
        assert_eq!(lines(&MimeBundle::from_text("a")), "a\n");
        assert_eq!(lines(&MimeBundle::from_text("a\n")), "a\n");
        assert_eq!(lines(&MimeBundle::from_text("")), "");
        assert_eq!(
            lines(&MimeBundle::default().with("image/png", "…")),
            "[image/png]\n"
        );
    }
}
