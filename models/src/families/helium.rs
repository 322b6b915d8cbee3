//! Helium (Kyutai 2025): Llama with neighbouring dimensions turned.

use super::{Family, ernie, llama, standard};
use crate::config::{Config, ConfigFile, Mlp};
use crate::error::Result;
use crate::rope::Defaults;

pub(super) const FAMILY: Family = Family {
    model_type: "helium",
    known_as: "Helium 1",
    config,
    ..llama::LLAMA
};

fn config(file: &ConfigFile) -> Result<Config> {
    let defaults = Defaults {
        theta: 100_000.0,
        ..Defaults::default()
    };
    let norm = standard::rms(file, "rms_norm_eps", 1e-8)?;
    let config = ernie::neighbours(file, "helium", norm, defaults)?;
    let bias = file.flag_or("attention_bias", false)?;
    Ok(Config {
        attention: standard::attention(config.n_layers, config.head_dim, bias, false),
        mlp: Mlp::Gated {
            bias: file.flag_or("mlp_bias", false)?,
            joined: false,
        },
        ..config
    })
}
