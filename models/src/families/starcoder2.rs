//! StarCoder2 (2402.19173): layer norms, biases, a plain MLP, a sliding window.

use super::{Family, llama, standard};
use crate::config::{Activation, AttentionConfig, Config, ConfigFile, Head, Mlp};
use crate::error::Result;
use crate::rope::Defaults;

pub(super) const FAMILY: Family = Family {
    model_type: "starcoder2",
    known_as: "StarCoder2",
    config,
    weights: &[
        &[
            ("layers.*.mlp.c_fc.weight", "layers.*.mlp.up.weight"),
            ("layers.*.mlp.c_fc.bias", "layers.*.mlp.up.bias"),
            ("layers.*.mlp.c_proj.weight", "layers.*.mlp.down.weight"),
            ("layers.*.mlp.c_proj.bias", "layers.*.mlp.down.bias"),
        ],
        standard::WEIGHTS,
    ],
    ..llama::LLAMA
};

fn config(file: &ConfigFile) -> Result<Config> {
    let norm = standard::layer(file, "norm_epsilon", 1e-5)?;
    let config = standard::rotary(file, "starcoder2", norm, Defaults::default())?;
    let bias = file.flag_or("use_bias", true)?;
    Ok(Config {
        activation: file.activation("hidden_act", Activation::GeluTanh)?,
        attention: AttentionConfig {
            windows: standard::windows(file, config.n_layers, None, |_| true)?,
            ..standard::attention(config.n_layers, config.head_dim, bias, bias)
        },
        mlp: Mlp::Plain { bias },
        head: Head::new(file.flag_or("tie_word_embeddings", true)?),
        ..config
    })
}
