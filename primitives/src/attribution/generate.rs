//! `lm.generate`, with the attributions that are computed right away: their options name methods, so it stands here and
//! not with the making of texts.

use ecco_explain::Method;
use ecco_models::Prompt;
use ecco_scripting::options::{Choice, OptionSet};
use ecco_scripting::{Registry, ScriptError, members};
use rhai::{Array, Dynamic, Map};

use super::saliency::Saliency;
use super::saliency_options::SaliencyOptions;
use crate::models::model::Model;
use crate::text::chat::{Chat, TextOrChat};
use crate::text::generate::{self, GenerationOptions};
use crate::text::generation::Generation;
use crate::text::outputs::Outputs;
use crate::text::vocabulary::{is_ids, text_of_ids};

pub(crate) fn register(registry: &mut Registry) {
    members! { registry, [Model];
        /// Continues a text, or the tokens of one, given by their numbers; an encoder–decoder answers to it; in a
        /// conversation that `lm.chat` made, the model answers. The tokens appear as they are made, with beams those of
        /// the best text so far; an interrupt keeps those made so far in `lm.last_output`.
        ///
        /// What the model's `generation_config.json` says holds where an option is not given, except that nothing is
        /// drawn and no beams are followed unless asked for.
        ///
        /// Example:
        /// ```rhai
        /// let output = lm.generate("The countries are:\n1.", #{generate: 20, do_sample: true, seed: 1});
        /// lm.generate(output.token_ids, #{generate: 5})
        /// ```
        volatile fn generate(lm: &Model, text: &str; options: GenerationOptions) -> Generation {
            attributed(lm, text.into(), options, lm.verbose)
        }

        volatile fn generate(lm: &Model, chat: Chat; options: GenerationOptions) -> Generation {
            attributed(lm, chat.prompt(), options, lm.verbose)
        }

        /// Of several texts, or of conversations, or of texts given by their tokens' numbers: a list of outputs, each the one
        /// of the text alone, whose `table` has a row for each. Texts with equally many tokens are written side by side. What
        /// is done when it is interrupted is in `lm.last_outputs`. An array of nothing but numbers is one text, and one output.
        ///
        /// Example:
        /// ```rhai
        /// let outputs = lm.generate(prompts.column("text"), #{generate: 10});
        /// outputs.table.save("written.csv")
        /// ```
        volatile fn generate(lm: &Model, texts: Array; options: GenerationOptions) -> Dynamic {
            match is_ids(&texts) {
                true => attributed(lm, text_of_ids(lm, &texts)?.prompt(), options, lm.verbose).map(Dynamic::from),
                false => several(lm, &TextOrChat::all(lm, &texts)?, options).map(Dynamic::from),
            }
        }
    }
}

fn several(lm: &Model, texts: &[TextOrChat], options: GenerationOptions) -> Result<Outputs, ScriptError> {
    let methods = options.attribution.clone().unwrap_or_default().0;
    let outputs = generate::generate_each(lm, texts, options)?;
    for output in outputs.all() {
        attribute(output, &methods)?;
    }
    Ok(outputs)
}

/// The output of a generation with such options, whose tokens are shown as they are made where `is_shown`.
pub(crate) fn generated(
    lm: &Model,
    prompt: Prompt,
    options: &Map,
    is_shown: bool,
) -> Result<Generation, ScriptError> {
    let options = GenerationOptions::read("Model.generate", options)?;
    attributed(lm, prompt, options, is_shown)
}

/// An output, and what is computed of it right away.
pub(crate) fn attributed(
    lm: &Model,
    prompt: Prompt,
    options: GenerationOptions,
    is_shown: bool,
) -> Result<Generation, ScriptError> {
    let methods = options.attribution.clone().unwrap_or_default().0;
    let output = generate::generate(lm, prompt, options, is_shown)?;
    attribute(&output, &methods)?;
    Ok(output)
}

fn attribute(output: &Generation, methods: &[Choice<Method>]) -> Result<(), ScriptError> {
    for method in methods {
        let options = SaliencyOptions {
            method: Some(*method),
            ..SaliencyOptions::default()
        };
        Saliency::new(output.passage(), options)?.computed()?;
    }
    Ok(())
}
