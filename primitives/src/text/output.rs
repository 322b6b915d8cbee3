//! What an output tells: its tokens, what happened inside the model.

use ecco_interpreter::Explorable;
use rhai::plugin::*;
use rhai::{Array, INT};

use crate::text::generation::{Generation, Recorded};
use ecco_scripting::errors::RhaiResult;
use ecco_scripting::result::rich::Rich;
use ecco_scripting::tensor::Tensor;

#[export_module]
pub mod functions {
    use super::*;

    /// The whole text: what was given and what was generated.
    #[rhai_fn(get = "text", pure)]
    pub fn text(output: &mut Generation) -> String {
        output.text().to_owned()
    }

    /// The tokens' texts. A character that is split over several tokens stands in each of them.
    #[rhai_fn(get = "tokens", pure)]
    pub fn tokens(output: &mut Generation) -> Array {
        output
            .tokens()
            .iter()
            .map(|token| token.text.clone().into())
            .collect()
    }

    /// The tokens' numbers in the vocabulary.
    #[rhai_fn(get = "token_ids", pure)]
    pub fn token_ids(output: &mut Generation) -> Array {
        output
            .tokens()
            .iter()
            .map(|token| Dynamic::from_int(INT::from(token.id)))
            .collect()
    }

    /// How many of the tokens were given.
    #[rhai_fn(get = "n_input_tokens", pure)]
    pub fn n_input_tokens(output: &mut Generation) -> INT {
        output.n_input() as INT
    }

    /// The seed that tokens were drawn with; `()` when nothing was drawn.
    #[rhai_fn(get = "seed", pure)]
    pub fn seed(output: &mut Generation) -> Dynamic {
        output
            .seed()
            .map_or(Dynamic::UNIT, |seed| Dynamic::from_int(seed as INT))
    }

    /// Why the generation ended: `length`, `end_of_text`, `stop` or `interrupted`.
    #[rhai_fn(get = "finish", pure)]
    pub fn finish(output: &mut Generation) -> String {
        output.finish().to_owned()
    }

    /// The MLPs' inner values after the non-linearity: a tensor (layer, neuron, position), for all tokens
    /// but the last generated one, which the model has not read.
    #[rhai_fn(get = "activations", pure, return_raw)]
    pub fn activations(ctx: NativeCallContext, output: &mut Generation) -> RhaiResult<Tensor> {
        output
            .recorded(Recorded::Activations)
            .map_err(|error| error.raise(&ctx))
    }

    /// The residual stream before each layer and, last, after the final norm: a tensor (layer + 1,
    /// position, hidden), as transformers has it.
    #[rhai_fn(get = "hidden_states", pure, return_raw)]
    pub fn hidden_states(ctx: NativeCallContext, output: &mut Generation) -> RhaiResult<Tensor> {
        output
            .recorded(Recorded::HiddenStates)
            .map_err(|error| error.raise(&ctx))
    }

    /// How much each position attends to each: a tensor (layer, head, query, key).
    #[rhai_fn(get = "attention", pure, return_raw)]
    pub fn attention(ctx: NativeCallContext, output: &mut Generation) -> RhaiResult<Tensor> {
        output
            .recorded(Recorded::Attention)
            .map_err(|error| error.raise(&ctx))
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn output_text(output: &mut Generation) -> String {
        output.view().text()
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn rich_text(view: &mut Rich) -> String {
        view.text()
    }
}
