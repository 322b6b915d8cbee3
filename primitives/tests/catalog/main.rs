//! Every primitive of the catalog: with large inputs and an interrupt, with extreme values, on a model that says no
//! numbers. What is asked derives from the catalog, so that a new primitive is asked too.
//!
//! - `calls`: values of each type, and calls of the documented signatures; `models`: folders that are made for this
//! - `interrupts`, `fuzz`, `depth`, `no_numbers`: what is asked, and what must hold

mod calls;
#[allow(dead_code)]
#[path = "../../../scripting/tests/common/mod.rs"]
mod common;
mod depth;
mod fuzz;
mod interrupts;
mod models;
mod no_numbers;

use std::sync::{Mutex, MutexGuard, PoisonError};

use ecco_primitives::register;

/// One after the other: what is timed has the machine for itself, as far as this program goes.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
