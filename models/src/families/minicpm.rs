//! MiniCPM (2404.06395): Llama with a factor on embeddings, one on branches that falls with the number of layers, and one on
//! logits that falls with the width. MiniCPM3: the same with attention by way of short vectors.

use super::deepseek::{self, Sizes};
use super::{Family, llama, standard};
use crate::config::{Config, ConfigFile, Embedding, Head, Residual};
use crate::error::Result;
use crate::rope::Pairs;

pub(super) const MINICPM: Family = Family {
    model_type: "minicpm",
    known_as: "MiniCPM 1B and 2B, MiniCPM4",
    config: |file| scaled(file, standard::llama_like(file, "minicpm")?, [1.0; 3]),
    ..llama::LLAMA
};

pub(super) const MINICPM3: Family = Family {
    model_type: "minicpm3",
    known_as: "MiniCPM3 4B",
    config: minicpm3,
    weights: &[deepseek::LATENT, standard::WEIGHTS],
    ..llama::LLAMA
};

fn minicpm3(file: &ConfigFile) -> Result<Config> {
    let n_heads = file.size("num_attention_heads")?;
    let usual = Sizes {
        query_rank: 768,
        rank: 256,
        own: 64,
        shared: 32,
        value: (file.size("hidden_size")? / n_heads).max(1),
        epsilon: 1e-5,
    };
    let config = deepseek::config(file, "minicpm3", Pairs::Halves, usual)?;
    scaled(file, config, [12.0, 1.4, 256.0])
}

/// With the factors of the file, or these: on embeddings, on branches, and the width that logits count from.
fn scaled(file: &ConfigFile, config: Config, usual: [f64; 3]) -> Result<Config> {
    let narrow = file.positive_or("dim_model_base", usual[2])?;
    Ok(Config {
        embedding: Embedding {
            scale: file.positive_or("scale_emb", usual[0])?,
            ..config.embedding
        },
        residual: Residual {
            scale: file.positive_or("scale_depth", usual[1])? / (config.n_layers as f64).sqrt(),
            ..Residual::PRE
        },
        head: Head {
            scale: narrow / config.hidden_size as f64,
            ..Head::new(file.flag_or("tie_word_embeddings", true)?)
        },
        ..config
    })
}
