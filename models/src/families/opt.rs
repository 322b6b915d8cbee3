//! OPT (2205.01068): learned positions from 2 on; the 350m has norms after each sum and a narrower embedding.

use super::{Family, standard};
use crate::config::{
    Activation, Config, ConfigFile, Embedding, Head, Mlp, NormKind, Positions, PreNorm, Residual,
};
use crate::error::Result;

pub(super) const FAMILY: Family = Family {
    model_type: "opt",
    known_as: "OPT, Galactica",
    config,
    prefixes: &["model.decoder.", "decoder."],
    weights: &[
        &[
            ("embed_positions.weight", "position_embedding.weight"),
            ("project_in.weight", "project_in.weight"),
            ("project_out.weight", "project_out.weight"),
            ("final_layer_norm.weight", "final_norm.weight"),
            ("final_layer_norm.bias", "final_norm.bias"),
        ],
        BLOCKS,
        standard::WEIGHTS,
    ],
    ignored: &[],
    linear_in_out: false,
};

/// A layer, as in all decoders that came from fairseq.
pub(super) const BLOCKS: &[(&str, &str)] = &[
    (
        "layers.*.self_attn_layer_norm.weight",
        "layers.*.attention_norm.weight",
    ),
    (
        "layers.*.self_attn_layer_norm.bias",
        "layers.*.attention_norm.bias",
    ),
    (
        "layers.*.self_attn.out_proj.weight",
        "layers.*.attention.output.weight",
    ),
    (
        "layers.*.self_attn.out_proj.bias",
        "layers.*.attention.output.bias",
    ),
    ("layers.*.final_layer_norm.weight", "layers.*.mlp_norm.weight"),
    ("layers.*.final_layer_norm.bias", "layers.*.mlp_norm.bias"),
    ("layers.*.fc1.weight", "layers.*.mlp.up.weight"),
    ("layers.*.fc1.bias", "layers.*.mlp.up.bias"),
    ("layers.*.fc2.weight", "layers.*.mlp.down.weight"),
    ("layers.*.fc2.bias", "layers.*.mlp.down.bias"),
];

fn config(file: &ConfigFile) -> Result<Config> {
    let (hidden_size, n_layers) = (file.size("hidden_size")?, file.size("num_hidden_layers")?);
    let n_heads = file.size("num_attention_heads")?;
    let head_dim = standard::even_head_dim(file, "num_attention_heads", hidden_size, n_heads)?;
    let kind = match file.flag_or("layer_norm_elementwise_affine", true)? {
        true => NormKind::Layer { bias: true },
        false => NormKind::Plain,
    };
    let norm = standard::norm(file, kind, "layer_norm_eps", 1e-5)?;
    let is_before = file.flag_or("do_layer_norm_before", true)?;
    let bias = file.flag_or("enable_bias", true)?;
    Ok(Config {
        vocab_size: file.size("vocab_size")?,
        context_length: file.size("max_position_embeddings")?,
        intermediate_size: file.size("ffn_dim")?,
        activation: file.activation("activation_function", Activation::Relu)?,
        embedding: Embedding::plain(file.size_or("word_embed_proj_dim", hidden_size)?),
        positions: Positions::Learned { offset: 2 },
        residual: Residual {
            before: if is_before { PreNorm::Both } else { PreNorm::None },
            after_sum: !is_before,
            final_norm: is_before && !file.flag_or("_remove_final_layer_norm", false)?,
            ..Residual::PRE
        },
        attention: standard::attention(n_layers, head_dim, bias, bias),
        mlp: Mlp::Plain { bias },
        head: Head::new(file.flag_or("tie_word_embeddings", true)?),
        ..standard::sized("opt", hidden_size, n_layers, n_heads, head_dim, norm)
    })
}
