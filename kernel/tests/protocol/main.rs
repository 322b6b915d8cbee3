//! Conversations with the kernel over real sockets, with a toy language in the interpreter's place.
//!
//! A cell's outputs are written down as lines (`busy`, `stdout "hello\n"`, `idle`) and compared as a whole,
//! so that a test reads as the transcript of what a front end sees.

mod abort;
mod abuse;
mod comms;
mod control;
mod execute;
mod frontend;
mod history;
mod introspect;
mod limits;
mod message;
mod peers;
mod questions;
mod shutdown;
mod stdin;
mod streams;
mod subscribers;
mod toy;
