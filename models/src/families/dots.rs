//! dots.llm1 (2506.05767): Qwen 3 with mixtures as DeepSeek's.

use super::grouped::{self, Mixture};
use super::{Family, llama, qwen, standard};
use crate::config::{AttentionConfig, Config, ConfigFile, GroupRating, QkNorm};
use crate::error::Result;

pub(super) const FAMILY: Family = Family {
    model_type: "dots1",
    known_as: "dots.llm1",
    config,
    weights: &[grouped::EXPERTS, qwen::EXPERTS, standard::WEIGHTS],
    ..llama::LLAMA
};

fn config(file: &ConfigFile) -> Result<Config> {
    let config = standard::llama_like(file, "dots1")?;
    let bias = file.flag_or("attention_bias", false)?;
    let first = file.count_or("max_window_layers", 62)?;
    let config = Config {
        attention: AttentionConfig {
            windows: standard::windows(file, config.n_layers, Some(4096), |layer| layer >= first)?,
            qk_norm: QkNorm::Head,
            ..standard::attention(config.n_layers, config.head_dim, bias, bias)
        },
        ..config
    };
    let mixture = Mixture {
        n_experts: 128,
        n_chosen: 6,
        n_dense: 0,
        n_shared: 0,
        size: 1408,
        groups: Some((GroupRating::BestTwo, [1, 1])),
    };
    mixture.by_sigmoids(file, config, 1.0)
}
