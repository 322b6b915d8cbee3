//! GPT-2 (Radford et al. 2019): gpt2 … gpt2-xl, distilgpt2. Learned positions, pre-norm, fused q/k/v.

use super::{Family, standard};
use crate::config::{
    Activation, AttentionConfig, Config, ConfigFile, Head, Mlp, NormConfig, NormKind, Positions, Projection,
};
use crate::error::Result;

pub(super) const FAMILY: Family = Family {
    model_type: "gpt2",
    known_as: "GPT-2, DistilGPT-2, DialoGPT, Cerebras-GPT",
    config: |file| config(file, "gpt2"),
    prefixes: &["transformer."],
    weights: &[ATTENTION, AROUND],
    ignored: &["h.*.attn.bias", "h.*.attn.masked_bias"],
    linear_in_out: true,
};

/// The attention, whose matrix of queries, keys and values is one.
pub(super) const ATTENTION: &[(&str, &str)] = &[
    ("h.*.attn.c_attn.weight", "layers.*.attention.qkv.weight"),
    ("h.*.attn.c_attn.bias", "layers.*.attention.qkv.bias"),
    ("h.*.attn.c_proj.weight", "layers.*.attention.output.weight"),
    ("h.*.attn.c_proj.bias", "layers.*.attention.output.bias"),
];

/// Weights around the attention, in GPT-Neo too.
pub(crate) const AROUND: &[(&str, &str)] = &[
    ("wte.weight", "token_embedding.weight"),
    ("wpe.weight", "position_embedding.weight"),
    ("h.*.ln_1.weight", "layers.*.attention_norm.weight"),
    ("h.*.ln_1.bias", "layers.*.attention_norm.bias"),
    ("h.*.ln_2.weight", "layers.*.mlp_norm.weight"),
    ("h.*.ln_2.bias", "layers.*.mlp_norm.bias"),
    ("h.*.mlp.c_fc.weight", "layers.*.mlp.up.weight"),
    ("h.*.mlp.c_fc.bias", "layers.*.mlp.up.bias"),
    ("h.*.mlp.c_proj.weight", "layers.*.mlp.down.weight"),
    ("h.*.mlp.c_proj.bias", "layers.*.mlp.down.bias"),
    ("ln_f.weight", "final_norm.weight"),
    ("ln_f.bias", "final_norm.bias"),
    ("lm_head.weight", "head.weight"),
];

/// Of GPT-2 and its relatives.
pub(super) fn config(file: &ConfigFile, model_type: &str) -> Result<Config> {
    let (hidden_size, n_layers, n_heads) =
        (file.size("n_embd")?, file.size("n_layer")?, file.size("n_head")?);
    if hidden_size % n_heads != 0 {
        return Err(file.refuse(
            "n_head",
            &format!("n_embd = {hidden_size} is not a multiple of it"),
        ));
    }
    let norm_epsilon = file.number_or("layer_norm_epsilon", 1e-5)?;
    if norm_epsilon < 0.0 {
        return Err(file.refuse("layer_norm_epsilon", "expected 0 or a positive number"));
    }
    let head_dim = hidden_size / n_heads;
    let norm = NormConfig {
        kind: NormKind::Layer { bias: true },
        epsilon: norm_epsilon,
    };
    Ok(Config {
        vocab_size: file.size("vocab_size")?,
        context_length: file.size("n_positions")?,
        intermediate_size: file.size_or("n_inner", 4 * hidden_size)?,
        activation: file.activation("activation_function", Activation::GeluTanh)?,
        positions: Positions::Learned { offset: 0 },
        attention: AttentionConfig {
            scales: attention_scales(file, head_dim, n_layers)?,
            projection: Projection::Joined,
            ..standard::attention(n_layers, head_dim, true, true)
        },
        mlp: Mlp::Plain { bias: true },
        head: Head::new(file.flag_or("tie_word_embeddings", true)?),
        ..standard::sized(model_type, hidden_size, n_layers, n_heads, head_dim, norm)
    })
}

/// 1/√head_dim, and for some of Stanford's GPT-2s also 1/(layer + 1).
fn attention_scales(file: &ConfigFile, head_dim: usize, n_layers: usize) -> Result<Vec<f64>> {
    let by_head = if file.flag_or("scale_attn_weights", true)? {
        (head_dim as f64).powf(-0.5)
    } else {
        1.0
    };
    let by_layer = file.flag_or("scale_attn_by_inverse_layer_idx", false)?;
    Ok((1..=n_layers)
        .map(|n| if by_layer { by_head / n as f64 } else { by_head })
        .collect())
}
