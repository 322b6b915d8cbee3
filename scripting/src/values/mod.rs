//! The types scripts hold, and how they are shown.

pub mod attention;
pub mod attributed;
pub mod candidates;
pub mod capture;
pub mod chat;
pub mod comparison;
pub mod factorization;
pub mod faithfulness;
pub mod finding;
pub mod generation;
pub mod lens;
pub mod model;
pub mod neurons;
pub mod numbers;
pub mod parts;
pub mod patch_map;
pub mod rich;
pub mod run;
pub mod saliency;
pub mod saving;
pub mod show;
pub mod side_by_side;
pub mod similarity;
pub mod source;
pub mod steering;
pub mod subject;
pub mod targets;
pub mod tensor;
pub mod words;

use ecco_interpreter::MimeBundle;
use rhai::Dynamic;

use crate::errors::ScriptError;
use attention::Attention;
use candidates::Candidates;
use chat::Chat;
use comparison::Comparison;
use factorization::{Factorization, Stability};
use faithfulness::Faithfulness;
use finding::Shown;
use generation::Generation;
use lens::Lens;
use model::{Model, ModelList};
use neurons::{Activity, TopNeurons};
use parts::LogitAttribution;
use patch_map::PatchMap;
use rich::Rich;
use run::Run;
use saliency::Saliency;
use side_by_side::SideBySide;
use similarity::SimilarityGrid;
use steering::SteeringVector;
use tensor::Tensor;

/// The types of ours that scripts hold, each with its [`Shown`].
macro_rules! shown {
    ($($of:ty),* $(,)?) => {
        /// The representations of a value of ours; None for other values.
        pub fn own_bundle(value: &Dynamic) -> Option<Result<MimeBundle, ScriptError>> {
            $(if let Some(value) = value.read_lock::<$of>() {
                return Some(Shown::bundle(&*value));
            })*
            None
        }

        /// One line about a value of ours, for lists and messages.
        pub fn own_line(value: &Dynamic) -> Option<String> {
            $(if let Some(value) = value.read_lock::<$of>() {
                return Some(Shown::line(&*value));
            })*
            None
        }
    };
}

shown! {
    Rich,
    Tensor,
    Model,
    ModelList,
    Chat,
    Generation,
    Run,
    Saliency,
    Faithfulness,
    Comparison,
    Factorization,
    SideBySide,
    PatchMap,
    SteeringVector,
    Stability,
    Activity,
    TopNeurons,
    SimilarityGrid,
    Lens,
    LogitAttribution,
    Attention,
    Candidates,
}

/// What can be said about a value without computing anything: size, shape, place.
pub fn facts(value: &Dynamic) -> Vec<(&'static str, String)> {
    let count = |n: usize, unit: &str| format!("{n} {unit}");
    if let Ok(array) = value.as_array_ref() {
        return vec![("length", count(array.len(), "items"))];
    }
    if let Ok(map) = value.as_map_ref() {
        return vec![("length", count(map.len(), "entries"))];
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        return vec![("length", count(text.chars().count(), "characters"))];
    }
    if let Ok(blob) = value.as_blob_ref() {
        return vec![("length", count(blob.len(), "bytes"))];
    }
    if let Some(tensor) = value.read_lock::<Tensor>() {
        let bytes = size_of::<f32>() * tensor.shape().iter().product::<usize>();
        return vec![
            ("shape", tensor.shape_text()),
            ("dtype", "float32".to_owned()),
            ("memory", count(bytes, "bytes")),
        ];
    }
    Vec::new()
}

/// A few lines about any value, without computing anything.
pub fn summary(value: &Dynamic) -> String {
    let model = value.read_lock::<Model>().filter(|model| model.is_loaded());
    if let Some(text) = model.and_then(|model| Shown::bundle(&*model).ok()?.text().map(str::to_owned)) {
        return text;
    }
    let text = own_line(value).unwrap_or_else(|| show::text(value));
    match text.char_indices().nth(LONGEST_SUMMARY) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Characters of a value's text on a page about it.
const LONGEST_SUMMARY: usize = 2_000;
