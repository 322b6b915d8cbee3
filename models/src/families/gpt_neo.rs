//! GPT-Neo: GPT-2 with windows in every other layer, and scores that are not scaled.

use serde_json::Value;

use super::{Family, gpt2, standard};
use crate::config::{Activation, AttentionConfig, Config, ConfigFile, Head, Mlp, Positions};
use crate::error::Result;

pub(super) const FAMILY: Family = Family {
    model_type: "gpt_neo",
    known_as: "GPT-Neo, TinyStories",
    config,
    prefixes: &["transformer."],
    weights: &[
        &[
            (
                "h.*.attn.attention.q_proj.weight",
                "layers.*.attention.query.weight",
            ),
            (
                "h.*.attn.attention.k_proj.weight",
                "layers.*.attention.key.weight",
            ),
            (
                "h.*.attn.attention.v_proj.weight",
                "layers.*.attention.value.weight",
            ),
            (
                "h.*.attn.attention.out_proj.weight",
                "layers.*.attention.output.weight",
            ),
            (
                "h.*.attn.attention.out_proj.bias",
                "layers.*.attention.output.bias",
            ),
        ],
        gpt2::AROUND,
    ],
    ignored: &["h.*.attn.attention.bias", "h.*.attn.attention.masked_bias"],
    linear_in_out: false,
};

fn config(file: &ConfigFile) -> Result<Config> {
    let (hidden_size, n_layers) = (file.size("hidden_size")?, file.size("num_layers")?);
    let n_heads = file.size("num_heads")?;
    let head_dim = standard::even_head_dim(file, "num_heads", hidden_size, n_heads)?;
    let norm = standard::layer(file, "layer_norm_epsilon", 1e-5)?;
    Ok(Config {
        vocab_size: file.size("vocab_size")?,
        context_length: file.size("max_position_embeddings")?,
        intermediate_size: file.size_or("intermediate_size", 4 * hidden_size)?,
        activation: file.activation("activation_function", Activation::GeluTanh)?,
        positions: Positions::Learned { offset: 0 },
        attention: AttentionConfig {
            scales: vec![1.0; n_layers],
            windows: windows(file, n_layers)?,
            ..standard::attention(n_layers, head_dim, false, true)
        },
        mlp: Mlp::Plain { bias: true },
        head: Head::new(file.flag_or("tie_word_embeddings", true)?),
        ..standard::sized("gpt_neo", hidden_size, n_layers, n_heads, head_dim, norm)
    })
}

/// `attention_types` is a list of (list of kinds, how often it is repeated).
fn windows(file: &ConfigFile, n_layers: usize) -> Result<Vec<Option<usize>>> {
    let window = file.size_or("window_size", 256)?;
    let Some(types) = file.list("attention_types")? else {
        return Ok((0..n_layers)
            .map(|layer| (layer % 2 == 1).then_some(window))
            .collect());
    };
    let mut windows = Vec::new();
    for entry in types {
        let kinds = entry[0].as_array().map_or(&[][..], Vec::as_slice);
        let times = entry[1].as_u64().unwrap_or(0).min(n_layers as u64);
        for kind in (0..times).flat_map(|_| kinds).take(n_layers + 1) {
            windows.push(match kind {
                Value::String(kind) if kind == "global" => None,
                Value::String(kind) if kind == "local" => Some(window),
                _ => return Err(file.refuse("attention_types", "expected global or local")),
            });
        }
    }
    match windows.len() == n_layers {
        true => Ok(windows),
        false => Err(file.refuse(
            "attention_types",
            &format!("expected one for each of {n_layers} layers"),
        )),
    }
}
