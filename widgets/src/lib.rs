//! What results look like. Plain structs in, MIME bundles out.
//!
//! - [`tokens`]: the token sequence, and the [`Token`] all views share
//! - [`saliency`], [`factors`]: the two interactive views
//! - [`neuron`]: one neuron over texts, and the most active ones; [`similarity`]: how alike layers are
//! - [`depths`]: what each layer would say (logit lens); [`parts`]: what each part wrote to a logit; [`attention`]: heads
//! - [`reading`], [`candidates`]: what a model says of a text that it has read, or might have said
//! - [`faithfulness`], [`comparison`]: whether an attribution says what the model uses, and whether several agree
//! - [`side_by_side`], [`patch_map`], [`steering`]: what interventions do
//! - [`score`]: how surprising a text's tokens are to a model
//! - [`progress`], [`model_card`], [`tensor_summary`]: small static ones
//! - beneath them: `visible` (every character shown inertly), `boxes` (token boxes), `grid` (tables of cells), `page` (style, data and
//!   script around a view), `colour`, `numbers`, `rows` (scores, checked and packed), `spark`, and one
//!   `*_picture` per SVG
//!
//! A view's HTML is complete without scripts. Where a script may run, it clones that HTML into a shadow root
//! and only adds what moves: colours follow from custom properties (`--s`, the strength of a box), so a theme
//! needs no script and a hover touches no layout. Scripts and styles are the files `src/*.js` and
//! `src/*.css`, never templated.

pub mod attention;
mod boxes;
pub mod candidates;
mod colour;
pub mod comparison;
mod comparison_picture;
pub mod depths;
pub mod factors;
mod factors_picture;
pub mod faithfulness;
mod faithfulness_picture;
mod grid;
pub mod model_card;
pub mod neuron;
mod numbers;
mod page;
pub mod parts;
pub mod patch_map;
mod patch_map_picture;
pub mod progress;
pub mod reading;
mod rows;
pub mod saliency;
mod saliency_picture;
pub mod score;
mod score_picture;
pub mod side_by_side;
mod side_by_side_picture;
pub mod similarity;
mod spark;
pub mod steering;
pub mod tensor_summary;
pub mod tokens;
mod visible;

pub(crate) use ecco_interpreter::{Explorable, MimeBundle};

pub use attention::Attention;

pub use candidates::{Candidate, CandidateLabel, CandidatePlace, Candidates};
pub use comparison::{Compared, Comparison};
pub use depths::{LayerPredictions, LensColumn, LensMap, RankKind, RankMap};
pub use factors::{FactorNeuron, FactorText, Factors, HeldOut};
pub use faithfulness::Faithfulness;
pub use model_card::{ModelCard, ResidentModels};
pub use neuron::{ActiveNeuron, NeuronActivity, NeuronList, NeuronText};
pub use parts::{LayerParts, Parts, PartsBy};
pub use patch_map::{Columns, PatchMap};
pub use progress::Progress;
pub use reading::{Reading, Said};
pub use saliency::{Saliency, SaliencyStyle, Scale, Unit};
pub use score::{Score, Scored};
pub use side_by_side::{Predicted, Side, SideBySide};
pub use similarity::SimilarityGrid;
pub use steering::Steering;
pub use tensor_summary::TensorSummary;
pub use tokens::{Token, TokenSequence};
