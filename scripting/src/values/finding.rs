//! What every result can do: be shown, said in a line, turned into arrays and JSON, and saved.
//!
//! A type of ours implements [`Shown`]; a result with numbers also [`Finding`], and stands in the table of
//! `primitives/findings.rs`, which gives scripts `.to_array()`, `.to_json()` and `.save(path)`.

use ecco_interpreter::MimeBundle;
use rhai::{Array, Dynamic};
use serde_json::{Map, Value};

use super::tensor::Tensor;
use crate::errors::ScriptError;

/// Anything of ours that a script can hold.
pub trait Shown {
    /// Every representation. What was not computed yet is computed here.
    fn bundle(&self) -> Result<MimeBundle, ScriptError>;

    /// One line, for lists and messages, without computing anything.
    fn line(&self) -> String;
}

/// A result with numbers.
pub trait Finding: Shown {
    /// The numbers by name, the main ones first. What was not computed yet is computed here.
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError>;

    /// What belongs to the numbers: tokens, method, options. Goes into JSON beside them.
    fn about(&self) -> Result<Map<String, Value>, ScriptError> {
        Ok(Map::new())
    }

    /// What the places along an axis of the main tensor are called (its tokens), for tables.
    fn labels(&self, _axis: &str) -> Option<Vec<String>> {
        None
    }

    /// The main numbers as script arrays.
    fn to_array(&self) -> Result<Array, ScriptError> {
        let tensors = self.tensors()?;
        Ok(tensors
            .first()
            .map(|(_, tensor)| tensor.to_array())
            .unwrap_or_default())
    }
}

/// Rows of floats of unequal length as script arrays.
pub fn ragged(rows: &[Vec<f32>]) -> Array {
    let row = |values: &Vec<f32>| {
        let values = values.iter().map(|&value| Dynamic::from_float(f64::from(value)));
        Dynamic::from_array(values.collect())
    };
    rows.iter().map(row).collect()
}
