//! SmolLM3: Llama with no turns in every fourth layer.

use super::{Family, llama, standard};
use crate::config::{AttentionConfig, Config, ConfigFile, Head, Mlp, Positions};
use crate::error::Result;
use crate::rope::Defaults;

pub(super) const FAMILY: Family = Family {
    model_type: "smollm3",
    known_as: "SmolLM3",
    config,
    ..llama::LLAMA
};

fn config(file: &ConfigFile) -> Result<Config> {
    let two_million = Defaults {
        theta: 2e6,
        ..Defaults::default()
    };
    let norm = standard::rms(file, "rms_norm_eps", 1e-6)?;
    let config = standard::rotary(file, "smollm3", norm, two_million)?;
    let turning = turning(file, config.n_layers)?;
    let bias = file.flag_or("attention_bias", false)?;
    let windows = match file.flag_or("use_sliding_window", false)? {
        true => standard::windows(file, config.n_layers, None, |layer| !turning[layer])?,
        false => vec![None; config.n_layers],
    };
    let positions = match config.positions {
        Positions::Rotary { ropes, .. } => Positions::Rotary {
            ropes,
            by_layer: turning.iter().map(|&turning| turning.then_some(0)).collect(),
        },
        other => other,
    };
    Ok(Config {
        positions,
        attention: AttentionConfig {
            windows,
            ..standard::attention(config.n_layers, config.head_dim, bias, bias)
        },
        mlp: Mlp::Gated {
            bias: file.flag_or("mlp_bias", false)?,
            joined: false,
        },
        head: Head::new(file.flag_or("tie_word_embeddings", true)?),
        ..config
    })
}

/// Which layers turn queries and keys.
fn turning(file: &ConfigFile, n_layers: usize) -> Result<Vec<bool>> {
    let Some(list) = file.list("no_rope_layers")? else {
        let interval = file.size_or("no_rope_layer_interval", 4)?;
        return Ok((1..=n_layers).map(|layer| layer % interval != 0).collect());
    };
    let turning: Option<Vec<bool>> = list
        .iter()
        .map(|value| value.as_u64().map(|turns| turns != 0))
        .collect();
    match turning {
        Some(turning) if turning.len() == n_layers => Ok(turning),
        _ => Err(file.refuse(
            "no_rope_layers",
            &format!("expected 0 or 1 for each of {n_layers} layers"),
        )),
    }
}
