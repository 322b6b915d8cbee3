//! The one seam between a language and the Jupyter kernel.
//!
//! The kernel hands a cell and a place to write to an [`Interpreter`] and knows nothing else about
//! the language. An interpreter is made on, and never leaves, one thread.

use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use crate::MimeBundle;

/// A language behind the kernel.
pub trait Interpreter {
    /// Runs one cell. `Ok(None)` when it has no value to show.
    fn execute(&mut self, cell: &Cell, output: Rc<dyn Output>) -> Result<Option<MimeBundle>, CellError>;

    /// Evaluates one of a request's `user_expressions`; no side outputs.
    fn evaluate(&mut self, expression: &str) -> Result<MimeBundle, CellError>;

    /// What could stand at `cursor`, a position in code points.
    fn complete(&mut self, code: &str, cursor: usize) -> Completions;

    /// Documentation of what stands at `cursor` (code points); `detail` is 0 or 1.
    fn inspect(&mut self, code: &str, cursor: usize, detail: u8) -> Option<MimeBundle>;

    /// Answers what a view asks that a cell has shown, between cells: a JSON object for a JSON value. What is asked, and
    /// what the answers are, the language and its views agree on.
    fn ask(&mut self, question: &Value) -> Result<Value, CellError>;

    /// Called when there is nothing to do, before the kernel waits for more: for what is done after a time without work. Gives
    /// in how long it wants to be called again, if by then nobody has asked for anything.
    fn rest(&mut self) -> Option<Duration> {
        None
    }

    /// Whether `code` can be run as it is.
    fn is_complete(&mut self, code: &str) -> Completeness;
}

/// One cell to run.
#[derive(Debug, Clone)]
pub struct Cell {
    pub code: String,
    /// The number in `In [n]`; errors in functions defined here name it later.
    pub execution_count: u32,
    /// No outputs, no result, nothing remembered.
    pub silent: bool,
    /// Whether [`Output::input`] may ask the user.
    pub allow_stdin: bool,
}

/// Where a running cell's side effects go. All methods return at once, except `input`.
pub trait Output {
    fn stdout(&self, text: &str);
    fn stderr(&self, text: &str);
    /// Shows a bundle; with an `id` it can be replaced later by [`Output::update`].
    fn display(&self, bundle: MimeBundle, id: Option<&str>);
    fn update(&self, bundle: MimeBundle, id: &str);
    /// Shows a bundle in the front end's pager, when the cell has ended: documentation that was asked for.
    fn page(&self, bundle: MimeBundle);
    /// Clears the cell's output; with `wait`, only when the next output arrives.
    fn clear(&self, wait: bool);
    /// Opens a model of Jupyter's widgets that hosts without another way to the kernel ask by, and gives its id, which is the same for
    /// every cell: `module` is what the anywidget package runs of it, `state` an object of what else the module reads. None where
    /// nobody could show it.
    fn open_widget(&self, module: &str, state: Value) -> Option<String> {
        let _ = (module, state);
        None
    }
    /// Asks the user for a line. `Err` says why none came: not allowed, interrupted, client gone.
    fn input(&self, prompt: &str, password: bool) -> Result<String, String>;
}

/// Why a cell failed, as Jupyter's `error` message wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct CellError {
    /// The kind of error: `SyntaxError`, `ValueError`, `KeyboardInterrupt` …
    pub name: String,
    /// One line: what was wrong, with which value.
    pub value: String,
    /// Lines for people: message, source line, caret, hint. May hold ANSI colours.
    pub traceback: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Completions {
    /// What the matches replace, in code points.
    pub range: Range<usize>,
    pub matches: Vec<CompletionItem>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct CompletionItem {
    pub text: String,
    /// `function`, `variable`, `method`, `property`, `option`, `module`, `keyword` …
    pub kind: &'static str,
    pub signature: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Completeness {
    Complete,
    /// More is needed; the next line starts with this indent.
    Incomplete {
        indent: String,
    },
    Invalid,
}
