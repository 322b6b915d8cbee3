//! Where code came from: cells and imported files, and which of them defined which function.

use std::collections::HashMap;
use std::rc::Rc;

use rhai::{AST, Engine, Position};

use super::scan::scan;
use crate::habits::named::{self, Rewritten};
use crate::names::doc_text;

/// A cell or an imported file.
#[derive(Debug, PartialEq)]
pub struct Source {
    /// `In [3]`, or a file's name.
    pub label: String,
    /// As it was written.
    pub code: String,
    /// As Rhai reads it, where that is not the same.
    rewritten: Option<Rewritten>,
}

impl Source {
    /// Code that `engine` is to compile.
    pub fn new(engine: &Engine, label: impl Into<String>, code: impl Into<String>) -> Self {
        let code = code.into();
        Self {
            label: label.into(),
            rewritten: named::rewritten(engine, &code),
            code,
        }
    }

    /// What Rhai reads: the code with its named arguments in maps.
    pub fn script(&self) -> &str {
        self.rewritten
            .as_ref()
            .map_or(&self.code, |rewritten| &rewritten.code)
    }

    /// The place in the code of a place in what Rhai reads.
    pub fn place(&self, position: Position) -> Position {
        let rewritten = self.rewritten.as_ref();
        rewritten.map_or(position, |rewritten| rewritten.original(position))
    }

    /// Line `number`, counted from 1.
    pub fn line(&self, number: usize) -> Option<&str> {
        self.code.lines().nth(number.checked_sub(1)?)
    }

    /// The position of a code point.
    pub fn position(&self, offset: usize) -> Position {
        let before: String = self.code.chars().take(offset).collect();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
        let narrow = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        Position::new(narrow(line), narrow(column))
    }

    /// A position in the code as code points from the start.
    pub fn offset(&self, position: Position) -> Option<usize> {
        let before = self.code.split('\n').take(position.line()?.checked_sub(1)?);
        let before: usize = before.map(|line| line.chars().count() + 1).sum();
        Some(before + position.position()?.checked_sub(1)?)
    }
}

/// One definition of a function. The same name may stand for several, by number of parameters.
#[derive(Debug)]
pub struct Definition {
    /// `double(number)`
    pub signature: String,
    /// The doc comment, without its markers.
    pub docs: String,
    n_params: usize,
    body: (Position, Position),
    pub source: Rc<Source>,
}

impl Definition {
    /// The function's code, from `fn` to the closing brace.
    pub fn code(&self) -> Option<String> {
        let start = self.source.offset(self.source.place(self.body.0))?;
        let lexemes = scan(&self.source.code).lexemes;
        let open = lexemes.iter().position(|lexeme| lexeme.start == start)?;
        let head = lexemes[..open].iter().rposition(|lexeme| lexeme.text == "fn")?;
        let is_private = head > 0 && lexemes[head - 1].text == "private";
        let mut depth = 0;
        let close = lexemes[open..].iter().find(|lexeme| {
            depth += i32::from(matches!(lexeme.text.as_str(), "{" | "#{" | "${"));
            depth -= i32::from(lexeme.is_symbol("}"));
            depth == 0
        })?;
        let from = lexemes[head - usize::from(is_private)].start;
        let length = close.end.checked_sub(from)?;
        Some(self.source.code.chars().skip(from).take(length).collect())
    }
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
            let params: Vec<&str> = function.params.iter().map(|name| name.as_str()).collect();
            definitions.push(Definition {
                signature: format!("{}({})", function.name, params.join(", ")),
                docs: doc_text(function.comments.iter().map(|comment| comment.as_str())),
                n_params: function.params.len(),
                body: (function.body.start_position(), function.body.end_position()),
                source: Rc::clone(source),
            });
        }
    }

    pub fn add_file(&mut self, id: &str, source: Rc<Source>) {
        self.files.insert(id.to_owned(), source);
    }

    /// The files by their names, and their code.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .map(|(id, source)| (id.as_str(), source.code.as_str()))
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

    /// All definitions of a function, by number of parameters.
    pub fn definitions(&self, name: &str) -> Vec<&Definition> {
        let mut all: Vec<&Definition> = self.functions.get(name).into_iter().flatten().collect();
        all.sort_by_key(|definition| definition.n_params);
        all
    }

    /// The names of the functions that cells defined.
    pub fn function_names(&self) -> impl Iterator<Item = &str> {
        let names = self.functions.keys().map(String::as_str);
        names.filter(|name| !name.starts_with("anon$"))
    }
}

fn spans((start, end): (Position, Position), inside: Position) -> bool {
    let key = |position: Position| Some((position.line()?, position.position().unwrap_or(0)));
    match (key(start), key(inside), key(end)) {
        (Some(start), Some(inside), Some(end)) => start <= inside && inside <= end,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_functions_code_is_found() {
        let code = "let a = 1;\n/// Twice.\nprivate fn twice(n) {\n    let m = #{n: n};\n    `}${m.n}`; m.n * 2\n}\ntwice(a)";
        let engine = rhai::Engine::new();
        let ast = engine.compile(code).expect("it compiles");
        let mut sources = Sources::default();
        let source = Rc::new(Source::new(&engine, "In [1]", code));
        sources.add_functions(&ast, &source);
        let found = sources.definitions("twice");
        assert_eq!(found[0].signature, "twice(n)");
        assert_eq!(found[0].docs, "Twice.");
        let code = found[0].code().expect("its code");
        assert!(
            code.starts_with("private fn twice(n) {") && code.ends_with("m.n * 2\n}"),
            "{code}"
        );
    }

    #[test]
    fn what_is_replaced_is_forgotten() {
        let engine = rhai::Engine::new();
        let ast = engine.compile("fn f(a) { a }").expect("it compiles");
        let mut sources = Sources::default();
        let old = Rc::new(Source::new(&engine, "In [1]", "fn f(a) { a }"));
        sources.add_functions(&ast, &old);
        let new = Rc::new(Source::new(&engine, "In [2]", "fn f(a) { a }"));
        sources.add_functions(&ast, &new);
        assert_eq!(Rc::strong_count(&old), 1, "the old cell's text is kept");
    }
}
