//! Transformer language models on libtorch.
pub mod progress;
