//! What to do about errors of models and explanations, as a script says it.

use std::any::Any;

use ecco_explain::Error as ExplainError;
use ecco_explain::pca::DecompositionError;
use ecco_explain::similarity::SimilarityError;
use ecco_models::Error as ModelError;

/// The hint in words of scripts, where the crate below has it in general ones.
pub(crate) fn in_scripts(error: &dyn Any) -> Option<String> {
    if let Some(error) = error.downcast_ref::<ModelError>() {
        return of_model(error);
    }
    if let Some(error) = error.downcast_ref::<ExplainError>() {
        return of_explanation(error);
    }
    match (error.downcast_ref(), error.downcast_ref()) {
        (Some(DecompositionError::Explain(error)), _) | (_, Some(SimilarityError::Explain(error))) => {
            of_explanation(error)
        }
        (_, Some(SimilarityError::Neurons { .. })) => Some(
            "take longer texts or several, or ecco::svcca, which keeps the strongest directions only, or ecco::cka, \
             which needs no more positions than neurons"
                .into(),
        ),
        (_, Some(SimilarityError::Dims { most, .. })) => {
            Some(format!("for example #{{dims: {}}}", (most / 2).max(1)))
        }
        _ => None,
    }
}

fn of_explanation(error: &ExplainError) -> Option<String> {
    match error {
        ExplainError::NothingGenerated => Some("generate at least one token: #{generate: 20}".into()),
        ExplainError::Lengths { .. } => {
            Some("choose words of as many tokens (`lm.run(text).tokens` shows them), or let lm.patch_map align the texts: #{align: true}".into())
        }
        ExplainError::Model(error) => of_model(error),
        _ => None,
    }
}

fn of_model(error: &ModelError) -> Option<String> {
    match error {
        ModelError::FileChanged { .. } => Some(
            "free the model with lm.unload() and load it again; a file is replaced safely by renaming another"
                .into(),
        ),
        ModelError::NoChatTemplate { .. } => {
            Some("it was not trained on conversations: give `generate` the text that it is to continue".into())
        }
        ModelError::NoRoom { .. } => Some("say how many tokens to make: #{generate: 20}".into()),
        ModelError::OutOfMemory { .. } => {
            let own = "free a model with lm.unload(); ecco::models() lists what is resident".to_owned();
            let others = ecco_models::holders::on_gpus(&ecco_models::holders::holders());
            Some([vec![own], others].concat().join("; "))
        }
        ModelError::NoAdapter { model } => Some(format!(
            "load it with one: ecco::from_pretrained({model:?}, #{{adapter: \"folder or hub id\"}})"
        )),
        ModelError::NoBase { adapter, .. } => Some(format!(
            "say which model it is for: ecco::from_pretrained(\"folder or hub id\", #{{adapter: {adapter:?}}})"
        )),
        ModelError::SomeLayers { site, layers } => {
            let layer = layers.first()?;
            Some(format!("take one layer: run.at({site:?}, {layer})"))
        }
        ModelError::Widths { site } => Some(format!("take one layer: run.at({site:?}, 0)")),
        _ => None,
    }
}
