//! Explanations of a language model's run: functions from a model and a sequence to plain numbers.
//!
//! - [`attribution`]: which tokens what a model says came from
//! - [`intervention`]: models whose inside is changed, steering, activation patching
//! - [`nmf`]: patterns in neurons' activations
//! - [`quadrature`]: the path integral of integrated gradients
//!
//! Results are on the host (`ndarray` or vectors); tensors stay inside.

pub mod attribution;
pub mod error;
pub mod intervention;
pub mod nmf;
pub mod quadrature;

pub use attribution::{
    Aggregation, Attribution, AttributionOptions, Baseline, Completeness, Explained, Method, Quantity, Said,
    Target, attribute,
};
pub use error::Error;
pub use nmf::{Nmf, NmfError, NmfOptions};
