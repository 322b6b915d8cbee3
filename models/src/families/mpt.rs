//! MPT (MosaicML 2023): ALiBi, no biases anywhere.

use super::{Family, standard};
use crate::config::{
    Activation, AttentionConfig, Config, ConfigFile, Head, Mlp, NormKind, Positions, Projection,
};
use crate::error::Result;

pub(super) const FAMILY: Family = Family {
    model_type: "mpt",
    known_as: "MPT 7B and 30B",
    config,
    prefixes: &["transformer."],
    weights: &[&[
        ("wte.weight", "token_embedding.weight"),
        ("blocks.*.norm_1.weight", "layers.*.attention_norm.weight"),
        ("blocks.*.attn.Wqkv.weight", "layers.*.attention.qkv.weight"),
        (
            "blocks.*.attn.out_proj.weight",
            "layers.*.attention.output.weight",
        ),
        ("blocks.*.norm_2.weight", "layers.*.mlp_norm.weight"),
        ("blocks.*.ffn.up_proj.weight", "layers.*.mlp.up.weight"),
        ("blocks.*.ffn.down_proj.weight", "layers.*.mlp.down.weight"),
        ("norm_f.weight", "final_norm.weight"),
        ("lm_head.weight", "head.weight"),
    ]],
    ignored: &[],
    linear_in_out: false,
};

fn config(file: &ConfigFile) -> Result<Config> {
    let (hidden_size, n_layers, n_heads) = (
        file.size("d_model")?,
        file.size("n_layers")?,
        file.size("n_heads")?,
    );
    let head_dim = standard::even_head_dim(file, "n_heads", hidden_size, n_heads)?;
    let attention = file.section("attn_config")?.unwrap_or_else(ConfigFile::empty);
    if !attention.flag_or("alibi", true)? {
        return Err(attention.refuse("alibi", "only models with ALiBi are known"));
    }
    if attention.number_or("alibi_bias_max", 8.0)? != 8.0 {
        return Err(attention.refuse("alibi_bias_max", "only 8 is known"));
    }
    if attention.flag_or("qk_ln", false)? {
        return Err(attention.refuse("qk_ln", "norms on queries and keys are not known here"));
    }
    let scale = attention.positive_or("softmax_scale", (head_dim as f64).powf(-0.5))?;
    let norm = standard::norm(file, NormKind::Layer { bias: false }, "layer_norm_epsilon", 1e-5)?;
    Ok(Config {
        vocab_size: file.size("vocab_size")?,
        // Not bound by the positions.
        context_length: file.size_or("max_seq_len", 2048)?,
        intermediate_size: hidden_size * file.size_or("expansion_ratio", 4)?,
        activation: Activation::Gelu,
        positions: Positions::Alibi { scaled: false },
        attention: AttentionConfig {
            scales: vec![scale; n_layers],
            projection: Projection::Joined,
            clip: standard::clip(&attention)?,
            ..standard::attention(n_layers, head_dim, false, false)
        },
        mlp: Mlp::Plain { bias: false },
        head: Head::new(file.flag_or("tie_word_embeddings", true)?),
        ..standard::sized("mpt", hidden_size, n_layers, n_heads, head_dim, norm)
    })
}
