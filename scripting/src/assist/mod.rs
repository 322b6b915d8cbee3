//! What is known about code without running it.
//!
//! - [`scan`]: pieces of code, also of unfinished code
//! - [`source`]: cells and files, and which of them defined what
//! - [`catalog`]: every function and property, from its registration
//! - [`completeness`], [`complete`], [`inspect`]: answers for the front end
//! - [`types`]: of values that code speaks of; [`strings`]: completion inside of texts; [`locals`]: names that the code itself defines
//! - [`docs`]: documentation of primitives, [`page`] of all; [`about`]: of values and of cells' functions

pub mod about;
pub mod catalog;
pub mod complete;
pub mod completeness;
pub mod docs;
pub mod inspect;
pub mod locals;
pub mod page;
pub mod scan;
pub mod source;
pub mod strings;
pub mod types;
