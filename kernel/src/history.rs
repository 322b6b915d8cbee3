//! What was run: for the arrow keys and searches of consoles, over sessions.
//!
//! A thread of its own owns the file, so that no cell ever waits for a disk, and opens it when the first
//! cell has ended or somebody asks. Cells are written in batches, a moment after their replies; a query
//! or the end of the kernel writes what is pending first.

mod store;

use std::cell::LazyCell;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::oneshot;

use crate::requests::HistoryRequest;
use store::Store;

/// Cells that end within this time of each other are written together.
const BATCH: Duration = Duration::from_millis(250);
/// A query that takes longer has hit a disk that does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longer results, in bytes, are not kept; their cells are.
pub(crate) const RESULT_LIMIT: usize = 1 << 16;

/// One cell that was run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    pub number: u32,
    pub code: String,
    /// The plain text of its value.
    pub result: Option<String>,
}

enum Message {
    Record(Line),
    Query(HistoryRequest, Sender<Vec<Value>>),
    Flush(oneshot::Sender<()>),
}

/// The way to the history's thread.
#[derive(Clone)]
pub(crate) struct History(Sender<Message>);

impl History {
    /// Kept in the file `path`, or for this session only.
    ///
    /// # Errors
    /// When the thread cannot be made.
    pub(crate) fn start(path: Option<PathBuf>) -> std::io::Result<Self> {
        let (sender, inbox) = mpsc::channel();
        std::thread::Builder::new()
            .name("history".to_owned())
            .spawn(move || run(path, &inbox))?;
        Ok(Self(sender))
    }

    /// Remembers a cell, soon.
    pub(crate) fn record(&self, line: Line) {
        // Without the thread nothing is remembered; queries say so.
        let _ = self.0.send(Message::Record(line));
    }

    /// `[session, line, code]`, or `[session, line, [code, result]]`, oldest first.
    ///
    /// # Errors
    /// Says why there is no answer.
    pub(crate) fn query(&self, request: HistoryRequest) -> Result<Vec<Value>, String> {
        let (answer, answered) = mpsc::channel();
        let _ = self.0.send(Message::Query(request, answer));
        answered.recv_timeout(PATIENCE).map_err(|error| match error {
            RecvTimeoutError::Timeout => format!("the history has not answered within {PATIENCE:?}"),
            RecvTimeoutError::Disconnected => "the history's thread has ended".to_owned(),
        })
    }

    /// Returns when everything that was recorded is written.
    pub(crate) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.0.send(Message::Flush(done)).is_ok() {
            // An error means that the thread is gone, and with it what it had.
            let _ = flushed.await;
        }
    }
}

fn run(path: Option<PathBuf>, inbox: &Receiver<Message>) {
    let mut store = LazyCell::new(|| Store::open(path));
    let mut next = None;
    while let Some(message) = next.take().or_else(|| inbox.recv().ok()) {
        match message {
            Message::Record(line) => {
                let (lines, then) = gather(line, inbox);
                store.record(&lines);
                next = then;
            }
            // Whoever asked may have given up.
            Message::Query(request, answer) => drop(answer.send(store.query(&request))),
            // What came before is written.
            Message::Flush(done) => drop(done.send(())),
        }
    }
}

/// The cells that end within [`BATCH`], and the message behind them that is about something else.
fn gather(first: Line, inbox: &Receiver<Message>) -> (Vec<Line>, Option<Message>) {
    let end = Instant::now() + BATCH;
    let mut lines = vec![first];
    loop {
        match inbox.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(Message::Record(line)) => lines.push(line),
            Ok(other) => return (lines, Some(other)),
            Err(_) => return (lines, None),
        }
    }
}

/// Where the history is: `history.sqlite` in `$ECCO_DATA_DIR`, or in `ecco` below `$XDG_DATA_HOME` or
/// `~/.local/share`. None without a home.
pub fn file() -> Option<PathBuf> {
    file_of(|name| std::env::var_os(name).map(PathBuf::from))
}

fn file_of(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let folder = |name| variable(name).filter(|path: &PathBuf| path.is_absolute());
    folder("ECCO_DATA_DIR")
        .or_else(|| Some(folder("XDG_DATA_HOME")?.join("ecco")))
        .or_else(|| Some(folder("HOME")?.join(".local/share/ecco")))
        .map(|folder| folder.join("history.sqlite"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_where_the_environment_says() {
        let file = |variables: &[(&str, &str)]| {
            let found = file_of(|name| {
                let (_, value) = variables.iter().find(|(variable, _)| *variable == name)?;
                Some(PathBuf::from(value))
            });
            found.map(|path| path.to_str().unwrap().to_owned())
        };
        let home = ("HOME", "/home/ada");
        assert_eq!(
            file(&[home]).unwrap(),
            "/home/ada/.local/share/ecco/history.sqlite"
        );
        assert_eq!(
            file(&[home, ("XDG_DATA_HOME", "/x")]).unwrap(),
            "/x/ecco/history.sqlite"
        );
        let own = [home, ("XDG_DATA_HOME", "/x"), ("ECCO_DATA_DIR", "/e")];
        assert_eq!(file(&own).unwrap(), "/e/history.sqlite");
        // Empty and relative values count as unset: a notebook's folder is no place for a history.
        let unset = [home, ("XDG_DATA_HOME", "here"), ("ECCO_DATA_DIR", "")];
        assert_eq!(
            file(&unset).unwrap(),
            "/home/ada/.local/share/ecco/history.sqlite"
        );
        assert_eq!(file(&[]), None);
    }
}
