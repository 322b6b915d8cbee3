//! Seed-OSS: Llama with biases on queries, keys and values.

use super::{Family, llama, standard};
use crate::config::{Config, ConfigFile, Mlp};
use crate::error::Result;

pub(super) const FAMILY: Family = Family {
    model_type: "seed_oss",
    known_as: "Seed-OSS 36B",
    config,
    ..llama::LLAMA
};

fn config(file: &ConfigFile) -> Result<Config> {
    let config = standard::llama_like(file, "seed_oss")?;
    let qkv_bias = file.flag_or("attention_bias", true)?;
    let output_bias = file.flag_or("attention_out_bias", false)?;
    Ok(Config {
        attention: standard::attention(config.n_layers, config.head_dim, qkv_bias, output_bias),
        mlp: Mlp::Gated {
            bias: file.flag_or("mlp_bias", false)?,
            joined: false,
        },
        ..config
    })
}
