//! BioGPT (2210.10341): a decoder of BART's blocks, norms before each branch, learned positions from 2 on.

use super::{Family, opt, standard};
use crate::config::{Activation, Config, ConfigFile, Embedding, Head, Mlp, Positions};
use crate::error::Result;

pub(super) const FAMILY: Family = Family {
    model_type: "biogpt",
    known_as: "BioGPT, BioGPT-Large",
    config,
    prefixes: &["biogpt."],
    weights: &[
        &[
            ("embed_positions.weight", "position_embedding.weight"),
            ("layer_norm.weight", "final_norm.weight"),
            ("layer_norm.bias", "final_norm.bias"),
            ("output_projection.weight", "head.weight"),
        ],
        opt::BLOCKS,
        standard::WEIGHTS,
    ],
    ignored: &[],
    linear_in_out: false,
};

fn config(file: &ConfigFile) -> Result<Config> {
    let (hidden_size, n_layers) = (file.size("hidden_size")?, file.size("num_hidden_layers")?);
    let n_heads = file.size("num_attention_heads")?;
    let head_dim = standard::even_head_dim(file, "num_attention_heads", hidden_size, n_heads)?;
    // The files name another epsilon, which nothing was trained with.
    let norm = standard::layer(&ConfigFile::empty(), "layer_norm_eps", 1e-5)?;
    let scale = match file.flag_or("scale_embedding", true)? {
        true => (hidden_size as f64).sqrt(),
        false => 1.0,
    };
    Ok(Config {
        vocab_size: file.size("vocab_size")?,
        context_length: file.size_or("max_position_embeddings", 1024)?,
        intermediate_size: file.size("intermediate_size")?,
        activation: file.activation("hidden_act", Activation::Gelu)?,
        embedding: Embedding {
            scale,
            ..Embedding::plain(hidden_size)
        },
        positions: Positions::Learned { offset: 2 },
        attention: standard::attention(n_layers, head_dim, true, true),
        mlp: Mlp::Plain { bias: true },
        head: Head::new(file.flag_or("tie_word_embeddings", true)?),
        ..standard::sized("biogpt", hidden_size, n_layers, n_heads, head_dim, norm)
    })
}
