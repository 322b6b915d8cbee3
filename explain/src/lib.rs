//! Explanations of a language model's run: functions from a model and a sequence to plain numbers.
//!
//! - [`attribution`]: which tokens what a model says came from
//! - [`lens`]: what each layer's state would say if it were the last
//! - [`direct`]: what each part of the model wrote to a token's logit
//! - [`nmf`]: patterns in neurons' activations
//! - [`quadrature`]: the path integral of integrated gradients
//!
//! Results are on the host (`ndarray` or vectors); tensors stay inside.

pub mod attribution;
pub mod direct;
pub mod error;
pub mod lens;
pub mod nmf;
pub mod quadrature;
mod rows;

pub use attribution::{
    Aggregation, Attribution, AttributionOptions, Baseline, Completeness, Explained, Method, Quantity, Said,
    Target, attribute,
};
pub use direct::{Direct, direct};
pub use error::Error;
pub use lens::{Lens, lens};
pub use nmf::{Nmf, NmfError, NmfOptions};
