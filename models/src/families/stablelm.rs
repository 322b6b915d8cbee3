//! StableLM: layer norms, a part of each head turned, and in some sizes parallel branches and norms on each head.

use super::{Family, llama, standard};
use crate::config::{AttentionConfig, Config, ConfigFile, QkNorm, Residual};
use crate::error::Result;
use crate::rope::Defaults;

pub(super) const FAMILY: Family = Family {
    model_type: "stablelm",
    known_as: "StableLM 3B and 2, Stable Code 3B",
    config,
    weights: &[
        &[
            (
                "layers.*.self_attn.q_layernorm.norms.*.weight",
                "layers.*.attention.query_norm.*.weight",
            ),
            (
                "layers.*.self_attn.k_layernorm.norms.*.weight",
                "layers.*.attention.key_norm.*.weight",
            ),
        ],
        standard::WEIGHTS,
    ],
    ..llama::LLAMA
};

fn config(file: &ConfigFile) -> Result<Config> {
    let quarter = Defaults {
        part: 0.25,
        ..Defaults::default()
    };
    let config = standard::rotary(
        file,
        "stablelm",
        standard::layer(file, "layer_norm_eps", 1e-5)?,
        quarter,
    )?;
    let bias = file.flag_or("use_qkv_bias", false)?;
    Ok(Config {
        residual: match file.flag_or("use_parallel_residual", false)? {
            true => Residual::PARALLEL,
            false => Residual::PRE,
        },
        attention: AttentionConfig {
            qk_norm: match file.flag_or("qk_layernorm", false)? {
                true => QkNorm::EachHead { joined: false },
                false => QkNorm::None,
            },
            ..standard::attention(config.n_layers, config.head_dim, bias, false)
        },
        ..config
    })
}
