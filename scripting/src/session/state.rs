//! What primitives reach besides their arguments: where to write, whether to stop, resident models.
//!
//! Rhai carries it as the engine's tag, so that primitives stay plain documented functions.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::rc::Rc;

use ecco_interpreter::MimeBundle;
use rhai::{EvalAltResult, NativeCallContext};

use crate::assist::source::Sources;
use crate::errors::{RhaiResult, ScriptError};
use crate::live::Results;
use crate::registry::Vocabulary;
use crate::result::Show;
use crate::session::kept::Kept;
use crate::session::memory;
use crate::session::watch::Pieces;
use ecco_interpreter::{Interrupt, Output};

/// Shared by the session and the primitives of its engine.
pub struct State {
    pub interrupt: Interrupt,
    output: RefCell<Rc<dyn Output>>,
    /// Display ids that this cell has shown: showing them again replaces. And its notices.
    shown: RefCell<HashSet<String>>,
    next_display: Cell<u64>,
    pub sources: RefCell<Sources>,
    /// What primitives keep from cell to cell, by its type.
    pub(super) kept: Kept,
    /// The result that a primitive has just shown in this cell, which need not be shown again: its
    /// [`identity`](crate::result::Show::identity).
    pub just_shown: Cell<Option<usize>>,
    /// Lines about quick work, for a cell that shows nothing else.
    closing: RefCell<Vec<String>>,
    vocabulary: RefCell<Rc<Vocabulary>>,
    /// Results that were shown, for the questions of their pages.
    pub(crate) live: RefCell<Results>,
    /// Pieces of work that are being done under one display.
    pub(super) pieces: RefCell<Option<Pieces>>,
    /// The notebook's folder: where tensors are saved.
    pub folder: RefCell<PathBuf>,
    /// The data files that were read, where somebody asked to know.
    files_read: RefCell<Option<BTreeSet<String>>>,
    /// The machine's memory, or the container's, in bytes.
    total_memory: Option<u64>,
    /// What the running cell could take of it as it began.
    pub(super) free_at_start: Cell<usize>,
    /// Allocation at which the running cell is stopped.
    pub memory_limit: Cell<usize>,
    /// Allocation up to which it is not, whatever else takes memory.
    pub(super) allowed_anyway: Cell<usize>,
    /// Arrays, maps and closures at which it is stopped.
    pub container_limit: Cell<usize>,
    /// Bytes that have to stay free in the machine or container.
    pub least_free: Cell<u64>,
    /// What the cell ends with at its next step.
    pub(super) failure: RefCell<Option<Box<EvalAltResult>>>,
    /// Whether any script of the session, one that was imported too, puts values into strings.
    pub(super) interpolates: Cell<bool>,
}

/// The state as it travels in Rhai values.
#[derive(Clone)]
pub struct StateHandle(pub Rc<State>);

impl State {
    pub fn new(interrupt: Interrupt) -> Self {
        Self {
            interrupt,
            output: RefCell::new(Rc::new(NoOutput)),
            shown: RefCell::default(),
            next_display: Cell::new(0),
            sources: RefCell::default(),
            kept: Kept::default(),
            just_shown: Cell::new(None),
            closing: RefCell::default(),
            vocabulary: RefCell::default(),
            live: RefCell::default(),
            pieces: RefCell::default(),
            folder: RefCell::default(),
            files_read: RefCell::default(),
            total_memory: ecco_interpreter::total_memory(),
            free_at_start: Cell::new(usize::MAX),
            memory_limit: Cell::new(usize::MAX),
            allowed_anyway: Cell::new(0),
            container_limit: Cell::new(usize::MAX),
            least_free: Cell::new(0),
            failure: RefCell::default(),
            interpolates: Cell::new(false),
        }
    }

    pub(crate) fn note_file(&self, path: &str) {
        if let Some(files) = &mut *self.files_read.borrow_mut() {
            files.insert(path.to_owned());
        }
    }

    pub(super) fn begin_noting_files(&self) {
        self.files_read.replace(Some(BTreeSet::new()));
    }

    pub(super) fn end_noting_files(&self) -> BTreeSet<String> {
        self.files_read.take().unwrap_or_default()
    }

    /// Directs side outputs to `output` until [`State::end_cell`].
    pub fn begin_cell(&self, output: Rc<dyn Output>) {
        *self.output.borrow_mut() = output;
        self.shown.borrow_mut().clear();
        self.just_shown.take();
        self.closing.take();
    }

    pub fn end_cell(&self) {
        *self.output.borrow_mut() = Rc::new(NoOutput);
    }

    pub fn output(&self) -> Rc<dyn Output> {
        Rc::clone(&self.output.borrow())
    }

    /// Says a line after the running cell, if nothing is shown from now on.
    pub(super) fn say_at_last(&self, line: String) {
        self.closing.borrow_mut().push(line);
    }

    /// What is to be said after a cell that ended without a result.
    pub(super) fn last_lines(&self) -> Option<String> {
        let lines = self.closing.take();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// Shows a bundle under an id: the first time in this cell as a new output, then in its place.
    pub fn show(&self, bundle: MimeBundle, id: &str) {
        self.closing.take();
        let is_new = self.shown.borrow_mut().insert(id.to_owned());
        match is_new {
            true => self.output().display(bundle, Some(id)),
            false => self.output().update(bundle, id),
        }
    }

    /// Shows a result as [`Self::show`] does a bundle: its page can be asked.
    ///
    /// # Errors
    /// What its view says.
    pub fn show_result(&self, result: &dyn Show, id: &str) -> Result<(), ScriptError> {
        let mut bundle = result.bundle()?;
        self.live.borrow_mut().note(&mut bundle, result.live());
        self.show(bundle, id);
        Ok(())
    }

    /// Says something that should be known of what a cell does, once in a cell.
    pub fn notice(&self, text: &str) {
        let line = format!("notice: {text}\n");
        if self.shown.borrow_mut().insert(line.clone()) {
            self.output().stderr(&line);
        }
    }

    /// An id for a display of the kernel's own.
    pub fn new_display_id(&self) -> String {
        self.next_display.set(self.next_display.get() + 1);
        format!("ecco-{}-{}", std::process::id(), self.next_display.get())
    }

    /// What primitives keep from cell to cell under a type; its default at first.
    pub fn kept<T: Default + 'static>(&self) -> Rc<T> {
        self.kept.of()
    }

    /// What there is to ask besides the functions.
    pub(crate) fn vocabulary(&self) -> Rc<Vocabulary> {
        Rc::clone(&self.vocabulary.borrow())
    }

    pub(crate) fn set_vocabulary(&self, vocabulary: Vocabulary) {
        self.vocabulary.replace(Rc::new(vocabulary));
    }

    /// Bytes that the running cell may still take of what is free in the machine or container.
    pub(crate) fn free_memory(&self) -> usize {
        let free = ecco_interpreter::free_memory().unwrap_or(u64::MAX);
        usize::try_from(free.saturating_sub(self.least_free.get())).unwrap_or(usize::MAX)
    }

    /// Looks at how much memory is free as a cell begins, and at nothing again in the cell's first moments: the system's files
    /// are slow to read. A cell that begins above the limit may still take `headroom`.
    pub(super) fn begin_memory(&self, headroom: usize) {
        let free = ecco_interpreter::free_memory();
        let least = |(total, free)| memory::least_free(total, free);
        self.least_free.set(self.total_memory.zip(free).map_or(0, least));
        let free = free.unwrap_or(u64::MAX).saturating_sub(self.least_free.get());
        let free = usize::try_from(free).unwrap_or(usize::MAX);
        self.free_at_start.set(free);
        self.allowed_anyway
            .set(memory::allocated_bytes() + headroom.min(free / 2));
        self.limit_memory(free);
    }

    /// Looks at how much memory is free, and lets scripts hold their share of that. Returns what is free.
    pub(super) fn renew_memory_limit(&self) -> usize {
        let free = self.free_memory();
        self.limit_memory(free);
        free
    }

    fn limit_memory(&self, free: usize) {
        let limit = memory::limit(self.total_memory, memory::allocated_bytes(), free);
        self.memory_limit.set(limit.max(self.allowed_anyway.get()));
    }

    /// Ends the cell at its next step.
    pub(super) fn fail(&self, error: Box<EvalAltResult>) {
        self.failure.replace(Some(error));
    }

    pub fn check_interrupt(&self) -> Result<(), ScriptError> {
        if self.interrupt.is_requested() {
            Err(ScriptError::interrupted())
        } else {
            Ok(())
        }
    }
}

/// What a function gives that makes a text of a value. Rhai takes its error for a value that has no text, and prints it by
/// means of its own, whatever memory and time that takes; so it gets a text, and the cell ends at its next step.
pub(crate) fn printed(context: &NativeCallContext, text: RhaiResult<String>) -> RhaiResult<String> {
    text.or_else(|error| {
        state_of(context).fail(error);
        Ok(String::new())
    })
}

/// The state behind a native call.
pub fn state_of(context: &NativeCallContext) -> Rc<State> {
    let handle = context.tag().and_then(|tag| tag.read_lock::<StateHandle>());
    // The session sets the tag of its engine before any script runs, and scripts cannot change it.
    Rc::clone(&handle.expect("the engine's tag holds the session's state").0)
}

/// Where output goes when no cell runs.
pub struct NoOutput;

impl Output for NoOutput {
    fn stdout(&self, _: &str) {}
    fn stderr(&self, _: &str) {}
    fn display(&self, _: MimeBundle, _: Option<&str>) {}
    fn update(&self, _: MimeBundle, _: &str) {}
    fn page(&self, _: MimeBundle) {}
    fn clear(&self, _: bool) {}
    fn input(&self, _: &str, _: bool) -> Result<String, String> {
        Err("input is not possible here".to_owned())
    }
}
