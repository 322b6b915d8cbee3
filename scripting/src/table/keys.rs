//! What cells are compared by: sorting, grouping and joining take plain values only.

use std::cmp::Ordering;

use rhai::{Dynamic, ImmutableString};

use super::{Column, Table};
use crate::errors::{ErrorKind, ScriptError};
use crate::result::show;
use crate::tensor::work::Work;

/// A plain value. 1 and 1.0 are the same; NaN is itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Truth(bool),
    Whole(i64),
    /// The bits of a float that is no whole number of 64 bits.
    Float(u64),
    Text(ImmutableString),
    Nothing,
}

impl Key {
    pub(super) fn of(value: &Dynamic, column: &str) -> Result<Self, ScriptError> {
        if value.is_unit() {
            return Ok(Self::Nothing);
        }
        if let Ok(text) = value.as_immutable_string_ref() {
            return Ok(Self::Text(text.clone()));
        }
        let whole = value.as_int().map(Self::Whole);
        let truth = || value.as_bool().map(Self::Truth);
        let float = || value.as_float().map(Self::of_float);
        let letter = || {
            value
                .as_char()
                .map(|letter| Self::Text(letter.to_string().into()))
        };
        let key = whole
            .or_else(|_| truth())
            .or_else(|_| float())
            .or_else(|_| letter());
        key.map_err(|_| {
            let of = show::type_name(value);
            let message = format!("column {column:?} has a value of type {of}, which has no order");
            ScriptError::new(ErrorKind::Type, message)
                .with_hint("numbers, texts, true and false can be compared")
        })
    }

    fn of_float(value: f64) -> Self {
        // 2^63, the first that is beyond whole numbers.
        const BEYOND: f64 = 9_223_372_036_854_775_808.0;
        match value.trunc() == value && (-BEYOND..BEYOND).contains(&value) {
            true => Self::Whole(value as i64),
            false if value.is_nan() => Self::Float(f64::NAN.to_bits()),
            false => Self::Float(value.to_bits()),
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Whole(number) => Some(*number as f64),
            Self::Float(bits) => Some(f64::from_bits(*bits)),
            _ => None,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Truth(_) => 0,
            Self::Whole(_) | Self::Float(_) => 1,
            Self::Text(_) => 2,
            Self::Nothing => 3,
        }
    }

    /// False before true, then numbers, then texts. What is missing, or no number, comes last either way.
    pub(super) fn order(&self, other: &Self, descending: bool) -> Ordering {
        let is_last = |key: &Self| *key == Self::Nothing || key.number().is_some_and(f64::is_nan);
        match (is_last(self), is_last(other)) {
            (true, true) => return self.rank().cmp(&other.rank()),
            (true, false) => return Ordering::Greater,
            (false, true) => return Ordering::Less,
            (false, false) => {}
        }
        let order = match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.as_str().cmp(b.as_str()),
            (Self::Truth(a), Self::Truth(b)) => a.cmp(b),
            _ => match (self.number(), other.number()) {
                (Some(a), Some(b)) => a.total_cmp(&b),
                _ => self.rank().cmp(&other.rank()),
            },
        };
        if descending { order.reverse() } else { order }
    }
}

/// The keys of a column, one for each row.
pub(super) fn of_column(column: &Column, work: &Work) -> Result<Vec<Key>, ScriptError> {
    work.room(&[column.values.len()], size_of::<Key>())?;
    let mut keys = Vec::with_capacity(column.values.len());
    for value in column.values.iter() {
        work.step(8)?;
        keys.push(Key::of(value, &column.name)?);
    }
    Ok(keys)
}

/// The keys of several columns, by column.
pub(super) fn of_columns(table: &Table, names: &[String], work: &Work) -> Result<Vec<Vec<Key>>, ScriptError> {
    if names.is_empty() {
        return Err(ScriptError::new(ErrorKind::Value, "no column is named"));
    }
    super::check_count(names.len())?;
    let keys = names.iter().map(|name| of_column(table.column(name)?, work));
    keys.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_the_same_as_floats() {
        let of = |value: Dynamic| Key::of(&value, "a").expect("a plain value");
        assert_eq!(of(Dynamic::from_int(3)), of(Dynamic::from_float(3.0)));
        assert_eq!(of(Dynamic::from_float(-0.0)), of(Dynamic::from_int(0)));
        assert_eq!(
            of(Dynamic::from_float(f64::NAN)),
            of(Dynamic::from_float(-f64::NAN))
        );
        assert_ne!(of(Dynamic::from_float(9.3e18)), of(Dynamic::from_int(i64::MAX)));
        assert_eq!(of('x'.into()), of("x".into()));
        assert!(Key::of(&Dynamic::from_array(vec![]), "a").is_err());
    }

    #[test]
    fn what_is_missing_comes_last_either_way() {
        let nan = Key::of_float(f64::NAN);
        let sorted = |descending: bool| {
            let mut keys = [
                Key::Nothing,
                Key::Whole(2),
                nan.clone(),
                Key::Text("a".into()),
                Key::of_float(1.5),
                Key::Truth(true),
            ];
            keys.sort_by(|a, b| a.order(b, descending));
            keys
        };
        let (two, half, text) = (Key::Whole(2), Key::of_float(1.5), Key::Text("a".into()));
        let truth = Key::Truth(true);
        let up = [&truth, &half, &two, &text, &nan, &Key::Nothing];
        assert_eq!(sorted(false).each_ref(), up);
        assert_eq!(
            sorted(true).each_ref(),
            [&text, &two, &half, &truth, &nan, &Key::Nothing]
        );
    }
}
