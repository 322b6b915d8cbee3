//! How long native work reports where it is and learns that it should stop.

use std::borrow::Cow;
use std::ops::ControlFlow;

/// Where a piece of work stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// What is going on, for people: "loading weights".
    pub label: Cow<'static, str>,
    pub done: u64,
    pub total: Option<u64>,
    /// Unit of `done` and `total`: "bytes", "tokens", "steps".
    pub unit: &'static str,
}

/// Called often (between layers, tokens, chunks): reports, and answers `Break` when the work must stop.
/// Callers throttle what they show; the callee polls freely.
pub type Watch<'a> = dyn FnMut(&Progress) -> ControlFlow<()> + 'a;

/// A watch that never stops the work.
pub fn unwatched(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}
