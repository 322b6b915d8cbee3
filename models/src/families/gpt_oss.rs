//! gpt-oss (2508.10925): experts with biases and limits, scores for seeing nothing, a window in every second layer.

use super::{Family, llama, standard};
use crate::config::{Activation, AttentionConfig, Config, ConfigFile, ExpertStorage, Experts, Mlp};
use crate::error::Result;
use crate::rope::Defaults;

pub(super) const FAMILY: Family = Family {
    model_type: "gpt_oss",
    known_as: "gpt-oss 20B and 120B",
    config,
    weights: &[
        &[
            ("layers.*.self_attn.sinks", "layers.*.attention.sinks"),
            ("layers.*.mlp.router.weight", "layers.*.mlp.router.weight"),
            ("layers.*.mlp.router.bias", "layers.*.mlp.router.bias"),
            (
                "layers.*.mlp.experts.gate_up_proj",
                "layers.*.mlp.experts.gate_up.weight",
            ),
            (
                "layers.*.mlp.experts.gate_up_proj_bias",
                "layers.*.mlp.experts.gate_up.bias",
            ),
            (
                "layers.*.mlp.experts.down_proj",
                "layers.*.mlp.experts.down.weight",
            ),
            (
                "layers.*.mlp.experts.down_proj_bias",
                "layers.*.mlp.experts.down.bias",
            ),
        ],
        standard::WEIGHTS,
    ],
    ..llama::LLAMA
};

fn config(file: &ConfigFile) -> Result<Config> {
    let defaults = Defaults {
        theta: 150_000.0,
        ..Defaults::default()
    };
    let norm = standard::rms(file, "rms_norm_eps", 1e-5)?;
    let config = standard::rotary(file, "gpt_oss", norm, defaults)?;
    let bias = file.flag_or("attention_bias", true)?;
    let limit = standard::limit(file, "swiglu_limit", 7.0)?;
    let sizes = [("num_local_experts", 128), ("num_experts_per_tok", 4)];
    Ok(Config {
        // Whatever the file calls it.
        activation: Activation::LimitedSilu {
            alpha: file.positive_or("swiglu_alpha", 1.702)?,
            limit,
        },
        attention: AttentionConfig {
            windows: standard::windows(file, config.n_layers, Some(128), |layer| layer % 2 == 0)?,
            sinks: true,
            ..standard::attention(config.n_layers, config.head_dim, bias, bias)
        },
        mlp: Mlp::Experts(Experts {
            storage: ExpertStorage::StackedInTurn,
            bias: true,
            up_limit: Some(limit),
            ..standard::experts(file, sizes, config.n_layers)?
        }),
        ..config
    })
}
