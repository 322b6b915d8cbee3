//! The Jupyter side of the kernel: sockets, wire format, message loops, the script thread, interrupts.
//!
//! It reaches the language only through [`ecco_interpreter`], so all of it is tested with a
//! toy language. [`serve()`] starts everything:
//!
//! ```text
//!            tokio, main thread                     │        script thread
//!                                                   │
//!  shell ────┐  desk                                │
//!  control ──┤  answers what needs no interpreter,  │
//!            └─ hands over the rest ── Work ────────┼─→ script: Interpreter ──→ history's thread
//!  stdin ────── answers ────────────────────────────┼─→ output: CellOutput::input
//!                                                   │
//!  iopub ←───┐                                      │
//!  shell ←───┼─ dispatch ←─ outbox ─────────────────┼── status, outputs, replies, questions
//!  stdin ←───┘                                      │
//!  heartbeat ↔ echo                                 │
//! ```
//!
//! Only messages and the interrupt flag cross.
//!
//! - [`connection`]: the connection file
//! - `wire`: frames, signatures, headers
//! - `sockets`: the five sockets; `gate`: what stands between their ports and ZeroMQ
//! - `journal`: what is noted about peers
//! - `desk`: one table of all messages, and the answers that need no interpreter
//! - `requests`, `replies`: contents, where those of `jupyter-protocol` do not fit: some of its requests
//!   refuse what real clients send, some of its replies write nulls where clients expect objects
//! - `outbox`, `dispatch`: one ordered, bounded queue and the task that empties it
//! - `script`, `output`: the script thread; `attention`: what can be interrupted on it
//! - `history`: what was run, in SQLite
//! - `comms`, `usage`: answered at the desk, also while a cell runs; `questions`: what views ask the language, between cells
//! - `lifetime`: signals, death of the parent

mod attention;
mod comms;
pub mod connection;
mod desk;
mod dispatch;
mod error;
#[cfg(test)]
mod fuzz;
mod gate;
mod history;
mod journal;
mod lifetime;
mod outbox;
mod output;
mod questions;
mod replies;
mod requests;
mod script;
mod serve;
mod sockets;
mod usage;
mod wire;

pub use error::Error;
pub use history::file as history_file;
pub use serve::{serve, stack_sizes};
