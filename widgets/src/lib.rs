//! What results look like. Plain structs in, MIME bundles out.
//!
//! - `kit`: what all views are made of: boxes, tables, numbers, colours, the page around a view, and the [`Token`] they share
//! - [`saliency`], [`factors`]: the two interactive views
//! - [`neuron`]: one neuron over texts, and the most active ones; [`similarity`]: how alike layers are
//! - [`layer_predictions`], [`rank_map`], [`lens_map`]: what each layer would say (logit lens), and [`depths`] that they share
//! - [`parts`]: what each part wrote to a logit; [`attention`]: heads
//! - [`reading`], [`candidates`]: what a model says of a text that it has read, or might have said
//! - [`faithfulness`], [`comparison`]: whether an attribution says what the model uses, and whether several agree
//! - [`side_by_side`], [`patch_map`], [`steering`]: what interventions do; [`site_attribution`]: what stands inside contributes
//! - [`score`]: how surprising a text's tokens are to a model
//! - [`table`]: rows of cells under the names of columns; [`tensor_summary`]: an array as a picture
//! - [`tokens`], [`progress`], [`model_card`]: small static ones
//!
//! [`stop`]: views that take long can be interrupted.
//!
//! A result is also a JSON document ([`schemas`], [`reference`](mod@reference)); its page holds the same, long rows packed.
//!
//! A view's HTML is complete without scripts. Where a script may run, it clones that HTML into a shadow root
//! and only adds what moves: colours follow from custom properties (`--s`, the strength of a box), so a theme
//! needs no script and a hover touches no layout. Scripts and styles are the files `kit/*.{js,css}` and
//! `views/*/view.{js,css}`, never templated.

mod kit;
pub mod reference;
pub mod stop;
mod views;

pub use kit::Explorable;
pub use kit::Histogram;
pub use kit::Token;
pub use kit::page::with_data;
pub use kit::visible::plain as printable;
pub use views::*;
