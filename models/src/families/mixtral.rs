//! Mixtral (2401.04088): Mistral with experts.

use super::{Family, llama, standard};
use crate::config::{AttentionConfig, Config, ConfigFile, Mlp, NormConfig};
use crate::error::Result;
use crate::rope::Defaults;

pub(super) const FAMILY: Family = Family {
    model_type: "mixtral",
    known_as: "Mixtral 8x7B and 8x22B",
    config,
    weights: &[EXPERTS, standard::WEIGHTS],
    ..llama::LLAMA
};

/// Experts by the names of Mistral's own files.
pub(super) const EXPERTS: &[(&str, &str)] = &[
    (
        "layers.*.block_sparse_moe.gate.weight",
        "layers.*.mlp.router.weight",
    ),
    (
        "layers.*.block_sparse_moe.experts.*.w1.weight",
        "layers.*.mlp.experts.*.gate.weight",
    ),
    (
        "layers.*.block_sparse_moe.experts.*.w3.weight",
        "layers.*.mlp.experts.*.up.weight",
    ),
    (
        "layers.*.block_sparse_moe.experts.*.w2.weight",
        "layers.*.mlp.experts.*.down.weight",
    ),
];

fn config(file: &ConfigFile) -> Result<Config> {
    let norm: NormConfig = standard::rms(file, "rms_norm_eps", 1e-5)?;
    let million = Defaults {
        theta: 1e6,
        ..Defaults::default()
    };
    let config = standard::rotary(file, "mixtral", norm, million)?;
    let sizes = [("num_local_experts", 8), ("num_experts_per_tok", 2)];
    Ok(Config {
        mlp: Mlp::Experts(standard::experts(file, sizes, config.n_layers)?),
        attention: AttentionConfig {
            windows: standard::windows(file, config.n_layers, None, |_| true)?,
            ..config.attention
        },
        ..config
    })
}
