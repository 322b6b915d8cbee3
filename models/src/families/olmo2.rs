//! OLMo 2 (2501.00656): norms on each branch's output, and on all queries and keys together.

use super::{Family, llama, standard};
use crate::config::{AttentionConfig, Config, ConfigFile, PreNorm, QkNorm, Residual};
use crate::error::Result;
use crate::rope::Defaults;

pub(super) const FAMILY: Family = Family {
    model_type: "olmo2",
    known_as: "OLMo 2",
    config: |file| config(file, "olmo2"),
    weights: &[NORMS, standard::WEIGHTS],
    ..llama::LLAMA
};

/// Behind each branch.
pub(super) const NORMS: &[(&str, &str)] = &[
    (
        "layers.*.post_attention_layernorm.weight",
        "layers.*.attention_post_norm.weight",
    ),
    (
        "layers.*.post_feedforward_layernorm.weight",
        "layers.*.mlp_post_norm.weight",
    ),
];

pub(super) fn config(file: &ConfigFile, model_type: &str) -> Result<Config> {
    config_with(file, model_type, 1e-5, Defaults::default().theta)
}

/// The same with an epsilon and a base of turns where the file is silent.
pub(super) fn config_with(file: &ConfigFile, model_type: &str, epsilon: f64, theta: f64) -> Result<Config> {
    let norm = standard::rms(file, "rms_norm_eps", epsilon)?;
    let defaults = Defaults {
        theta,
        ..Defaults::default()
    };
    let config = standard::rotary(file, model_type, norm, defaults)?;
    let bias = file.flag_or("attention_bias", false)?;
    Ok(Config {
        residual: Residual {
            before: PreNorm::None,
            after_branch: true,
            ..Residual::PRE
        },
        attention: AttentionConfig {
            qk_norm: QkNorm::Whole,
            ..standard::attention(config.n_layers, config.head_dim, bias, bias)
        },
        ..config
    })
}
