//! The notebook language: a Rhai session with ecco's primitives.
//!
//! [`interpreter`] is the seam the kernel talks through.

pub mod interpreter;
