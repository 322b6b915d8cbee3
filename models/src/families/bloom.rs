//! BLOOM (2211.05100): ALiBi, a norm on the embeddings.

use super::{Family, standard};
use crate::config::{
    Activation, AttentionConfig, Config, ConfigFile, Embedding, Head, Mlp, Positions, Projection, Residual,
};
use crate::error::Result;

pub(super) const FAMILY: Family = Family {
    model_type: "bloom",
    known_as: "BLOOM, BLOOMZ",
    config,
    prefixes: &["transformer."],
    weights: &[
        &[
            ("word_embeddings_layernorm.weight", "embedding_norm.weight"),
            ("word_embeddings_layernorm.bias", "embedding_norm.bias"),
        ],
        WEIGHTS,
    ],
    ignored: &[],
    linear_in_out: false,
};

/// What Falcon's files have too.
pub(crate) const WEIGHTS: &[(&str, &str)] = &[
    ("word_embeddings.weight", "token_embedding.weight"),
    ("h.*.input_layernorm.weight", "layers.*.attention_norm.weight"),
    ("h.*.input_layernorm.bias", "layers.*.attention_norm.bias"),
    (
        "h.*.self_attention.query_key_value.weight",
        "layers.*.attention.qkv.weight",
    ),
    (
        "h.*.self_attention.query_key_value.bias",
        "layers.*.attention.qkv.bias",
    ),
    (
        "h.*.self_attention.dense.weight",
        "layers.*.attention.output.weight",
    ),
    ("h.*.self_attention.dense.bias", "layers.*.attention.output.bias"),
    ("h.*.post_attention_layernorm.weight", "layers.*.mlp_norm.weight"),
    ("h.*.post_attention_layernorm.bias", "layers.*.mlp_norm.bias"),
    ("h.*.mlp.dense_h_to_4h.weight", "layers.*.mlp.up.weight"),
    ("h.*.mlp.dense_h_to_4h.bias", "layers.*.mlp.up.bias"),
    ("h.*.mlp.dense_4h_to_h.weight", "layers.*.mlp.down.weight"),
    ("h.*.mlp.dense_4h_to_h.bias", "layers.*.mlp.down.bias"),
    ("ln_f.weight", "final_norm.weight"),
    ("ln_f.bias", "final_norm.bias"),
    ("lm_head.weight", "head.weight"),
];

fn config(file: &ConfigFile) -> Result<Config> {
    // The files of different years have different names for the same.
    let either = |new: &'static str, old: &'static str| if file.is_set(new) { new } else { old };
    let hidden_size = file.size(either("hidden_size", "n_embed"))?;
    let n_layers = file.size(either("n_layer", "num_hidden_layers"))?;
    let heads = either("n_head", "num_attention_heads");
    let n_heads = file.size(heads)?;
    let head_dim = standard::even_head_dim(file, heads, hidden_size, n_heads)?;
    let norm = standard::layer(file, "layer_norm_epsilon", 1e-5)?;
    Ok(Config {
        vocab_size: file.size("vocab_size")?,
        // Not bound by the positions: it was trained on texts of 2,048 tokens.
        context_length: file.size_or("seq_length", 2048)?,
        activation: Activation::GeluTanh,
        embedding: Embedding {
            norm: true,
            ..Embedding::plain(hidden_size)
        },
        positions: Positions::Alibi { scaled: false },
        residual: Residual {
            from_norms: file.flag_or("apply_residual_connection_post_layernorm", false)?,
            ..Residual::PRE
        },
        attention: AttentionConfig {
            projection: Projection::Grouped,
            ..standard::attention(n_layers, head_dim, true, true)
        },
        mlp: Mlp::Plain { bias: true },
        head: Head::new(file.flag_or("tie_word_embeddings", true)?),
        ..standard::sized("bloom", hidden_size, n_layers, n_heads, head_dim, norm)
    })
}
