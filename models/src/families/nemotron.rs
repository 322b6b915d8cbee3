//! Nemotron-4 (2402.16819) and Minitron: layer norms with weights less 1, relu², half of each head turned. And Arcee's
//! foundation models: Llama with relu².

use super::{Family, llama, standard};
use crate::config::{Activation, Config, ConfigFile, Mlp, NormConfig, NormKind};
use crate::error::Result;
use crate::rope::Defaults;

pub(super) const NEMOTRON: Family = Family {
    model_type: "nemotron",
    known_as: "Minitron 4B and 8B, Nemotron-Mini",
    config: nemotron,
    ..llama::LLAMA
};

pub(super) const ARCEE: Family = Family {
    model_type: "arcee",
    known_as: "AFM 4.5B",
    config: arcee,
    ..llama::LLAMA
};

fn nemotron(file: &ConfigFile) -> Result<Config> {
    let half = Defaults {
        part: 0.5,
        ..Defaults::default()
    };
    let norm = standard::norm(file, NormKind::LayerFromOne, "norm_eps", 1e-5)?;
    squared(file, "nemotron", norm, half)
}

fn arcee(file: &ConfigFile) -> Result<Config> {
    let norm = standard::rms(file, "rms_norm_eps", 1e-5)?;
    squared(file, "arcee", norm, Defaults::default())
}

/// A rotary decoder with a plain MLP.
fn squared(file: &ConfigFile, model_type: &str, norm: NormConfig, defaults: Defaults) -> Result<Config> {
    let config = standard::rotary(file, model_type, norm, defaults)?;
    let bias = file.flag_or("attention_bias", false)?;
    Ok(Config {
        activation: file.activation("hidden_act", Activation::SquaredRelu)?,
        attention: standard::attention(config.n_layers, config.head_dim, bias, bias),
        mlp: Mlp::Plain {
            bias: file.flag_or("mlp_bias", false)?,
        },
        ..config
    })
}
