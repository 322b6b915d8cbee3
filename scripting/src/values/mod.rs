//! The types scripts hold, and how they are shown.

pub mod factorization;
pub mod generation;
pub mod model;
pub mod numbers;
pub mod rich;
pub mod saliency;
pub mod show;
pub mod tensor;

use ecco_widgets::{Explorable, MimeBundle};
use rhai::Dynamic;

use crate::errors::ScriptError;
use factorization::Factorization;
use generation::Generation;
use model::{Model, ModelList};
use rich::Rich;
use saliency::Saliency;
use tensor::Tensor;

/// The representations of a value of ours; None for other values.
pub fn own_bundle(value: &Dynamic) -> Option<Result<MimeBundle, ScriptError>> {
    if let Some(rich) = value.read_lock::<Rich>() {
        return Some(Ok(rich.bundle.clone()));
    }
    if let Some(tensor) = value.read_lock::<Tensor>() {
        return Some(Ok(tensor.bundle()));
    }
    if let Some(model) = value.read_lock::<Model>() {
        return Some(Ok(model.bundle()));
    }
    if let Some(models) = value.read_lock::<ModelList>() {
        return Some(Ok(models.bundle()));
    }
    if let Some(output) = value.read_lock::<Generation>() {
        return Some(Ok(output.bundle()));
    }
    if let Some(saliency) = value.read_lock::<Saliency>() {
        return Some(saliency.bundle());
    }
    let factors = value.read_lock::<Factorization>()?;
    Some(Ok(factors.view().bundle()))
}

/// One line about a value of ours, for lists and messages.
pub fn own_line(value: &Dynamic) -> Option<String> {
    if let Some(rich) = value.read_lock::<Rich>() {
        return Some(rich.text());
    }
    if let Some(tensor) = value.read_lock::<Tensor>() {
        return Some(tensor.summary());
    }
    if let Some(model) = value.read_lock::<Model>() {
        return Some(model.line());
    }
    if let Some(models) = value.read_lock::<ModelList>() {
        return Some(format!("{} resident models", models.models.len()));
    }
    if let Some(output) = value.read_lock::<Generation>() {
        return Some(output.line());
    }
    if let Some(saliency) = value.read_lock::<Saliency>() {
        return Some(saliency.line());
    }
    value.read_lock::<Factorization>().map(|factors| factors.line())
}

/// A few lines about any value, without computing anything: type, shape, size.
pub fn describe(value: &Dynamic) -> String {
    if let Ok(array) = value.as_array_ref() {
        return format!("{} items\n{}", array.len(), show::text(value));
    }
    own_line(value).unwrap_or_else(|| show::text(value))
}
