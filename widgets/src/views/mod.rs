//! The views, a folder each: `mod.rs` (the data, its page and its text), `picture.rs` where there is one, `view.js`,
//! `view.css`. Here each is registered once.

use serde_json::{Error, Value};

use crate::Explorable;
use crate::kit::document::{Document, VERSION, schema};
use crate::kit::reading as fields;

pub mod attention;
pub mod attribution_graph;
pub mod candidates;
pub mod circuit;
pub mod circuit_curve;
pub mod comparison;
pub mod corpus_neuron;
pub mod depths;
pub mod edges;
pub mod factors;
pub mod faithfulness;
pub mod heads;
pub(crate) mod heat;
pub mod layer_predictions;
pub mod lens_map;
pub mod model_card;
pub mod model_diff;
pub mod neuron;
pub mod parts;
pub mod patch_map;
pub mod probes;
pub mod progress;
pub mod projection;
pub mod rank_map;
pub mod reading;
pub mod results;
pub mod saliency;
pub mod score;
pub mod side_by_side;
pub mod similarity;
pub mod site_attribution;
pub mod steering;
pub mod table;
pub mod tensor_summary;
pub mod tokens;
pub mod top_k;
pub mod vocabulary;

pub use attention::Attention;
pub use attribution_graph::{AttributionGraph, GraphEdge, GraphGroup, GraphNode, GraphNodeKind};
pub use candidates::{Candidate, CandidateLabel, CandidatePlace, Candidates};
pub use circuit::{Circuit, CircuitEdge, CircuitNode};
pub use circuit_curve::{CircuitCurve, CircuitSize};
pub use comparison::{Comparison, MethodRow};
pub use corpus_neuron::{CorpusGroup, CorpusNeuron, CorpusText, Neighbour, Neighbours, Quantile};
pub use edges::{Edges, ScoredEdge};
pub use factors::{FactorLayer, FactorNeuron, FactorText, Factors, Holdout};
pub use faithfulness::Faithfulness;
pub use heads::Heads;
pub use layer_predictions::LayerPredictions;
pub use lens_map::{LensColumn, LensMap};
pub use model_card::{ModelCard, ModelSite, ResidentModels};
pub use model_diff::{DiffText, GraftMap, ModelDiff, WeightChange};
pub use neuron::{ActiveNeuron, NeuronActivity, NeuronList, NeuronText};
pub use parts::{LayerParts, Parts, PartsBy};
pub use patch_map::{Columns, MeasuredCell, PatchEstimate, PatchMap, PatchPairs};
pub use probes::{ProbePlace, Probes};
pub use progress::Progress;
pub use projection::Projection;
pub use rank_map::{RankKind, RankMap};
pub use reading::{Reading, Statement};
pub use results::{ResultRow, Results};
pub use saliency::{Completeness, Saliency, SaliencyStyle, Scale, Unit};
pub use score::{Score, ScoredToken};
pub use side_by_side::{Prediction, Side, SideBySide};
pub use similarity::SimilarityGrid;
pub use site_attribution::{LayerSum, SiteAttribution, SiteColumns};
pub use steering::Steering;
pub use table::{Table, TableCell};
pub use tensor_summary::{TensorCells, TensorSummary};
pub use tokens::TokenSequence;
pub use top_k::{TopK, TopKPosition};
pub use vocabulary::{Vocabulary, VocabularyRow, VocabularyToken};

/// JSON Schema of every document, with its type.
macro_rules! schemas {
    ($($document:ty),* $(,)?) => {
        pub fn schemas() -> Vec<(&'static str, Value)> {
            vec![$((<$document>::TYPE, schema::<$document>())),*]
        }
    };
}

schemas![
    attention::Data<'_>,
    AttributionGraph,
    candidates::Data<'_>,
    Circuit,
    CircuitCurve,
    Comparison,
    CorpusNeuron,
    Edges,
    Factors,
    Faithfulness,
    Heads,
    LayerPredictions,
    LensMap,
    ModelCard,
    ModelDiff,
    ResidentModels,
    neuron::Data<'_>,
    NeuronList,
    Parts,
    patch_map::Data<'_>,
    Probes,
    Projection,
    RankMap,
    Reading,
    Results,
    Saliency,
    score::Data<'_>,
    side_by_side::Data<'_>,
    SimilarityGrid,
    SiteAttribution,
    Steering,
    Table,
    TensorSummary,
    TokenSequence,
    TopK,
    Vocabulary,
];

/// Views that are their documents, read again as they are.
macro_rules! views {
    ($($document:ident),* $(,)?) => {
        fn plain_view(document: &Value, kind: &str) -> Result<Option<Box<dyn Explorable>>, Error> {
            Ok(Some(match kind {
                $($document::TYPE => Box::new(fields::read::<$document>(document)?),)*
                _ => return Ok(None),
            }))
        }
    };
}

views![
    AttributionGraph,
    Circuit,
    CircuitCurve,
    Comparison,
    CorpusNeuron,
    Edges,
    Factors,
    Faithfulness,
    Heads,
    LayerPredictions,
    LensMap,
    ModelDiff,
    NeuronList,
    Parts,
    Probes,
    Projection,
    RankMap,
    SimilarityGrid,
    Steering,
    TokenSequence,
    TopK,
    Vocabulary,
];

/// The view of a document: what it was made of, as it was shown. `None` of what is no result.
///
/// # Errors
/// What is no document of this version, and fields that are missing or of another type.
pub fn view_of(document: &Value) -> Result<Option<Box<dyn Explorable>>, Error> {
    use serde::de::Error as _;
    let Some(kind) = document["type"].as_str() else {
        return Err(Error::custom("it does not say its `type`"));
    };
    if document["version"] != VERSION {
        let version = &document["version"];
        return Err(Error::custom(format!(
            "its version is {version}, and {VERSION} is read here"
        )));
    }
    Ok(Some(match kind {
        Saliency::TYPE => Box::new(saliency::read(document)?),
        Reading::TYPE => Box::new(self::reading::read(document)?),
        Results::TYPE => Box::new(results::read(document)?),
        score::Data::TYPE => Box::new(score::read(document)?),
        candidates::Data::TYPE => Box::new(candidates::read(document)?),
        attention::Data::TYPE => Box::new(attention::read(document)?),
        patch_map::Data::TYPE => Box::new(patch_map::read(document)?),
        side_by_side::Data::TYPE => Box::new(fields::read::<SideBySide>(document)?),
        neuron::Data::TYPE => Box::new(fields::read::<NeuronActivity>(document)?),
        SiteAttribution::TYPE => Box::new(site_attribution::read(document)?),
        kind => return plain_view(document, kind),
    }))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    #[test]
    fn every_folder_is_registered() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/views");
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        for path in entries.filter(|path| path.is_dir()) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap();
            assert!(
                include_str!("mod.rs").contains(&format!("pub mod {name};")),
                "{name}"
            );
        }
    }
}
