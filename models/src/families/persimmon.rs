//! Persimmon (Adept 2023): layer norms, also on each head's q and k, half of each head turned, relu², biases throughout.

use super::{Family, llama, standard};
use crate::config::{Activation, AttentionConfig, Config, ConfigFile, Mlp, Projection, QkNorm};
use crate::error::Result;
use crate::rope::Defaults;

pub(super) const FAMILY: Family = Family {
    model_type: "persimmon",
    known_as: "Persimmon 8B",
    config,
    weights: &[
        &[
            (
                "layers.*.self_attn.query_key_value.weight",
                "layers.*.attention.qkv.weight",
            ),
            (
                "layers.*.self_attn.query_key_value.bias",
                "layers.*.attention.qkv.bias",
            ),
            (
                "layers.*.self_attn.dense.weight",
                "layers.*.attention.output.weight",
            ),
            ("layers.*.self_attn.dense.bias", "layers.*.attention.output.bias"),
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
            ("layers.*.mlp.dense_h_to_4h.weight", "layers.*.mlp.up.weight"),
            ("layers.*.mlp.dense_h_to_4h.bias", "layers.*.mlp.up.bias"),
            ("layers.*.mlp.dense_4h_to_h.weight", "layers.*.mlp.down.weight"),
            ("layers.*.mlp.dense_4h_to_h.bias", "layers.*.mlp.down.bias"),
            ("final_layernorm.weight", "final_norm.weight"),
            ("final_layernorm.bias", "final_norm.bias"),
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
    let norm = standard::layer(file, "layer_norm_eps", 1e-5)?;
    let config = standard::rotary(file, "persimmon", norm, half)?;
    if config.n_kv_heads != config.n_heads {
        return Err(file.refuse("num_key_value_heads", "expected as many as num_attention_heads"));
    }
    Ok(Config {
        activation: file.activation("hidden_act", Activation::SquaredRelu)?,
        attention: AttentionConfig {
            projection: Projection::Grouped,
            qk_norm: match file.flag_or("qk_layernorm", true)? {
                true => QkNorm::Head,
                false => QkNorm::None,
            },
            ..standard::attention(config.n_layers, config.head_dim, true, true)
        },
        mlp: Mlp::Plain { bias: true },
        ..config
    })
}
