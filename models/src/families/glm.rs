//! GLM-4 (2406.12793) and GLM-4-0414: half of each head turned, neighbours together, gate and up in one matrix; the latter
//! with norms on both sides of each branch. GLM-4.5 (2508.06471): mixtures, by the usual names.

use super::grouped::{self, Mixture};
use super::{Family, llama, phi3, qwen, standard};
use crate::config::{AttentionConfig, Config, ConfigFile, GroupRating, Mlp, Positions, QkNorm, Residual};
use crate::error::Result;
use crate::rope::{Defaults, Pairs, Rope};

pub(super) const GLM: Family = Family {
    model_type: "glm",
    known_as: "GLM-4 9B, GLM-Edge",
    config: |file| config(file, "glm"),
    weights: &[phi3::JOINED, standard::WEIGHTS],
    ..llama::LLAMA
};

pub(super) const GLM4: Family = Family {
    model_type: "glm4",
    known_as: "GLM-4-0414, GLM-Z1",
    config: glm4,
    weights: &[
        &[
            (
                "layers.*.post_self_attn_layernorm.weight",
                "layers.*.attention_post_norm.weight",
            ),
            (
                "layers.*.post_mlp_layernorm.weight",
                "layers.*.mlp_post_norm.weight",
            ),
        ],
        phi3::JOINED,
        standard::WEIGHTS,
    ],
    ..llama::LLAMA
};

pub(super) const GLM4_MOE: Family = Family {
    model_type: "glm4_moe",
    known_as: "GLM-4.5, 4.5-Air, 4.6 and 4.7",
    config: glm4_moe,
    weights: &[grouped::EXPERTS, qwen::EXPERTS, standard::WEIGHTS],
    ..llama::LLAMA
};

fn config(file: &ConfigFile, model_type: &str) -> Result<Config> {
    let half = Defaults {
        part: 0.5,
        ..Defaults::default()
    };
    let norm = standard::rms(file, "rms_norm_eps", 1e-5)?;
    let config = standard::rotary(file, model_type, norm, half)?;
    let rope = Rope {
        pairs: Pairs::Neighbours,
        ..Rope::read(file, None, config.head_dim, half)?
    };
    let bias = file.flag_or("attention_bias", false)?;
    Ok(Config {
        positions: Positions::Rotary {
            ropes: vec![rope],
            by_layer: vec![Some(0); config.n_layers],
        },
        attention: standard::attention(config.n_layers, config.head_dim, bias, false),
        mlp: Mlp::Gated {
            bias: false,
            joined: true,
        },
        ..config
    })
}

fn glm4(file: &ConfigFile) -> Result<Config> {
    Ok(Config {
        residual: Residual {
            after_branch: true,
            ..Residual::PRE
        },
        ..config(file, "glm4")?
    })
}

fn glm4_moe(file: &ConfigFile) -> Result<Config> {
    let half = Defaults {
        part: 0.5,
        ..Defaults::default()
    };
    let norm = standard::rms(file, "rms_norm_eps", 1e-5)?;
    let config = standard::rotary(file, "glm4_moe", norm, half)?;
    let bias = file.flag_or("attention_bias", false)?;
    let config = Config {
        attention: AttentionConfig {
            qk_norm: match file.flag_or("use_qk_norm", false)? {
                true => QkNorm::Head,
                false => QkNorm::None,
            },
            ..standard::attention(config.n_layers, config.head_dim, bias, false)
        },
        ..config
    };
    let mixture = Mixture {
        n_experts: 128,
        n_chosen: 8,
        n_dense: 1,
        n_shared: 1,
        size: 1408,
        groups: Some((GroupRating::BestTwo, [1, 1])),
    };
    mixture.by_sigmoids(file, config, 1.0)
}
