//! Phi-3, 3.5, 4 (2404.14219): Llama with joined matrices, a window, and LongRoPE.

use super::{Family, llama, standard};
use crate::config::{AttentionConfig, Config, ConfigFile, Mlp, Projection};
use crate::error::Result;
use crate::rope::Defaults;

pub(super) const FAMILY: Family = Family {
    model_type: "phi3",
    known_as: "Phi-3 mini and medium, Phi-4, Phi-4-mini",
    config,
    weights: &[
        &[(
            "layers.*.self_attn.qkv_proj.weight",
            "layers.*.attention.qkv.weight",
        )],
        JOINED,
        standard::WEIGHTS,
    ],
    ..llama::LLAMA
};

/// Gate and up are one matrix.
pub(super) const JOINED: &[(&str, &str)] =
    &[("layers.*.mlp.gate_up_proj.weight", "layers.*.mlp.gate_up.weight")];

fn config(file: &ConfigFile) -> Result<Config> {
    let norm = standard::rms(file, "rms_norm_eps", 1e-5)?;
    let config = standard::rotary(file, "phi3", norm, Defaults::default())?;
    Ok(Config {
        attention: AttentionConfig {
            projection: Projection::Joined,
            windows: standard::windows(file, config.n_layers, None, |_| true)?,
            ..config.attention
        },
        mlp: Mlp::Gated {
            bias: false,
            joined: true,
        },
        ..config
    })
}
