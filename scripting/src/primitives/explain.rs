//! What an output tells: its tokens, what happened inside the model, factors.

use ecco_explain::nmf::NmfOptions;
use ecco_widgets::Explorable;
use rhai::plugin::*;
use rhai::{Array, FLOAT, INT, Map};

use crate::errors::{RhaiResult, ScriptError};
use crate::options::{OptionKind, OptionTable, option};
use crate::values::factorization::{self, Factorization};
use crate::values::generation::{Generation, Recorded};
use crate::values::rich::Rich;
use crate::values::tensor::Tensor;

pub const NMF_OPTIONS: OptionTable = OptionTable {
    primitive: "Generation.run_nmf",
    options: &[
        option(
            "n_components",
            OptionKind::Int(1),
            "10",
            "how many factors; at most one per position",
        ),
        option(
            "from_layer",
            OptionKind::Int(0),
            "0",
            "the first layer, counted from 0",
        ),
        option(
            "to_layer",
            OptionKind::Int(1),
            "all layers",
            "the first layer left out",
        ),
        option("max_iter", OptionKind::Int(1), "500", "sweeps at most"),
        option(
            "seed",
            OptionKind::Int(0),
            "0",
            "of the random start; the same as scikit-learn's random_state",
        ),
    ],
};

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

    /// Groups the neurons into factors that fire together (non-negative matrix factorization of the
    /// activations).
    #[rhai_fn(name = "run_nmf", pure, return_raw)]
    pub fn run_nmf(ctx: NativeCallContext, output: &mut Generation) -> RhaiResult<Factorization> {
        super::run_nmf(output, &Map::new()).map_err(|error| error.raise(&ctx))
    }

    /// Groups the neurons into factors, with options.
    ///
    /// Example:
    /// ```rhai
    /// let nmf = output.run_nmf(#{n_components: 10});
    /// nmf.explore()
    /// ```
    #[rhai_fn(name = "run_nmf", pure, return_raw)]
    pub fn run_nmf_with(
        ctx: NativeCallContext,
        output: &mut Generation,
        options: Map,
    ) -> RhaiResult<Factorization> {
        super::run_nmf(output, &options).map_err(|error| error.raise(&ctx))
    }

    /// Shows the factors: where each one is active, and which tokens it belongs to.
    #[rhai_fn(name = "explore", pure)]
    pub fn explore(nmf: &mut Factorization) -> Rich {
        Rich::new(nmf.view().bundle())
    }

    /// Where each factor is active: a tensor (component, position).
    #[rhai_fn(get = "components", pure)]
    pub fn components(nmf: &mut Factorization) -> Tensor {
        nmf.components()
    }

    /// Which neurons a factor consists of: a tensor (component, neuron), layers one after the other.
    #[rhai_fn(get = "neurons", pure)]
    pub fn neurons(nmf: &mut Factorization) -> Tensor {
        nmf.neurons()
    }

    /// The reconstruction error: the Frobenius norm of what the factors leave unexplained.
    #[rhai_fn(get = "error", pure)]
    pub fn error(nmf: &mut Factorization) -> FLOAT {
        nmf.nmf().error
    }

    /// The reconstruction error relative to the norm of the activations: 0 exact, 1 nothing explained.
    #[rhai_fn(get = "relative_error", pure)]
    pub fn relative_error(nmf: &mut Factorization) -> FLOAT {
        nmf.nmf().relative_error
    }

    /// Sweeps that were done.
    #[rhai_fn(get = "n_iter", pure)]
    pub fn n_iter(nmf: &mut Factorization) -> INT {
        nmf.nmf().n_iter as INT
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

fn run_nmf(output: &Generation, options: &Map) -> Result<Factorization, ScriptError> {
    let options = NMF_OPTIONS.read(options)?;
    let defaults = NmfOptions::default();
    let nmf = NmfOptions {
        n_components: options.usize("n_components").unwrap_or(defaults.n_components),
        max_iter: options.usize("max_iter").unwrap_or(defaults.max_iter),
        seed: options.u64("seed").unwrap_or(defaults.seed),
        ..defaults
    };
    factorization::run(
        output,
        options.usize("from_layer"),
        options.usize("to_layer"),
        &nmf,
    )
}
