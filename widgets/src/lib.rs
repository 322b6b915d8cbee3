//! What results look like. Plain structs in, MIME bundles out.
//!
//! - [`bundle`]: [`MimeBundle`] and the [`Explorable`] trait every view implements
//! - [`tokens`]: the token sequence, and the [`Token`] all views share

pub mod bundle;
pub mod factors;
pub mod progress;
pub mod saliency;
pub mod tokens;

pub use bundle::{Explorable, MimeBundle};
pub use factors::Factors;
pub use progress::Progress;
pub use saliency::{Saliency, SaliencyStyle};
pub use tokens::{Token, TokenSequence};
