//! Inside the model: what each layer would say, what each part wrote to a logit, what heads look at, candidates.

pub mod attention;
pub mod candidates;
pub mod functions;
pub mod lens;
pub mod parts;

use ecco_scripting::Registry;
use rhai::exported_module;

use attention::Attention;
use candidates::Candidates;
use lens::Lens;
use parts::LogitAttribution;

/// Makes the topic known to scripts.
pub fn register(registry: &mut Registry) {
    registry.result::<Lens>("Lens", "lens");
    registry.result::<LogitAttribution>("LogitAttribution", "parts");
    registry.result::<Attention>("Attention", "attention");
    registry.result::<Candidates>("Candidates", "candidates");
    registry.table(&functions::PREDICTIONS_OF_OUTPUT);
    registry.table(&functions::PREDICTIONS_OF_RUN);
    registry.table(&functions::RANKINGS_OF_OUTPUT);
    registry.table(&functions::RANKINGS_OF_RUN);
    registry.table(&functions::WATCH_OF_OUTPUT);
    registry.table(&functions::WATCH_OF_RUN);
    registry.table(&functions::LENS_OF_OUTPUT);
    registry.table(&functions::LENS_OF_RUN);
    registry.table(&functions::LOGIT_OF_OUTPUT);
    registry.table(&functions::LOGIT_OF_RUN);
    registry.table(&functions::ATTENTION_OF_OUTPUT);
    registry.table(&functions::ATTENTION_OF_RUN);
    registry.table(&functions::CANDIDATES_OF_OUTPUT);
    registry.table(&functions::CANDIDATES_OF_RUN);
    registry.table(&functions::PREDICT_OPTIONS);
    registry.module(exported_module!(functions::functions));
}
