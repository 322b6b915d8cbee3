//! A session: what cells define stays for the cells after them.
//!
//! Cells run here; `answers` has what is said about code without running it.
//! - `engine`: limits, output, interruption, the memory budget; [`memory`]: that budget
//! - [`state`]: what primitives reach besides their arguments; [`watch`]: progress and interruption of native work
//! - [`Kept`]: values kept by their type
//! - `fault`, `correction`, `traceback`: errors with their places, as a cell shows them
//! - `batch`: a cell for one value after another; `call`: the call that a view's head names; `resolver`: imports; `syntax`: code that Rhai takes for whole and is not; `stack`: how large
//!   the thread's is

mod answers;
mod batch;
mod call;
mod correction;
mod engine;
mod fault;
pub(crate) mod kept;
pub mod memory;
mod resolver;
pub(crate) mod room;
mod stack;
pub mod state;
mod syntax;
mod traceback;
pub mod watch;

pub use self::batch::Repeated;
pub use self::kept::Kept;
pub use self::state::{State, state_of};
pub use self::watch::{each, each_weighed, watched, watched_saying};

use std::cell::OnceCell;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use ecco_interpreter::MimeBundle;
use rhai::{AST, Dynamic, Engine, EvalAltResult, Expr, Scope, Stmt};
use serde_json::Value;

use self::fault::{Fault, Frame, Names, translate};
use self::syntax::compile;
use self::traceback::as_cell_error;
use crate::assist::catalog::Catalog;
use crate::assist::inspect::{Question, question};
use crate::assist::page;
use crate::assist::scan::scan;
use crate::assist::source::Source;
use crate::errors::{ErrorKind, ScriptError};
use crate::habits;
use crate::registry::Register;
use crate::result::{known, show};
use crate::session::resolver::Imports;
use ecco_interpreter::{Cell, CellError, Completeness, Completions, Interpreter, Interrupt, Output};
use ecco_widgets::stop;

/// The stack a thread needs to run sessions. Scripts may nest calls and expressions deeply, and values
/// deeper still: those are freed level by level ([`memory::MOST_CONTAINERS`]). It is address space; only
/// what is used takes memory.
pub const STACK_BYTES: usize = 1 << 30;

/// The folder of a session that was started in one that is not there any more: no path that could be there.
const GONE: &str = "the folder that the kernel was started in";

/// What a cell may allocate beyond the limit when it starts above it, at most, so that it can still free values.
const HEADROOM: usize = 256 << 20;
const CONTAINER_HEADROOM: usize = 50_000;

/// The language behind the kernel: a Rhai engine and everything that cells have defined.
pub struct Session {
    pub(crate) engine: Engine,
    pub(crate) state: Rc<State>,
    pub(crate) scope: Scope<'static>,
    /// The functions of all cells; no statements.
    library: AST,
    imported: Imports,
    modules: Vec<String>,
    catalog: OnceCell<Catalog>,
    folder: PathBuf,
    /// How many arrays, maps and closures this thread's stack bears.
    most_containers: usize,
}

impl Session {
    /// A session with what `register` makes known, that imports scripts from the current folder.
    pub fn new(interrupt: Interrupt, register: Register) -> Self {
        let folder = std::env::current_dir().unwrap_or_else(|_| PathBuf::from(GONE));
        Self::in_folder(interrupt, register, folder)
    }

    /// The same, importing scripts from `folder`.
    pub fn in_folder(interrupt: Interrupt, register: Register, folder: PathBuf) -> Self {
        let state = Rc::new(State::new(interrupt));
        let imported = Imports::default();
        state.folder.replace(folder.clone());
        let stack_bytes = stack::size();
        let engine = engine::build(
            &state,
            folder.clone(),
            Rc::clone(&imported),
            register,
            stack_bytes,
        );
        Self {
            engine,
            state,
            scope: Scope::new(),
            library: AST::empty(),
            imported,
            modules: vec!["ecco".to_owned()],
            catalog: OnceCell::new(),
            folder,
            most_containers: memory::most_containers(stack_bytes),
        }
    }

    /// Runs one cell that errors name `label`: a script's cells are places in its file.
    ///
    /// # Errors
    /// As [`Interpreter::execute`].
    pub fn execute_as(
        &mut self,
        label: String,
        cell: &Cell,
        output: Rc<dyn Output>,
    ) -> Result<Option<MimeBundle>, CellError> {
        let source = Rc::new(Source::new(&self.engine, label, &cell.code));
        let result = self.guarded(&source, Some(output), |session| match question(&cell.code) {
            Some(question) => session.show_page(&question),
            None => session.run(&cell.code, &source),
        });
        if cell.silent { result.map(|_| None) } else { result }
    }

    fn run(&mut self, code: &str, source: &Rc<Source>) -> Result<Option<MimeBundle>, Box<EvalAltResult>> {
        let mut cell = compile(&self.engine, source.script())?;
        syntax::note_interpolation(&cell, &self.state);
        let aliases = import_aliases(&cell)?;
        for note in habits::notes::notes(code, &self.scope_of(code)) {
            self.state.notice(&note);
        }
        self.state.sources.borrow_mut().add_functions(&cell, source);
        let mut runnable = self.library.merge(&cell);
        runnable.set_source(source.label.as_str());
        self.library = self.library.merge(cell.clear_statements());
        self.imported.borrow_mut().clear();
        self.check_copies(&runnable)?;
        let result = self
            .engine
            .eval_ast_with_scope::<Dynamic>(&mut self.scope, &runnable);
        self.keep_imports(aliases);
        self.keep_newest_variables();
        let value = result?;
        if ends_in_semicolon(code) {
            return Ok(None);
        }
        if self.was_just_shown(&value) {
            return Ok(None);
        }
        // Results that are computed when first shown are computed here.
        let bundle = show::live_bundle(&value, &self.state);
        let mut bundle = bundle.map_err(|error| error.raise_at(last_statement(&runnable)))?;
        if let Some(bundle) = &mut bundle {
            call::note(bundle, code, &mut self.state.live.borrow_mut());
        }
        Ok(bundle)
    }

    /// A cell that begins with too little memory to copy what it reads is not begun.
    fn check_copies(&self, script: &AST) -> Result<(), Box<EvalAltResult>> {
        let free = self.state.free_at_start.get();
        if memory::allocated_bytes() <= free {
            return Ok(());
        }
        match memory::too_large_a_copy(script, &self.scope, free) {
            None => Ok(()),
            Some((name, size)) => {
                let error = room::no_room(size, free).with_hint(format!("free large values: `{name} = ();`"));
                Err(error.raise_at(rhai::Position::new(1, 1)))
            }
        }
    }

    /// A cell such as `lm?`.
    fn show_page(&self, question: &Question) -> Result<Option<MimeBundle>, Box<EvalAltResult>> {
        let start = rhai::Position::new(1, 1);
        let page = self.answer(question).map_err(|error| error.raise_at(start))?;
        self.state.output().page(page);
        Ok(None)
    }

    /// Whether this is the result that a primitive has shown in this cell already, token by token.
    fn was_just_shown(&self, value: &Dynamic) -> bool {
        let shown = self.state.just_shown.get();
        shown.is_some() && shown == known::identity(value)
    }

    /// Imports end with the cell in Rhai: here they stay.
    fn keep_imports(&mut self, aliases: Vec<(String, String)>) {
        for (path, alias) in aliases {
            if let Some(module) = self.imported.borrow().get(&path) {
                self.engine.register_static_module(&alias, Rc::clone(module));
                self.catalog.take();
                if !self.modules.contains(&alias) {
                    self.modules.push(alias);
                }
            }
        }
    }

    /// Rhai keeps every `let` of a name; only the newest can still be reached.
    fn keep_newest_variables(&mut self) {
        let all: Vec<_> = std::mem::take(&mut self.scope).into_iter().collect();
        let mut seen = HashSet::new();
        let mut newest: Vec<_> = all
            .into_iter()
            .rev()
            .filter(|entry| seen.insert(entry.0.clone()))
            .collect();
        newest.reverse();
        for (name, value, _) in newest {
            if value.is_read_only() {
                self.scope.push_constant_dynamic(name, value);
            } else {
                self.scope.push_dynamic(name, value);
            }
        }
    }

    /// Runs `work` with `output` as the place for side effects; panics become errors.
    pub(crate) fn guarded<T>(
        &mut self,
        source: &Rc<Source>,
        output: Option<Rc<dyn Output>>,
        work: impl FnOnce(&mut Self) -> Result<T, Box<EvalAltResult>>,
    ) -> Result<T, CellError> {
        if let Some(output) = output {
            self.state.begin_cell(output);
        }
        self.stand_somewhere();
        self.state.begin_memory(HEADROOM);
        let containers = memory::containers() + CONTAINER_HEADROOM;
        self.state
            .container_limit
            .set(self.most_containers.max(containers));
        let interruptible = self.state.interrupt.enter();
        let result = catch_unwind(AssertUnwindSafe(|| work(self)));
        drop(interruptible);
        self.state.end_cell();
        let result = match self.state.failure.take() {
            Some(error) => Ok(Err(error)),
            None => result,
        };
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.cell_error(&error, source)),
            Err(panic) if stop::is_stopped(&*panic) => {
                let interrupted = ScriptError::interrupted().raise_at(rhai::Position::new(1, 1));
                Err(self.cell_error(&interrupted, source))
            }
            Err(panic) => Err(panic_error(panic, source)),
        }
    }

    /// Libraries ask for the current folder, and some end the process where there is none: one that was deleted is left
    /// for `/`, and returned to when it is there again. Paths of scripts count from the session's own all the time.
    fn stand_somewhere(&self) {
        let current = std::env::current_dir();
        let strayed = current.as_ref().is_ok_and(|current| current.as_os_str() == "/")
            && self.folder.as_os_str() != "/";
        if (current.is_err() || strayed)
            && std::env::set_current_dir(&self.folder).is_err()
            && current.is_err()
        {
            // Where even this fails there is nothing left to try.
            let _ = std::env::set_current_dir("/");
        }
    }

    fn cell_error(&self, error: &EvalAltResult, source: &Rc<Source>) -> CellError {
        let sources = self.state.sources.borrow();
        let names = Names {
            catalog: self.catalog(),
            sources: &sources,
            variables: self
                .scope
                .iter_raw()
                .map(|(name, _, _)| name.to_owned())
                .collect(),
            script_functions: self.script_functions(),
            scope: &self.scope_of(&source.code),
            engine: &self.engine,
        };
        let fault = translate(error, source, &names);
        if fault.error.kind == ErrorKind::Interrupt {
            // The request was served: the next cell must not find it.
            self.state.interrupt.clear();
        }
        as_cell_error(&fault)
    }

    /// The page of primitives in markdown.
    pub fn primitives_page(&self) -> String {
        page::page(self.catalog())
    }
}

impl Interpreter for Session {
    fn execute(&mut self, cell: &Cell, output: Rc<dyn Output>) -> Result<Option<MimeBundle>, CellError> {
        let result = self.execute_as(format!("In [{}]", cell.execution_count), cell, Rc::clone(&output));
        if let (Ok(None), false, Some(lines)) = (&result, cell.silent, self.state.last_lines()) {
            output.display(MimeBundle::from_text(lines), None);
        }
        result
    }

    fn evaluate(&mut self, expression: &str) -> Result<MimeBundle, CellError> {
        let source = Rc::new(Source::new(&self.engine, "expression", expression));
        self.guarded(&source, None, |session| {
            syntax::check(&session.engine, source.script())?;
            let expression = session.engine.compile_expression(source.script())?;
            syntax::note_interpolation(&expression, &session.state);
            let runnable = session.library.merge(&expression);
            let variables = session.scope.len();
            let value = session
                .engine
                .eval_ast_with_scope::<Dynamic>(&mut session.scope, &runnable);
            session.scope.rewind(variables);
            let bundle = show::bundle(&value?).map_err(|error| error.raise_at(rhai::Position::new(1, 1)))?;
            Ok(bundle.unwrap_or_else(|| MimeBundle::from_text("()")))
        })
    }

    fn complete(&mut self, code: &str, cursor: usize) -> Completions {
        self.completions(code, cursor)
    }

    fn inspect(&mut self, code: &str, cursor: usize, detail: u8) -> Option<MimeBundle> {
        self.inspection(code, cursor, detail)
    }

    fn ask(&mut self, question: &Value) -> Result<Value, CellError> {
        self.answer_question(question)
    }

    fn rest(&mut self) -> Option<Duration> {
        let vocabulary = self.state.vocabulary();
        let rests = vocabulary.rests.iter();
        rests.filter_map(|rest| rest(&self.state.kept)).min()
    }

    fn is_complete(&mut self, code: &str) -> Completeness {
        self.completeness(code)
    }
}

/// Path and alias of each import at the top of a cell.
fn import_aliases(cell: &AST) -> Result<Vec<(String, String)>, Box<EvalAltResult>> {
    let mut aliases = Vec::new();
    for statement in cell.statements() {
        let Stmt::Import(import, position) = statement else {
            continue;
        };
        let (Expr::StringConstant(path, _), alias) = (&import.0, &import.1) else {
            continue;
        };
        if alias.name == "ecco" {
            let error = ScriptError::new(ErrorKind::Import, "the name `ecco` is taken by the primitives");
            return Err(error
                .with_hint("import it under another name")
                .raise_at(*position));
        }
        if !alias.name.is_empty() {
            aliases.push((path.to_string(), alias.name.to_string()));
        }
    }
    Ok(aliases)
}

fn last_statement(ast: &AST) -> rhai::Position {
    ast.statements()
        .last()
        .map_or(rhai::Position::NONE, Stmt::position)
}

/// A trailing `;` says "do not show the result"; to Rhai it means nothing.
fn ends_in_semicolon(code: &str) -> bool {
    scan(code).last().is_some_and(|last| last.is_symbol(";"))
}

fn panic_error(panic: Box<dyn std::any::Any + Send>, source: &Rc<Source>) -> CellError {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    let error = ScriptError::new(
        ErrorKind::Internal,
        format!("a primitive failed unexpectedly: {text}"),
    )
    .with_hint("this is a defect of the kernel; the session goes on");
    let frame = Frame {
        source: Some(Rc::clone(source)),
        position: rhai::Position::NONE,
        function: None,
    };
    as_cell_error(&Fault {
        error,
        frames: vec![frame],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::state::NoOutput;

    fn execute(session: &mut Session, code: &str) -> Result<Option<MimeBundle>, CellError> {
        let cell = Cell {
            code: code.to_owned(),
            execution_count: 1,
            silent: false,
            allow_stdin: false,
        };
        session.execute(&cell, Rc::new(NoOutput))
    }

    #[test]
    fn a_panic_in_a_primitive_is_an_error_and_the_session_lives() {
        let mut session = Session::new(Interrupt::default(), |_| ());
        session.engine.register_fn("fails", |value: &mut rhai::Array| {
            value.clear();
            panic!("on purpose: {}", value.len())
        });
        let result = execute(&mut session, "let kept = 5; let list = [1]; fails(list)");
        let error = result.expect_err("a panic is no value");
        assert_eq!(error.name, "InternalError");
        assert!(error.value.contains("on purpose: 0"), "{}", error.value);
        let kept = execute(&mut session, "kept + 1").expect("the session lives");
        assert_eq!(kept.as_ref().and_then(MimeBundle::text), Some("6"));
    }
}
