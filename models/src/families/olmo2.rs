//! OLMo 2 (2501.00656): norms on each branch's output, and on all queries and keys together.

use super::{Family, llama, standard};
use crate::config::{AttentionConfig, Before, Config, ConfigFile, QkNorm, Residual};
use crate::error::Result;
use crate::rope::Defaults;

pub const FAMILY: Family = Family {
    model_type: "olmo2",
    config,
    weights: &[
        ("embed_tokens.weight", "token_embedding.weight"),
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
            "layers.*.self_attn.q_norm.weight",
            "layers.*.attention.query_norm.weight",
        ),
        (
            "layers.*.self_attn.k_norm.weight",
            "layers.*.attention.key_norm.weight",
        ),
        (
            "layers.*.self_attn.o_proj.weight",
            "layers.*.attention.output.weight",
        ),
        ("layers.*.self_attn.o_proj.bias", "layers.*.attention.output.bias"),
        (
            "layers.*.post_attention_layernorm.weight",
            "layers.*.attention_post_norm.weight",
        ),
        (
            "layers.*.post_feedforward_layernorm.weight",
            "layers.*.mlp_post_norm.weight",
        ),
        ("layers.*.mlp.gate_proj.weight", "layers.*.mlp.gate.weight"),
        ("layers.*.mlp.up_proj.weight", "layers.*.mlp.up.weight"),
        ("layers.*.mlp.down_proj.weight", "layers.*.mlp.down.weight"),
        ("norm.weight", "final_norm.weight"),
        ("lm_head.weight", "head.weight"),
    ],
    ..llama::LLAMA
};

fn config(file: &ConfigFile) -> Result<Config> {
    let norm = standard::rms(file, "rms_norm_eps", 1e-5)?;
    let config = standard::rotary(file, "olmo2", norm, Defaults::default())?;
    let bias = file.flag_or("attention_bias", false)?;
    Ok(Config {
        residual: Residual {
            before: Before::None,
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
