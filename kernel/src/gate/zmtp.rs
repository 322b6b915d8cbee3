//! What a peer sends, checked byte by byte before ZeroMQ sees it.
//!
//! ```text
//! greeting   64 bytes: signature, version, mechanism
//! READY      one command frame: Socket-Type, Identity
//! traffic    flags  length (1 or 8 bytes)  payload    frame after frame
//! ```
//!
//! A state machine over bytes, without any input or output of its own: it takes what came, in pieces of
//! any size, and gives what may be passed on. A frame's header is passed on only when it is whole and its
//! length is allowed. The handshake is not passed on at all: [`hello`] makes a clean one of it.
//!
//! - `rules`: what a channel takes from its peers, and what they are told off for
//! - `inspector`: the state machine
//! - [`hello`]: how two sides introduce themselves

pub(crate) mod hello;
mod inspector;
mod rules;
#[cfg(test)]
mod tests;

pub(crate) use inspector::{Event, Inspector};
#[cfg(test)]
pub(crate) use rules::MESSAGE_LIMIT;
pub(crate) use rules::{Rules, Violation};
