//! Named arguments: the `#{…}` map that a primitive takes last.
//!
//! Each primitive's options are stated once, in its [`OptionTable`]; reading the map, the errors about
//! it, completion, help and the page of primitives derive from that table.

use std::collections::BTreeMap;
use std::ops::Range;

use rhai::{Array, Dynamic, Map};
use serde_json::Value;

use crate::errors::{ErrorKind, ScriptError};
use crate::result::json::{json, json_of_map};

mod target;
mod typed;
mod word;

pub use target::TargetOption;
pub use typed::{Choice, DefaultOf, OneOrMany, OptionReader, OptionSet, OptionValue};
pub use word::Word;

/// What an option's value may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OptionKind {
    Bool,
    /// True, false, or one of these names.
    BoolOr(&'static [&'static str]),
    /// A whole number, at least this.
    Int(i64),
    /// A whole number of at least 1, or one of these names.
    CountOr(&'static [&'static str]),
    /// A number; whole ones are taken too.
    Float,
    Text,
    OneOf(&'static [&'static str]),
    /// A string; these are usual.
    Such(&'static [&'static str]),
    /// An array of whole numbers, not negative.
    Ints,
    /// A string or an array of strings.
    Texts,
    /// One or several of these names.
    SomeOf(&'static [&'static str]),
    /// A token, by its text or its number.
    Token,
    /// One or several of these.
    Tokens,
    /// A map of plain values.
    Map,
    /// An array of such maps, or JSON text of one.
    Maps,
    /// A value that the primitive looks at itself; this says which, for people.
    Any(&'static str),
    /// A whole number or an array of them, not negative.
    IntOrInts,
    /// A number or an array of them.
    Floats,
    /// A token or label, a map of it with its contrast and position, or an array of these.
    Targets,
    /// An array of pairs of whole numbers.
    Spans,
}

impl OptionKind {
    /// For people: "a whole number of at least 1".
    pub fn describe(self) -> String {
        let quoted = |names: &[&str]| {
            names
                .iter()
                .map(|name| format!("\"{name}\""))
                .collect::<Vec<_>>()
                .join(", ")
        };
        match self {
            Self::Bool => "true or false".to_owned(),
            Self::BoolOr(names) => format!("true, false or {}", quoted(names)),
            Self::Int(i64::MIN) => "a whole number".to_owned(),
            Self::Int(least) => format!("a whole number of at least {least}"),
            Self::CountOr(names) => format!("a whole number of at least 1, or {}", quoted(names)),
            Self::Float => "a number".to_owned(),
            Self::Text => "a string".to_owned(),
            Self::OneOf(names) => format!("one of {}", quoted(names)),
            Self::Such(names) => format!("a string such as {}", quoted(names)),
            Self::Ints => "an array of whole numbers".to_owned(),
            Self::Texts => "a string or an array of strings".to_owned(),
            Self::SomeOf(names) => format!("one or an array of {}", quoted(names)),
            Self::IntOrInts => "a whole number or an array of them, from 0".to_owned(),
            Self::Floats => "a number or an array of them".to_owned(),
            Self::Targets => {
                "a text or a number, a map with `target`, `contrast`, `position`, or an array of these"
                    .to_owned()
            }
            Self::Spans => "an array of pairs [from, to] of whole numbers".to_owned(),
            Self::Token => "a token: its text or its number".to_owned(),
            Self::Tokens => "a token (its text or its number) or an array of them".to_owned(),
            Self::Map => "a map of plain values".to_owned(),
            Self::Maps => "an array of maps, or JSON text of one".to_owned(),
            Self::Any(which) => which.to_owned(),
        }
    }

    /// The strings it may, or usually does, consist of.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::OneOf(names)
            | Self::SomeOf(names)
            | Self::Such(names)
            | Self::BoolOr(names)
            | Self::CountOr(names) => names,
            _ => &[],
        }
    }

    /// Short, for signatures: `int`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::BoolOr(_) => "bool or string",
            Self::Int(_) => "int",
            Self::CountOr(_) => "int or string",
            Self::Float => "float",
            Self::Text | Self::OneOf(_) | Self::Such(_) => "string",
            Self::Ints => "[int]",
            Self::Texts | Self::SomeOf(_) => "string or [string]",
            Self::IntOrInts => "int or [int]",
            Self::Floats => "float or [float]",
            Self::Targets => "string, int, map or array",
            Self::Spans => "[[int, int]]",
            Self::Token => "string or int",
            Self::Tokens => "string, int or array",
            Self::Map => "map",
            Self::Maps => "[map] or string",
            Self::Any(_) => "value",
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct OptionSpec {
    pub name: &'static str,
    pub kind: OptionKind,
    /// What holds when it is not given, for people.
    pub default: &'static str,
    pub doc: &'static str,
    /// Whether a script's value is one of the kind.
    pub accepts: fn(&Dynamic) -> bool,
}

/// A row of an [`OptionTable`].
pub const fn option(
    name: &'static str,
    kind: OptionKind,
    default: &'static str,
    doc: &'static str,
) -> OptionSpec {
    OptionSpec {
        name,
        kind,
        default,
        doc,
        accepts: |_| true,
    }
}

/// Two tables' rows as one: what several primitives share, and what one has besides.
pub const fn joined<const N: usize>(first: &[OptionSpec], second: &[OptionSpec]) -> [OptionSpec; N] {
    assert!(first.len() + second.len() == N, "N is the number of both");
    let mut rows = [option("", OptionKind::Bool, "", ""); N];
    let mut i = 0;
    while i < N {
        rows[i] = if i < first.len() {
            first[i]
        } else {
            second[i - first.len()]
        };
        i += 1;
    }
    rows
}

#[derive(Debug)]
pub struct OptionTable {
    /// The primitive, as [`Entry::full_name`](crate::assist::catalog::Entry::full_name) gives it.
    pub primitive: &'static str,
    pub options: &'static [OptionSpec],
}

/// A value that passed its [`OptionKind`].
#[derive(Debug, Clone)]
enum Given {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Ints(Vec<i64>),
    Texts(Vec<String>),
    Words(Vec<Word>),
    Json(Value),
    Any(Dynamic),
    Floats(Vec<f64>),
    Targets(Vec<TargetOption>),
    Spans(Vec<Range<usize>>),
}

/// The options that were given; the others are None.
#[derive(Debug, Clone, Default)]
pub struct Options {
    given: BTreeMap<&'static str, Given>,
}

impl OptionTable {
    /// Reads a map. `()` as a value stands for "not given".
    ///
    /// # Errors
    /// An unknown name (with the nearest known one), or a value of the wrong type.
    pub fn read(&'static self, map: &Map) -> Result<Options, ScriptError> {
        let mut given = BTreeMap::new();
        for (name, value) in map {
            let spec = self.options.iter().find(|spec| spec.name == name.as_str());
            let spec = spec.ok_or_else(|| self.unknown(name))?;
            if !value.is_unit() {
                given.insert(spec.name, self.check(spec, value)?);
            }
        }
        Ok(Options { given })
    }

    fn unknown(&self, name: &str) -> ScriptError {
        let names = || self.options.iter().map(|spec| spec.name);
        let message = format!("{} has no option `{name}`", self.primitive);
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

    fn check(&self, spec: &OptionSpec, value: &Dynamic) -> Result<Given, ScriptError> {
        convert(spec.kind, value).ok_or_else(|| {
            let got = crate::result::show::brief(value);
            let expected = spec.kind.describe();
            let message = format!("option `{}` takes {expected}; got {got}", spec.name);
            let error = ScriptError::new(ErrorKind::Option, message).pointing_at(spec.name);
            match (spec.kind, value.as_immutable_string_ref()) {
                (
                    OptionKind::OneOf(names)
                    | OptionKind::SomeOf(names)
                    | OptionKind::BoolOr(names)
                    | OptionKind::CountOr(names),
                    Ok(text),
                ) => error.with_nearest(&text, names.iter().copied()),
                _ => error,
            }
        })
    }
}

fn convert(kind: OptionKind, value: &Dynamic) -> Option<Given> {
    let text = || value.as_immutable_string_ref().ok().map(|text| text.to_string());
    match kind {
        OptionKind::IntOrInts => target::numbers(value).map(Given::Ints),
        OptionKind::Floats => target::floats(value).map(Given::Floats),
        OptionKind::Targets => target::targets(value).map(Given::Targets),
        OptionKind::Spans => target::spans(value).map(Given::Spans),
        OptionKind::Bool => value.as_bool().ok().map(Given::Bool),
        OptionKind::BoolOr(names) => match value.as_bool() {
            Ok(flag) => Some(Given::Bool(flag)),
            Err(_) => text().filter(|t| names.contains(&t.as_str())).map(Given::Text),
        },
        OptionKind::Int(least) => value.as_int().ok().filter(|&n| n >= least).map(Given::Int),
        OptionKind::CountOr(names) => {
            convert(OptionKind::Int(1), value).or_else(|| convert(OptionKind::OneOf(names), value))
        }
        OptionKind::Float => number(value).filter(|x| x.is_finite()).map(Given::Float),
        OptionKind::Text | OptionKind::Such(_) => text().map(Given::Text),
        OptionKind::OneOf(names) => text().filter(|t| names.contains(&t.as_str())).map(Given::Text),
        OptionKind::Ints => {
            let array = value.as_array_ref().ok()?;
            let ints = array.iter().map(|item| item.as_int().ok().filter(|&n| n >= 0));
            ints.collect::<Option<Vec<_>>>().map(Given::Ints)
        }
        OptionKind::Texts => texts(value).map(Given::Texts),
        OptionKind::SomeOf(names) => texts(value)
            .filter(|all| all.iter().all(|t| names.contains(&t.as_str())))
            .map(Given::Texts),
        OptionKind::Any(_) => Some(Given::Any(value.clone())),
        OptionKind::Token => Word::of(value).map(|word| Given::Words(vec![word])),
        OptionKind::Tokens => Word::several(value).map(Given::Words),
        OptionKind::Map => json_of_map(&*value.as_map_ref().ok()?).map(Given::Json),
        OptionKind::Maps => {
            let list = match text() {
                Some(text) => serde_json::from_str(&text).ok()?,
                None => json(value)?,
            };
            let is_maps = list.as_array()?.iter().all(Value::is_object);
            is_maps.then_some(Given::Json(list))
        }
    }
}

fn texts(value: &Dynamic) -> Option<Vec<String>> {
    if let Ok(text) = value.as_immutable_string_ref() {
        return Some(vec![text.to_string()]);
    }
    let array = value.as_array_ref().ok()?;
    let texts = |array: &Array| {
        array
            .iter()
            .map(|item| item.as_immutable_string_ref().ok().map(|text| text.to_string()))
            .collect()
    };
    texts(&array)
}

/// A number of either type.
pub fn number(value: &Dynamic) -> Option<f64> {
    value
        .as_float()
        .ok()
        .or_else(|| value.as_int().ok().map(|n| n as f64))
}

impl Options {
    pub fn bool(&self, name: &str) -> Option<bool> {
        match self.given.get(name)? {
            Given::Bool(value) => Some(*value),
            _ => None,
        }
    }

    pub fn int(&self, name: &str) -> Option<i64> {
        match self.given.get(name)? {
            Given::Int(value) => Some(*value),
            _ => None,
        }
    }

    pub fn usize(&self, name: &str) -> Option<usize> {
        self.int(name).and_then(|value| usize::try_from(value).ok())
    }

    pub fn u64(&self, name: &str) -> Option<u64> {
        self.int(name).and_then(|value| u64::try_from(value).ok())
    }

    pub fn float(&self, name: &str) -> Option<f64> {
        match self.given.get(name)? {
            Given::Float(value) => Some(*value),
            _ => None,
        }
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        match self.given.get(name)? {
            Given::Text(value) => Some(value),
            _ => None,
        }
    }

    pub fn usizes(&self, name: &str) -> Option<Vec<usize>> {
        match self.given.get(name)? {
            Given::Ints(values) => Some(values.iter().filter_map(|&n| usize::try_from(n).ok()).collect()),
            _ => None,
        }
    }

    pub fn json(&self, name: &str) -> Option<&Value> {
        match self.given.get(name)? {
            Given::Json(value) => Some(value),
            _ => None,
        }
    }

    pub fn any(&self, name: &str) -> Option<&Dynamic> {
        match self.given.get(name)? {
            Given::Any(value) => Some(value),
            _ => None,
        }
    }

    /// Tokens as the script names them.
    pub fn words(&self, name: &str) -> Option<&[Word]> {
        match self.given.get(name)? {
            Given::Words(words) => Some(words),
            _ => None,
        }
    }

    pub fn texts(&self, name: &str) -> Option<&[String]> {
        match self.given.get(name)? {
            Given::Texts(values) => Some(values),
            _ => None,
        }
    }

    pub fn floats(&self, name: &str) -> Option<&[f64]> {
        match self.given.get(name)? {
            Given::Floats(values) => Some(values),
            _ => None,
        }
    }

    pub fn targets(&self, name: &str) -> Option<&[TargetOption]> {
        match self.given.get(name)? {
            Given::Targets(values) => Some(values),
            _ => None,
        }
    }

    pub fn spans(&self, name: &str) -> Option<&[Range<usize>]> {
        match self.given.get(name)? {
            Given::Spans(values) => Some(values),
            _ => None,
        }
    }
}
