//! A session: what cells define stays for the cells after them.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::rc::Rc;

use ecco_widgets::MimeBundle;
use rhai::{AST, Dynamic, Engine, EvalAltResult, Expr, Scope, Stmt};

use crate::errors::{ErrorKind, Fault, Frame, Names, ScriptError, as_cell_error, translate};
use crate::interpreter::{Cell, CellError, Completeness, Completions, Interpreter, Interrupt, Output};
use crate::language::catalog::{Catalog, Entry};
use crate::language::complete::{Known, complete};
use crate::language::inspect::{self, Found};
use crate::language::scan::scan;
use crate::language::source::Source;
use crate::language::{completeness, docs};
use crate::resolver::Imported;
use crate::state::State;
use crate::values::generation::Generation;
use crate::values::show;
use crate::{engine, memory};

/// The stack a thread needs to run sessions: scripts may nest calls and expressions deeply.
pub const STACK_BYTES: usize = 64 << 20;

/// What a cell may allocate beyond the limit when it starts above it, so that it can still free values.
const HEADROOM: usize = 256 << 20;

/// The language behind the kernel: a Rhai engine and everything that cells have defined.
pub struct Session {
    engine: Engine,
    state: Rc<State>,
    scope: Scope<'static>,
    /// The functions of all cells; no statements.
    library: AST,
    imported: Imported,
    modules: Vec<String>,
    catalog: OnceCell<Catalog>,
}

impl Session {
    /// A session that imports scripts from the current folder.
    pub fn new(interrupt: Interrupt) -> Self {
        Self::in_folder(
            interrupt,
            std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
        )
    }

    /// A session that imports scripts from `folder`.
    pub fn in_folder(interrupt: Interrupt, folder: PathBuf) -> Self {
        let state = Rc::new(State::new(interrupt));
        let imported = Imported::default();
        let engine = engine::build(&state, folder, Rc::clone(&imported));
        Self {
            engine,
            state,
            scope: Scope::new(),
            library: AST::empty(),
            imported,
            modules: vec!["ecco".to_owned()],
            catalog: OnceCell::new(),
        }
    }

    fn run(&mut self, code: &str, source: &Rc<Source>) -> Result<Option<MimeBundle>, Box<EvalAltResult>> {
        let mut cell = self.engine.compile(code)?;
        let aliases = import_aliases(&cell)?;
        self.state.sources.borrow_mut().add_functions(&cell, source);
        let mut runnable = self.library.merge(&cell);
        runnable.set_source(source.label.as_str());
        self.library = self.library.merge(cell.clear_statements());
        self.imported.borrow_mut().clear();
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
        show::bundle(&value).map_err(|error| error.raise_at(last_statement(&runnable)))
    }

    /// Whether this is the output that `generate` has shown, token by token, in this cell.
    fn was_just_shown(&self, value: &Dynamic) -> bool {
        let streamed = self.state.streamed.borrow();
        let output = value.read_lock::<Generation>();
        output
            .zip(streamed.as_ref())
            .is_some_and(|(output, streamed)| output.is_same(streamed))
    }

    /// Imports end with the cell in Rhai: here they stay.
    fn keep_imports(&mut self, aliases: Vec<(String, String)>) {
        for (path, alias) in aliases {
            if let Some(module) = self.imported.borrow().get(&path) {
                self.engine.register_static_module(&alias, Rc::clone(module));
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
    fn guarded<T>(
        &mut self,
        source: &Rc<Source>,
        output: Option<Rc<dyn Output>>,
        work: impl FnOnce(&mut Self) -> Result<T, Box<EvalAltResult>>,
    ) -> Result<T, CellError> {
        if let Some(output) = output {
            self.state.begin_cell(output);
        }
        let limit = memory::default_limit().max(memory::allocated_bytes() + HEADROOM);
        self.state.memory_limit.set(limit);
        let result = catch_unwind(AssertUnwindSafe(|| work(self)));
        self.state.end_cell();
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.cell_error(&error, source)),
            Err(panic) => Err(panic_error(panic, source)),
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
        };
        let fault = translate(error, source, &names);
        if fault.error.kind == ErrorKind::Interrupt {
            // The request was served: the next cell must not find it.
            self.state.interrupt.clear();
        }
        as_cell_error(&fault)
    }

    fn catalog(&self) -> &Catalog {
        self.catalog.get_or_init(|| Catalog::of(&self.engine))
    }

    fn script_functions(&self) -> Vec<(String, String)> {
        let named = self
            .library
            .iter_functions()
            .filter(|function| !function.name.starts_with("anon$"));
        named
            .map(|function| (function.name.to_owned(), function.to_string()))
            .collect()
    }

    fn known(&self) -> Known<'_> {
        let name_type = |value: &Dynamic| {
            crate::language::catalog::type_for_people(self.engine.map_type_name(value.type_name()))
        };
        Known {
            catalog: self.catalog(),
            variables: self
                .scope
                .iter_raw()
                .map(|(name, _, value)| (name.to_owned(), name_type(value)))
                .collect(),
            functions: self.script_functions(),
            modules: self.modules.clone(),
        }
    }

    fn describe(&self, found: Found) -> Option<MimeBundle> {
        match found {
            Found::Entries(entries) => Some(inspect::bundle(&entries)),
            Found::Documentation(bundle) => Some(bundle),
            Found::Function(name) => Some(MimeBundle::from_text(self.function_text(&name))),
            Found::Variable(name) => self.variable_bundle(&name),
        }
    }

    fn function_text(&self, name: &str) -> String {
        let mut parts = Vec::new();
        for function in self
            .library
            .iter_functions()
            .filter(|function| function.name == name)
        {
            let source = self
                .state
                .sources
                .borrow()
                .defined_in(name, function.params.len());
            let place = source.map_or(String::new(), |source| format!("  (defined in {})", source.label));
            parts.push(format!("fn {function}{place}"));
            let docs = crate::language::catalog::doc_text(function.comments.iter().copied());
            if !docs.is_empty() {
                parts.push(docs);
            }
        }
        parts.join("\n")
    }

    fn variable_bundle(&self, name: &str) -> Option<MimeBundle> {
        let value = self.scope.get(name)?;
        let of = crate::language::catalog::type_for_people(self.engine.map_type_name(value.type_name()));
        let about = crate::values::describe(value);
        let mut text = format!("{name}: {of}\n{about}");
        let members: Vec<&Entry> = self
            .catalog()
            .members_of(&of)
            .filter(|entry| entry.is_ours)
            .collect();
        if !members.is_empty() {
            let mut names: Vec<&str> = members.iter().map(|entry| entry.name.as_str()).collect();
            names.dedup();
            text.push_str(&format!("\n\nmembers: {}", names.join(", ")));
        }
        Some(MimeBundle::from_text(text))
    }

    /// The page of primitives in markdown.
    pub fn primitives_page(&self) -> String {
        docs::page(self.catalog())
    }
}

impl Interpreter for Session {
    fn execute(&mut self, cell: &Cell, output: Rc<dyn Output>) -> Result<Option<MimeBundle>, CellError> {
        let label = format!("In [{}]", cell.execution_count);
        let source = Rc::new(Source {
            label,
            code: cell.code.clone(),
        });
        let result = self.guarded(&source, Some(output), |session| session.run(&cell.code, &source));
        if cell.silent { result.map(|_| None) } else { result }
    }

    fn evaluate(&mut self, expression: &str) -> Result<MimeBundle, CellError> {
        let source = Rc::new(Source {
            label: "expression".to_owned(),
            code: expression.to_owned(),
        });
        self.guarded(&source, None, |session| {
            let expression = session.engine.compile_expression(expression)?;
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
        complete(&self.known(), code, cursor)
    }

    fn inspect(&mut self, code: &str, cursor: usize, _detail: u8) -> Option<MimeBundle> {
        let known = self.known();
        self.describe(inspect::find(&known, code, cursor)?)
    }

    fn is_complete(&mut self, code: &str) -> Completeness {
        completeness::judge(&self.engine, code)
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
    use crate::state::Nowhere;

    fn execute(session: &mut Session, code: &str) -> Result<Option<MimeBundle>, CellError> {
        let cell = Cell {
            code: code.to_owned(),
            execution_count: 1,
            silent: false,
            allow_stdin: false,
        };
        session.execute(&cell, Rc::new(Nowhere))
    }

    #[test]
    fn a_panic_in_a_primitive_is_an_error_and_the_session_lives() {
        let mut session = Session::new(Interrupt::default());
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
