//! A document's numbers as tensors, its other fields as a script has them.

use ecco_scripting::ScriptError;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::tensor::work::Work;
use ndarray::{ArrayD, IxDyn};
use rhai::{Array, Dynamic, INT};
use serde_json::Value;

/// The numbers of a document, by the names of its fields.
pub(super) fn numbers(document: &Value, work: &Work) -> Result<Vec<(String, Tensor)>, ScriptError> {
    let Some(fields) = document.as_object() else {
        return Ok(Vec::new());
    };
    let mut all = Vec::new();
    for (name, value) in fields {
        all.extend(tensor_of(document, name, value, work)?.map(|tensor| (name.clone(), tensor)));
    }
    Ok(all)
}

/// The main numbers first; the others as they are.
pub(super) fn ordered(mut tensors: Vec<(String, Tensor)>) -> Vec<(String, Tensor)> {
    let first = [
        "scores",
        "components",
        "vector",
        "log_probabilities",
        "values",
        "accuracy",
    ];
    let place = |name: &str| {
        first
            .iter()
            .position(|first| *first == name)
            .unwrap_or(first.len())
    };
    tensors.sort_by_key(|(name, _)| place(name));
    tensors
}

/// Nested arrays of numbers, shorter rows filled up with 0, as of a position that comes after a target.
fn tensor_of(
    document: &Value,
    name: &str,
    value: &Value,
    work: &Work,
) -> Result<Option<Tensor>, ScriptError> {
    let read;
    let value = match (document["type"].as_str(), name, value.as_array()) {
        // A token that was not read has no values.
        (Some("factors"), "components", Some(rows)) => {
            let values = |row: &Value| {
                let items = row.as_array().into_iter().flatten();
                items.filter(|item| !item.is_null()).cloned().collect::<Value>()
            };
            read = rows.iter().map(values).collect::<Value>();
            &read
        }
        _ => value,
    };
    let mut shape = Vec::new();
    if !measure(value, 0, &mut shape) || shape.is_empty() {
        return Ok(None);
    }
    work.room(&shape, size_of::<f32>())?;
    let mut array = ArrayD::zeros(IxDyn(&shape));
    fill(value, array.view_mut());
    let tensor = match (document["type"].as_str(), document["n_input"].as_u64()) {
        // What is given has no score.
        (Some("score"), Some(n)) if shape[0] as u64 >= n => {
            Tensor::new(array, &["generated"]).slice(0, n as i64, shape[0] as i64)?
        }
        (Some(kind), _) => Tensor::new(array, &axes(kind, name, document, shape.len())),
        _ => Tensor::new(array, &[]),
    };
    Ok(Some(tensor))
}

/// Whether it is nested arrays of numbers, of one depth everywhere; how long each level is at most.
fn measure(value: &Value, depth: usize, shape: &mut Vec<usize>) -> bool {
    match value {
        Value::Array(items) if depth < 4 => {
            if shape.len() == depth {
                shape.push(0);
            }
            shape[depth] = shape[depth].max(items.len());
            !items.is_empty() && items.iter().all(|item| measure(item, depth + 1, shape))
        }
        Value::Number(_) | Value::Null => depth > 0 && shape.len() == depth,
        _ => false,
    }
}

fn fill(value: &Value, mut array: ndarray::ArrayViewMutD<f32>) {
    match value.as_array() {
        Some(items) => {
            for (item, part) in items.iter().zip(array.outer_iter_mut()) {
                fill(item, part);
            }
        }
        None => array.fill(value.as_f64().map_or(f32::NAN, |number| number as f32)),
    }
}

/// As results call them.
fn axes(kind: &str, name: &str, document: &Value, n: usize) -> Vec<&'static str> {
    let target = if document["targets"].is_null() {
        "generated"
    } else {
        "target"
    };
    let unit = match document["unit"].as_str() {
        Some("word") => "word",
        Some("line") => "line",
        Some("sentence") => "sentence",
        Some("span") => "span",
        _ => "position",
    };
    let axes: &[&'static str] = match (kind, name) {
        ("saliency", "scores" | "contributions") => &[target, unit],
        ("saliency", "values") => &[target],
        ("factors", "components") => &["component", "position"],
        ("factors", "weights" | "unmixing") => &["component", "neuron"],
        ("factors", "mean") => &["neuron"],
        ("factors", "explained_variance_ratio") => &["component"],
        ("steering", "vector") => &["hidden"],
        _ => &[],
    };
    match axes.len() == n {
        true => axes.to_vec(),
        false => vec![""; n],
    }
}

/// As a script has it.
pub(super) fn value_of(value: &Value) -> Dynamic {
    match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(truth) => (*truth).into(),
        Value::String(text) => text.clone().into(),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Dynamic::from_int(whole as INT),
            None => Dynamic::from_float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::Array(items) => items.iter().map(value_of).collect::<Array>().into(),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| (name.as_str().into(), value_of(value));
            Dynamic::from_map(fields.iter().map(field).collect())
        }
    }
}
