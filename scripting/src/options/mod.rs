//! Named arguments: the `#{…}` map that a primitive takes last.
//!
//! A primitive's options are stated once, in the struct that [`options!`](crate::options!) makes; reading the map, the errors
//! about it, completion, help and the page of primitives derive from its rows.

mod kind;
mod reader;
mod target;
mod told;
mod typed;
mod word;

use rhai::Dynamic;

pub use kind::{OptionKind, OptionSpec};
pub use reader::OptionReader;
pub use target::TargetOption;
pub use told::Told;
pub use typed::{Choice, DefaultOf, OneOrMany, OptionSet, OptionValue};
pub use word::Word;

/// A number of either type.
pub fn number(value: &Dynamic) -> Option<f64> {
    value
        .as_float()
        .ok()
        .or_else(|| value.as_int().ok().map(|n| n as f64))
}
