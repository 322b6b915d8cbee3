//! Python's words: `None`, `and`, `not`, `is`, `lambda`, `a if c else b`.

use super::{Code, Found};

pub(super) fn constants(code: &Code) -> Vec<Found> {
    let rows = [("None", "()"), ("True", "true"), ("False", "false")];
    let each = rows.iter().flat_map(|&(python, rhai)| {
        let places = code.words(python).filter(|_| !code.is_variable(python));
        places.map(move |at| Found::new(code.span(at, at + 1), rhai.to_owned()))
    });
    each.collect()
}

/// `is`, `is not`, `not in`.
pub(super) fn identity(code: &Code) -> Vec<Found> {
    let is = code.words("is").filter(|&at| at > 0 && code.ends_operand(at - 1));
    let is = is.map(|at| match code.is(at + 1, "not") {
        true => Found::new(code.span(at, at + 2), "!=".to_owned()),
        false => Found::new(code.span(at, at + 1), "==".to_owned()),
    });
    let not_in = code
        .words("not")
        .filter(|&at| at > 0 && code.is(at + 1, "in") && code.ends_operand(at - 1));
    let not_in = not_in.map(|at| Found::new(code.span(at, at + 2), "!in".to_owned()));
    is.chain(not_in).collect()
}

pub(super) fn logic(code: &Code) -> Vec<Found> {
    let rows = [("and", "&&"), ("or", "||")];
    let each = rows.iter().flat_map(|&(python, rhai)| {
        let places = code
            .words(python)
            .filter(|&at| at > 0 && code.ends_operand(at - 1));
        places.map(move |at| Found::new(code.span(at, at + 1), rhai.to_owned()))
    });
    each.collect()
}

/// `not x`: what it negates goes on to `and` or `or`.
pub(super) fn negation(code: &Code) -> Vec<Found> {
    let places = code
        .words("not")
        .filter(|&at| at == 0 || !code.ends_operand(at - 1));
    let found = places.filter(|&at| at + 1 < code.lexemes.len()).map(|at| {
        let end = code.expression_end(at + 1, &["and", "or", "&&", "||", ":", "if", "else", "{"]);
        let end = end.max(at + 2).min(code.lexemes.len());
        Found::new(code.span(at, end), format!("!{}", code.operand(at + 1, end)))
    });
    found.collect()
}

/// `lambda a, b: …` is `|a, b| …`; without a parameter, `|| …`.
pub(super) fn lambda(code: &Code) -> Vec<Found> {
    let found = code.words("lambda").filter_map(|at| {
        let colon = (at + 1..code.lexemes.len()).find(|&i| code.is(i, ":"))?;
        let end = code.expression_end(colon + 1, &[]);
        if end == colon + 1 {
            return None;
        }
        let (parameters, body) = (code.text(at + 1, colon), code.text(colon + 1, end));
        Some(Found::new(code.span(at, end), format!("|{parameters}| {body}")))
    });
    found.collect()
}

/// `a if c else b` is `if c { a } else { b }`.
pub(super) fn conditional(code: &Code) -> Vec<Found> {
    let found = code.words("if").filter_map(|at| {
        if at == 0 || code.begins_line(at) || !code.ends_operand(at - 1) || code.is(at - 1, "}") {
            return None;
        }
        let start = code.expression_start(at);
        let otherwise = code.expression_end(at + 1, &["else", "{"]);
        if start == at || !code.is(otherwise, "else") {
            return None;
        }
        let end = code.expression_end(otherwise + 1, &["for"]);
        let (then, condition) = (code.text(start, at), code.text(at + 1, otherwise));
        let other = code.text(otherwise + 1, end);
        let text = format!("if {condition} {{ {then} }} else {{ {other} }}");
        (end > otherwise + 1).then(|| Found::new(code.span(start, end), text))
    });
    found.collect()
}
