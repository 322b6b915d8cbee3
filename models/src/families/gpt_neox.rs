//! GPT-NeoX (2204.06745): Pythia; parallel or sequential branches, a part of each head turned.

use super::{Family, standard};
use crate::config::{Activation, AttentionConfig, Config, ConfigFile, Mlp, Projection, Residual};
use crate::error::Result;
use crate::rope::Defaults;

pub(super) const FAMILY: Family = Family {
    model_type: "gpt_neox",
    known_as: "Pythia, GPT-NeoX 20B, Dolly 2, RedPajama-INCITE",
    config,
    prefixes: &["gpt_neox."],
    weights: &[&[
        ("embed_in.weight", "token_embedding.weight"),
        (
            "layers.*.input_layernorm.weight",
            "layers.*.attention_norm.weight",
        ),
        ("layers.*.input_layernorm.bias", "layers.*.attention_norm.bias"),
        (
            "layers.*.attention.query_key_value.weight",
            "layers.*.attention.qkv.weight",
        ),
        (
            "layers.*.attention.query_key_value.bias",
            "layers.*.attention.qkv.bias",
        ),
        (
            "layers.*.attention.dense.weight",
            "layers.*.attention.output.weight",
        ),
        ("layers.*.attention.dense.bias", "layers.*.attention.output.bias"),
        (
            "layers.*.post_attention_layernorm.weight",
            "layers.*.mlp_norm.weight",
        ),
        ("layers.*.post_attention_layernorm.bias", "layers.*.mlp_norm.bias"),
        ("layers.*.mlp.dense_h_to_4h.weight", "layers.*.mlp.up.weight"),
        ("layers.*.mlp.dense_h_to_4h.bias", "layers.*.mlp.up.bias"),
        ("layers.*.mlp.dense_4h_to_h.weight", "layers.*.mlp.down.weight"),
        ("layers.*.mlp.dense_4h_to_h.bias", "layers.*.mlp.down.bias"),
        ("final_layer_norm.weight", "final_norm.weight"),
        ("final_layer_norm.bias", "final_norm.bias"),
        ("embed_out.weight", "head.weight"),
        ("lm_head.weight", "head.weight"),
    ]],
    ignored: &[
        "layers.*.attention.bias",
        "layers.*.attention.masked_bias",
        "layers.*.attention.rotary_emb.inv_freq",
    ],
    linear_in_out: false,
};

fn config(file: &ConfigFile) -> Result<Config> {
    let defaults = Defaults {
        theta: file.positive_or("rotary_emb_base", 10_000.0)?,
        part: file.positive_or("rotary_pct", 0.25)?,
    };
    let norm = standard::layer(file, "layer_norm_eps", 1e-5)?;
    let config = standard::rotary(file, "gpt_neox", norm, defaults)?;
    let bias = file.flag_or("attention_bias", true)?;
    Ok(Config {
        activation: file.activation("hidden_act", Activation::Gelu)?,
        residual: Residual {
            parallel: file.flag_or("use_parallel_residual", true)?,
            ..Residual::PRE
        },
        attention: AttentionConfig {
            projection: Projection::Grouped,
            ..standard::attention(config.n_layers, config.head_dim, bias, bias)
        },
        mlp: Mlp::Plain { bias: true },
        ..config
    })
}
