//! `.parquet`, a row group at a time, by the crate of arrow's project.
//!
//! - `footer`: what a file says it has, looked through before the crate believes it; `pages`: its pages, unpacked as far as there
//!   is room; `levels`, `leaf`: values, lists and maps of what lies in columns
//! - `reading`, `writing`: a file's rows in batches, one after the other; `lines`: the same as JSON, for what no memory holds
//!
//! What a stranger wrote is not believed: the crate takes the room that a header asks for, and unpacks whatever comes of a page. So
//! each page passes through [`pages`], and a panic of the crate is a damaged file.

mod footer;
mod kind;
mod leaf;
mod levels;
mod lines;
mod pages;
mod reading;
mod writing;

use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::errors::ParquetError;

use crate::errors::{ErrorKind, ScriptError};
use crate::session::memory;
use crate::session::room::no_room;
use crate::tensor::work::Work;

pub use lines::{JsonRows, from_lines};
pub(super) use reading::{Reader, Rows, table};
pub(crate) use writing::write;

fn damaged(reason: impl Into<String>) -> ScriptError {
    ScriptError::new(ErrorKind::Value, reason)
}

/// What the crate says, or what [`pages`] said to it.
fn refused(error: ParquetError) -> ScriptError {
    match error {
        ParquetError::External(inner) => match inner.downcast::<ScriptError>() {
            Ok(error) => *error,
            Err(other) => damaged(format!("it is damaged, or was cut off: {other}")),
        },
        error => damaged(format!("it is damaged, or was cut off: {error}")),
    }
}

fn external(error: ScriptError) -> ParquetError {
    ParquetError::External(Box::new(error))
}

/// Asks the crate, whose arithmetic on a damaged file may panic.
fn asked<T>(work: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ScriptError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(refused),
        Err(_) => Err(damaged("it is damaged, or was cut off")),
    }
}

/// Bytes up to which all may grow that this process's Rust code holds: what there was room for when a file was opened. Unlike [`Work`] it
/// goes where a reader of pages goes.
#[derive(Debug, Clone, Copy)]
struct Room(usize);

impl Room {
    fn of(work: &Work) -> Self {
        let held = memory::allocated_bytes();
        let free = held.saturating_add(work.state().free_memory());
        Self(work.state().memory_limit.get().min(free))
    }

    /// # Errors
    /// When so many bytes more do not fit.
    fn check(self, wanted: usize) -> Result<(), ScriptError> {
        let free = self.0.saturating_sub(memory::allocated_bytes());
        match wanted <= free {
            true => Ok(()),
            false => Err(no_room(wanted, free)),
        }
    }
}
