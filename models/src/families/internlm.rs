//! InternLM2 (2403.17297): Llama whose queries, keys and values are one matrix, by group.

use super::{Family, llama, standard};
use crate::config::{AttentionConfig, Config, ConfigFile, Projection};
use crate::error::Result;

pub(super) const FAMILY: Family = Family {
    model_type: "internlm2",
    known_as: "InternLM2 and 2.5",
    config,
    weights: &[&[
        ("tok_embeddings.weight", "token_embedding.weight"),
        ("layers.*.attention_norm.weight", "layers.*.attention_norm.weight"),
        ("layers.*.attention.wqkv.weight", "layers.*.attention.qkv.weight"),
        ("layers.*.attention.wqkv.bias", "layers.*.attention.qkv.bias"),
        ("layers.*.attention.wo.weight", "layers.*.attention.output.weight"),
        ("layers.*.attention.wo.bias", "layers.*.attention.output.bias"),
        ("layers.*.ffn_norm.weight", "layers.*.mlp_norm.weight"),
        ("layers.*.feed_forward.w1.weight", "layers.*.mlp.gate.weight"),
        ("layers.*.feed_forward.w3.weight", "layers.*.mlp.up.weight"),
        ("layers.*.feed_forward.w2.weight", "layers.*.mlp.down.weight"),
        ("norm.weight", "final_norm.weight"),
        ("output.weight", "head.weight"),
    ]],
    ..llama::LLAMA
};

fn config(file: &ConfigFile) -> Result<Config> {
    let config = standard::llama_like(file, "internlm2")?;
    let bias = file.flag_or("bias", true)?;
    Ok(Config {
        attention: AttentionConfig {
            projection: Projection::Grouped,
            ..standard::attention(config.n_layers, config.head_dim, bias, bias)
        },
        ..config
    })
}
