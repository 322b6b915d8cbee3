//! Explanations of a run.
