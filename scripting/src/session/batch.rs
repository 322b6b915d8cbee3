//! A cell that is run again and again, each time with another value in a variable: what a batch does to its texts.

use std::collections::BTreeSet;
use std::rc::Rc;

use ecco_interpreter::{CellError, Output};
use rhai::{Array, Dynamic, EvalAltResult, Position, Scope};

use super::{Session, last_statement};
use crate::assist::source::Source;
use crate::errors::{ErrorKind, ScriptError};
use crate::library::json;
use crate::result::show;
use crate::session::syntax::{self, compile};
use crate::table::Table;
use crate::tensor::work::Work;

/// A cell and the variable that it reads.
pub struct Repeated {
    source: Rc<Source>,
    variable: String,
}

impl Session {
    /// A cell to run many times; errors name `label`.
    pub fn repeated(&self, label: String, code: &str, variable: &str) -> Repeated {
        Repeated {
            source: Rc::new(Source::new(&self.engine, label, code)),
            variable: variable.to_owned(),
        }
    }

    /// Runs the cell with the value that a JSON text is, and gives the JSON of what it ends with.
    ///
    /// What the cell itself defines is gone after it, so that one value's result knows nothing of another's.
    ///
    /// # Errors
    /// As a cell's, and where its value has no form in JSON.
    pub fn answer_to(
        &mut self,
        cell: &Repeated,
        value: &str,
        output: Rc<dyn Output>,
    ) -> Result<String, CellError> {
        self.with_value(cell, value, output, |session, value| session.written(value))
    }

    /// The same of `n` values that are given as one list: the cell ends with as many.
    ///
    /// # Errors
    /// As [`Session::answer_to`], and where it ends with another number of values, or with none.
    pub fn answers_to(
        &mut self,
        cell: &Repeated,
        (values, n): (&str, usize),
        output: Rc<dyn Output>,
    ) -> Result<Vec<String>, CellError> {
        self.with_value(cell, values, output, |session, value| {
            let answers = session.listed(value)?;
            if answers.len() != n {
                let message = format!("the cell ends with {} values, of {n} rows", answers.len());
                return Err(ScriptError::new(ErrorKind::Value, message)
                    .with_hint("end it with one for each of `rows`, in their order"));
            }
            answers.iter().map(|value| session.written(value)).collect()
        })
    }

    /// Remembers which data files cells read from now on, until [`Session::end_noting_files`].
    pub fn begin_noting_files(&self) {
        self.state.begin_noting_files();
    }

    /// The paths of those files, as the cells have them.
    pub fn end_noting_files(&self) -> BTreeSet<String> {
        self.state.end_noting_files()
    }

    /// The scripts that cells have imported so far: their names, as the cells have them, and their text.
    pub fn each_import(&self, mut visit: impl FnMut(&str, &str)) {
        let sources = self.state.sources.borrow();
        sources.files().for_each(|(name, code)| visit(name, code));
    }

    fn with_value<T>(
        &mut self,
        cell: &Repeated,
        value: &str,
        output: Rc<dyn Output>,
        finish: impl FnOnce(&Self, &Dynamic) -> Result<T, ScriptError>,
    ) -> Result<T, CellError> {
        let source = Rc::clone(&cell.source);
        self.guarded(&source, Some(output), |session| {
            let compiled = compile(&session.engine, source.script())?;
            syntax::note_interpolation(&compiled, &session.state);
            let mut runnable = session.library.merge(&compiled);
            runnable.set_source(source.label.as_str());
            let work = Work::new(Rc::clone(&session.state));
            let value = json::parse(&mut || work.value(), value).map_err(at_start)?;
            let before = session.scope.len();
            session.scope.push_dynamic(cell.variable.clone(), value);
            let ended = session
                .engine
                .eval_ast_with_scope::<Dynamic>(&mut session.scope, &runnable);
            session.scope.rewind(before);
            let at_end = |error: ScriptError| error.raise_at(last_statement(&runnable));
            finish(session, &ended?).map_err(at_end)
        })
    }

    /// The values of a list, whichever kind it is: an array, a table's rows, or what one of ours has.
    fn listed(&self, value: &Dynamic) -> Result<Array, ScriptError> {
        if let Some(array) = value.read_lock::<Array>() {
            return Ok(array.clone());
        }
        if let Some(table) = value.read_lock::<Table>() {
            return table.to_array(&Work::new(Rc::clone(&self.state)));
        }
        // Every list of ours has its items as an array by this name.
        let mut scope = Scope::new();
        scope.push_dynamic("list", value.clone());
        let array = self
            .engine
            .eval_with_scope::<Array>(&mut scope, "list.to_array()");
        array.map_err(|_| {
            let message = format!("the cell ends with {}, which is no list", show::brief(value));
            ScriptError::new(ErrorKind::Type, message).with_hint(
                "end it with an array that has a value for each of `rows`, or a table with a row for each",
            )
        })
    }

    fn written(&self, value: &Dynamic) -> Result<String, ScriptError> {
        json::text(&Work::new(Rc::clone(&self.state)), value)
    }
}

fn at_start(error: ScriptError) -> Box<EvalAltResult> {
    error.raise_at(Position::new(1, 1))
}
