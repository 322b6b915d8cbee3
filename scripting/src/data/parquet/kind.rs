//! What the values of a column are, all of them together.

use rhai::Dynamic;

use crate::errors::{ErrorKind, ScriptError};
use crate::result::show;
use crate::tensor::work::Work;

/// Levels of lists and maps in each other.
const DEEPEST: usize = 16;

/// A type of a column, or of what is in it. Any value may be missing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Nothing,
    Truth,
    Whole,
    Number,
    Text,
    List(Box<Kind>),
    /// Fields by name, in the order in which they come up.
    Group(Vec<(String, Kind)>),
}

impl Kind {
    /// That of all values of a column.
    ///
    /// # Errors
    /// Values of kinds that no column has together, or that have no form in such a file.
    pub(crate) fn of_column(name: &str, values: &[Dynamic], work: &Work) -> Result<Self, ScriptError> {
        let mut kind = Self::Nothing;
        for value in values {
            let no_form = || without_form(name, &show::brief(value));
            let next = Self::of(value, DEEPEST, work)?.ok_or_else(no_form)?;
            kind = kind
                .joined(next)
                .ok_or_else(|| of_several_kinds(name, &show::brief(value)))?;
        }
        match kind.has_empty_group() {
            true => Err(without_form(name, "maps of nothing")),
            false => Ok(kind),
        }
    }

    /// Becomes what holds values of both.
    ///
    /// # Errors
    /// Kinds that no column has together.
    pub(super) fn join(&mut self, name: &str, other: Self) -> Result<(), ScriptError> {
        let joined = std::mem::replace(self, Self::Nothing).joined(other);
        *self = joined.ok_or_else(|| of_several_kinds(name, "lines differ"))?;
        Ok(())
    }

    /// A group has a field at least.
    fn has_empty_group(&self) -> bool {
        match self {
            Self::List(item) => item.has_empty_group(),
            Self::Group(fields) => fields.is_empty() || fields.iter().any(|(_, kind)| kind.has_empty_group()),
            _ => false,
        }
    }

    fn of(value: &Dynamic, levels: usize, work: &Work) -> Result<Option<Self>, ScriptError> {
        work.step(1 << 6)?;
        let Some(levels) = levels.checked_sub(1) else {
            return Ok(None);
        };
        if let Ok(items) = value.as_array_ref() {
            let mut kind = Self::Nothing;
            for item in items.iter() {
                match Self::of(item, levels, work)?.and_then(|next| kind.joined(next)) {
                    Some(joined) => kind = joined,
                    None => return Ok(None),
                }
            }
            return Ok(Some(Self::List(kind.into())));
        }
        if let Ok(map) = value.as_map_ref() {
            let mut fields = Vec::new();
            for (name, value) in map.iter() {
                match Self::of(value, levels, work)? {
                    Some(kind) => fields.push((name.to_string(), kind)),
                    None => return Ok(None),
                }
            }
            return Ok(Some(Self::Group(fields)));
        }
        Ok(Self::plain(value))
    }

    fn plain(value: &Dynamic) -> Option<Self> {
        if value.is_unit() {
            return Some(Self::Nothing);
        }
        let kinds = [
            (value.is_bool(), Self::Truth),
            (value.is_int(), Self::Whole),
            (value.is_float(), Self::Number),
            (value.is_string() || value.is_char(), Self::Text),
        ];
        kinds.into_iter().find_map(|(is, kind)| is.then_some(kind))
    }

    /// What holds values of both.
    fn joined(self, other: Self) -> Option<Self> {
        Some(match (self, other) {
            (Self::Nothing, kind) | (kind, Self::Nothing) => kind,
            (Self::Whole, Self::Number) | (Self::Number, Self::Whole) => Self::Number,
            (Self::List(a), Self::List(b)) => Self::List(a.joined(*b)?.into()),
            (Self::Group(mut fields), Self::Group(others)) => {
                for (name, other) in others {
                    match fields.iter_mut().find(|(known, _)| *known == name) {
                        Some((_, kind)) => *kind = std::mem::replace(kind, Self::Nothing).joined(other)?,
                        None => fields.push((name, other)),
                    }
                }
                Self::Group(fields)
            }
            (a, b) => return (a == b).then_some(a),
        })
    }

    /// How many columns of a file it takes.
    pub(super) fn n_leaves(&self) -> usize {
        match self {
            Self::List(item) => item.n_leaves(),
            Self::Group(fields) => fields.iter().map(|(_, kind)| kind.n_leaves()).sum(),
            _ => 1,
        }
    }
}

fn of_several_kinds(name: &str, value: &str) -> ScriptError {
    let message = format!("column {name:?} has values of several kinds: {value}");
    ScriptError::new(ErrorKind::Type, message).with_hint("make them of one kind, or save a .jsonl")
}

fn without_form(name: &str, value: &str) -> ScriptError {
    let message = format!("column {name:?} has {value}, which has no form in parquet");
    ScriptError::new(ErrorKind::Type, message).with_hint(
        "a column has texts, numbers, truths, or lists or maps of these: leave it out with `select`, or save a .jsonl",
    )
}
