//! Values of scripts as JSON.

use rhai::{Dynamic, Map};
use serde_json::Value;

/// A map of a script as JSON, keys in alphabetical order, as maps have them; `None` where something in it is neither a
/// plain value, nor an array or a map of such, and where it is too deep or too much.
pub fn json_of_map(map: &Map) -> Option<Value> {
    json_within(map, MOST)
}

/// The same of no more than so many values.
pub(crate) fn json_within(map: &Map, most: usize) -> Option<Value> {
    nested_map(map, DEEPEST, &mut { most })
}

/// The same of any value.
pub fn json(value: &Dynamic) -> Option<Value> {
    nested(value, DEEPEST, &mut { MOST })
}

/// Levels of nesting: templates and tools have a handful.
const DEEPEST: usize = 64;
/// Values in all: a list that holds another twice, which holds another twice, is soon more than anything can hold.
const MOST: usize = 1 << 20;

fn nested(value: &Dynamic, depth: usize, left: &mut usize) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    *left = left.checked_sub(1)?;
    if value.is_unit() {
        return Some(Value::Null);
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        return Some(text.to_string().into());
    }
    if let Ok(array) = value.as_array_ref() {
        return array.iter().map(|item| nested(item, depth, left)).collect();
    }
    if let Ok(map) = value.as_map_ref() {
        return nested_map(&map, depth, left);
    }
    let number = || {
        value
            .as_int()
            .map(Value::from)
            .or_else(|_| value.as_float().map(Value::from))
    };
    let flag = || value.as_bool().map(Value::from);
    let letter = || value.as_char().map(|letter| letter.to_string().into());
    number().or_else(|_| flag()).or_else(|_| letter()).ok()
}

fn nested_map(map: &Map, depth: usize, left: &mut usize) -> Option<Value> {
    let mut entry = |(key, value): (&_, &_)| Some((str::to_owned(key), nested(value, depth, left)?));
    map.iter()
        .map(|(key, value)| entry((key.as_str(), value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use rhai::Array;

    use super::*;

    #[test]
    fn what_doubles_at_each_level_is_refused_in_time() {
        let mut value = Dynamic::from_int(1);
        for _ in 0..10 {
            value = Dynamic::from_array(Array::from([value.clone(), value]));
        }
        assert!(json(&value).is_some());
        let mut value = Dynamic::from_int(1).into_shared();
        for _ in 0..40 {
            value = Dynamic::from_array(Array::from([value.clone(), value])).into_shared();
        }
        assert_eq!(json(&value), None);
    }
}
