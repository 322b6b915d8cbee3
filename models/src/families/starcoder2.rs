//! StarCoder2 (2402.19173): layer norms, biases, a plain MLP, a sliding window.

use super::{Family, llama, standard};
use crate::config::{Activation, AttentionConfig, Config, ConfigFile, Head, Mlp};
use crate::error::Result;
use crate::rope::Defaults;

pub const FAMILY: Family = Family {
    model_type: "starcoder2",
    config,
    weights: &[
        ("embed_tokens.weight", "token_embedding.weight"),
        (
            "layers.*.input_layernorm.weight",
            "layers.*.attention_norm.weight",
        ),
        ("layers.*.input_layernorm.bias", "layers.*.attention_norm.bias"),
        (
            "layers.*.self_attn.q_proj.weight",
            "layers.*.attention.query.weight",
        ),
        ("layers.*.self_attn.q_proj.bias", "layers.*.attention.query.bias"),
        (
            "layers.*.self_attn.k_proj.weight",
            "layers.*.attention.key.weight",
        ),
        ("layers.*.self_attn.k_proj.bias", "layers.*.attention.key.bias"),
        (
            "layers.*.self_attn.v_proj.weight",
            "layers.*.attention.value.weight",
        ),
        ("layers.*.self_attn.v_proj.bias", "layers.*.attention.value.bias"),
        (
            "layers.*.self_attn.o_proj.weight",
            "layers.*.attention.output.weight",
        ),
        ("layers.*.self_attn.o_proj.bias", "layers.*.attention.output.bias"),
        (
            "layers.*.post_attention_layernorm.weight",
            "layers.*.mlp_norm.weight",
        ),
        ("layers.*.post_attention_layernorm.bias", "layers.*.mlp_norm.bias"),
        ("layers.*.mlp.c_fc.weight", "layers.*.mlp.up.weight"),
        ("layers.*.mlp.c_fc.bias", "layers.*.mlp.up.bias"),
        ("layers.*.mlp.c_proj.weight", "layers.*.mlp.down.weight"),
        ("layers.*.mlp.c_proj.bias", "layers.*.mlp.down.bias"),
        ("norm.weight", "final_norm.weight"),
        ("norm.bias", "final_norm.bias"),
        ("lm_head.weight", "head.weight"),
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
