//! What scripts can call.
//!
//! A primitive is one documented function in one of these modules. Its doc comment is the user's help;
//! completion, inspection and `docs/primitives.md` derive from it and from its table of options.

mod attribution;
mod chat;
mod display;
mod errors;
mod explain;
mod factors;
mod faithfulness;
mod findings;
mod generate;
mod inside;
mod intervene;
mod limits;
mod models;
mod nesting;
mod neurons;
mod patching;
mod run;
mod score;
mod similarity;
mod sorting;
mod tensor;
mod text;

use rhai::{Engine, exported_module};

pub use findings::is_common;

use crate::errors::ScriptError;
use crate::options::OptionTable;
use crate::values::attention::Attention;
use crate::values::candidates::Candidates;
use crate::values::chat::Chat;
use crate::values::comparison::Comparison;
use crate::values::factorization::{Factorization, Stability};
use crate::values::faithfulness::Faithfulness;
use crate::values::generation::Generation;
use crate::values::lens::Lens;
use crate::values::model::{Model, ModelList};
use crate::values::neurons::{Activity, TopNeurons};
use crate::values::parts::LogitAttribution;
use crate::values::patch_map::PatchMap;
use crate::values::rich::Rich;
use crate::values::run::Run;
use crate::values::saliency::Saliency;
use crate::values::side_by_side::SideBySide;
use crate::values::similarity::SimilarityGrid;
use crate::values::steering::SteeringVector;
use crate::values::tensor::Tensor;

/// The options of every primitive that takes some.
pub const OPTION_TABLES: &[&OptionTable] = &[
    &models::LOAD_OPTIONS,
    &generate::GENERATE_OPTIONS,
    &chat::CHAT_OPTIONS,
    &run::RUN_OPTIONS,
    &factors::OUTPUT_NMF,
    &factors::RUN_NMF,
    &factors::ECCO_NMF,
    &factors::OUTPUT_PCA,
    &factors::RUN_PCA,
    &factors::ECCO_PCA,
    &factors::OUTPUT_ICA,
    &factors::RUN_ICA,
    &factors::ECCO_ICA,
    &factors::STABILITY,
    &neurons::OUTPUT_TOP,
    &neurons::RUN_TOP,
    &neurons::OUTPUT_NEURON,
    &neurons::RUN_NEURON,
    &neurons::MODEL_NEURON,
    &similarity::SVCCA,
    &similarity::PWCCA,
    &similarity::CKA,
    &similarity::SIMILARITY,
    &attribution::SALIENCY_OPTIONS,
    &attribution::PRIMARY_OPTIONS,
    &attribution::ATTRIBUTE_OPTIONS,
    &attribution::RUN_SALIENCY_OPTIONS,
    &faithfulness::FAITHFULNESS_OPTIONS,
    &faithfulness::COMPARE_OPTIONS,
    &faithfulness::SALIENCY_COMPARE_OPTIONS,
    &intervene::INTERVENE_OPTIONS,
    &intervene::COMPARE_OPTIONS,
    &intervene::STEERING_OPTIONS,
    &patching::PATCH_OPTIONS,
    &inside::PREDICTIONS_OF_OUTPUT,
    &inside::PREDICTIONS_OF_RUN,
    &inside::RANKINGS_OF_OUTPUT,
    &inside::RANKINGS_OF_RUN,
    &inside::WATCH_OF_OUTPUT,
    &inside::WATCH_OF_RUN,
    &inside::LENS_OF_OUTPUT,
    &inside::LENS_OF_RUN,
    &inside::LOGIT_OF_OUTPUT,
    &inside::LOGIT_OF_RUN,
    &inside::ATTENTION_OF_OUTPUT,
    &inside::ATTENTION_OF_RUN,
    &inside::CANDIDATES_OF_OUTPUT,
    &inside::CANDIDATES_OF_RUN,
    &inside::PREDICT_OPTIONS,
];

/// Makes all primitives known to `engine`.
pub fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Tensor>("Tensor");
    engine.register_type_with_name::<Rich>("Rich");
    engine.register_type_with_name::<ScriptError>("Error");
    engine.register_type_with_name::<Model>("Model");
    engine.register_type_with_name::<ModelList>("ModelList");
    engine.register_type_with_name::<Chat>("Chat");
    engine.register_type_with_name::<Generation>("Generation");
    engine.register_type_with_name::<Run>("Run");
    engine.register_type_with_name::<Saliency>("Saliency");
    engine.register_type_with_name::<Faithfulness>("Faithfulness");
    engine.register_type_with_name::<Comparison>("Comparison");
    engine.register_type_with_name::<Factorization>("Factorization");
    engine.register_type_with_name::<SideBySide>("SideBySide");
    engine.register_type_with_name::<PatchMap>("PatchMap");
    engine.register_type_with_name::<SteeringVector>("SteeringVector");
    engine.register_type_with_name::<Stability>("Stability");
    engine.register_type_with_name::<Activity>("Activity");
    engine.register_type_with_name::<TopNeurons>("TopNeurons");
    engine.register_type_with_name::<SimilarityGrid>("SimilarityGrid");
    engine.register_type_with_name::<Lens>("Lens");
    engine.register_type_with_name::<LogitAttribution>("LogitAttribution");
    engine.register_type_with_name::<Attention>("Attention");
    engine.register_type_with_name::<Candidates>("Candidates");
    engine.register_iterator::<Tensor>();
    engine.register_iterator::<ModelList>();
    let mut ecco = exported_module!(models::ecco);
    ecco.combine(exported_module!(factors::ecco));
    ecco.combine(exported_module!(similarity::ecco));
    engine.register_static_module("ecco", ecco.into());
    engine.register_global_module(exported_module!(models::functions).into());
    engine.register_global_module(exported_module!(chat::functions).into());
    engine.register_global_module(exported_module!(generate::functions).into());
    engine.register_global_module(exported_module!(run::functions).into());
    engine.register_global_module(exported_module!(explain::functions).into());
    engine.register_global_module(exported_module!(intervene::functions).into());
    engine.register_global_module(exported_module!(patching::functions).into());
    engine.register_global_module(exported_module!(factors::functions).into());
    engine.register_global_module(exported_module!(neurons::functions).into());
    engine.register_global_module(exported_module!(similarity::functions).into());
    engine.register_global_module(exported_module!(attribution::functions).into());
    engine.register_global_module(exported_module!(faithfulness::functions).into());
    engine.register_global_module(exported_module!(score::functions).into());
    engine.register_global_module(exported_module!(inside::functions).into());
    engine.register_global_module(exported_module!(display::functions).into());
    engine.register_global_module(exported_module!(text::functions).into());
    engine.register_global_module(exported_module!(tensor::functions).into());
    engine.register_global_module(exported_module!(errors::functions).into());
    engine.register_global_module(exported_module!(limits::functions).into());
    engine.register_global_module(exported_module!(nesting::functions).into());
    engine.register_global_module(exported_module!(sorting::functions).into());
    findings::register(engine);
    factors::register(engine);
    neurons::register(engine);
    tensor::register_arithmetic(engine);
}
