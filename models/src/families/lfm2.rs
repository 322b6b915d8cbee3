//! LFM2 (2511.23404): gated short convolutions in most layers, attention with norms on each head's q and k in the others.

use super::{Family, llama, standard};
use crate::config::{Activation, AttentionConfig, Config, ConfigFile, Head, Mixer, QkNorm, ShortConvolution};
use crate::error::Result;
use crate::rope::Defaults;

pub(super) const FAMILY: Family = Family {
    model_type: "lfm2",
    known_as: "LFM2 350M, 700M, 1.2B and 2.6B",
    config,
    weights: &[
        &[
            ("layers.*.operator_norm.weight", "layers.*.attention_norm.weight"),
            (
                "layers.*.conv.conv.weight",
                "layers.*.short_convolution.kernel.weight",
            ),
            (
                "layers.*.conv.conv.bias",
                "layers.*.short_convolution.kernel.bias",
            ),
            (
                "layers.*.conv.in_proj.weight",
                "layers.*.short_convolution.input.weight",
            ),
            (
                "layers.*.conv.in_proj.bias",
                "layers.*.short_convolution.input.bias",
            ),
            (
                "layers.*.conv.out_proj.weight",
                "layers.*.short_convolution.output.weight",
            ),
            (
                "layers.*.conv.out_proj.bias",
                "layers.*.short_convolution.output.bias",
            ),
            (
                "layers.*.self_attn.q_layernorm.weight",
                "layers.*.attention.query_norm.weight",
            ),
            (
                "layers.*.self_attn.k_layernorm.weight",
                "layers.*.attention.key_norm.weight",
            ),
            (
                "layers.*.self_attn.out_proj.weight",
                "layers.*.attention.output.weight",
            ),
            ("layers.*.ffn_norm.weight", "layers.*.mlp_norm.weight"),
            ("layers.*.feed_forward.w1.weight", "layers.*.mlp.gate.weight"),
            ("layers.*.feed_forward.w3.weight", "layers.*.mlp.up.weight"),
            ("layers.*.feed_forward.w2.weight", "layers.*.mlp.down.weight"),
            ("embedding_norm.weight", "final_norm.weight"),
        ],
        standard::WEIGHTS,
    ],
    ..llama::LLAMA
};

fn config(file: &ConfigFile) -> Result<Config> {
    // By the name that Liquid's own files have.
    let file = &file.by_new_names(&[("block_ff_dim", "intermediate_size")]);
    let defaults = Defaults {
        theta: 1_000_000.0,
        ..Defaults::default()
    };
    let norm = standard::rms(file, "norm_eps", 1e-5)?;
    // The only activation that there is.
    let config = standard::rotary_by(file, "lfm2", norm, defaults, Activation::Silu)?;
    let tied = file.flag_or("tie_word_embeddings", true)?;
    Ok(Config {
        intermediate_size: intermediate_size(file)?,
        attention: AttentionConfig {
            qk_norm: QkNorm::Head,
            ..config.attention
        },
        mixers: mixers(file, config.n_layers)?,
        head: Head::new(file.flag_or("tie_embedding", tied)?),
        ..config
    })
}

/// What the file says, or two thirds of it times a factor, as a multiple of a number.
fn intermediate_size(file: &ConfigFile) -> Result<usize> {
    let key = match file.has("block_ff_dim") {
        true => "block_ff_dim",
        false => "intermediate_size",
    };
    let size = file.size(key)?;
    if !file.flag_or("block_auto_adjust_ff_dim", true)? {
        return Ok(size);
    }
    let multiple = file.size_or("block_multiple_of", 256)?;
    let size = 2 * size / 3;
    let size = match file.has("block_ffn_dim_multiplier") && !file.is_set("block_ffn_dim_multiplier") {
        true => return sized(file, key, size),
        false => (file.positive_or("block_ffn_dim_multiplier", 1.0)? * size as f64) as usize,
    };
    sized(file, key, size.div_ceil(multiple).saturating_mul(multiple))
}

fn sized(file: &ConfigFile, key: &str, size: usize) -> Result<usize> {
    match (1..=1 << 24).contains(&size) {
        true => Ok(size),
        false => Err(file.refuse(key, &format!("it comes to {size} neurons"))),
    }
}

/// By `layer_types`, or by the numbers of the layers with attention: all where there is neither.
fn mixers(file: &ConfigFile, n_layers: usize) -> Result<Vec<Mixer>> {
    let convolution = Mixer::ShortConvolution(ShortConvolution {
        width: standard::kernel_width(file, "conv_L_cache", 3)?,
        bias: file.flag_or("conv_bias", false)?,
    });
    let mixer = |attends: bool| if attends { Mixer::Attention } else { convolution };
    if let Some(types) = file.list("layer_types")? {
        let of_type = |value: &serde_json::Value| match value.as_str() {
            Some("full_attention") => Ok(mixer(true)),
            Some("conv") => Ok(mixer(false)),
            _ => Err(file.refuse("layer_types", "expected full_attention or conv")),
        };
        return match types.len() == n_layers {
            true => types.iter().map(of_type).collect(),
            false => Err(file.refuse(
                "layer_types",
                &format!("expected one for each of {n_layers} layers"),
            )),
        };
    }
    let Some(attending) = file.list("full_attn_idxs")? else {
        return Ok(vec![Mixer::Attention; n_layers]);
    };
    let index = |value: &serde_json::Value| {
        let index = value.as_u64().filter(|&index| index < n_layers as u64);
        index.ok_or_else(|| file.refuse("full_attn_idxs", "expected numbers of layers"))
    };
    let attending = attending.iter().map(index).collect::<Result<Vec<_>>>()?;
    Ok((0..n_layers as u64)
        .map(|layer| mixer(attending.contains(&layer)))
        .collect())
}
