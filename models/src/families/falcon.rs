//! Falcon (2311.16867): parallel branches, few heads of keys; the oldest with ALiBi in place of turns.

use super::{Family, bloom, standard};
use crate::config::{
    Activation, AttentionConfig, Config, ConfigFile, Head, Mlp, Positions, PreNorm, Projection, Residual,
};
use crate::error::Result;
use crate::rope::{Defaults, Rope};

pub(super) const FAMILY: Family = Family {
    model_type: "falcon",
    known_as: "Falcon 7B, 40B, 180B, RW and 2",
    config,
    prefixes: &["transformer."],
    weights: &[
        &[
            ("h.*.ln_mlp.weight", "layers.*.mlp_norm.weight"),
            ("h.*.ln_mlp.bias", "layers.*.mlp_norm.bias"),
        ],
        bloom::WEIGHTS,
        &[
            ("h.*.ln_attn.weight", "layers.*.attention_norm.weight"),
            ("h.*.ln_attn.bias", "layers.*.attention_norm.bias"),
        ],
    ],
    ignored: &["h.*.self_attention.rotary_emb.inv_freq"],
    linear_in_out: false,
};

fn config(file: &ConfigFile) -> Result<Config> {
    let (hidden_size, n_layers) = (file.size("hidden_size")?, file.size("num_hidden_layers")?);
    let n_heads = file.size("num_attention_heads")?;
    let head_dim = standard::even_head_dim(file, "num_attention_heads", hidden_size, n_heads)?;
    let norm = standard::layer(file, "layer_norm_epsilon", 1e-5)?;
    let is_new = file.flag_or("new_decoder_architecture", false)?;
    let n_kv_heads = match (is_new, file.flag_or("multi_query", true)?) {
        (true, _) => file.size_or("num_kv_heads", n_heads)?,
        (false, true) => 1,
        (false, false) => n_heads,
    };
    if n_heads % n_kv_heads != 0 {
        return Err(file.refuse(
            "num_kv_heads",
            &format!("num_attention_heads = {n_heads} is not a multiple of it"),
        ));
    }
    let bias = file.flag_or("bias", false)?;
    let positions = match file.flag_or("alibi", false)? {
        true => Positions::Alibi { scaled: true },
        false => Positions::Rotary {
            ropes: vec![Rope::read(file, None, head_dim, Defaults::default())?],
            by_layer: vec![Some(0); n_layers],
        },
    };
    Ok(Config {
        vocab_size: file.size("vocab_size")?,
        context_length: file.size_or("max_position_embeddings", 2048)?,
        n_kv_heads,
        intermediate_size: file.size_or("ffn_hidden_size", 4 * hidden_size)?,
        activation: file.activation("activation", Activation::Gelu)?,
        positions,
        residual: residual(file, is_new)?,
        attention: AttentionConfig {
            projection: Projection::Grouped,
            ..standard::attention(n_layers, head_dim, bias, bias)
        },
        mlp: Mlp::Plain { bias },
        head: Head::new(file.flag_or("tie_word_embeddings", true)?),
        ..standard::sized("falcon", hidden_size, n_layers, n_heads, head_dim, norm)
    })
}

/// The new architecture has a norm for each of its parallel branches, or one for both as the old has.
fn residual(file: &ConfigFile, is_new: bool) -> Result<Residual> {
    let parallel = is_new || file.flag_or("parallel_attn", true)?;
    let n_norms = file.size_or("num_ln_in_parallel_attn", if is_new { 2 } else { 1 })?;
    let both = !parallel || (is_new && n_norms == 2);
    Ok(Residual {
        before: if both { PreNorm::Both } else { PreNorm::Shared },
        parallel,
        ..Residual::PRE
    })
}
