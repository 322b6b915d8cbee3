//! GPT (Radford et al. 2018): GPT-2's parts with norms after each sum.

use super::{Family, gpt2};
use crate::config::{Activation, Config, ConfigFile, PreNorm, Residual};
use crate::error::Result;

pub(super) const FAMILY: Family = Family {
    model_type: "openai-gpt",
    known_as: "GPT (2018)",
    config,
    weights: &[
        &[
            ("tokens_embed.weight", "token_embedding.weight"),
            ("positions_embed.weight", "position_embedding.weight"),
        ],
        gpt2::ATTENTION,
        gpt2::AROUND,
    ],
    ..gpt2::FAMILY
};

fn config(file: &ConfigFile) -> Result<Config> {
    let config = gpt2::config(file, "openai-gpt")?;
    // What is called gelu here was the approximation already.
    let activation = match file.activation("afn", Activation::GeluTanh)? {
        Activation::Gelu => Activation::GeluTanh,
        activation => activation,
    };
    Ok(Config {
        intermediate_size: 4 * config.hidden_size,
        activation,
        residual: Residual {
            before: PreNorm::None,
            after_sum: true,
            final_norm: false,
            ..Residual::PRE
        },
        ..config
    })
}
