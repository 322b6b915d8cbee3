//! Rhai's errors in this kernel's words.

use std::rc::Rc;

use rhai::{Dynamic, Engine, EvalAltResult, ParseErrorType, Position};

use crate::assist::catalog::{Catalog, Entry};
use crate::assist::complete::NameScope;
use crate::assist::docs;
use crate::assist::source::{Source, Sources};
use crate::errors::{ErrorKind, ScriptError};
use crate::session::correction::correct;

/// An error and the way to it.
#[derive(Debug)]
pub(super) struct Fault {
    pub error: ScriptError,
    /// From the cell that ran to the place of the error.
    pub frames: Vec<Frame>,
}

/// A place the error passed through.
#[derive(Debug)]
pub(super) struct Frame {
    /// None for code that was given to `eval`.
    pub source: Option<Rc<Source>>,
    pub position: Position,
    /// The function this place is in.
    pub function: Option<String>,
}

/// The names that exist, to say what was meant.
pub(super) struct Names<'a> {
    pub catalog: &'a Catalog,
    pub sources: &'a Sources,
    pub variables: Vec<String>,
    /// Functions that cells defined: name and signature.
    pub script_functions: Vec<(String, String)>,
    /// The same and more, as completion knows them.
    pub scope: &'a NameScope<'a>,
    pub engine: &'a Engine,
}

/// Finds the innermost error and its place, and says it in our words.
pub(super) fn translate(error: &EvalAltResult, cell: &Rc<Source>, names: &Names) -> Fault {
    let (inner, frames) = unwind(error, cell, names.sources);
    let in_function = frames.last().is_some_and(|frame| frame.function.is_some());
    let mut fault = Fault {
        error: describe(inner, in_function, names),
        frames,
    };
    correct(&mut fault, inner, names);
    fault
}

fn unwind<'e>(
    error: &'e EvalAltResult,
    cell: &Rc<Source>,
    sources: &Sources,
) -> (&'e EvalAltResult, Vec<Frame>) {
    let mut frames = Vec::new();
    let mut error = error;
    let mut source = Some(Rc::clone(cell));
    let mut function = None;
    loop {
        let written = source.as_ref().map(|source| source.place(place(error)));
        let position = written.unwrap_or(place(error));
        let (next, into, called) = match error {
            EvalAltResult::ErrorInFunctionCall(name, file, next, _) => {
                let into = match name.as_str() {
                    "eval" => None,
                    _ => sources
                        .file(file)
                        .or_else(|| sources.of_function(name, place(next))),
                };
                (next, into, Some(name.clone()))
            }
            EvalAltResult::ErrorInModule(file, next, _) => (next, sources.file(file), None),
            _ => {
                frames.push(Frame {
                    source,
                    position,
                    function,
                });
                return (error, frames);
            }
        };
        frames.push(Frame {
            source,
            position,
            function,
        });
        (error, source, function) = (next, into, called);
    }
}

fn place(error: &EvalAltResult) -> Position {
    error.position()
}

fn describe(error: &EvalAltResult, in_function: bool, names: &Names) -> ScriptError {
    use ErrorKind as K;
    use EvalAltResult as E;
    let new = |kind: ErrorKind, message: String| ScriptError::new(kind, message);
    match error {
        E::ErrorRuntime(value, _) | E::ErrorTerminated(value, _) if value.is::<ScriptError>() => {
            value.clone_cast::<ScriptError>()
        }
        E::ErrorRuntime(value, _) => new(K::Runtime, thrown_text(value)),
        E::ErrorTerminated(..) => ScriptError::interrupted(),
        E::ErrorParsing(kind, _) => describe_parsing(kind),
        E::ErrorVariableNotFound(name, _) => unknown_variable(name, in_function, names),
        E::ErrorFunctionNotFound(call, _) => unknown_function(call, names),
        E::ErrorModuleNotFound(name, _) => {
            new(K::Import, format!("there is no module `{name}`")).with_nearest(name, ["ecco"])
        }
        E::ErrorDotExpr(text, _) => unknown_property(text, names),
        E::ErrorPropertyNotFound(name, _) => new(K::Attribute, format!("there is no property `{name}`")),
        E::ErrorMismatchDataType(expected, actual, _) | E::ErrorMismatchOutputType(expected, actual, _) => {
            let (expected, actual) = (type_name(expected), type_name(actual));
            new(K::Type, format!("expected {expected}, got {actual}"))
        }
        E::ErrorIndexingType(types, _) => wrong_index(types),
        E::ErrorArrayBounds(len, index, _) => out_of_range("array", "items", *len, *index),
        E::ErrorStringBounds(len, index, _) => out_of_range("string", "characters", *len, *index),
        E::ErrorBitFieldBounds(len, index, _) => out_of_range("bit field", "bits", *len, *index),
        E::ErrorIndexNotFound(index, _) => new(K::Index, format!("there is no index {index}")),
        E::ErrorFor(_) => ScriptError::new(K::Type, "this value cannot be iterated over")
            .with_hint("`for` takes arrays, ranges, strings, maps' `keys()` and tensors"),
        E::ErrorArithmetic(text, _) => new(K::Arithmetic, lower_first(text)),
        E::ErrorAssignmentToConstant(name, _) => {
            new(K::Type, format!("`{name}` is a constant and cannot be changed"))
                .with_hint("define it with `let`")
        }
        E::ErrorStackOverflow(_) => ScriptError::new(K::Recursion, "functions call each other too deeply")
            .with_hint("is the condition that ends the recursion ever met?"),
        E::ErrorDataTooLarge(what, _) => new(K::Memory, format!("{} is over its limit", lower_first(what))),
        E::ErrorSystem(text, source) if text.is_empty() => new(K::Runtime, source.to_string()),
        E::ErrorSystem(text, source) => new(K::Runtime, format!("{text}: {source}")),
        other => new(K::Runtime, lower_first(&without_position(other))),
    }
}

fn describe_parsing(kind: &ParseErrorType) -> ScriptError {
    let error = ScriptError::new(ErrorKind::Syntax, lower_first(&kind.to_string()));
    match kind {
        ParseErrorType::Reserved(word) => error.with_hint(format!(
            "`{word}` is reserved by the language: use another name, or quote it as a map's key"
        )),
        ParseErrorType::BadInput(rhai::LexError::UnterminatedString) => {
            error.with_hint("a string in \"…\" ends on its line; one in `…` may span several")
        }
        ParseErrorType::BadInput(rhai::LexError::UnexpectedInput(met)) if !met.is_ascii() => error.with_hint(
            "names hold letters of any alphabet, digits and `_`; everything else belongs into a string",
        ),
        ParseErrorType::ExprTooDeep => error.with_hint("split the expression over several statements"),
        _ => error,
    }
}

fn unknown_variable(name: &str, in_function: bool, names: &Names) -> ScriptError {
    let error = ScriptError::new(ErrorKind::Name, format!("there is no variable `{name}`"));
    let exists_outside = names.variables.iter().any(|variable| variable == name);
    if in_function && exists_outside {
        return error.with_hint(format!(
            "functions see no outer variables: pass `{name}` as an argument, or write a closure, \
             `let f = |…| …;`, which captures it"
        ));
    }
    if names.catalog.functions_named(name).next().is_some() {
        return error.with_hint(format!("`{name}` is a function: call it, `{name}(…)`"));
    }
    let inside = format!("{name}::");
    let full = names.catalog.entries().map(|entry| entry.full_name());
    // What a notebook begins with is the best example.
    let order = |full: &String| (!full.ends_with("::from_pretrained"), full.clone());
    if let Some(example) = full.filter(|full| full.starts_with(&inside)).min_by_key(order) {
        return error.with_hint(format!(
            "`{name}` is a module, and `::` stands before its functions: `{example}(…)`"
        ));
    }
    error.with_nearest(name, names.variables.iter().map(String::as_str))
}

/// `call` is Rhai's description: `generate (Model, i64)`.
fn unknown_function(call: &str, names: &Names) -> ScriptError {
    let (name, arguments) = call.split_once(" (").unwrap_or((call, ""));
    let arguments: Vec<String> = split_types(arguments.trim_end_matches(')'));
    let given = arguments.join(", ");
    let versions: Vec<&Entry> = names
        .catalog
        .functions_named(name)
        .filter(|entry| entry.full_name() == name || !entry.full_name().contains("::"))
        .collect();
    // Where a value of that type has the function, the others are of no help.
    let own = |entry: &&&Entry| {
        entry.receiver().is_some() && entry.receiver() == arguments.first().map(String::as_str)
    };
    let own: Vec<&Entry> = versions.iter().filter(own).copied().collect();
    let mut signatures = docs::signatures(if own.is_empty() { &versions } else { &own });
    let scripted = names.script_functions.iter().filter(|(other, _)| other == name);
    signatures.extend(scripted.map(|(_, signature)| signature.clone()));
    if !name.chars().any(|c| c.is_alphanumeric()) {
        let message = format!("`{name}` does not work on {}", arguments.join(" and "));
        return ScriptError::new(ErrorKind::Type, message);
    }
    if signatures.is_empty() {
        let error = ScriptError::new(ErrorKind::Name, format!("there is no function `{name}`"));
        if let Some(entry) = names.catalog.functions_named(name).next() {
            return error.with_hint(format!("did you mean `{}`?", entry.full_name()));
        }
        let scripted = names.script_functions.iter().map(|(name, _)| name.as_str());
        let full: Vec<String> = names.catalog.entries().map(|entry| entry.full_name()).collect();
        let full = full.iter().map(String::as_str).filter(|full| full.contains("::"));
        return error.with_nearest(name, names.catalog.function_names().chain(scripted).chain(full));
    }
    signatures.sort();
    signatures.dedup();
    signatures.truncate(8);
    let is_of = |entry: &Entry, of: Option<&str>| of.is_some() && entry.receiver() == of;
    let is_of_arrays = versions.iter().any(|entry| is_of(entry, Some("array")));
    let mut conversions = names.catalog.functions_named("to_array");
    let has_items = conversions.any(|entry| is_of(entry, arguments.first().map(String::as_str)));
    let items = match is_of_arrays && has_items {
        true => format!("`.to_array().{name}(…)` takes its items; "),
        false => String::new(),
    };
    ScriptError::new(
        ErrorKind::Type,
        format!("`{name}` cannot be called with ({given})"),
    )
    .with_hint(format!(
        "{items}it can be called as\n  {}",
        signatures.join("\n  ")
    ))
}

/// `text` is Rhai's: `Unknown property 'x' - a getter is not registered for type 'T'`, or `a setter`.
fn unknown_property(text: &str, names: &Names) -> ScriptError {
    let mut quoted = text.split('\'').skip(1).step_by(2);
    let (Some(property), Some(of)) = (quoted.next(), quoted.next()) else {
        return ScriptError::new(ErrorKind::Attribute, lower_first(text));
    };
    let of = type_name(of);
    let error = ScriptError::new(ErrorKind::Attribute, format!("{of} has no property `{property}`"));
    let members: Vec<&str> = names
        .catalog
        .members_of(&of)
        .map(|entry| entry.member_name())
        .collect();
    if members.contains(&property) && text.contains("a setter is not registered") {
        let message = format!("`{property}` of a value of type {of} cannot be set");
        return ScriptError::new(ErrorKind::Attribute, message);
    }
    if members.contains(&property) {
        return error.with_hint(format!("`{property}` is a method: call it, `.{property}()`"));
    }
    error.with_nearest(property, members)
}

/// `types` is Rhai's: `Tensor [f64]`, and `Tensor [i64] = f64` where an entry was to be set.
fn wrong_index(types: &str) -> ScriptError {
    let (of, rest) = types.split_once(" [").unwrap_or((types, ""));
    let (index, is_set) = match rest.split_once("] = ") {
        Some((index, _)) => (index, true),
        None => (rest.trim_end_matches(']'), false),
    };
    let (of, index) = (type_name(of), type_name(index));
    if is_set {
        let message = format!("entries of a value of type {of} cannot be set by an index of type {index}");
        return ScriptError::new(ErrorKind::Type, message);
    }
    let message = format!("a value of type {of} has no index of type {index}");
    let error = ScriptError::new(ErrorKind::Type, message);
    match of.as_str() {
        "Tensor" => {
            error.with_hint("t[0] and t[2..5] take from the first axis, t.slice([0, (), 2..5]) from each")
        }
        _ => error,
    }
}

fn out_of_range(what: &str, unit: &str, len: usize, index: i64) -> ScriptError {
    let message = format!("index {index} is out of range: the {what} has {len} {unit}");
    let error = ScriptError::new(ErrorKind::Index, message);
    match len {
        0 => error,
        _ => error.with_hint(format!(
            "valid are 0 to {} and, from the end, -1 to -{len}",
            len - 1
        )),
    }
}

fn thrown_text(value: &Dynamic) -> String {
    let text = crate::result::show::printed(value);
    if value.is_unit() || text.is_empty() {
        "the script threw an error".to_owned()
    } else {
        text
    }
}

fn without_position(error: &EvalAltResult) -> String {
    let mut bare = error.to_string();
    if let Some(at) = bare.rfind(" (line ") {
        bare.truncate(at);
    }
    bare
}

/// Splits at commas that are not inside `<…>` or `(…)`, and names the types for people.
pub(super) fn split_types(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for c in text.chars() {
        match c {
            '<' | '(' => depth += 1,
            '>' | ')' => depth -= 1,
            _ => {}
        }
        match parts.last_mut() {
            Some(part) if c != ',' || depth > 0 => part.push(c),
            _ => parts.push(String::new()),
        }
    }
    let named = parts.iter().map(|part| type_name(part.trim()));
    named.filter(|part| !part.is_empty()).collect()
}

pub(super) fn type_name(text: &str) -> String {
    crate::names::type_for_people(text)
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}
