//! XGLM (2112.10668): a decoder of BART's blocks, norms before each branch, sines from position 2 on.

use super::{Family, opt, standard};
use crate::config::{Activation, Config, ConfigFile, Embedding, Head, Mlp, Positions, Sines};
use crate::error::Result;

pub(super) const FAMILY: Family = Family {
    model_type: "xglm",
    known_as: "XGLM",
    config,
    prefixes: &["model."],
    weights: &[
        &[
            ("layer_norm.weight", "final_norm.weight"),
            ("layer_norm.bias", "final_norm.bias"),
        ],
        opt::BLOCKS,
        standard::WEIGHTS,
    ],
    ignored: &["embed_positions.weights"],
    linear_in_out: false,
};

fn config(file: &ConfigFile) -> Result<Config> {
    let (hidden_size, n_layers) = (file.size("d_model")?, file.size("num_layers")?);
    let n_heads = file.size("attention_heads")?;
    let head_dim = standard::even_head_dim(file, "attention_heads", hidden_size, n_heads)?;
    let norm = standard::layer(file, "layer_norm_eps", 1e-5)?;
    let scale = match file.flag_or("scale_embedding", true)? {
        true => (hidden_size as f64).sqrt(),
        false => 1.0,
    };
    Ok(Config {
        vocab_size: file.size("vocab_size")?,
        context_length: file.size_or("max_position_embeddings", 2048)?,
        intermediate_size: file.size("ffn_dim")?,
        activation: file.activation("activation_function", Activation::Gelu)?,
        embedding: Embedding {
            scale,
            ..Embedding::plain(hidden_size)
        },
        positions: Positions::Sinusoidal {
            sines: Sines::Endless,
            offset: 2,
        },
        attention: standard::attention(n_layers, head_dim, true, true),
        mlp: Mlp::Plain { bias: true },
        head: Head::new(file.flag_or("tie_word_embeddings", true)?),
        ..standard::sized("xglm", hidden_size, n_layers, n_heads, head_dim, norm)
    })
}
