//! Explanations of a run.
pub mod nmf;
