//! A map of options, checked against the rows that say what they may be.

use rhai::{Dynamic, Map};

use super::{OptionKind, OptionSpec, OptionValue, Told};
use crate::errors::{ErrorKind, ScriptError, nearest};

/// A map whose names and values are known to be right.
pub struct OptionReader<'a> {
    map: &'a Map,
}

impl<'a> OptionReader<'a> {
    pub fn new(primitive: &str, rows: &[OptionSpec], map: &'a Map) -> Result<Self, ScriptError> {
        for (name, value) in map {
            let row = rows.iter().find(|row| row.name == name.as_str());
            let row = row.ok_or_else(|| unknown(primitive, rows, name))?;
            if !value.is_unit() && !(row.accepts)(value) {
                return Err(refused(row, value));
            }
        }
        Ok(Self { map })
    }

    /// The whole map.
    pub fn told(&self) -> Told {
        Told::of(self.map)
    }

    /// The value of an option, if it was given.
    pub fn get<T: OptionValue>(&self, name: &str) -> Option<T> {
        T::of(self.map.get(name).filter(|value| !value.is_unit())?)
    }
}

fn unknown(primitive: &str, rows: &[OptionSpec], name: &str) -> ScriptError {
    let names = || rows.iter().map(|row| row.name);
    let message = format!("{primitive} has no option `{name}`");
    let error = ScriptError::new(ErrorKind::Option, message).pointing_at(name);
    let error = error.with_nearest(name, names());
    match error.hint {
        Some(_) => error,
        None => error.with_hint(format!(
            "its options are {}",
            names().collect::<Vec<_>>().join(", ")
        )),
    }
}

/// Names that an error's first line lists at most.
const MOST_NAMES: usize = 6;

fn refused(row: &OptionSpec, value: &Dynamic) -> ScriptError {
    let got = crate::result::show::brief(value);
    let names = row.grouped_names();
    if matches!(row.kind, OptionKind::OneOf(_) | OptionKind::SomeOf(_)) && names.len() > MOST_NAMES {
        let message = format!(
            "option `{}` takes one of {} names; got {got}",
            row.name,
            names.len()
        );
        let all = names.join(", ");
        let text = value.as_immutable_string_ref().map(|text| text.to_string());
        let meant = text
            .ok()
            .and_then(|text| nearest(&text, row.kind.names().iter().copied()));
        let hint = meant.map_or(all.clone(), |meant| {
            format!("did you mean `{meant}`? All are {all}")
        });
        return ScriptError::new(ErrorKind::Option, message)
            .pointing_at(row.name)
            .with_hint(hint);
    }
    let expected = row.describe();
    let message = format!("option `{}` takes {expected}; got {got}", row.name);
    let error = ScriptError::new(ErrorKind::Option, message).pointing_at(row.name);
    match (row.kind, value.as_immutable_string_ref()) {
        (
            OptionKind::OneOf(names)
            | OptionKind::SomeOf(names)
            | OptionKind::BoolOr(names)
            | OptionKind::CountOr(names),
            Ok(text),
        ) => error.with_nearest(&text, names.iter().copied()),
        _ => error,
    }
}
