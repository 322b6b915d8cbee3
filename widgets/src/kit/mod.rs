//! What all views are made of.
//!
//! - `explorable`: what a view can do; `frame`: what surrounds its picture; `pdf`: the picture for LaTeX
//! - [`Token`], and `visible`: every character of it shown inertly
//! - `boxes`: token boxes; `grid`: tables of coloured cells; `spark`: sparklines; `histogram`
//! - `page`: style, data and script around a view; `element.js`, `picture.js`, `pins.js`, `live.js`, by which
//!   views ask the kernel, and `base.css` go with every one
//! - `document`: a result as JSON, the same packed for its page (`packing`), its schema; `reading`: a document read again
//! - `colour`, `numbers`: the same in pages, pictures and consoles; `rows`: scores, checked and pooled;
//!   `theme`: the variables of the style sheet, by theme

pub(crate) mod boxes;
pub(crate) mod colour;
pub(crate) mod document;
mod explorable;
pub(crate) mod frame;
pub(crate) mod grid;
pub(crate) mod histogram;
pub(crate) mod names;
pub(crate) mod numbers;
mod packing;
pub(crate) mod page;
mod pdf;
pub(crate) mod reading;
pub(crate) mod rows;
pub(crate) mod spark;
mod theme;
mod token;
pub(crate) mod visible;

pub use explorable::Explorable;
pub use histogram::Histogram;
pub use token::Token;
pub(crate) use token::{Candidate, StoredCandidate, candidates, stored_candidates};
