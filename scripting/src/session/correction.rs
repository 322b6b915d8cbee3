//! What an error of a habit from Python is told: see [`habits`].

use rhai::{EvalAltResult, ParseErrorType};

use super::fault::{Fault, Names, split_types, type_name};
use crate::assist::source::Source;
use crate::habits::{self, Correction, Wrong, values};

/// Says what people who come from Python should write, where a habit of theirs is what is wrong.
pub(super) fn correct(fault: &mut Fault, error: &EvalAltResult, names: &Names) {
    let is_syntax = matches!(error, EvalAltResult::ErrorParsing(..));
    let Some(frame) = fault.frames.last_mut() else {
        return;
    };
    let Some(source) = &frame.source else { return };
    let Some(at) = source.offset(frame.position) else {
        return;
    };
    let wrong_at = |code: &str| {
        let source = Source::new(names.engine, "", code);
        let error = names.engine.compile(source.script()).err()?;
        let end = code.chars().count();
        Some(source.offset(source.place(error.position())).unwrap_or(end))
    };
    let wrong = Wrong {
        code: &source.code,
        at,
        is_syntax,
        known: names.scope,
        fault: &wrong_at,
    };
    let Some(correction) = correction(error, &wrong, names) else {
        return;
    };
    frame.position = source.position(correction.at);
    if let Some(message) = correction.message {
        fault.error.message = message.to_owned();
    }
    fault.error.hint = Some(correction.hint);
}

/// What helps with an error at a place, besides the names that exist.
fn correction(error: &EvalAltResult, wrong: &Wrong, names: &Names) -> Option<Correction> {
    use EvalAltResult as E;
    match error {
        E::ErrorParsing(ParseErrorType::MissingToken(token, _), _) if token == ";" => {
            let is_missing = habits::missing_semicolon(wrong);
            is_missing.or_else(|| habits::correct(wrong))
        }
        E::ErrorParsing(..) | E::ErrorVariableNotFound(..) => habits::correct(wrong),
        E::ErrorFunctionNotFound(call, _) => call_corrected(call, wrong, names),
        E::ErrorIndexingType(types, _) => {
            let of = type_name(types.split_once(" [").map_or(types, |(of, _)| of));
            let members: Vec<&str> = names
                .catalog
                .members_of(&of)
                .map(|entry| entry.member_name())
                .collect();
            let is_set = types.contains("] = ");
            (!is_set && of != "Tensor")
                .then(|| values::member_by_index(wrong, &members))
                .flatten()
        }
        E::ErrorMismatchDataType(expected, actual, _) => {
            let is_range = type_name(expected) == "int" && type_name(actual) == "range";
            is_range.then(|| values::range_of_array(wrong)).flatten()
        }
        E::ErrorDotExpr(..) => values::help_by_text(wrong),
        _ => None,
    }
}

/// `call` is Rhai's description: `generate (Model, i64)`.
fn call_corrected(call: &str, wrong: &Wrong, names: &Names) -> Option<Correction> {
    let (name, arguments) = call.split_once(" (").unwrap_or((call, ""));
    let arguments = split_types(arguments.trim_end_matches(')'));
    if name == "%" && arguments.first().is_some_and(|of| of == "string") {
        return values::percent(wrong);
    }
    // One that would do with a map of options in the place of the last argument.
    let with_options = names.catalog.functions_named(name).find(|entry| {
        let same = entry
            .params
            .iter()
            .zip(&arguments)
            .rev()
            .skip(1)
            .all(|(param, of)| param.of == *of);
        same && entry.params.len() == arguments.len() && entry.options.is_some()
    });
    match (with_options.and_then(|entry| entry.options), arguments.last()) {
        (Some(options), Some(last)) if last != "map" => values::option_without_name(wrong, options, last),
        _ => habits::correct(wrong),
    }
}
