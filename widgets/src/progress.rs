//! A progress bar that is replaced in place and ends clean.

use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Progress {
    /// What is going on: "downloading model.safetensors".
    pub label: String,
    pub done: u64,
    pub total: Option<u64>,
    /// Unit of `done` and `total`: "bytes" (shown as MB), "tokens", "steps" …
    pub unit: String,
}
