//! What `save` wrote of a result: its document, its numbers, or both.

use serde_json::Value;

use super::{arrays, file, text};
use crate::errors::{ErrorKind, ScriptError};
use crate::result::saving::DOCUMENT;
use crate::tensor::Tensor;
use crate::tensor::work::Work;

/// A file of a result.
pub struct Stored {
    /// None of a file of tensors that says nothing of what they are.
    pub document: Option<Value>,
    /// By name; of a document alone none.
    pub tensors: Vec<(String, Tensor)>,
}

/// Bytes of a document.
const LARGEST: usize = 64 << 20;
/// How many times its bytes a tree of values takes, at most.
const GROWTH: usize = 24;
/// A larger whole number stands in no document, and a view might count up to it.
const LARGEST_WHOLE: u64 = 1 << 32;

/// Reads a `.json` or `.safetensors` below the notebook's folder.
///
/// # Errors
/// Another ending; what is no such file; no room, an interrupt.
pub fn stored(path: &str, work: &Work) -> Result<Stored, ScriptError> {
    let ending = std::path::Path::new(path)
        .extension()
        .and_then(|ending| ending.to_str());
    let found = match ending {
        Some("json") => document(&file::bytes(path, 2, work)?, work).map(|document| Stored {
            document: Some(document),
            tensors: Vec::new(),
        }),
        Some("safetensors") => tensors(&file::bytes(path, 2, work)?, work),
        _ => {
            let message = format!("\"{path}\" does not say how it was saved");
            return Err(ScriptError::new(ErrorKind::Value, message)
                .with_hint("results are loaded from .json and .safetensors; ecco::read reads other files"));
        }
    };
    found.map_err(|error| match error.kind {
        ErrorKind::Value => ScriptError {
            message: format!("cannot load \"{path}\": {}", error.message),
            ..error
        },
        _ => error,
    })
}

fn damaged(reason: impl Into<String>) -> ScriptError {
    ScriptError::new(ErrorKind::Value, reason)
}

fn document(bytes: &[u8], work: &Work) -> Result<Value, ScriptError> {
    let text = text::decoded(bytes)?;
    if text.len() > LARGEST {
        let (size, most) = (text.len() as f64 / 1e6, LARGEST >> 20);
        return Err(
            damaged(format!("a document of {size:.0} MB: at most {most} MB are read"))
                .with_hint("a .safetensors file has very many numbers"),
        );
    }
    work.room(&[text.len()], GROWTH)?;
    let document: Value =
        serde_json::from_str(&text).map_err(|error| damaged(format!("it is no JSON: {error}")))?;
    work.check()?;
    match largest(&document) {
        whole if whole > LARGEST_WHOLE => Err(damaged(format!("{whole} stands in it, which no result has"))),
        _ => Ok(document),
    }
}

/// The largest whole number in it.
fn largest(value: &Value) -> u64 {
    match value {
        Value::Array(items) => items.iter().map(largest).max().unwrap_or(0),
        Value::Object(fields) => fields.values().map(largest).max().unwrap_or(0),
        Value::Number(number) => number.as_u64().unwrap_or(0),
        _ => 0,
    }
}

fn tensors(bytes: &[u8], work: &Work) -> Result<Stored, ScriptError> {
    let named = arrays::safetensors(bytes, work)?;
    let document = arrays::noted(bytes, DOCUMENT)?
        .map(|text| document(text.as_bytes(), work))
        .transpose()?;
    let tensor =
        |(name, value): (rhai::Identifier, rhai::Dynamic)| Some((name.to_string(), value.try_cast()?));
    Ok(Stored {
        document,
        tensors: named.into_iter().filter_map(tensor).collect(),
    })
}
