//! Cohere's Command-R: parallel branches behind one layer norm without bias, neighbouring dimensions turned, a factor on
//! the logits, in the largest size norms on each head.

use super::{Family, llama, standard};
use crate::config::{AttentionConfig, Config, ConfigFile, Head, NormKind, Positions, QkNorm, Residual};
use crate::error::Result;
use crate::rope::{Defaults, Pairs, Rope};

pub(super) const FAMILY: Family = Family {
    model_type: "cohere",
    config,
    ..llama::LLAMA
};

fn config(file: &ConfigFile) -> Result<Config> {
    let defaults = Defaults {
        theta: 500_000.0,
        ..Defaults::default()
    };
    let norm = standard::norm(file, NormKind::Layer { bias: false }, "layer_norm_eps", 1e-5)?;
    let config = standard::rotary(file, "cohere", norm, defaults)?;
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
