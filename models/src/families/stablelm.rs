//! StableLM: layer norms, a part of each head turned, and in some sizes parallel branches and norms on each head.

use super::{Family, llama, standard};
use crate::config::{AttentionConfig, Config, ConfigFile, QkNorm, Residual};
use crate::error::Result;
use crate::rope::Defaults;

pub const FAMILY: Family = Family {
    model_type: "stablelm",
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
            "layers.*.self_attn.q_layernorm.norms.*.weight",
            "layers.*.attention.query_norm.*.weight",
        ),
        (
            "layers.*.self_attn.k_layernorm.norms.*.weight",
            "layers.*.attention.key_norm.*.weight",
        ),
        (
            "layers.*.self_attn.o_proj.weight",
            "layers.*.attention.output.weight",
        ),
        (
            "layers.*.post_attention_layernorm.weight",
            "layers.*.mlp_norm.weight",
        ),
        ("layers.*.post_attention_layernorm.bias", "layers.*.mlp_norm.bias"),
        ("layers.*.mlp.gate_proj.weight", "layers.*.mlp.gate.weight"),
        ("layers.*.mlp.up_proj.weight", "layers.*.mlp.up.weight"),
        ("layers.*.mlp.down_proj.weight", "layers.*.mlp.down.weight"),
        ("norm.weight", "final_norm.weight"),
        ("norm.bias", "final_norm.bias"),
        ("lm_head.weight", "head.weight"),
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
                true => QkNorm::EachHead,
                false => QkNorm::None,
            },
            ..standard::attention(config.n_layers, config.head_dim, bias, false)
        },
        ..config
    })
}
