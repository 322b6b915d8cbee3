//! Cohere's Command-R: parallel branches behind one layer norm without bias, neighbouring dimensions turned, a factor on
//! the logits, in the largest size norms on each head. Cohere 2: windows.

use super::{Family, llama, standard};
use crate::config::{AttentionConfig, Config, ConfigFile, Head, NormKind, Positions, QkNorm, Residual};
use crate::error::Result;
use crate::rope::{Defaults, Pairs, Rope};

pub(super) const COHERE: Family = Family {
    model_type: "cohere",
    known_as: "Command R and R+, Aya 23 and Expanse",
    config: |file| config(file, "cohere"),
    ..llama::LLAMA
};

/// Command R7B: three layers of four see a window and turn, the fourth sees all and does not.
pub(super) const COHERE2: Family = Family {
    model_type: "cohere2",
    known_as: "Command R7B, Command A",
    config: cohere2,
    ..llama::LLAMA
};

fn cohere2(file: &ConfigFile) -> Result<Config> {
    let config = config(file, "cohere2")?;
    let pattern = file.size_or("sliding_window_pattern", 4)?;
    let is_sliding = |layer: usize| !(layer + 1).is_multiple_of(pattern);
    let sliding = standard::sliding_layers(file, config.n_layers, is_sliding)?;
    let Positions::Rotary { ropes, .. } = config.positions else {
        unreachable!("it is rotary above")
    };
    Ok(Config {
        positions: Positions::Rotary {
            ropes,
            by_layer: sliding.iter().map(|&sliding| sliding.then_some(0)).collect(),
        },
        attention: AttentionConfig {
            windows: standard::windows(file, config.n_layers, Some(4096), is_sliding)?,
            ..config.attention
        },
        ..config
    })
}

fn config(file: &ConfigFile, model_type: &str) -> Result<Config> {
    let defaults = Defaults {
        theta: 500_000.0,
        ..Defaults::default()
    };
    let norm = standard::norm(file, NormKind::Layer { bias: false }, "layer_norm_eps", 1e-5)?;
    let config = standard::rotary(file, model_type, norm, defaults)?;
    let rope = Rope {
        pairs: Pairs::Neighbours,
        ..Rope::read(file, None, config.head_dim, defaults)?
    };
    let bias = file.flag_or("attention_bias", false)?;
    Ok(Config {
        positions: Positions::Rotary {
            ropes: vec![rope],
            by_layer: vec![Some(0); config.n_layers],
        },
        residual: Residual::PARALLEL,
        attention: AttentionConfig {
            qk_norm: match file.flag_or("use_qk_norm", false)? {
                true => QkNorm::EachHead { joined: true },
                false => QkNorm::None,
            },
            ..standard::attention(config.n_layers, config.head_dim, bias, bias)
        },
        head: Head {
            scale: file.positive_or("logit_scale", 0.0625)?,
            ..Head::new(file.flag_or("tie_word_embeddings", true)?)
        },
        ..config
    })
}
