//! Hunyuan's dense models (Tencent 2025): Llama with norms on each head's q and k, behind their turns.

use super::{Family, llama, standard};
use crate::config::{AttentionConfig, Config, ConfigFile, Positions, QkNorm};
use crate::error::Result;
use crate::rope::{Defaults, Rope, Scaling};

pub(super) const FAMILY: Family = Family {
    model_type: "hunyuan_v1_dense",
    known_as: "Hunyuan 0.5B to 7B, Hunyuan-MT",
    config,
    weights: &[
        &[
            (
                "layers.*.self_attn.query_layernorm.weight",
                "layers.*.attention.query_norm.weight",
            ),
            (
                "layers.*.self_attn.key_layernorm.weight",
                "layers.*.attention.key_norm.weight",
            ),
        ],
        standard::WEIGHTS,
    ],
    ..llama::LLAMA
};

fn config(file: &ConfigFile) -> Result<Config> {
    let norm = standard::rms(file, "rms_norm_eps", 1e-5)?;
    let config = standard::rotary(file, "hunyuan_v1_dense", norm, Defaults::default())?;
    let bias = file.flag_or("attention_bias", false)?;
    Ok(Config {
        positions: Positions::Rotary {
            ropes: vec![rope(file, config.head_dim)?],
            by_layer: vec![Some(0); config.n_layers],
        },
        attention: AttentionConfig {
            qk_norm: QkNorm::TurnedHead,
            ..standard::attention(config.n_layers, config.head_dim, bias, bias)
        },
        ..config
    })
}

/// What the files call dynamic is a larger base at any length, where they have an alpha.
fn rope(file: &ConfigFile, head_dim: usize) -> Result<Rope> {
    let rope = Rope::read(file, None, head_dim, Defaults::default())?;
    let parameters = match file.section("rope_parameters")? {
        Some(parameters) => Some(parameters),
        None => file.section("rope_scaling")?,
    };
    let alpha = match (&rope.scaling, parameters) {
        (Scaling::Dynamic { .. }, Some(parameters)) if parameters.is_set("alpha") => {
            parameters.positive_or("alpha", 1.0)?
        }
        _ => return Ok(rope),
    };
    let dim = head_dim as f64;
    Ok(rope.plain(rope.theta * alpha.powf(dim / (dim - 2.0))))
}
