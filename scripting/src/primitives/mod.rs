//! What scripts can call.
//!
//! A primitive is one documented function in one of these modules. Its doc comment is the user's help;
//! completion, inspection and `docs/primitives.md` derive from it and from its table of options.

mod attribution;
mod chat;
mod display;
mod errors;
mod explain;
mod faithfulness;
mod findings;
mod generate;
mod inside;
mod intervene;
mod limits;
mod models;
mod nesting;
mod patching;
mod run;
mod score;
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
use crate::values::factorization::Factorization;
use crate::values::faithfulness::Faithfulness;
use crate::values::generation::Generation;
use crate::values::lens::Lens;
use crate::values::model::{Model, ModelList};
use crate::values::parts::LogitAttribution;
use crate::values::patch_map::PatchMap;
use crate::values::rich::Rich;
use crate::values::run::Run;
use crate::values::saliency::Saliency;
use crate::values::side_by_side::SideBySide;
use crate::values::steering::SteeringVector;
use crate::values::tensor::Tensor;

/// The options of every primitive that takes some.
pub const OPTION_TABLES: &[&OptionTable] = &[
    &models::LOAD_OPTIONS,
    &generate::GENERATE_OPTIONS,
    &chat::CHAT_OPTIONS,
    &run::RUN_OPTIONS,
    &attribution::SALIENCY_OPTIONS,
    &attribution::PRIMARY_OPTIONS,
    &attribution::ATTRIBUTE_OPTIONS,
    &attribution::RUN_SALIENCY_OPTIONS,
    &faithfulness::FAITHFULNESS_OPTIONS,
    &faithfulness::COMPARE_OPTIONS,
    &faithfulness::SALIENCY_COMPARE_OPTIONS,
    &explain::NMF_OPTIONS,
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
    engine.register_type_with_name::<Lens>("Lens");
    engine.register_type_with_name::<LogitAttribution>("LogitAttribution");
    engine.register_type_with_name::<Attention>("Attention");
    engine.register_type_with_name::<Candidates>("Candidates");
    engine.register_iterator::<Tensor>();
    engine.register_iterator::<ModelList>();
    engine.register_static_module("ecco", exported_module!(models::ecco).into());
    engine.register_global_module(exported_module!(models::functions).into());
    engine.register_global_module(exported_module!(chat::functions).into());
    engine.register_global_module(exported_module!(generate::functions).into());
    engine.register_global_module(exported_module!(run::functions).into());
    engine.register_global_module(exported_module!(explain::functions).into());
    engine.register_global_module(exported_module!(intervene::functions).into());
    engine.register_global_module(exported_module!(patching::functions).into());
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
    tensor::register_arithmetic(engine);
}
