//! OLMo 2 (2501.00656): norms on each branch's output, and on all queries and keys together.

use super::{Family, llama, standard};
use crate::config::{AttentionConfig, Config, ConfigFile, PreNorm, QkNorm, Residual};
use crate::error::Result;
use crate::rope::Defaults;

pub(super) const FAMILY: Family = Family {
    model_type: "olmo2",
    known_as: "OLMo 2",
    config: |file| config(file, "olmo2"),
    weights: &[
        &[
            (
                "layers.*.post_attention_layernorm.weight",
                "layers.*.attention_post_norm.weight",
            ),
            (
                "layers.*.post_feedforward_layernorm.weight",
                "layers.*.mlp_post_norm.weight",
            ),
        ],
        standard::WEIGHTS,
    ],
    ..llama::LLAMA
};

pub(super) fn config(file: &ConfigFile, model_type: &str) -> Result<Config> {
    let norm = standard::rms(file, "rms_norm_eps", 1e-5)?;
    let config = standard::rotary(file, model_type, norm, Defaults::default())?;
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
