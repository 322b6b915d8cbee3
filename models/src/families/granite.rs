//! Granite 3: Llama with factors on embeddings, scores, branches and logits.

use super::{Family, llama, standard};
use crate::config::{AttentionConfig, Config, ConfigFile, Embedding, Head, Mlp, Residual};
use crate::error::Result;

pub(super) const FAMILY: Family = Family {
    model_type: "granite",
    config,
    ..llama::LLAMA
};

fn config(file: &ConfigFile) -> Result<Config> {
    let config = standard::llama_like(file, "granite")?;
    let bias = file.flag_or("attention_bias", false)?;
    Ok(Config {
        embedding: Embedding {
            scale: file.positive_or("embedding_multiplier", 1.0)?,
            ..config.embedding
        },
        residual: Residual {
            scale: file.positive_or("residual_multiplier", 1.0)?,
            ..Residual::PRE
        },
        attention: AttentionConfig {
            scales: vec![file.positive_or("attention_multiplier", 1.0)?; config.n_layers],
            ..standard::attention(config.n_layers, config.head_dim, bias, bias)
        },
        mlp: Mlp::Gated {
            bias: file.flag_or("mlp_bias", false)?,
            joined: false,
        },
        head: Head {
            scale: 1.0 / file.positive_or("logits_scaling", 1.0)?,
            ..config.head
        },
        ..config
    })
}
