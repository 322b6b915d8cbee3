//! Where code came from: cells and imported files, and which of them defined which function.

use std::collections::HashMap;
use std::rc::Rc;

use rhai::{AST, Position};

/// A cell or an imported file.
#[derive(Debug, PartialEq)]
pub struct Source {
    /// `In [3]`, or a file's name.
    pub label: String,
    pub code: String,
}

impl Source {
    /// Line `number`, counted from 1.
    pub fn line(&self, number: usize) -> Option<&str> {
        self.code.lines().nth(number.checked_sub(1)?)
    }
}

/// One definition of a function. The same name may stand for several, by number of parameters.
#[derive(Debug)]
struct Definition {
    n_params: usize,
    body: (Position, Position),
    source: Rc<Source>,
}

/// The sources that are still of use: of the running cell, of living functions, of imported files.
#[derive(Debug, Default)]
pub struct Sources {
    functions: HashMap<String, Vec<Definition>>,
    files: HashMap<String, Rc<Source>>,
}

impl Sources {
    /// Remembers where the functions (and closures) of `ast` stand.
    pub fn add_functions(&mut self, ast: &AST, source: &Rc<Source>) {
        for function in ast.iter_fn_def() {
            let definitions = self.functions.entry(function.name.to_string()).or_default();
            definitions.retain(|other| other.n_params != function.params.len());
            definitions.push(Definition {
                n_params: function.params.len(),
                body: (function.body.start_position(), function.body.end_position()),
                source: Rc::clone(source),
            });
        }
    }

    pub fn add_file(&mut self, id: &str, source: Rc<Source>) {
        self.files.insert(id.to_owned(), source);
    }

    pub fn file(&self, id: &str) -> Option<Rc<Source>> {
        self.files.get(id).cloned()
    }

    /// Where function `name` was defined whose body holds `inside`.
    ///
    /// Rhai's errors name the function but not its number of parameters, so of several definitions the
    /// one is taken whose body spans the place of the error.
    pub fn of_function(&self, name: &str, inside: Position) -> Option<Rc<Source>> {
        let definitions = self.functions.get(name)?;
        let spanning = definitions
            .iter()
            .rev()
            .find(|definition| spans(definition.body, inside));
        spanning
            .or(definitions.last())
            .map(|definition| Rc::clone(&definition.source))
    }

    /// Where a function was last defined, for help.
    pub fn defined_in(&self, name: &str, n_params: usize) -> Option<Rc<Source>> {
        let definitions = self.functions.get(name)?;
        let found = definitions
            .iter()
            .find(|definition| definition.n_params == n_params)?;
        Some(Rc::clone(&found.source))
    }
}

fn spans((start, end): (Position, Position), inside: Position) -> bool {
    let key = |position: Position| Some((position.line()?, position.position().unwrap_or(0)));
    match (key(start), key(inside), key(end)) {
        (Some(start), Some(inside), Some(end)) => start <= inside && inside <= end,
        _ => false,
    }
}
