//! ERNIE 4.5's dense models: Llama with neighbouring dimensions turned, and a tied head.

use super::{Family, llama, standard};
use crate::config::{Config, ConfigFile, Head, Mlp, Positions};
use crate::error::Result;
use crate::rope::{Defaults, Pairs, Rope};

pub(super) const FAMILY: Family = Family {
    model_type: "ernie4_5",
    config,
    ..llama::LLAMA
};

fn config(file: &ConfigFile) -> Result<Config> {
    let defaults = Defaults {
        theta: 500_000.0,
        ..Defaults::default()
    };
    let norm = standard::rms(file, "rms_norm_eps", 1e-5)?;
    let config = standard::rotary(file, "ernie4_5", norm, defaults)?;
    let rope = Rope {
        pairs: Pairs::Neighbours,
        ..Rope::read(file, None, config.head_dim, defaults)?
    };
    let bias = file.flag_or("use_bias", false)?;
    Ok(Config {
        positions: Positions::Rotary {
            ropes: vec![rope],
            by_layer: vec![Some(0); config.n_layers],
        },
        attention: standard::attention(config.n_layers, config.head_dim, bias, bias),
        mlp: Mlp::Gated { bias, joined: false },
        head: Head::new(file.flag_or("tie_word_embeddings", true)?),
        ..config
    })
}
