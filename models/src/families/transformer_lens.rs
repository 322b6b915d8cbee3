//! TransformerLens' own files: toy models of attention alone, of SoLU or GELU neurons, as people publish them or save them
//! from a `HookedTransformer`. Their config.json is its configuration, and names no `model_type`.

use super::{Family, standard};
use crate::config::{
    Activation, AttentionConfig, Config, ConfigFile, Head, Mlp, NormConfig, NormKind, Positions, PreNorm,
    Residual,
};
use crate::error::Result;
use crate::rope::{Pairs, Rope, Scaling};

pub(super) const FAMILY: Family = Family {
    model_type: "transformer_lens",
    known_as: "TransformerLens' toy models: Attn_Only_2L512W, SoLU_1L512W, GELU_1L512W and other HookedTransformers",
    config,
    prefixes: &[],
    weights: &[&[
        ("embed.W_E", "token_embedding.weight"),
        ("pos_embed.W_pos", "position_embedding.weight"),
        ("blocks.*.ln1.w", "layers.*.attention_norm.weight"),
        ("blocks.*.ln1.b", "layers.*.attention_norm.bias"),
        ("blocks.*.attn.W_Q", "layers.*.attention.query.weight"),
        ("blocks.*.attn.b_Q", "layers.*.attention.query.bias"),
        ("blocks.*.attn.W_K", "layers.*.attention.key.weight"),
        ("blocks.*.attn.b_K", "layers.*.attention.key.bias"),
        ("blocks.*.attn.W_V", "layers.*.attention.value.weight"),
        ("blocks.*.attn.b_V", "layers.*.attention.value.bias"),
        ("blocks.*.attn.W_O", "layers.*.attention.output.weight"),
        ("blocks.*.attn.b_O", "layers.*.attention.output.bias"),
        ("blocks.*.ln2.w", "layers.*.mlp_norm.weight"),
        ("blocks.*.ln2.b", "layers.*.mlp_norm.bias"),
        ("blocks.*.mlp.W_in", "layers.*.mlp.up.weight"),
        ("blocks.*.mlp.b_in", "layers.*.mlp.up.bias"),
        ("blocks.*.mlp.ln.w", "layers.*.mlp.norm.weight"),
        ("blocks.*.mlp.ln.b", "layers.*.mlp.norm.bias"),
        ("blocks.*.mlp.W_out", "layers.*.mlp.down.weight"),
        ("blocks.*.mlp.b_out", "layers.*.mlp.down.bias"),
        ("ln_final.w", "final_norm.weight"),
        ("ln_final.b", "final_norm.bias"),
        ("unembed.W_U", "head.weight"),
        ("unembed.b_U", "head.bias"),
    ]],
    ignored: &[
        "blocks.*.attn.mask",
        "blocks.*.attn.IGNORE",
        "blocks.*.attn.rotary_sin",
        "blocks.*.attn.rotary_cos",
    ],
    linear_in_out: true,
};

/// Whether a configuration that names no `model_type` is of a `HookedTransformer`.
pub(super) fn is_config(file: &ConfigFile) -> bool {
    let keys = ["d_model", "d_head", "n_ctx", "d_vocab"];
    !file.has("model_type") && keys.iter().all(|key| file.is_set(key))
}

/// What a `HookedTransformer` may have besides, and is not read.
const FLAGS: &[&str] = &[
    "final_rms",
    "gated_mlp",
    "parallel_attn_mlp",
    "post_embedding_ln",
    "tie_word_embeddings",
    "use_NTK_by_parts_rope",
    "use_local_attn",
    "use_normalization_before_and_after",
    "use_qk_norm",
];

fn config(file: &ConfigFile) -> Result<Config> {
    refuse_others(file)?;
    let (hidden, n_layers) = (file.size("d_model")?, file.size("n_layers")?);
    let head_dim = file.size("d_head")?;
    let n_heads = file.size_if_any("n_heads")?.unwrap_or((hidden / head_dim).max(1));
    let kind = norm_kind(file)?;
    let norm = standard::norm(file, kind.unwrap_or(NormKind::Plain), "eps", 1e-5)?;
    let has_mlp = !file.flag_or("attn_only", false)?;
    let (activation, mlp) = match has_mlp {
        true => neurons(file, norm)?,
        false => (Activation::Gelu, Mlp::Plain { bias: true }),
    };
    Ok(Config {
        vocab_size: file.size("d_vocab")?,
        context_length: file.size("n_ctx")?,
        intermediate_size: match has_mlp {
            true => file.size_if_any("d_mlp")?.unwrap_or(4 * hidden),
            false => 1,
        },
        activation,
        positions: positions(file, head_dim, n_layers)?,
        residual: Residual {
            before: kind.map_or(PreNorm::None, |_| PreNorm::Both),
            final_norm: kind.is_some(),
            ..Residual::PRE
        },
        attention: AttentionConfig {
            by_head: true,
            scales: scales(file, head_dim, n_layers)?,
            ..standard::attention(n_layers, head_dim, true, true)
        },
        mlp,
        mlps: vec![has_mlp; n_layers],
        head: Head {
            bias: true,
            spares_bias: true,
            ..Head::new(false)
        },
        ..standard::sized("transformer_lens", hidden, n_layers, n_heads, head_dim, norm)
    })
}

fn refuse_others(file: &ConfigFile) -> Result<()> {
    let reason = "of TransformerLens' models those without it are read";
    for key in FLAGS {
        if file.flag_or(key, false)? {
            return Err(file.refuse(key, reason));
        }
    }
    for key in [
        "n_key_value_heads",
        "num_experts",
        "attn_scores_soft_cap",
        "output_logits_soft_cap",
    ] {
        // −1 is none.
        if file.number_or(key, -1.0)? > 0.0 {
            return Err(file.refuse(key, reason));
        }
    }
    if file.text_or("attention_dir", "causal")? != "causal" {
        let reason = "of TransformerLens' models those with \"causal\" are read";
        return Err(file.refuse("attention_dir", reason));
    }
    match file.size_if_any("d_vocab_out")? {
        Some(n) if n != file.size("d_vocab")? => {
            let reason = "a model that says other tokens than it reads: not supported";
            Err(file.refuse("d_vocab_out", reason))
        }
        _ => Ok(()),
    }
}

/// Learned ones, in the stream or where queries and keys are made, or turns. Older files have a key for the second alone.
fn positions(file: &ConfigFile, head_dim: usize, n_layers: usize) -> Result<Positions> {
    let key = "positional_embedding_type";
    let usual = match file.flag_or("shortformer_pos", false)? {
        true => "shortformer",
        false => "standard",
    };
    match file.text_or(key, usual)? {
        "standard" => Ok(Positions::Learned { offset: 0 }),
        "shortformer" => Ok(Positions::Shortformer),
        "rotary" => {
            let key = "rotary_dim";
            let dim = file.size_if_any(key)?.unwrap_or(head_dim);
            if dim > head_dim || !dim.is_multiple_of(2) {
                let reason = format!("expected an even number up to {head_dim}, d_head");
                return Err(file.refuse(key, &reason));
            }
            if file.is_set("rotary_base_local") {
                let reason = "turns of another base in layers with a window are not supported";
                return Err(file.refuse("rotary_base_local", reason));
            }
            let rope = Rope {
                dim,
                start: 0,
                theta: file.positive_or("rotary_base", 1e4)?,
                pairs: match file.flag_or("rotary_adjacent_pairs", false)? {
                    true => Pairs::Neighbours,
                    false => Pairs::Halves,
                },
                scaling: Scaling::Default,
                context_length: file.size("n_ctx")?,
            };
            Ok(Positions::Rotary {
                ropes: vec![rope],
                by_layer: vec![Some(0); n_layers],
            })
        }
        _ => {
            let reason =
                "of TransformerLens' models those with \"standard\", \"shortformer\" or \"rotary\" are read";
            Err(file.refuse(key, reason))
        }
    }
}

/// The norm of the stream, by the older of two keys where both are there, as TransformerLens has it; `Pre` are those whose weights have become part of what
/// follows.
fn norm_kind(file: &ConfigFile) -> Result<Option<NormKind>> {
    let key = match file.has("normalization") {
        true => "normalization",
        false => "normalization_type",
    };
    if file.has(key) && !file.is_set(key) {
        return Ok(None);
    }
    match file.text_or(key, "LN")? {
        "LN" => Ok(Some(NormKind::Layer { bias: true })),
        "LNPre" => Ok(Some(NormKind::Plain)),
        "RMS" => Ok(Some(NormKind::Rms { from_one: false })),
        _ => Err(file.refuse(key, "expected \"LN\", \"LNPre\", \"RMS\" or null")),
    }
}

/// SoLU with a norm on what neurons become (`solu_ln`), or without, or a usual activation.
fn neurons(file: &ConfigFile, norm: NormConfig) -> Result<(Activation, Mlp)> {
    // Behind neurons it has weights where the stream's is a layer norm with weights.
    let kind = match norm.kind {
        NormKind::Layer { .. } => norm.kind,
        _ => NormKind::Plain,
    };
    match file.text("act_fn")? {
        "solu_ln" => {
            let norm = NormConfig { kind, ..norm };
            Ok((Activation::SoftmaxLinear, Mlp::Normed { norm }))
        }
        "solu" => Ok((Activation::SoftmaxLinear, Mlp::Plain { bias: true })),
        _ => {
            let activation = file.activation("act_fn", Activation::Gelu)?;
            Ok((activation, Mlp::Plain { bias: true }))
        }
    }
}

/// 1/√d_head, or one over what the file says, and where it says so also 1/(layer + 1).
fn scales(file: &ConfigFile, head_dim: usize, n_layers: usize) -> Result<Vec<f64>> {
    let divisor = match file.flag_or("use_attn_scale", true)? {
        true => match file.number_or("attn_scale", -1.0)? {
            -1.0 => (head_dim as f64).sqrt(),
            _ => standard::limit(file, "attn_scale", 1.0)?,
        },
        false => 1.0,
    };
    let by_layer = file.flag_or("scale_attn_by_inverse_layer_idx", false)?;
    Ok((1..=n_layers)
        .map(|n| 1.0 / if by_layer { divisor * n as f64 } else { divisor })
        .collect())
}
