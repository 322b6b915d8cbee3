//! Explanations of a language model's run: functions from a model and a sequence to plain numbers.
//!
//! - [`attribution`]: which tokens what a model says came from
//! - [`mod@attribution_graph`]: how an answer came about: tokens, heads, neurons, and what each owes to each
//! - [`intervention`]: models whose inside is changed, steering, activation patching
//! - [`mod@lens`]: what each layer's state would say if it were the last
//! - [`mod@direct`]: what each part of the model wrote to a token's logit
//! - [`mod@diff`]: two models, one tuned from the other: where they part, and which layers bring it
//! - [`dictionary`]: a text in a dictionary's features, and what an answer owes to them
//! - [`mod@edges`]: which connections between parts carry what makes two texts differ; circuits of them
//! - [`sites`]: gradients at any site, contributions of positions, heads and neurons inside
//! - [`heads`]: what heads look at, copy and match; [`mod@vocabulary`]: what parts promote and suppress, by their weights
//! - [`groups`]: tokens as words, lines, sentences
//! - [`mod@faithfulness`]: whether an attribution says what the model uses; [`mod@agreement`]: whether several say the same
//! - [`nmf`], [`pca`], [`ica`]: patterns in neurons' activations; [`matching`]: the same ones found twice;
//!   [`cluster`]: rows in groups; [`mod@projection`]: rows as points of a plane
//! - [`neurons`]: which are most active; [`algebra`]: decompositions and systems of any matrices
//! - [`similarity`]: of activations over the same positions
//! - [`mod@corpus`]: every neuron over many texts; [`mod@states`]: what a site holds of many texts; [`mod@probe`]: labels that can be read off it, [`mod@concept`]: whether an answer rises along one
//! - [`score`]: how probable a model finds a text
//! - [`quadrature`]: the path integral of integrated gradients
//! - `random`: numpy's random numbers; `aside`: long steps on a thread of their own
//!
//! Results are on the host (`ndarray` or vectors); tensors stay inside.

pub mod agreement;
pub mod algebra;
mod aside;
pub mod attribution;
pub mod attribution_graph;
pub mod cluster;
pub mod concept;
pub mod corpus;
pub mod dictionary;
pub mod diff;
pub mod direct;
pub mod edges;
pub mod error;
pub mod faithfulness;
pub mod groups;
pub mod heads;
pub mod ica;
pub mod intervention;
pub mod lens;
mod linalg;
pub mod matching;
pub mod neurons;
pub mod nmf;
pub mod pca;
pub mod probe;
pub mod projection;
pub mod quadrature;
mod random;
mod rows;
pub mod score;
pub mod similarity;
pub mod sites;
pub mod states;
pub mod vocabulary;

pub use agreement::{Agreement, agreement, compare};
pub use attribution::{
    Aggregation, Attribution, AttributionOptions, Baseline, Completeness, Method, Objective, Outcome,
    Quantity, Target, attribute, attribute_each, n_passes,
};
pub use attribution_graph::{AttributionGraph, attribution_graph};
pub use diff::{Diff, diff};
pub use direct::{Direct, direct};
pub use error::Error;
pub use faithfulness::{Faithfulness, FaithfulnessOptions, faithfulness};
pub use groups::{Combine, Group, Grouping, combine, group};
pub use ica::{Ica, IcaOptions};
pub use lens::{Lens, lens};
pub use nmf::{Nmf, NmfError, NmfOptions};
pub use pca::{DecompositionError, Pca};
