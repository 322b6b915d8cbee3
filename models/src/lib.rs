//! Transformer language models on libtorch.
pub mod hub;
pub mod progress;
