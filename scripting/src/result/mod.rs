//! What every result can do: be shown, said in a line, turned into arrays and JSON, and saved.
//!
//! A type of ours implements [`Show`]; a result with numbers also [`Explanation`]. [`Registry`](crate::registry::Registry)
//! makes it known to scripts, which then have `.to_array()`, `.to_json()` and `.save(path)`.
//!
//! - [`known`]: the types of ours, for values whose type only the script knows
//! - [`show`]: how any value is shown; [`rich`]: values that are nothing but their representations
//! - `members`: what scripts can ask of every result; [`saving`]: files, in the notebook's `folder`, `watched` while they
//!   are written; [`json`]: values as JSON; `numbers`: as text

pub(crate) mod folder;
pub mod json;
pub mod known;
pub(crate) mod members;
pub mod numbers;
pub mod rich;
pub mod saving;
pub mod show;
pub(crate) mod watched;

use std::rc::Rc;
use std::sync::Arc;

use ecco_interpreter::MimeBundle;
use ecco_widgets::Explorable;
use rhai::{Array, Dynamic};

use crate::errors::ScriptError;
use crate::live::Live;
use crate::tensor::Tensor;

/// Anything of ours that a script can hold.
pub trait Show {
    /// What it looks like: text, picture, page and data, each made when it is asked for. What was not computed yet is
    /// computed here.
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError>;

    /// Every representation.
    fn bundle(&self) -> Result<MimeBundle, ScriptError> {
        Ok(self.view()?.bundle())
    }

    /// One line, for lists and messages, without computing anything.
    fn line(&self) -> String;

    /// A few lines, without computing anything, where one is too little.
    fn summary(&self) -> Option<String> {
        None
    }

    /// What can be said of it without computing anything: size, shape, place.
    fn facts(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Which of its kind it is: what a cell has shown already is not shown once more as its value.
    fn identity(&self) -> Option<usize> {
        None
    }

    /// Which of its type it is, if that can be told: to find the variable that holds it.
    fn place_in_memory(&self) -> Option<usize> {
        self.identity()
    }

    /// What its page may ask, where it can.
    fn live(&self) -> Option<Rc<dyn Live>> {
        None
    }
}

/// A result with numbers.
pub trait Explanation: Show {
    /// The numbers by name, the main ones first. What was not computed yet is computed here.
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError>;

    /// What the places along an axis of the main tensor are called (its tokens), for tables.
    fn labels(&self, _axis: &str) -> Option<Vec<String>> {
        None
    }

    /// What each place along an axis is in its text: "given", "written", of a conversation "user".
    fn roles(&self, _axis: &str) -> Option<Vec<Arc<str>>> {
        None
    }

    /// The main numbers as script arrays; `room` says whether there is memory for so many numbers.
    fn to_array(&self, room: Room) -> Result<Array, ScriptError> {
        let tensors = self.tensors()?;
        let Some((_, numbers)) = tensors.first() else {
            return Ok(Array::new());
        };
        room(numbers.len())?;
        Ok(numbers.to_array())
    }
}

/// Whether so many numbers fit into what scripts may take.
pub type Room<'a> = &'a dyn Fn(usize) -> Result<(), ScriptError>;

/// Rows of floats of unequal length as script arrays.
pub fn ragged(rows: &[Vec<f32>]) -> Array {
    let row = |values: &Vec<f32>| {
        let values = values.iter().map(|&value| Dynamic::from_float(f64::from(value)));
        Dynamic::from_array(values.collect())
    };
    rows.iter().map(row).collect()
}
