//! What people who come from Python write: taken where it can be, else corrected.
//!
//! - [`named`]: named arguments, which are taken

pub(crate) mod named;
