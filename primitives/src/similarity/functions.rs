//! Similarity of activations: `ecco::cca`, `ecco::svcca`, `ecco::pwcca`, `ecco::cka` of two captures, `ecco::similarity`
//! of layers.

use ecco_explain::similarity::{Kernel, Method};
use rhai::plugin::*;
use rhai::{FLOAT, Map};

use crate::similarity::grid::{self, SimilarityGrid};
use ecco_scripting::errors::{RhaiResult, ScriptError};
use ecco_scripting::options::{OptionKind, OptionSpec, OptionTable, Options, option};
use ecco_scripting::session::state_of;
use ecco_scripting::tensor::Tensor;

const DIMS: OptionSpec = option(
    "dims",
    OptionKind::Int(1),
    "20",
    "SVCCA: how many of the strongest directions are compared",
);
const CANONICAL: OptionSpec = option(
    "canonical",
    OptionKind::Bool,
    "false",
    "PWCCA: weigh by the canonical directions, as the paper says, and not by those of its published code",
);
const UNBIASED: OptionSpec = option(
    "unbiased",
    OptionKind::Bool,
    "false",
    "CKA: by the unbiased estimator, whose mean is 0 for unrelated captures",
);
const KERNEL: OptionSpec = option(
    "kernel",
    OptionKind::OneOf(&["linear", "rbf"]),
    "\"linear\"",
    "CKA: how two positions are compared",
);
const BANDWIDTH: OptionSpec = option(
    "bandwidth",
    OptionKind::Float,
    "1.0",
    "CKA with the RBF kernel: its width, in units of the median distance",
);

pub const SVCCA: OptionTable = OptionTable {
    primitive: "ecco::svcca",
    options: &[DIMS],
};
pub const PWCCA: OptionTable = OptionTable {
    primitive: "ecco::pwcca",
    options: &[CANONICAL],
};
pub const CKA: OptionTable = OptionTable {
    primitive: "ecco::cka",
    options: &[UNBIASED, KERNEL, BANDWIDTH],
};
pub const SIMILARITY: OptionTable = OptionTable {
    primitive: "ecco::similarity",
    options: &[
        option(
            "method",
            OptionKind::OneOf(&["cka", "cca", "svcca", "pwcca"]),
            "\"cka\"",
            "how two layers are compared",
        ),
        option(
            "site",
            OptionKind::Such(&["residual_after", "mlp_inner"]),
            "\"residual_after\"",
            "where activations are taken: one of lm.sites() with a value at each position",
        ),
        option(
            "layers",
            OptionKind::Ints,
            "all layers",
            "these layers of both, counted from 0",
        ),
        UNBIASED,
        KERNEL,
        BANDWIDTH,
        DIMS,
        CANONICAL,
    ],
};

#[export_module]
pub mod ecco {
    use super::*;

    /// How alike two captures are by canonical correlation: the mean of the first correlations, as many as make up 98%
    /// of their sum. Captures are tensors (neuron, position) over the same positions; where a tensor's axes have names,
    /// (position, hidden) is understood too. There must be more positions than neurons.
    ///
    /// Example:
    /// ```rhai
    /// ecco::cca(run_1.at("residual_after", 0), run_2.at("residual_after", 0))
    /// ```
    #[rhai_fn(name = "cca", return_raw)]
    pub fn cca(ctx: NativeCallContext, a: Tensor, b: Tensor) -> RhaiResult<FLOAT> {
        super::two(&ctx, &a, &b, Method::Cca)
    }

    /// Canonical correlation of the 20 strongest directions of each capture (SVCCA): the mean correlation.
    #[rhai_fn(name = "svcca", return_raw)]
    pub fn svcca(ctx: NativeCallContext, a: Tensor, b: Tensor) -> RhaiResult<FLOAT> {
        super::two(&ctx, &a, &b, Method::Svcca { dims: 20 })
    }

    /// SVCCA with another number of directions.
    ///
    /// Example:
    /// ```rhai
    /// ecco::svcca(output_1.activations[0], output_2.activations[0], #{dims: 5})
    /// ```
    #[rhai_fn(name = "svcca", return_raw)]
    pub fn svcca_with(ctx: NativeCallContext, a: Tensor, b: Tensor, options: Map) -> RhaiResult<FLOAT> {
        super::with(&ctx, &a, &b, "svcca", &SVCCA, &options)
    }

    /// Canonical correlation, weighted by how much each direction shows in the activations (PWCCA). By the published
    /// code, which the Python library uses.
    #[rhai_fn(name = "pwcca", return_raw)]
    pub fn pwcca(ctx: NativeCallContext, a: Tensor, b: Tensor) -> RhaiResult<FLOAT> {
        super::two(&ctx, &a, &b, Method::Pwcca { canonical: false })
    }

    /// PWCCA with options.
    ///
    /// Example:
    /// ```rhai
    /// ecco::pwcca(a, b, #{canonical: true})
    /// ```
    #[rhai_fn(name = "pwcca", return_raw)]
    pub fn pwcca_with(ctx: NativeCallContext, a: Tensor, b: Tensor, options: Map) -> RhaiResult<FLOAT> {
        super::with(&ctx, &a, &b, "pwcca", &PWCCA, &options)
    }

    /// How alike two captures are by centred kernel alignment (CKA). It needs no more positions than neurons, but the
    /// usual estimate is far above 0 for unrelated captures of many neurons: see `unbiased`.
    #[rhai_fn(name = "cka", return_raw)]
    pub fn cka(ctx: NativeCallContext, a: Tensor, b: Tensor) -> RhaiResult<FLOAT> {
        super::with(&ctx, &a, &b, "cka", &CKA, &Map::new())
    }

    /// CKA by its unbiased estimator, or with another kernel.
    ///
    /// Example:
    /// ```rhai
    /// ecco::cka(output_1.activations[0], output_2.activations[0], #{unbiased: true})
    /// ```
    #[rhai_fn(name = "cka", return_raw)]
    pub fn cka_with(ctx: NativeCallContext, a: Tensor, b: Tensor, options: Map) -> RhaiResult<FLOAT> {
        super::with(&ctx, &a, &b, "cka", &CKA, &options)
    }

    /// How alike each layer of one model is to each layer of another, or of the same: a grid. Both sides are outputs,
    /// runs, or lists of them (their positions are put together), or tensors whose first axis is layers, over the same
    /// text.
    ///
    /// Example:
    /// ```rhai
    /// let text = "The countries of the European Union are:\n1. Austria\n2. Belgium";
    /// ecco::similarity(lm_1.run(text), lm_2.run(text))
    /// ```
    #[rhai_fn(name = "similarity", return_raw, volatile)]
    pub fn similarity(ctx: NativeCallContext, a: Dynamic, b: Dynamic) -> RhaiResult<SimilarityGrid> {
        super::layers(&ctx, &a, &b, &Map::new())
    }

    /// A grid of layers, with options.
    ///
    /// Example:
    /// ```rhai
    /// ecco::similarity(run_1, run_2, #{method: "cka", unbiased: true, site: "mlp_inner"})
    /// ```
    #[rhai_fn(name = "similarity", return_raw, volatile)]
    pub fn similarity_with(
        ctx: NativeCallContext,
        a: Dynamic,
        b: Dynamic,
        options: Map,
    ) -> RhaiResult<SimilarityGrid> {
        super::layers(&ctx, &a, &b, &options)
    }
}

#[export_module]
pub mod functions {
    use super::*;

    /// How the layers were compared, for people.
    #[rhai_fn(get = "method", pure)]
    pub fn method(grid: &mut SimilarityGrid) -> String {
        grid.method()
    }

    /// The similarities: a tensor (layer, other_layer), the first model's layers down, the other's across.
    #[rhai_fn(get = "scores", pure)]
    pub fn scores(grid: &mut SimilarityGrid) -> Tensor {
        grid.scores()
    }
}

fn two(ctx: &NativeCallContext, a: &Tensor, b: &Tensor, method: Method) -> RhaiResult<FLOAT> {
    grid::of_two(&state_of(ctx), a, b, method).map_err(|error| error.raise(ctx))
}

fn with(
    ctx: &NativeCallContext,
    a: &Tensor,
    b: &Tensor,
    name: &str,
    table: &'static OptionTable,
    options: &Map,
) -> RhaiResult<FLOAT> {
    let options = table.read(options).map_err(|error| error.raise(ctx))?;
    two(ctx, a, b, method(name, &options))
}

fn layers(ctx: &NativeCallContext, a: &Dynamic, b: &Dynamic, options: &Map) -> RhaiResult<SimilarityGrid> {
    let made = |options: &Map| -> Result<SimilarityGrid, ScriptError> {
        let options = SIMILARITY.read(options)?;
        let method = method(options.text("method").unwrap_or("cka"), &options);
        grid::of_layers(&state_of(ctx), a, b, &options, method)
    };
    made(options).map_err(|error| error.raise(ctx))
}

/// The method of that name, as the options say.
fn method(name: &str, options: &Options) -> Method {
    match name {
        "cca" => Method::Cca,
        "svcca" => Method::Svcca {
            dims: options.usize("dims").unwrap_or(20),
        },
        "pwcca" => Method::Pwcca {
            canonical: options.bool("canonical").unwrap_or(false),
        },
        _ => Method::Cka {
            kernel: match options.text("kernel") {
                Some("rbf") => Kernel::Rbf {
                    bandwidth: options.float("bandwidth").unwrap_or(1.0),
                },
                _ => Kernel::Linear,
            },
            unbiased: options.bool("unbiased").unwrap_or(false),
        },
    }
}
