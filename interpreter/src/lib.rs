//! The seam between a language and the Jupyter kernel, and what both sides of it speak of.
//!
//! - [`Interpreter`]: what a language is to the kernel; [`Output`]: what a running cell is given to write to
//! - [`MimeBundle`]: one value in several representations
//! - [`Interrupt`], [`Watch`]: how long work learns that it should stop, and says where it is
//! - [`free_memory`], [`total_memory`]: what this process may take, in a container too
//! - [`Diagnostic`]: errors with a kind, a hint and a place; [`Named`]: choices that people name
//!
//! Every other crate may use this one; it uses none of them.

mod bundle;
mod diagnostic;
mod interrupt;
mod memory;
mod named;
mod progress;
mod seam;

pub use bundle::{DATA, MimeBundle};
pub use diagnostic::{Diagnostic, Kind};
pub use interrupt::{Interrupt, Scope, is_interrupted};
pub use memory::{MemoryLimit, free_memory, memory_limits, total_memory};
pub use named::Named;
pub use progress::{Progress, Watch, unwatched};
pub use seam::{Cell, CellError, Completeness, CompletionItem, Completions, Interpreter, Output};
