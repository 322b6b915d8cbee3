//! JSON of scripts, written and read value by value: a tree of its own would take many times the text, and nothing
//! could end it.

use std::io::Write;

use rhai::{Array, Dynamic, INT, Map};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::nesting::{DEEPEST, too_deep};
use crate::errors::{ErrorKind, ScriptError};
use crate::result::watched::{Watched, failure};
use crate::result::{known, saving, show};
use crate::tensor::Tensor;
use crate::tensor::work::Work;

/// A value as JSON: results and tensors in it as their documents, a number that is not finite as `null`.
///
/// # Errors
/// What JSON has no form for, what is nested too deep, an interrupt.
pub(crate) fn text(work: &Work, value: &Dynamic) -> Result<String, ScriptError> {
    let mut text = String::new();
    write(work, &mut text, value, 0)?;
    Ok(text)
}

pub(super) fn map_text(work: &Work, map: &Map) -> Result<String, ScriptError> {
    let mut text = String::new();
    write_map(work, &mut text, map, 0)?;
    Ok(text)
}

pub(super) fn array_text(work: &Work, array: &Array) -> Result<String, ScriptError> {
    let mut text = String::new();
    write_array(work, &mut text, array, 0)?;
    Ok(text)
}

fn write_map(work: &Work, text: &mut String, map: &Map, depth: usize) -> Result<(), ScriptError> {
    text.push('{');
    for (at, (name, value)) in map.iter().enumerate() {
        text.push_str(if at > 0 { "," } else { "" });
        push(text, &Value::from(name.as_str()));
        text.push(':');
        write(work, text, value, depth + 1)?;
    }
    text.push('}');
    Ok(())
}

fn write_array(work: &Work, text: &mut String, array: &Array, depth: usize) -> Result<(), ScriptError> {
    text.push('[');
    for (at, item) in array.iter().enumerate() {
        text.push_str(if at > 0 { "," } else { "" });
        write(work, text, item, depth + 1)?;
    }
    text.push(']');
    Ok(())
}

fn write(work: &Work, text: &mut String, value: &Dynamic, depth: usize) -> Result<(), ScriptError> {
    work.value()?;
    if depth > DEEPEST {
        return Err(too_deep());
    }
    if let Ok(array) = value.as_array_ref() {
        return write_array(work, text, &array, depth);
    }
    if let Ok(map) = value.as_map_ref() {
        return write_map(work, text, &map, depth);
    }
    if let Some(tensor) = value.read_lock::<Tensor>() {
        return write_tensor(work, text, &tensor);
    }
    push(text, &plain(value)?);
    Ok(())
}

/// A value that holds no others, or a result of ours as its document.
fn plain(value: &Dynamic) -> Result<Value, ScriptError> {
    if value.is_unit() {
        return Ok(Value::Null);
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        return Ok(Value::from(text.as_str()));
    }
    if let Ok(blob) = value.as_blob_ref() {
        return Ok(Value::from(blob.as_slice()));
    }
    if let Some(document) = known::json(value) {
        return document?.ok_or_else(|| no_form(value));
    }
    let number = value.as_int().map(Value::from);
    let number = number.or_else(|_| value.as_float().map(Value::from));
    let plain = number.or_else(|_| value.as_bool().map(Value::from));
    let plain = plain.or_else(|_| value.as_char().map(|c| Value::from(c.to_string())));
    plain.map_err(|_| no_form(value))
}

fn no_form(value: &Dynamic) -> ScriptError {
    let message = format!("{} has no form in JSON", show::brief(value));
    ScriptError::new(ErrorKind::Type, message)
        .with_hint("leave it out, or put a string or number in its place")
}

/// With all its values, as `tensor.save("x.json")` writes it.
fn write_tensor(work: &Work, text: &mut String, tensor: &Tensor) -> Result<(), ScriptError> {
    let mut bytes = Vec::new();
    let check = || work.check();
    let mut out = Watched::new(&mut bytes, &check);
    saving::json(tensor, &mut out)
        .and_then(|()| out.flush())
        .map_err(|error| failure(error, "cannot write the tensor as JSON"))?;
    drop(out);
    // Numbers, brackets and names of axes are ASCII.
    text.push_str(&String::from_utf8_lossy(&bytes));
    Ok(())
}

fn push(text: &mut String, value: &Value) {
    text.push_str(&value.to_string());
}

/// Asked with each value that is read: whether to go on.
pub(crate) type Step<'a> = dyn FnMut() -> Result<(), ScriptError> + 'a;

/// The value that a JSON text is.
pub(crate) fn parse(step: &mut Step, text: &str) -> Result<Dynamic, ScriptError> {
    let mut stopped = None;
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = Reading {
        step,
        stopped: &mut stopped,
    };
    let value = read
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value));
    match (value, stopped) {
        (_, Some(error)) => Err(error),
        (Ok(value), None) => Ok(value),
        (Err(error), None) => Err(ScriptError::new(
            ErrorKind::Value,
            format!("this is no JSON: {error}"),
        )),
    }
}

/// Reads one value, and learns with each whether to stop.
struct Reading<'r, 's> {
    step: &'r mut Step<'s>,
    stopped: &'r mut Option<ScriptError>,
}

impl<'s> Reading<'_, 's> {
    fn inner(&mut self) -> Reading<'_, 's> {
        Reading {
            step: self.step,
            stopped: self.stopped,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Reading<'_, '_> {
    type Value = Dynamic;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Dynamic, D::Error> {
        if let Err(error) = (self.step)() {
            *self.stopped = Some(error);
            return Err(de::Error::custom("stopped"));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reading<'_, '_> {
    type Value = Dynamic;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Dynamic, E> {
        Ok(Dynamic::UNIT)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Dynamic, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Dynamic, E> {
        Ok(Dynamic::from_int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Dynamic, E> {
        let whole = INT::try_from(value).map(Dynamic::from_int);
        Ok(whole.unwrap_or_else(|_| Dynamic::from_float(value as f64)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Dynamic, E> {
        Ok(Dynamic::from_float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Dynamic, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Dynamic, A::Error> {
        let mut array = Array::new();
        while let Some(item) = items.next_element_seed(self.inner())? {
            array.push(item);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<Dynamic, A::Error> {
        let mut map = Map::new();
        while let Some(name) = entries.next_key::<std::borrow::Cow<str>>()? {
            map.insert(name.as_ref().into(), entries.next_value_seed(self.inner())?);
        }
        Ok(map.into())
    }
}
