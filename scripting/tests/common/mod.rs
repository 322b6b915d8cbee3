//! A session with an output that records what a cell does. A test that has this as a module says what its sessions
//! know besides the language: a function or an import named `register`.

pub(crate) mod python;
pub(crate) mod transcripts;

use std::cell::RefCell;
use std::rc::Rc;

use ecco_interpreter::Interrupt;
use ecco_interpreter::MimeBundle;
use ecco_interpreter::{Cell, CellError, Interpreter, Output};
use ecco_scripting::{CountingAllocator, STACK_BYTES, Session};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// One thing a cell did.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    Stdout(String),
    Stderr(String),
    Display(MimeBundle, Option<String>),
    Update(MimeBundle, String),
    Page(MimeBundle),
    Clear(bool),
    Input(String, bool),
}

/// Records events; answers `input` from a list.
#[derive(Default)]
pub(crate) struct Recorder {
    pub events: RefCell<Vec<Event>>,
    pub answers: RefCell<Vec<String>>,
}

impl Output for Recorder {
    fn stdout(&self, text: &str) {
        self.events.borrow_mut().push(Event::Stdout(text.to_owned()));
    }
    fn stderr(&self, text: &str) {
        self.events.borrow_mut().push(Event::Stderr(text.to_owned()));
    }
    fn display(&self, bundle: MimeBundle, id: Option<&str>) {
        self.events
            .borrow_mut()
            .push(Event::Display(bundle, id.map(str::to_owned)));
    }
    fn update(&self, bundle: MimeBundle, id: &str) {
        self.events
            .borrow_mut()
            .push(Event::Update(bundle, id.to_owned()));
    }
    fn page(&self, bundle: MimeBundle) {
        self.events.borrow_mut().push(Event::Page(bundle));
    }
    fn clear(&self, wait: bool) {
        self.events.borrow_mut().push(Event::Clear(wait));
    }
    fn input(&self, prompt: &str, password: bool) -> Result<String, String> {
        self.events
            .borrow_mut()
            .push(Event::Input(prompt.to_owned(), password));
        self.answers
            .borrow_mut()
            .pop()
            .ok_or_else(|| "the front end takes no input".to_owned())
    }
}

/// A session that numbers its cells.
pub(crate) struct Notebook {
    pub session: Session,
    pub interrupt: Interrupt,
    count: u32,
}

/// What a cell did and how it ended.
pub(crate) struct Ran {
    pub events: Vec<Event>,
    pub result: Result<Option<MimeBundle>, CellError>,
}

impl Notebook {
    pub(crate) fn new() -> Self {
        Self::in_folder(std::env::temp_dir())
    }

    pub(crate) fn in_folder(folder: impl Into<std::path::PathBuf>) -> Self {
        let interrupt = Interrupt::default();
        let session = Session::in_folder(interrupt.clone(), crate::register, folder.into());
        Self {
            session,
            interrupt,
            count: 0,
        }
    }

    pub(crate) fn run(&mut self, code: &str) -> Ran {
        self.run_with(code, Rc::new(Recorder::default()))
    }

    pub(crate) fn run_with(&mut self, code: &str, recorder: Rc<Recorder>) -> Ran {
        self.count += 1;
        let cell = Cell {
            code: code.to_owned(),
            execution_count: self.count,
            silent: false,
            allow_stdin: true,
        };
        let result = self
            .session
            .execute(&cell, Rc::clone(&recorder) as Rc<dyn Output>);
        Ran {
            events: recorder.events.borrow().clone(),
            result,
        }
    }

    /// The text of a cell's value; panics with the traceback when it fails.
    pub(crate) fn text(&mut self, code: &str) -> String {
        match self.run(code).result {
            Ok(bundle) => bundle
                .and_then(|bundle| bundle.text().map(str::to_owned))
                .unwrap_or_default(),
            Err(error) => panic!("{code}\n{}", plain(&error)),
        }
    }

    /// The page that a cell asks for; its plain text.
    pub(crate) fn page(&mut self, code: &str) -> String {
        let ran = self.run(code);
        match (ran.events.as_slice(), &ran.result) {
            ([Event::Page(page)], Ok(None)) => page.text().unwrap_or_default().to_owned(),
            _ => panic!("{code}\nno page: {:?} {:?}", ran.events, ran.result),
        }
    }

    /// The error of a cell that must fail.
    pub(crate) fn error(&mut self, code: &str) -> CellError {
        match self.run(code).result {
            Ok(bundle) => panic!("{code}\ndid not fail: {bundle:?}"),
            Err(error) => error,
        }
    }
}

/// A traceback without colours.
pub(crate) fn plain(error: &CellError) -> String {
    let text = error.traceback.join("\n");
    let mut plain = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    plain + rest
}

/// Runs on a thread with the stack that sessions need.
pub(crate) fn on_session_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(work)
        .expect("a thread");
    match thread.join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Requests an interrupt when the first display arrives.
pub(crate) struct Interrupting {
    recorder: Recorder,
    interrupt: Interrupt,
    after: usize,
}

impl Output for Interrupting {
    fn stdout(&self, text: &str) {
        self.recorder.stdout(text);
    }
    fn stderr(&self, text: &str) {
        self.recorder.stderr(text);
    }
    fn display(&self, bundle: MimeBundle, id: Option<&str>) {
        self.recorder.display(bundle, id);
        self.count();
    }
    fn update(&self, bundle: MimeBundle, id: &str) {
        self.recorder.update(bundle, id);
        self.count();
    }
    fn page(&self, bundle: MimeBundle) {
        self.recorder.page(bundle);
    }
    fn clear(&self, wait: bool) {
        self.recorder.clear(wait);
    }
    fn input(&self, _: &str, _: bool) -> Result<String, String> {
        self.interrupt.request();
        Err("interrupted".to_owned())
    }
}

impl Interrupting {
    fn count(&self) {
        if self.recorder.events.borrow().len() == self.after {
            self.interrupt.request();
        }
    }
}

pub(crate) fn interrupted(notebook: &mut Notebook, code: &str) -> (Vec<Event>, String) {
    let output = Rc::new(Interrupting {
        recorder: Recorder::default(),
        interrupt: notebook.interrupt.clone(),
        after: 1,
    });
    let cell = ecco_interpreter::Cell {
        code: code.to_owned(),
        execution_count: 1,
        silent: false,
        allow_stdin: true,
    };
    let error = notebook
        .session
        .execute(&cell, Rc::clone(&output) as Rc<dyn Output>)
        .expect_err(code);
    assert_eq!(error.name, "KeyboardInterrupt", "{}", plain(&error));
    assert!(
        !notebook.interrupt.is_requested(),
        "the interrupt hits the next cell too"
    );
    let events = output.recorder.events.borrow().clone();
    (events, plain(&error))
}
