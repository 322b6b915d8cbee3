//! The notebook language: a Rhai session. It knows no model: what a cell can ask is registered from outside.
//!
//! - [`session`]: [`Session`], an interpreter that keeps variables, functions and imports between cells
//! - [`registry`]: how types, members and functions are made known to it
//! - [`members`](mod@members): a primitive said once; [`options`](mod@options): the `#{…}` maps that primitives take
//! - [`result`]: what every result can do: be shown, turned into arrays and JSON, saved; [`tensor`]: numbers;
//!   [`table`]: columns by name
//! - [`errors`]: message, kind, hint, place
//! - [`assist`]: completion, inspection, documentation, and the catalog they share
//! - `habits`: what people who come from Python write, taken or corrected
//! - `data`: files of the notebook's folder as values
//! - [`live`]: questions to results that a cell has shown
//! - `library`: Rhai's own functions made safe, and what every notebook needs

pub mod assist;
pub mod data;
pub mod errors;
mod habits;
mod library;
pub mod live;
pub mod members;
mod names;
pub mod options;
pub mod registry;
pub mod result;
pub mod session;
pub mod table;
pub mod tensor;

pub use errors::{ErrorKind, RhaiResult, ScriptError};
pub use habits::named::read_by_rhai;
pub use registry::{Register, Registry};
pub use session::memory::{CountingAllocator, allocated_bytes};
pub use session::{STACK_BYTES, Session};
