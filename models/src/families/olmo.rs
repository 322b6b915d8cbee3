//! OLMo (2402.00838): Llama with layer norms that have no weights. OLMo 3: OLMo 2 with windows, and other turns in the
//! layers without one. OLMoE (2409.02060): experts, and a norm on all queries and keys. FlexOLMo (2507.07024): OLMo 2
//! with experts.

use super::{Family, llama, olmo2, qwen, standard};
use crate::config::{AttentionConfig, Config, ConfigFile, Experts, Mlp, NormKind, Positions, QkNorm};
use crate::error::Result;
use crate::rope::{Defaults, Rope};

pub(super) const OLMO: Family = Family {
    model_type: "olmo",
    known_as: "OLMo 1B and 7B",
    config: olmo,
    ..llama::LLAMA
};

pub(super) const OLMO3: Family = Family {
    model_type: "olmo3",
    known_as: "OLMo 3",
    config: olmo3,
    ..olmo2::FAMILY
};

pub(super) const OLMOE: Family = Family {
    model_type: "olmoe",
    known_as: "OLMoE-1B-7B",
    config: olmoe,
    weights: &[qwen::EXPERTS, standard::WEIGHTS],
    ..llama::LLAMA
};

pub(super) const FLEX_OLMO: Family = Family {
    model_type: "flex_olmo",
    known_as: "FlexOlmo-7x7B",
    config: flex_olmo,
    weights: &[qwen::EXPERTS, olmo2::NORMS, standard::WEIGHTS],
    ..llama::LLAMA
};

fn olmo(file: &ConfigFile) -> Result<Config> {
    let norm = standard::norm(file, NormKind::Plain, "layer_norm_eps", 1e-5)?;
    let config = standard::rotary(file, "olmo", norm, Defaults::default())?;
    let bias = file.flag_or("attention_bias", false)?;
    Ok(Config {
        attention: AttentionConfig {
            clip: standard::clip(file)?,
            ..standard::attention(config.n_layers, config.head_dim, bias, bias)
        },
        ..config
    })
}

fn olmo3(file: &ConfigFile) -> Result<Config> {
    let config = olmo2::config(file, "olmo3")?;
    let is_sliding = |layer: usize| !(layer + 1).is_multiple_of(4);
    let sliding = standard::sliding_layers(file, config.n_layers, is_sliding)?;
    let defaults = Defaults {
        theta: 500_000.0,
        ..Defaults::default()
    };
    let parameters = file.section("rope_parameters")?;
    let is_nested = parameters.is_some_and(|parameters| parameters.has("full_attention"));
    let read = |section: &str| Rope::read(file, is_nested.then_some(section), config.head_dim, defaults);
    let everywhere = read("full_attention")?;
    // Older files say how the layers without a window are stretched; the others never are.
    let within = match is_nested {
        true => read("sliding_attention")?,
        false => everywhere.plain(everywhere.theta),
    };
    Ok(Config {
        context_length: everywhere.reach(),
        positions: Positions::Rotary {
            ropes: vec![everywhere, within],
            by_layer: sliding
                .iter()
                .map(|&sliding| Some(usize::from(sliding)))
                .collect(),
        },
        attention: AttentionConfig {
            windows: standard::windows(file, config.n_layers, Some(4096), is_sliding)?,
            ..config.attention
        },
        ..config
    })
}

fn olmoe(file: &ConfigFile) -> Result<Config> {
    let norm = standard::rms(file, "rms_norm_eps", 1e-5)?;
    let config = standard::rotary(file, "olmoe", norm, Defaults::default())?;
    let bias = file.flag_or("attention_bias", false)?;
    let sizes = [("num_experts", 64), ("num_experts_per_tok", 8)];
    Ok(Config {
        attention: AttentionConfig {
            qk_norm: QkNorm::Whole,
            clip: standard::clip(file)?,
            ..standard::attention(config.n_layers, config.head_dim, bias, bias)
        },
        mlp: Mlp::Experts(Experts {
            normalised: file.flag_or("norm_topk_prob", false)?,
            ..standard::experts(file, sizes, config.n_layers)?
        }),
        ..config
    })
}

fn flex_olmo(file: &ConfigFile) -> Result<Config> {
    let config = olmo2::config_with(file, "flex_olmo", 1e-6, 500_000.0)?;
    let sizes = [("num_experts", 7), ("num_experts_per_tok", 5)];
    Ok(Config {
        mlp: Mlp::Experts(Experts {
            normalised: file.flag_or("norm_topk_prob", false)?,
            ..standard::experts(file, sizes, config.n_layers)?
        }),
        ..config
    })
}
