//! What a cell can ask, by topic. A value that scripts hold and the functions that make it stand together.
//!
//! - [`models`]: loading, residency; [`text`]: generating, running, scoring, conversations
//! - [`attribution`]: which tokens it came from; [`inside`]: lens, parts, attention, candidates
//! - [`factors`], [`neurons`], [`similarity`]; [`interventions`]: what if a part were different

mod attribution;
mod factors;
mod hints;
mod inside;
mod interventions;
mod models;
mod neurons;
mod similarity;
mod text;

use ecco_interpreter::Interrupt;
use ecco_scripting::{Registry, Session};

/// Makes all primitives known to a session.
pub fn register(registry: &mut Registry) {
    registry.hints(hints::in_scripts);
    models::register(registry);
    text::register(registry);
    attribution::register(registry);
    inside::register(registry);
    factors::register(registry);
    neurons::register(registry);
    similarity::register(registry);
    interventions::register(registry);
}

/// A session that can ask all of it.
pub fn session(interrupt: Interrupt) -> Session {
    Session::new(interrupt, register)
}
