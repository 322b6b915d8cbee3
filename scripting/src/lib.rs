//! The notebook language: a Rhai session with ecco's primitives.
//!
//! - [`session`]: [`Session`], an interpreter that keeps variables, functions and imports between cells
//! - `engine`: limits, output, interruption, the memory budget
//! - `primitives`: what scripts can call, each a documented function; `options`: their `#{…}` maps
//! - `values`: the types scripts hold, and how they are shown
//! - `language`: completion, inspection, completeness, the catalog they share
//! - `errors`: message, place, hint
//! - `state`: what primitives reach besides their arguments; `watch`: progress and interruption of native work
//! - `resolver`: imports; `memory`: the budget

mod engine;
mod errors;
mod language;
mod memory;
mod options;
mod primitives;
mod resolver;
pub mod session;
mod state;
mod values;
mod watch;

pub use memory::{CountingAllocator, allocated_bytes};
pub use session::{STACK_BYTES, Session};
