//! Phi-1, 1.5, 2 (2306.11644): parallel branches behind one norm, a part of each head turned, biases throughout.

use super::{Family, llama, standard};
use crate::config::{Activation, AttentionConfig, Config, ConfigFile, Head, Mlp, QkNorm, Residual};
use crate::error::Result;
use crate::rope::Defaults;

pub(super) const FAMILY: Family = Family {
    model_type: "phi",
    known_as: "Phi-1, Phi-1.5, Phi-2",
    config,
    weights: &[
        &[
            (
                "layers.*.self_attn.q_layernorm.weight",
                "layers.*.attention.query_norm.weight",
            ),
            (
                "layers.*.self_attn.q_layernorm.bias",
                "layers.*.attention.query_norm.bias",
            ),
            (
                "layers.*.self_attn.k_layernorm.weight",
                "layers.*.attention.key_norm.weight",
            ),
            (
                "layers.*.self_attn.k_layernorm.bias",
                "layers.*.attention.key_norm.bias",
            ),
            (
                "layers.*.self_attn.dense.weight",
                "layers.*.attention.output.weight",
            ),
            ("layers.*.self_attn.dense.bias", "layers.*.attention.output.bias"),
            ("layers.*.mlp.fc1.weight", "layers.*.mlp.up.weight"),
            ("layers.*.mlp.fc1.bias", "layers.*.mlp.up.bias"),
            ("layers.*.mlp.fc2.weight", "layers.*.mlp.down.weight"),
            ("layers.*.mlp.fc2.bias", "layers.*.mlp.down.bias"),
            ("final_layernorm.weight", "final_norm.weight"),
            ("final_layernorm.bias", "final_norm.bias"),
            ("lm_head.bias", "head.bias"),
        ],
        standard::WEIGHTS,
    ],
    ..llama::LLAMA
};

fn config(file: &ConfigFile) -> Result<Config> {
    let half = Defaults {
        part: 0.5,
        ..Defaults::default()
    };
    let config = standard::rotary(file, "phi", standard::layer(file, "layer_norm_eps", 1e-5)?, half)?;
    Ok(Config {
        activation: file.activation("hidden_act", Activation::GeluTanh)?,
        residual: Residual::PARALLEL,
        attention: AttentionConfig {
            qk_norm: match file.flag_or("qk_layernorm", false)? {
                true => QkNorm::Head,
                false => QkNorm::None,
            },
            ..standard::attention(config.n_layers, config.head_dim, true, true)
        },
        mlp: Mlp::Plain { bias: true },
        head: Head {
            bias: true,
            ..config.head
        },
        ..config
    })
}
