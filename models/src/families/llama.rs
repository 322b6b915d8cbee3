//! Llama (2302.13971) 2, 3, 3.1 (scaled turns), 3.2 (tied head), and Mistral (2310.06825; sliding window).

use super::{Family, standard};
use crate::config::{AttentionConfig, Config, ConfigFile, Mlp};
use crate::error::Result;

pub(super) const LLAMA: Family = Family {
    model_type: "llama",
    known_as: "Llama 1 to 3.3, Code Llama, TinyLlama, SmolLM 1 and 2, Yi, Vicuna, Falcon 3, DeepSeek LLM and Coder",
    config: llama,
    prefixes: &["model."],
    weights: &[standard::WEIGHTS],
    ignored: standard::IGNORED,
    linear_in_out: false,
};

pub(super) const MISTRAL: Family = Family {
    model_type: "mistral",
    known_as: "Mistral 7B, Nemo and Small, Zephyr",
    config: mistral,
    ..LLAMA
};

fn llama(file: &ConfigFile) -> Result<Config> {
    let config = standard::llama_like(file, "llama")?;
    let attention_bias = file.flag_or("attention_bias", false)?;
    Ok(Config {
        attention: standard::attention(config.n_layers, config.head_dim, attention_bias, attention_bias),
        mlp: Mlp::Gated {
            bias: file.flag_or("mlp_bias", false)?,
            joined: false,
        },
        ..config
    })
}

fn mistral(file: &ConfigFile) -> Result<Config> {
    let config = standard::llama_like(file, "mistral")?;
    Ok(Config {
        attention: AttentionConfig {
            windows: standard::windows(file, config.n_layers, Some(4096), |_| true)?,
            ..config.attention
        },
        ..config
    })
}
