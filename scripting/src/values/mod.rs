//! The types scripts hold, and how they are shown.

pub mod rich;
pub mod show;
pub mod tensor;

use ecco_widgets::MimeBundle;
use rhai::Dynamic;

use crate::errors::ScriptError;

/// The representations of a value of ours; None for other values.
pub fn own_bundle(_value: &Dynamic) -> Option<Result<MimeBundle, ScriptError>> {
    None
}

/// One line about a value of ours, for lists and messages.
pub fn own_line(_value: &Dynamic) -> Option<String> {
    None
}

/// A few lines about any value, without computing anything: type, shape, size.
pub fn describe(value: &Dynamic) -> String {
    if let Some(tensor) = value.read_lock::<tensor::Tensor>() {
        return tensor.summary();
    }
    if let Ok(array) = value.as_array_ref() {
        return format!("{} items\n{}", array.len(), show::text(value));
    }
    own_line(value).unwrap_or_else(|| show::text(value))
}
