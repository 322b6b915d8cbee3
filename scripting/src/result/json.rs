//! Values of scripts as JSON.

use rhai::{Dynamic, Map};
use serde_json::Value;

/// A map of a script as JSON, keys in alphabetical order, as maps have them; `None` where something in it is neither a
/// plain value, nor an array or a map of such.
pub fn json_of_map(map: &Map) -> Option<Value> {
    nested_map(map, DEEPEST)
}

/// The same of any value.
pub fn json(value: &Dynamic) -> Option<Value> {
    nested(value, DEEPEST)
}

/// Levels of nesting: templates and tools have a handful.
const DEEPEST: usize = 64;

fn nested(value: &Dynamic, depth: usize) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    if value.is_unit() {
        return Some(Value::Null);
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        return Some(text.to_string().into());
    }
    if let Ok(array) = value.as_array_ref() {
        return array.iter().map(|item| nested(item, depth)).collect();
    }
    if let Ok(map) = value.as_map_ref() {
        return nested_map(&map, depth);
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

fn nested_map(map: &Map, depth: usize) -> Option<Value> {
    let entry = |(key, value): (&_, &_)| Some((str::to_owned(key), nested(value, depth)?));
    map.iter()
        .map(|(key, value)| entry((key.as_str(), value)))
        .collect()
}
